# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Makes docs/demo.jpg, the picture at the top of README.md, from the strip that the demo wrote.

    scripts/demo --frames 60 && .venv/bin/python docs/make_picture.py demo_out/segmentation.png

Only of rendered frames: CamVid's own may not be shipped.
"""

from __future__ import annotations

from pathlib import Path
import sys

import cv2
import numpy as np

from segnode.labels import load_label_set
from segnode.ros.side_by_side import STRIP_ROWS

ROWS = (0, 2)  # of the strip
LEGEND_HEIGHT, WIDTH, QUALITY = 64, 1440, 88


def legend(width: int) -> np.ndarray:
    """uint8 (64, width, 3) BGR: colour and name of each CamVid class, in two lines."""
    picture = np.full((LEGEND_HEIGHT, width, 3), 255, np.uint8)
    labels = load_label_set('camvid').labels
    columns = (len(labels) + 1) // 2
    for index, label in enumerate(labels):
        x, y = index % columns * width // columns + 8, index // columns * LEGEND_HEIGHT // 2 + 6
        cv2.rectangle(picture, (x, y), (x + 28, y + 20), label.color[::-1], -1)
        cv2.putText(picture, label.name, (x + 36, y + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.55,
                    (40, 40, 40), 1, cv2.LINE_AA)
    return picture


def main() -> int:
    """Cut the rows out of the strip named on the command line, add the legend, save."""
    strip = cv2.imread(sys.argv[1])
    height = strip.shape[0] // STRIP_ROWS
    rows = [strip[row * height:(row + 1) * height] for row in ROWS]
    picture = np.vstack([*rows, legend(strip.shape[1])])
    scale = min(1.0, WIDTH / picture.shape[1])
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    path = Path(__file__).with_name('demo.jpg')
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    print(path)
    return 0


if __name__ == '__main__':
    sys.exit(main())

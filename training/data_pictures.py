# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a dataset: how often its classes occur, and some frames with their labels."""

from __future__ import annotations

from collections.abc import Sequence
import io
from pathlib import Path

import cv2
import numpy as np

from segnode.files import write_result
from segnode.pictures import overlay_picture
from training.check_data import SplitCheck
from training.datasets.source import Source

TILE = (180, 320)  # height, width of a frame on the contact sheet
COLUMNS = 4


def class_histogram(checks: Sequence[SplitCheck], path: Path) -> None:
    """Draw, for every class, its share of the labelled pixels and of the frames, as a PNG.

    Args:
        checks: splits with the same classes; one bar for each.
        path: of the picture.

    Raises:
        SegnodeError: it cannot be written.
    """
    from matplotlib.figure import Figure

    names = checks[0].classes.names
    figure = Figure(figsize=(11, max(3.0, 0.28 * len(names) + 1.5)), layout='constrained')
    pixels, frames = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(names))
    height = 0.8 / len(checks)
    for index, check in enumerate(checks):
        place = rows + (index - (len(checks) - 1) / 2) * height
        total, count = max(1, check.pixels.sum()), max(1, sum(check.sizes.values()))
        pixels.barh(place, 100 * check.pixels / total, height, label=check.name)
        frames.barh(place, 100 * check.frames / count, height)
    pixels.set_yticks(rows, names)
    pixels.invert_yaxis()
    pixels.set_xscale('symlog', linthresh=0.1)
    pixels.set_xlabel('% of the labelled pixels')
    frames.set_xlabel('% of the frames')
    pixels.legend(loc='lower right')
    for axes in (pixels, frames):
        axes.grid(axis='x', alpha=0.3)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110, format='png')
    write_result(path, drawn.getvalue())


def contact_sheet(source: Source, path: Path, count: int = 12) -> None:
    """Write frames from all over the split, overlaid with their labels, as one JPEG.

    Args:
        source: the split.
        path: of the picture.
        count: frames shown, at most.

    Raises:
        SegnodeError: it cannot be written.
    """
    height, width = TILE
    tiles = []
    for index in np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)):
        image, label = source.dataset.load(source.samples[index], source.classes)
        tile = cv2.resize(overlay_picture(image, label, source.classes), (width, height),
                          interpolation=cv2.INTER_AREA)
        key = source.samples[index].key[-40:]
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(tile, key, (6, height - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.42, color,
                        thickness, cv2.LINE_AA)
        tiles.append(tile)
    while len(tiles) % COLUMNS:
        tiles.append(np.zeros((height, width, 3), np.uint8))
    rows = [np.concatenate(tiles[i:i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    write_result(path, cv2.imencode('.jpg', np.concatenate(rows))[1].tobytes())

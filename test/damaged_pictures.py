# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Picture files that no reader should trust."""

from pathlib import Path
import struct
import zlib

import cv2
import numpy as np


def oversized_png(path: Path) -> Path:
    """Write a PNG of 4x4 pixels whose header, with a right check sum, claims 100000x100000."""
    good = cv2.imencode('.png', np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    header = b'IHDR' + struct.pack('>II', 100_000, 100_000) + good[24:29]
    path.write_bytes(good[:12] + header + struct.pack('>I', zlib.crc32(header)) + good[33:])
    return path

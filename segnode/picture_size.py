# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What size a PNG or JPEG claims to be, before memory is allocated for it."""

from __future__ import annotations

import zlib

import numpy as np

#: More is no picture of a camera, and what claims it is not decoded.
MAX_PIXELS = 1 << 27


def png_size(data: np.ndarray) -> tuple[int, int] | None:
    """
    Return (height, width) of a PNG, None when its header is damaged or its end is missing.

    Every chunk is followed to the last one: OpenCV 5 believes a damaged length and spends
    seconds and gigabytes on it.
    """
    raw = data.data
    header = bytes(raw[8:33])  # length, name, width, height, five more bytes, check sum
    if header[4:8] != b'IHDR' or zlib.crc32(header[4:21]) != int.from_bytes(header[21:], 'big'):
        return None
    position = 8
    while bytes(raw[position + 4:position + 8]) != b'IEND':
        position += 12 + int.from_bytes(raw[position:position + 4], 'big')
        if position + 8 > len(raw):
            return None
    return int.from_bytes(header[12:16], 'big'), int.from_bytes(header[8:12], 'big')


def jpeg_size(data: np.ndarray) -> tuple[int, int] | None:
    """
    Return (height, width) of a JPEG, None when its header or its end is missing.

    libjpeg fills what is missing of a truncated image with grey and OpenCV 4 hands that out as
    a picture, so the end is looked for here: after the last start of a scan (FFDA) the marker
    FFD9 stands only at the end, because the compressed data never hold it.
    """
    raw = data.tobytes()
    position = 2
    while position + 9 <= len(raw) and raw[position] == 0xFF:
        marker = raw[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            complete = raw.find(b'\xff\xd9', raw.rfind(b'\xff\xda')) > position
            size = (int.from_bytes(raw[position + 5:position + 7], 'big'),
                    int.from_bytes(raw[position + 7:position + 9], 'big'))
            return size if complete else None
        position += 2 + int.from_bytes(raw[position + 2:position + 4], 'big')
    return None

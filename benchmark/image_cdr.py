# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Serialised sensor_msgs/Image messages, read and stamped anew without making the message.

The layout is that of CDR as ROS 2 sends it: four bytes of encapsulation, then the fields in order,
each number aligned to its own size, counted from behind the encapsulation (OMG DDSI-RTPS 10.2 and
CORBA 15.3). Only a serialised message of this machine's own byte order is read here, which is all
that a benchmark on one machine meets.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np

STAMP = slice(4, 12)  # seconds and nanoseconds, behind the encapsulation
_LITTLE = b'\x00\x01'


def stamp_bytes(stamp: int) -> bytes:
    """Return ns as the eight bytes of a stamp."""
    return struct.pack('<iI', *divmod(stamp, 1_000_000_000))


def read_stamp(cdr: bytes) -> int:
    """Return the ns of the stamp of any message that begins with a header."""
    seconds, nanoseconds = struct.unpack_from('<iI', cdr, STAMP.start)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def parse_image(cdr: bytes) -> SimpleNamespace:
    """Return the fields of an Image; its data are a uint8 view of the bytes given.

    Args:
        cdr: the message as a raw subscription hands it out.

    Raises:
        ValueError: it is cut short, or not of this byte order.
    """
    if cdr[:2] != _LITTLE:
        raise ValueError(f'encapsulation {cdr[:4].hex()}, not CDR of low bytes first')
    try:
        seconds, nanoseconds = struct.unpack_from('<iI', cdr, STAMP.start)
        frame_id, position = _text(cdr, STAMP.stop)
        height, width = struct.unpack_from('<II', cdr, _aligned(position))
        encoding, position = _text(cdr, _aligned(position) + 8)
        (big_endian,) = struct.unpack_from('<B', cdr, position)
        step, length = struct.unpack_from('<II', cdr, position := _aligned(position + 1))
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f'no image: {error}') from error
    if length > len(cdr) - position - 8:
        raise ValueError(f'cut short: {length} bytes of data in a message of {len(cdr)}')
    data = np.frombuffer(cdr, np.uint8, length, position + 8)
    header = SimpleNamespace(
        stamp=SimpleNamespace(sec=seconds, nanosec=nanoseconds), frame_id=frame_id)
    return SimpleNamespace(header=header, height=height, width=width, encoding=encoding,
                           is_bigendian=big_endian, step=step, data=data)


def _aligned(position: int) -> int:
    """Return the next position of a number of four bytes."""
    return (position + 3) // 4 * 4


def _text(cdr: bytes, position: int) -> tuple[str, int]:
    """Return the text at a position, and the position behind its terminating zero."""
    position = _aligned(position)
    (length,) = struct.unpack_from('<I', cdr, position)
    end = position + 4 + length
    if not 0 < length <= len(cdr) - position - 4 or cdr[end - 1]:
        raise ValueError(f'no image: a text of {length} bytes')
    return cdr[position + 4:end - 1].decode(), end

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The wire format of Protocol Buffers, of which ONNX files are made: fields in, fields out.

A message is a row of fields, each a number, a type and a value; what the numbers mean is the
business of whoever asks (protobuf.dev/programming-guides/encoding). A vehicle has neither the
``onnx`` package nor ``protobuf``, and needs no more of either than this.
"""

from __future__ import annotations

from collections.abc import Iterator
import struct

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Bytes = bytes | memoryview


def fields(data: Bytes) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Give (number, the whole field, its value) of each field of a message.

    Raises:
        ValueError: it is no message, or is cut short.
    """
    data = memoryview(data)
    position = 0
    while position < len(data):
        start = position
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        value = position
        if kind == VARINT:
            _, position = _varint(data, position)
        elif kind == BYTES:
            length, value = _varint(data, position)
            position = value + length
        elif kind in (FIXED64, FIXED32):
            position += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f'wire type {kind}')
        if position > len(data) or number == 0:
            raise ValueError('cut short')
        yield number, data[start:position], data[value:position]


def integer(value: Bytes) -> int:
    """Return the int64 that the value of a varint field stands for.

    Raises:
        ValueError: it is no such value.
    """
    number, _ = _varint(memoryview(value), 0)
    return _signed(number)


def integers(whole: Bytes, value: Bytes) -> list[int]:
    """Return the int64s of one field of repeated numbers, packed into one value or not.

    Args:
        whole: the field.
        value: its value.

    Raises:
        ValueError: they are no such values.
    """
    if memoryview(whole)[0] & 7 == VARINT:
        return [integer(value)]
    found, position, data = [], 0, memoryview(value)
    while position < len(data):
        number, position = _varint(data, position)
        found.append(_signed(number))
    return found


def text(value: Bytes) -> str:
    """Return the text that a value holds.

    Raises:
        ValueError: it is not UTF-8.
    """
    return bytes(value).decode()


def int_field(number: int, value: int) -> bytes:
    """Return a field with an int64."""
    return encode(number << 3 | VARINT) + encode(value & ((1 << 64) - 1))


def float_field(number: int, value: float) -> bytes:
    """Return a field with a float of 32 bits."""
    return encode(number << 3 | FIXED32) + struct.pack('<f', value)


def field(number: int, value: Bytes | str) -> bytes:
    """Return a field with bytes, a text or a message."""
    data = value.encode() if isinstance(value, str) else bytes(value)
    return encode(number << 3 | BYTES) + encode(len(data)) + data


def encode(number: int) -> bytes:
    """Return a number from 0 up as a varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _signed(number: int) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return the number that starts at ``position`` and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError('cut short')
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, position
    raise ValueError('no varint')

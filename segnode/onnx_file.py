# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The metadata of an ``.onnx`` file, read and written without any ONNX library, and checked.

A vehicle has ONNX Runtime or TensorRT but not the ``onnx`` package, and reading a record should
not need to build a session. An ONNX file is one protobuf message (onnx/onnx.proto, ModelProto) in
which ``metadata_props`` is field 14, repeated, of key (1) and value (2); protobuf lets repeated
fields be appended. Our entry ``sha256`` covers every other field and every other entry.
"""

from __future__ import annotations

from collections.abc import Iterator
import hashlib
import json
from pathlib import Path

from segnode.errors import SegnodeError

DIGEST = 'sha256'
_METADATA_PROPS = 14
_GRAPH = 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """Return the ONNX file ``content`` with exactly this metadata, and a digest over both."""
    base = b''.join(
        bytes(field) for number, field, _ in _fields(memoryview(content))
        if number != _METADATA_PROPS
    )
    entries = {**metadata, DIGEST: _digest(base, metadata)}
    return base + b''.join(_entry(key, value) for key, value in entries.items())


def read_onnx(path: Path) -> tuple[bytes, dict[str, str]]:
    """Read and check a file that carries the metadata of ``with_metadata``.

    Returns:
        the file's content, fit for an InferenceSession, and the metadata.

    Raises:
        SegnodeError: the file is not there, not such a file, or not as it was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SegnodeError(f'{path} cannot be read: {error.strerror or error}') from error
    return content, parse_metadata(content, path)


def parse_metadata(content: bytes, path: Path | str) -> dict[str, str]:
    """Return the checked metadata; ``path`` is for the texts of errors only."""
    base = []
    metadata = {}
    numbers = set()
    try:
        for number, field, value in _fields(memoryview(content)):
            numbers.add(number)
            if number == _METADATA_PROPS:
                pair = {n: bytes(v).decode() for n, _, v in _fields(value)}
                if pair[1] in metadata or bytes(field) != _entry(pair[1], pair.get(2, '')):
                    raise ValueError('not as it was written')
                metadata[pair[1]] = pair.get(2, '')
            else:
                base.append(field)
    except (ValueError, KeyError) as error:
        raise SegnodeError(
            f'{path} is not an ONNX file, or is cut short or damaged: fetch it again'
        ) from error
    if _GRAPH not in numbers:
        raise SegnodeError(f'{path} is not an ONNX file: it holds no graph')
    if DIGEST not in metadata:
        raise SegnodeError(
            f'{path} carries no {DIGEST} in its metadata, so segnode did not write it or it is '
            'cut short'
        )
    stated = metadata.pop(DIGEST)
    if stated != _digest(b''.join(base), metadata):
        raise SegnodeError(
            f'{path} is damaged: its {DIGEST} is not that of its content; fetch it again'
        )
    return metadata


def _digest(base: bytes, metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    digest.update(base)
    return digest.hexdigest()


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


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Give (number, the whole field, its value) of each field of a protobuf message."""
    position = 0
    while position < len(data):
        start = position
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        value = position
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind == _BYTES:
            length, value = _varint(data, position)
            position = value + length
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f'wire type {kind}')
        if position > len(data) or number == 0:
            raise ValueError('cut short')
        yield number, data[start:position], data[value:position]


def _encode(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _entry(key: str, value: str) -> bytes:
    def field(number: int, data: bytes) -> bytes:
        return _encode(number << 3 | _BYTES) + _encode(len(data)) + data

    return field(_METADATA_PROPS, field(1, key.encode()) + field(2, value.encode()))

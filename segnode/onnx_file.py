# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The metadata of an ``.onnx`` file, read and written without any ONNX library, and checked.

A vehicle has ONNX Runtime or TensorRT but not the ``onnx`` package, and reading a record should
not need to build a session. An ONNX file is one protobuf message (onnx/onnx.proto, ModelProto) in
which ``metadata_props`` is field 14, repeated, of key (1) and value (2); protobuf lets repeated
fields be appended. Our entry ``sha256`` covers every other field and every other entry.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from segnode.errors import SegnodeError
from segnode.protobuf import field, fields

DIGEST = 'sha256'
_METADATA_PROPS = 14
_GRAPH = 7


def with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """Return the ONNX file ``content`` with exactly this metadata, and a digest over both."""
    base = b''.join(
        bytes(whole) for number, whole, _ in fields(content) if number != _METADATA_PROPS
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
        for number, whole, value in fields(content):
            numbers.add(number)
            if number == _METADATA_PROPS:
                pair = {n: bytes(v).decode() for n, _, v in fields(value)}
                if pair[1] in metadata or bytes(whole) != _entry(pair[1], pair.get(2, '')):
                    raise ValueError('not as it was written')
                metadata[pair[1]] = pair.get(2, '')
            else:
                base.append(whole)
    except (ValueError, KeyError) as error:
        raise SegnodeError(
            f'{path} is not an ONNX file, or is cut short or damaged: fetch it again'
        ) from error
    if _GRAPH not in numbers:
        raise SegnodeError(f'{path} is not an ONNX file: it holds no graph')
    if DIGEST not in metadata:
        raise SegnodeError(
            f'{path} carries no {DIGEST} in its metadata, so it is cut short, or segnode did not '
            'write it: a network of somebody else needs a .yaml file that describes it'
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


def _entry(key: str, value: str) -> bytes:
    return field(_METADATA_PROPS, field(1, key) + field(2, value))

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Reading and writing ``.safetensors`` with NumPy alone, checked from the first byte to the last.

The format (huggingface/safetensors, "Format"): 8 bytes little-endian header length, a JSON object
{name: {dtype, shape, data_offsets}} with an optional "__metadata__" of texts, then the tensors.
Ours adds the metadata entry ``sha256``, over the header without that entry and the tensors, since
the format itself does not notice a changed weight.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from segnode.errors import SegnodeError
from segnode.files import write_bytes

DIGEST = 'sha256'
_METADATA = '__metadata__'
_MAX_HEADER = 100_000_000  # bytes; the limit of the format's own library
_DTYPES: dict[str, np.dtype[Any]] = {
    'F64': np.dtype('<f8'),
    'F32': np.dtype('<f4'),
    'F16': np.dtype('<f2'),
    'I64': np.dtype('<i8'),
    'I32': np.dtype('<i4'),
    'U8': np.dtype('u1'),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
# NumPy has no bfloat16: its 16 bits are the upper half of a float32.
_BFLOAT = 'BF16'
_READ_DTYPES = {**_DTYPES, 'U16': np.dtype('<u2')}
_PICKLES = (b'PK\x03\x04', b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05', b'\x1f\x8b')


def write_tensors(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write tensors and metadata, whole or not at all.

    Raises:
        SegnodeError: a tensor has a type that the file cannot hold, or the file cannot be written.
    """
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    chunks = []
    offset = 0
    for name, tensor in tensors.items():
        kind = _NAMES.get(tensor.dtype.newbyteorder('<'))
        if kind is None:
            raise SegnodeError(f'{path}: tensor {name} has type {tensor.dtype}, not written here')
        data = np.ascontiguousarray(tensor, _DTYPES[kind]).tobytes()
        header[name] = {
            'dtype': kind,
            'shape': list(tensor.shape),
            'data_offsets': [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    body = b''.join(chunks)
    header[_METADATA][DIGEST] = _digest(header, body)
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)  # the tensors then start aligned
    try:
        write_bytes(path, len(text).to_bytes(8, 'little') + text + body)
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read and check a file that ``write_tensors`` wrote.

    Returns:
        the tensors as read-only arrays, and the metadata.

    Raises:
        SegnodeError: the file is not there, not such a file, or not as it was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SegnodeError(f'{path} cannot be read: {error.strerror or error}') from error
    return parse_tensors(content, path)


def parse_tensors(
    content: bytes, path: Path | str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Check and split the content of a file; ``path`` is for the texts of errors only."""
    header, body = _split(content, path)
    metadata = header.get(_METADATA)
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise SegnodeError(f'{path} carries no metadata, so it is no segnode model')
    tensors = {}
    end = 0
    for name, entry in header.items():
        if name == _METADATA:
            continue
        tensors[name], stop = _tensor(name, entry, body, path)
        end = max(end, stop)
    if end != len(body):
        what = 'cut short' if end > len(body) else 'followed by foreign bytes'
        raise SegnodeError(
            f'{path} is {what} ({len(body)} bytes of tensors, {end} expected): fetch it again'
        )
    if DIGEST not in metadata:
        raise SegnodeError(f'{path} carries no {DIGEST}, so it was not written by segnode')
    try:
        digest = _digest(header, body)
    except RecursionError as error:
        raise SegnodeError(f'{path} is damaged: its header is nested too deeply') from error
    if metadata[DIGEST] != digest:
        raise SegnodeError(
            f'{path} is damaged: its {DIGEST} is not that of its content; fetch it again'
        )
    return tensors, metadata


def looks_like_safetensors(start: bytes) -> bool:
    """Tell from a file's first bytes (9 or more) whether it can be of this format."""
    return start[8:9] == b'{' and 2 <= int.from_bytes(start[:8], 'little') <= _MAX_HEADER


def parse_foreign_tensors(content: bytes, path: Path | str) -> dict[str, np.ndarray]:
    """Return the tensors of a ``.safetensors`` file that anybody has written.

    It needs neither metadata nor our digest. BF16 becomes float32.

    Raises:
        SegnodeError: not such a file, damaged, or a tensor of a type that is not read here.
    """
    header, body = _split(content, path)
    tensors = {}
    end = 0
    for name, entry in header.items():
        if name == _METADATA:
            continue
        kind = entry.get('dtype') if isinstance(entry, dict) else None
        if kind == _BFLOAT:
            entry = {**entry, 'dtype': 'U16'}
        elif isinstance(kind, str) and kind not in _DTYPES:
            raise SegnodeError(
                f'{path}: tensor {name} has type {kind}, but only {", ".join(_DTYPES)} and '
                f'{_BFLOAT} are read'
            )
        value, stop = _tensor(name, entry, body, path)
        if kind == _BFLOAT:
            value = (value.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = value
        end = max(end, stop)
    if end > len(body):
        raise SegnodeError(
            f'{path} is cut short ({len(body)} bytes of tensors, {end} expected): fetch it again'
        )
    return tensors


def _split(content: bytes, path: Path | str) -> tuple[dict[str, Any], memoryview]:
    """Return the parsed header and the bytes behind it."""
    # The first two bytes may well be those of a pickle where the header is of such a length, but
    # only here does a JSON object begin behind them.
    if content[8:9] != b'{' and content.startswith(_PICKLES):
        raise SegnodeError(
            f'{path} is a pickle or archive (a PyTorch checkpoint?), not a .safetensors file; '
            'segnode never unpickles: release it with python -m training release'
        )
    length = int.from_bytes(content[:8], 'little')
    if len(content) < 8 or (content[8:9] != b'{' and length > len(content)):
        raise SegnodeError(f'{path} is not a .safetensors file')
    if length > min(len(content) - 8, _MAX_HEADER):
        raise SegnodeError(
            f'{path} is cut short or damaged: its header of {length} bytes does not fit into '
            f'{len(content)} bytes; fetch it again'
        )
    try:
        header = json.loads(content[8 : 8 + length].decode())
    except (ValueError, RecursionError) as error:
        raise SegnodeError(f'{path} is not a .safetensors file, or damaged: {error}') from error
    if not isinstance(header, dict):
        raise SegnodeError(f'{path} is not a .safetensors file: its header is no JSON object')
    return header, memoryview(content)[8 + length :]


def _tensor(
    name: str, entry: Any, body: memoryview, path: Path | str
) -> tuple[np.ndarray, int]:
    """Return a view of one tensor and where it ends; empty where the body is too short."""
    try:
        dtype = _READ_DTYPES[entry['dtype']]
        shape = tuple(int(side) for side in entry['shape'])
        start, stop = (int(offset) for offset in entry['data_offsets'])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SegnodeError(f'{path} is damaged: wrong entry for tensor {name}') from error
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or not 0 <= start <= stop or stop - start != size:
        raise SegnodeError(f'{path} is damaged: tensor {name} does not have the size it states')
    if stop > len(body):
        return np.empty(0, dtype), stop
    try:
        return np.frombuffer(body[start:stop], dtype).reshape(shape), stop
    except (ValueError, OverflowError) as error:  # too many axes, or an axis too long
        raise SegnodeError(f'{path} is damaged: tensor {name} has no possible shape') from error


def _digest(header: dict[str, Any], body: bytes | memoryview) -> str:
    """Return the sha256 of header (without the digest itself) and tensors."""
    stated = dict(header)
    stated[_METADATA] = {k: v for k, v in header[_METADATA].items() if k != DIGEST}
    digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode())
    digest.update(body)
    return digest.hexdigest()

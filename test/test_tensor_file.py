# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``.safetensors``: round trip, agreement with the format's own library, and every damage."""

from __future__ import annotations

from pathlib import Path
import pickle
import zipfile

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.tensor_file import parse_tensors, read_tensors, write_tensors

TENSORS = {
    'weight': np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    'mean': np.linspace(-1, 1, 5, dtype=np.float32),
    'count': np.array(7, np.int64),
    'empty': np.empty((0, 3), np.float32),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / 'a.safetensors'
    write_tensors(file, TENSORS, {'segnode_record': '{"ä": 1}', 'note': 'x'})
    return file


def test_round_trip(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    assert list(tensors) == list(TENSORS)
    for name, expected in TENSORS.items():
        assert tensors[name].dtype == expected.dtype
        assert tensors[name].shape == expected.shape
        assert (tensors[name] == expected).all()
    assert metadata['segnode_record'] == '{"ä": 1}'
    assert len(metadata['sha256']) == 64
    assert [p.name for p in path.parent.iterdir()] == ['a.safetensors']


def test_the_formats_own_library_reads_it(path: Path) -> None:
    library = pytest.importorskip('safetensors')
    with library.safe_open(path, framework='numpy') as file:
        assert set(file.keys()) == set(TENSORS)
        assert file.metadata()['note'] == 'x'
        assert (file.get_tensor('weight') == TENSORS['weight']).all()


def test_every_truncation(path: Path) -> None:
    content = path.read_bytes()
    for length in range(len(content)):
        with pytest.raises(SegnodeError) as caught:
            parse_tensors(content[:length], path)
        assert '\n' not in str(caught.value)
    with pytest.raises(SegnodeError, match='foreign bytes'):
        parse_tensors(content + b'\0', path)


def test_every_flipped_bit(path: Path) -> None:
    content = path.read_bytes()
    tensors, metadata = parse_tensors(content, path)
    for position in range(len(content)):
        for bit in range(8):
            spoilt = bytearray(content)
            spoilt[position] ^= 1 << bit
            try:
                found, stated = parse_tensors(bytes(spoilt), path)
            except SegnodeError:
                continue
            # Only what means the same may pass, such as a tab for a space in the header.
            assert stated == metadata
            assert all((found[name] == tensors[name]).all() for name in tensors)


def test_swapped_metadata(path: Path, tmp_path: Path) -> None:
    other = tmp_path / 'b.safetensors'
    write_tensors(other, TENSORS, {'segnode_record': '{"b": 2}', 'note': 'x'})
    spoilt = path.read_bytes().replace(b'"x"', b'"y"')
    with pytest.raises(SegnodeError, match='damaged'):
        parse_tensors(spoilt, path)


def test_pickles_are_named_and_not_opened(tmp_path: Path) -> None:
    file = tmp_path / 'a.safetensors'
    for protocol in (2, 3, 4, 5):
        file.write_bytes(pickle.dumps({'a': 1}, protocol))
        with pytest.raises(SegnodeError, match='pickle'):
            read_tensors(file)
    with zipfile.ZipFile(file, 'w') as archive:  # torch.save's format
        archive.writestr('archive/data.pkl', pickle.dumps([]))
    with pytest.raises(SegnodeError, match='never unpickles'):
        read_tensors(file)


@pytest.mark.parametrize('content', [
    b'', b'\0' * 8, b'\0' * 100, b'hello', b'\xff' * 64, b'<html><body>not found</body></html>',
    (2).to_bytes(8, 'little') + b'[]', (2).to_bytes(8, 'little') + b'{}',
    (100).to_bytes(8, 'little') + b'[' * 100,
])
def test_other_content(content: bytes) -> None:
    with pytest.raises(SegnodeError) as caught:
        parse_tensors(content, 'a.safetensors')
    assert 'a.safetensors' in str(caught.value)


def test_missing_and_unwritable(tmp_path: Path) -> None:
    with pytest.raises(SegnodeError, match='cannot be read'):
        read_tensors(tmp_path / 'none.safetensors')
    with pytest.raises(SegnodeError, match='cannot be written'):
        write_tensors(tmp_path / 'no' / 'a.safetensors', TENSORS, {})
    with pytest.raises(SegnodeError, match='complex'):
        write_tensors(tmp_path / 'a.safetensors', {'a': np.ones(1, np.complex64)}, {})


@pytest.mark.parametrize('length', [640, 896, 1152, 1408])
def test_headers_whose_length_looks_like_a_pickle(length: int, tmp_path: Path) -> None:
    file = tmp_path / 'a.safetensors'
    write_tensors(file, TENSORS, {'note': ''})
    missing = length - int.from_bytes(file.read_bytes()[:8], 'little')
    assert missing > 0
    write_tensors(file, TENSORS, {'note': 'x' * missing})
    assert file.read_bytes()[:2] == bytes([0x80, length >> 8])
    assert set(read_tensors(file)[0]) == set(TENSORS)


@pytest.mark.parametrize('entry', [
    '"shape": [Infinity], "data_offsets": [0, 0]',
    '"shape": [1], "data_offsets": [0, 1e999]',
    f'"shape": [0, {10 ** 30}], "data_offsets": [0, 0]',
    f'"shape": {[0] * 100}, "data_offsets": [0, 0]',
])
def test_crafted_entries(entry: str) -> None:
    header = f'{{"__metadata__": {{}}, "a": {{"dtype": "U8", {entry}}}}}'.encode()
    with pytest.raises(SegnodeError, match='tensor a|sha256') as caught:
        parse_tensors(len(header).to_bytes(8, 'little') + header, 'a.safetensors')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('depth', [200, 950, 100_000])
def test_nesting(depth: int) -> None:
    nested = '[' * depth + ']' * depth
    header = (
        '{"__metadata__": {"sha256": ""}, '
        f'"a": {{"dtype": "U8", "shape": [0], "data_offsets": [0, 0], "x": {nested}}}}}'
    ).encode()
    with pytest.raises(SegnodeError):
        parse_tensors(len(header).to_bytes(8, 'little') + header, 'a.safetensors')

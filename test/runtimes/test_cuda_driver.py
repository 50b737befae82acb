# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The driver's functions: what they are given, in which order, and that nothing stays behind."""

from __future__ import annotations

import ctypes
from pathlib import Path
import re
import threading

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import cuda_driver
from segnode.runtimes.cuda_driver import CudaError, Device, Driver, FUNCTIONS
from standin_gpu import Cuda

HEADERS = [*Path('/usr/local').glob('cuda*/include/cuda.h'), Path('/usr/include/cuda.h')]


def test_facts() -> None:
    device = Cuda(name='Orin', capability=(8, 7)).device()
    assert (device.name, device.capability, device.driver_version) == ('Orin', (8, 7), '12.6')
    free, total = device.free_memory()
    assert free == total == 1 << 33
    device.allocate(1000)
    assert device.free_memory() == (total - 1000, total)


@pytest.mark.parametrize('shape', [(2, 3), (1, 3, 4), (0,)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_copies_are_done_when_waited_for(shape: tuple[int, ...], dtype: object) -> None:
    cuda = Cuda()
    device = cuda.device()
    stream = device.stream()
    given, back = device.pinned(shape, dtype), device.pinned(shape, dtype)
    address = device.allocate(given.nbytes)
    given[...] = np.arange(given.size).reshape(shape)
    back[...] = 0
    stream.copy_in(address, given)
    stream.copy_out(back, address)
    assert not back.any(), 'nothing is done yet'
    stream.synchronize()
    assert (back == given).all() and back.dtype == given.dtype
    del given, back
    device.close()
    assert cuda.leaks == []
    device.close()
    with pytest.raises(CudaError, match='given back'):
        device.use()


def test_a_graph_does_the_same_again() -> None:
    cuda = Cuda()
    device = cuda.device()
    stream = device.stream()
    given, back = device.pinned((4,), 'u1'), device.pinned((4,), 'u1')
    address = device.allocate(4)
    back[...] = 0

    def work() -> None:
        stream.copy_in(address, given)
        stream.copy_out(back, address)

    graph = stream.capture(work)
    given[...] = 5
    stream.synchronize()
    assert not back.any(), 'a capture does nothing'
    for value in (5, 6):
        given[...] = value
        graph.launch()
        stream.synchronize()
        assert (back == value).all()
    assert cuda.launches == 2
    device.close()
    assert cuda.leaks == []


def test_what_cannot_be_captured_leaves_the_stream_as_it_was() -> None:
    cuda = Cuda()
    device = cuda.device()
    stream = device.stream()
    with pytest.raises(CudaError, match='CAPTURE_UNSUPPORTED'):
        stream.capture(stream.synchronize)

    def spoil() -> None:
        cuda.spoilt.add(stream.handle)

    with pytest.raises(CudaError, match='cuStreamEndCapture failed: .*INVALIDATED'):
        stream.capture(spoil)

    def refuse() -> None:
        raise KeyError('a library of its own')

    with pytest.raises(KeyError):
        stream.capture(refuse)
    cuda.fail['cuGraphInstantiateWithFlags'] = 2
    with pytest.raises(CudaError, match='OUT_OF_MEMORY'):
        stream.capture(lambda: None)
    cuda.fail.clear()
    stream.synchronize()
    stream.capture(lambda: None).launch()
    device.close()
    assert cuda.leaks == []


def test_each_thread_must_say_which_gpu() -> None:
    device = Cuda().device()
    found: list[object] = []

    def allocate(use: bool) -> None:
        if use:
            device.use()
        try:
            found.append(device.allocate(8))
        except CudaError as error:
            found.append(str(error))

    for use in (False, True):
        thread = threading.Thread(target=allocate, args=(use,))
        thread.start()
        thread.join()
    assert 'CUDA_ERROR_INVALID_CONTEXT' in str(found[0])
    assert isinstance(found[1], int)


def test_errors_have_the_drivers_words() -> None:
    cuda = Cuda()
    device = cuda.device()
    with pytest.raises(CudaError) as caught:
        device.allocate(1 << 40)
    assert str(caught.value) == (
        "CUDA's cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY, so it is told")
    cuda.fail['cuMemAlloc_v2'] = 999
    with pytest.raises(CudaError, match='failed: so it is told'):
        device.allocate(1)
    cuda.fail = {'cuInit': 100}
    with pytest.raises(SegnodeError, match='cuInit failed: CUDA_ERROR_NO_DEVICE'):
        cuda.device()
    with pytest.raises(CudaError, match='cuDeviceGet failed'):
        Device(3, Driver(Cuda()))


def test_after_a_fault_closing_says_nothing() -> None:
    cuda = Cuda()
    device = cuda.device()
    stream = device.stream()
    device.allocate(8)
    cuda.broken = True
    with pytest.raises(CudaError, match='ILLEGAL_ADDRESS'):
        stream.synchronize()
    cuda.fail['cuMemFree_v2'] = 700
    device.close()
    with pytest.raises(CudaError):
        device.use()


def test_no_driver_and_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f'{name}: cannot open shared object file')

    monkeypatch.setattr(ctypes, 'CDLL', absent)
    with pytest.raises(SegnodeError, match=r'no NVIDIA driver here \(libcuda.so.1: cannot open'):
        Driver()
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: object())
    with pytest.raises(SegnodeError, match='driver is too old: it has no cuInit'):
        Driver()


@pytest.mark.skipif(not any(p.is_file() for p in HEADERS), reason='no cuda.h is here')
def test_signatures_are_those_of_the_header() -> None:
    """Checked wherever the CUDA toolkit is installed."""
    header = next(path for path in HEADERS if path.is_file()).read_text(errors='replace')
    assert set(FUNCTIONS) == set(re.findall(r"\'(cu\w+)\'", Path(
        cuda_driver.__file__).read_text().split('class CudaError')[0]))
    widths = {'int': 4, 'unsigned int': 4, 'CUdevice': 4, 'CUresult': 4,
              'CUdevice_attribute': 4, 'CUstreamCaptureMode': 4, 'size_t': 8, 'CUdeviceptr': 8,
              'unsigned long long': 8, 'CUcontext': 8, 'CUstream': 8, 'CUgraph': 8,
              'CUgraphExec': 8}
    for name, types in FUNCTIONS.items():
        plain = name.removesuffix('_v2')
        if plain == 'cuGraphInstantiateWithFlags':  # the header's name for it
            assert '#define cuGraphInstantiate                  ' + plain in header
            plain = 'cuGraphInstantiate'
        if name.endswith('_v2'):
            assert re.search(rf'#define {plain}\s.*{name}\b', header), name
        stated = re.search(rf'CUresult CUDAAPI {plain}\(([^)]*)\)', header)
        assert stated, name
        parts = [part.strip() for part in stated[1].split(',')]
        assert len(parts) == len(types), name
        for part, given in zip(parts, types):
            kind = part.rpartition(' ')[0].replace('const ', '').strip()
            pointer = '*' in part
            assert ctypes.sizeof(given) == (8 if pointer else widths[kind]), (name, part)
            if pointer and hasattr(given, '_type_') and not isinstance(given._type_, str):
                inner = kind.rstrip('*').strip()
                size = 8 if part.count('*') == 2 else widths.get(inner, 8)
                assert ctypes.sizeof(given._type_) == size, (name, part)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The few functions of the CUDA driver that it takes to run an engine, without PyTorch.

The driver's own library is on every machine with an NVIDIA driver, JetPack's included, and its
functions keep their names; the CUDA runtime library need not be there. TensorRT and PyTorch work
in the GPU's primary context, and so does this: addresses and streams are the same for all three.
Signatures are those of cuda.h.
"""

from __future__ import annotations

from collections.abc import Callable
import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p, POINTER
import logging
import os
from typing import Any

import numpy as np

from segnode.errors import SegnodeError

_LOG = logging.getLogger('segnode')

_LIBRARIES = ('nvcuda.dll',) if os.name == 'nt' else ('libcuda.so.1', 'libcuda.so')

# Function -> its arguments' types; each returns 0 or the number of an error. A CUdeviceptr is 64
# bits wide, everything else that is opaque is a pointer.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    'cuInit': (c_uint,),
    'cuDriverGetVersion': (POINTER(c_int),),
    'cuGetErrorName': (c_int, POINTER(c_char_p)),
    'cuGetErrorString': (c_int, POINTER(c_char_p)),
    'cuDeviceGet': (POINTER(c_int), c_int),
    'cuDeviceGetName': (c_void_p, c_int, c_int),
    'cuDeviceGetAttribute': (POINTER(c_int), c_int, c_int),
    'cuDevicePrimaryCtxRetain': (POINTER(c_void_p), c_int),
    'cuDevicePrimaryCtxRelease_v2': (c_int,),
    'cuCtxSetCurrent': (c_void_p,),
    'cuMemGetInfo_v2': (POINTER(c_size_t), POINTER(c_size_t)),
    'cuMemAlloc_v2': (POINTER(c_uint64), c_size_t),
    'cuMemFree_v2': (c_uint64,),
    'cuMemHostAlloc': (POINTER(c_void_p), c_size_t, c_uint),
    'cuMemFreeHost': (c_void_p,),
    'cuMemcpyHtoDAsync_v2': (c_uint64, c_void_p, c_size_t, c_void_p),
    'cuMemcpyDtoHAsync_v2': (c_void_p, c_uint64, c_size_t, c_void_p),
    'cuStreamCreate': (POINTER(c_void_p), c_uint),
    'cuStreamSynchronize': (c_void_p,),
    'cuStreamDestroy_v2': (c_void_p,),
    'cuStreamBeginCapture_v2': (c_void_p, c_int),
    'cuStreamEndCapture': (c_void_p, POINTER(c_void_p)),
    'cuGraphInstantiateWithFlags': (POINTER(c_void_p), c_void_p, c_uint64),
    'cuGraphLaunch': (c_void_p, c_void_p),
    'cuGraphExecDestroy': (c_void_p,),
    'cuGraphDestroy': (c_void_p,),
}

# CU_STREAM_NON_BLOCKING: the stream does not wait for the default one.
_NON_BLOCKING = 1
# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile does not spoil a capture.
_THREAD_LOCAL = 1
# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_CAPABILITY = (75, 76)


class CudaError(SegnodeError):
    """A function of the driver failed; the text is one sentence with the driver's own words."""


class Driver:
    """The driver's library; raises what its functions return.

    Args:
        library: by default the one of this machine.

    Raises:
        SegnodeError: there is none, it lacks a function, or no GPU answers.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library if library is not None else _load()
        for name, types in FUNCTIONS.items():
            try:
                function = getattr(self._library, name)
            except AttributeError as error:
                raise SegnodeError(
                    f'the NVIDIA driver is too old: it has no {name} (CUDA 11.4 brought the last '
                    'that is needed)'
                ) from error
            function.argtypes, function.restype = types, c_int
        self('cuInit', 0)

    def __call__(self, name: str, *arguments: Any) -> None:
        """Call one of ``FUNCTIONS``.

        Raises:
            CudaError: it returned an error.
        """
        code = getattr(self._library, name)(*arguments)
        if code:
            raise CudaError(f"CUDA's {name} failed: {self._error(code)}")

    def number(self, name: str, *arguments: Any, kind: Any = c_int) -> int:
        """Call a function whose first argument points to the number that it gives."""
        result = kind()
        self(name, ctypes.byref(result), *arguments)
        return int(result.value or 0)

    def _error(self, code: int) -> str:
        said = []
        for function in ('cuGetErrorName', 'cuGetErrorString'):
            text = c_char_p()
            if getattr(self._library, function)(code, ctypes.byref(text)) == 0 and text.value:
                said.append(text.value.decode(errors='replace'))
        return ', '.join(said) or f'error {code}'


class Device:
    """One GPU, its primary context held until ``close``.

    Args:
        index: among those that CUDA_VISIBLE_DEVICES leaves.
        driver: by default that of this machine.

    Raises:
        SegnodeError: there is no such GPU, or it cannot be used.
    """

    def __init__(self, index: int = 0, driver: Driver | None = None) -> None:
        self.driver = driver or Driver()
        self._device = self.driver.number('cuDeviceGet', index)
        name = ctypes.create_string_buffer(256)
        self.driver('cuDeviceGetName', ctypes.addressof(name), len(name), self._device)
        self.name = name.value.decode(errors='replace')
        major, minor = (
            self.driver.number('cuDeviceGetAttribute', attribute, self._device)
            for attribute in _CAPABILITY
        )
        self.capability = (major, minor)
        self._context: int | None = self.driver.number(
            'cuDevicePrimaryCtxRetain', self._device, kind=c_void_p)
        self._to_free: list[tuple[str, int]] = []
        self.use()

    @property
    def driver_version(self) -> str:
        """Return the CUDA version that the driver is made for, such as '12.6'."""
        number = self.driver.number('cuDriverGetVersion')
        return f'{number // 1000}.{number % 1000 // 10}'

    def use(self) -> None:
        """Make this GPU that of the calling thread; each thread must, before anything else.

        Raises:
            SegnodeError: the device was closed.
        """
        if self._context is None:
            raise CudaError('this GPU was given back')
        self.driver('cuCtxSetCurrent', self._context)

    def free_memory(self) -> tuple[int, int]:
        """Return the bytes of the GPU's memory that are free, and all that there are."""
        free, total = c_size_t(), c_size_t()
        self.driver('cuMemGetInfo_v2', ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def allocate(self, size: int) -> int:
        """Return the address of ``size`` bytes on the GPU, kept until ``close``."""
        address = self.driver.number('cuMemAlloc_v2', size, kind=c_uint64)
        self._to_free.append(('cuMemFree_v2', address))
        return address

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array in memory that the GPU copies from and to by itself, until ``close``.

        After that the array must not be touched.
        """
        dtype = np.dtype(dtype)
        size = max(1, int(np.prod(shape)) * dtype.itemsize)
        address = self.driver.number('cuMemHostAlloc', size, 0, kind=c_void_p)
        self._to_free.append(('cuMemFreeHost', address))
        memory = (ctypes.c_char * size).from_address(address)
        return np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)

    def stream(self) -> Stream:
        """Return a stream, kept until ``close``."""
        handle = self.driver.number('cuStreamCreate', _NON_BLOCKING, kind=c_void_p)
        self._to_free.append(('cuStreamDestroy_v2', handle))
        return Stream(self.driver, handle, self._to_free)

    def close(self) -> None:
        """Give everything back, newest first; nothing happens the second time."""
        if self._context is None:
            return
        try:
            self.use()
            while self._to_free:
                self.driver(*self._to_free.pop())
            self.driver('cuDevicePrimaryCtxRelease_v2', self._device)
        except CudaError as error:  # after a fault on the GPU nothing works there, this neither
            _LOG.debug('not given back: %s', error)
        self._to_free.clear()
        self._context = None


class Stream:
    """Work on the GPU that is done in the order in which it is given; made by ``Device``."""

    def __init__(self, driver: Driver, handle: int, to_free: list[tuple[str, int]]) -> None:
        self._driver = driver
        self.handle = handle
        self._to_free = to_free

    def copy_in(self, address: int, array: np.ndarray) -> None:
        """Copy a pinned array to the GPU; it must stay as it is until ``synchronize``."""
        self._driver(
            'cuMemcpyHtoDAsync_v2', address, array.ctypes.data, array.nbytes, self.handle)

    def copy_out(self, array: np.ndarray, address: int) -> None:
        """Copy from the GPU into a pinned array, which is filled after ``synchronize``."""
        self._driver(
            'cuMemcpyDtoHAsync_v2', array.ctypes.data, address, array.nbytes, self.handle)

    def synchronize(self) -> None:
        """Wait until everything is done; other threads go on meanwhile.

        Raises:
            CudaError: some of it failed.
        """
        self._driver('cuStreamSynchronize', self.handle)

    def capture(self, work: Callable[[], None]) -> Graph:
        """Return what ``work`` gives to this stream as a graph; none of it is done yet.

        Raises:
            CudaError: something in it cannot be captured; the stream is as before.
            Exception: whatever ``work`` raises.
        """
        self._driver('cuStreamBeginCapture_v2', self.handle, _THREAD_LOCAL)
        graph = c_void_p()
        try:
            work()
        except BaseException:
            try:
                self._driver('cuStreamEndCapture', self.handle, ctypes.byref(graph))
            except CudaError:
                pass  # it says that the capture failed, which is known
            self._destroy(graph)
            raise
        self._driver('cuStreamEndCapture', self.handle, ctypes.byref(graph))
        try:
            made = self._driver.number(
                'cuGraphInstantiateWithFlags', graph, 0, kind=c_void_p)
        finally:
            self._destroy(graph)
        self._to_free.append(('cuGraphExecDestroy', made))
        return Graph(self._driver, made, self)

    def _destroy(self, graph: c_void_p) -> None:
        if graph.value:
            self._driver('cuGraphDestroy', graph)


class Graph:
    """Work that is handed to the GPU as one piece, again and again; made by ``Stream``."""

    def __init__(self, driver: Driver, handle: int, stream: Stream) -> None:
        self._driver = driver
        self._handle = handle
        self._stream = stream

    def launch(self) -> None:
        """Give all of it to the stream that it was captured on."""
        self._driver('cuGraphLaunch', self._handle, self._stream.handle)


def _load() -> Any:
    problem = ''
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            problem = problem or str(error)
    raise SegnodeError(f'there is no NVIDIA driver here ({problem})')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Running a TensorRT engine: buffers that stay, a stream of its own, a CUDA graph that replays."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import numpy as np

from segnode.errors import SegnodeError
from segnode.runtimes.cuda_driver import CudaError, Device, Graph
from segnode.runtimes.tensorrt_versions import KernelCache, Library

_LOG = logging.getLogger('segnode')

# Share of equal labels from which a graph's run counts as the same as the plain one before it.
_SAME = 0.999
# Names of TensorRT's types that a deploy graph has at its ends.
_TYPES = {'UINT8': np.uint8, 'FLOAT': np.float32, 'HALF': np.float16, 'INT32': np.int32}


class Engine:
    """One engine on one GPU. Not for two threads at once, but for one after the other.

    All memory is taken when it is made, for the largest batch, so that nothing grows afterwards.
    Images are copied into pinned memory; from there the GPU fetches them, runs the engine and
    brings back the outputs. Of the largest batch all that is one CUDA graph where it can be
    captured; smaller ones have a context of their own, for a graph is bound to its context's
    shape.

    Args:
        library: that built the plan.
        plan: serialised engine, of one uint8 input (N, H, W, 3).
        device: the GPU; closed with the engine.
        dla_core: where a DLA runs it.
        kernels: see ``Library.context``.

    Raises:
        SegnodeError: TensorRT does not load or run it, or there is not enough memory.
    """

    def __init__(
        self, library: Library, plan: bytes, device: Device, *, dla_core: int | None = None,
        kernels: bytes = b'',
    ) -> None:
        self.library, self.device = library, device
        self.kernels: KernelCache | None = None
        self._graph: Graph | None = None
        self._arrays: dict[str, np.ndarray] = {}
        self._addresses: dict[str, int] = {}
        self.warm = False  # the largest batch was run once, so that nothing is left to prepare
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._smaller: Any = None
        self._smaller_kernels: KernelCache | None = None
        try:
            device.use()
            self._runtime = library.runtime(dla_core)
            self._engine = library.deserialize(self._runtime, plan)
            self._context, self.kernels = library.context(self._engine, kernels)
            self._take_memory()
            self._settle(self._context, self.max_batch)
        except BaseException:
            self.close()
            raise

    def _take_memory(self) -> None:
        engine = self._engine
        module = self.library.module
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == module.TensorIOMode.INPUT]
        if len(inputs) != 1:
            raise SegnodeError(f'the engine takes {", ".join(inputs)}, not one image')
        self.input = inputs[0]
        stated = tuple(int(side) for side in engine.get_tensor_shape(self.input))
        self.min_batch = self.max_batch = stated[0]
        self.input_shape = stated[1:]
        if min(stated) < 0:  # only then it has a profile of its own
            least, _, most = (tuple(s) for s in engine.get_tensor_profile_shape(self.input, 0))
            self.min_batch, self.max_batch = int(least[0]), int(most[0])
            self.input_shape = tuple(int(side) for side in most[1:])
        if self._type(self.input) != np.uint8:
            raise SegnodeError(f'the engine takes {self._type(self.input)} images, not uint8')
        self._stream = self.device.stream()
        for name in names:
            shape = self.input_shape
            if name != self.input:
                shape = tuple(int(side) for side in engine.get_tensor_shape(name)[1:])
                if min(shape, default=1) < 0:
                    raise SegnodeError(f'the engine does not say how large its {name} are')
            array = self.device.pinned((self.max_batch, *shape), self._type(name))
            self._arrays[name] = array
            self._addresses[name] = self.device.allocate(array.nbytes)
        self.outputs = tuple(name for name in names if name != self.input)

    def _type(self, name: str) -> Any:
        dtype = str(self._engine.get_tensor_dtype(name).name)
        if dtype not in _TYPES:
            raise SegnodeError(f'the engine has {name} of type {dtype}, which nothing here reads')
        return _TYPES[dtype]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run a batch of ``min_batch`` to ``max_batch`` images; from any thread.

        Args:
            images: uint8 (N, *input_shape).

        Returns:
            output's name -> a copy of it.

        Raises:
            SegnodeError: the GPU or TensorRT failed.
        """
        count = len(images)
        self.device.use()
        np.copyto(self._array(self.input, count), images)
        if count < self.max_batch:
            if self._smaller is None:
                self._smaller, self._smaller_kernels = self.library.context(self._engine)
            self._settle(self._smaller, count)
            self._enqueue(self._smaller, count)
        elif self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue(self._context, count)
        self._stream.synchronize()
        if count == self.max_batch and not self.warm:
            self.warm = True
            self._graph = self._captured()
        return {name: self._array(name, count).copy() for name in self.outputs}

    @property
    def replays(self) -> bool:
        """Tell whether the largest batch is run as a CUDA graph; not before its first run."""
        return self._graph is not None or self.warm and self.library.replays_itself

    def close(self) -> None:
        """Give everything back; nothing happens the second time."""
        with contextlib.suppress(CudaError):
            self.device.use()
        # TensorRT first: its memory lies in the context that the device holds.
        self._context = self._smaller = self.kernels = self._smaller_kernels = None
        self._engine = None
        self._runtime = None
        self._graph = None
        self._arrays = {}
        self.device.close()

    def _array(self, name: str, count: int) -> np.ndarray:
        if name not in self._arrays:
            raise CudaError('this engine was closed')
        return self._arrays[name][:count]

    def _settle(self, context: Any, count: int) -> None:
        """Tell a context where everything lies and how many images there are."""
        self._do(context, 'set_input_shape', self.input, (count, *self.input_shape))
        for name, address in self._addresses.items():
            self._do(context, 'set_tensor_address', name, address)

    def _enqueue(self, context: Any, count: int) -> None:
        """Give one run to the stream, from pinned memory to pinned memory."""
        self._stream.copy_in(self._addresses[self.input], self._array(self.input, count))
        self._do(context, 'execute_async_v3', self._stream.handle)
        for name in self.outputs:
            self._stream.copy_out(self._array(name, count), self._addresses[name])

    def _captured(self) -> Graph | None:
        """Return a graph of a run, once it was seen to give what the run before it gave."""
        # Uncertainty is never the same twice, and cannot be compared.
        if self.library.replays_itself or 'uncertainty' in self.outputs:
            return None
        count = self.max_batch
        expected = {name: self._array(name, count).copy() for name in self.outputs}
        try:
            graph = self._stream.capture(lambda: self._enqueue(self._context, count))
        except SegnodeError as error:
            _LOG.info('the engine runs without a CUDA graph: %s', error)
            return None
        for name in self.outputs:
            self._array(name, count)[:] = 0
        graph.launch()
        self._stream.synchronize()
        same = (self._array('labels', count) == expected['labels']).mean()
        for name, array in expected.items():
            self._array(name, count)[:] = array
        if same < _SAME:
            _LOG.warning('the engine runs without a CUDA graph, which gave other labels')
            return None
        return graph

    def _do(self, context: Any, method: str, *arguments: Any) -> None:
        """Call a method of a context that returns whether it did it."""
        self.library.logger.forget()
        if not getattr(context, method)(*arguments):
            raise SegnodeError(
                f'{self.library.name} does not run the engine: {self.library.logger.reason()}')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU in plain Python for tests: a CUDA driver, and TensorRT in any of its versions.

The driver really keeps work back until a stream is synchronised, copies only from and to memory
that it gave out, and refuses a thread that has no context. TensorRT has, in each version, exactly
the attributes that its Python bindings have (runtimes/tensorrt_api.json); its engines compute
something simple of the image, see ``expected``, or what ONNX Runtime makes of the graph.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
import ctypes
from ctypes import c_int
import functools
import itertools
import json
from pathlib import Path
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from segnode.onnx_edit import precision_of
from segnode.runtimes.cuda_driver import Device, Driver, FUNCTIONS

API = json.loads((Path(__file__).parent / 'runtimes' / 'tensorrt_api.json').read_text())
VERSIONS = tuple(API['versions'])
CLASSES = 7

_CAPTURE_UNSUPPORTED, _CAPTURE_INVALIDATED = 900, 901
_INVALID_VALUE, _OUT_OF_MEMORY, _NO_CONTEXT, _ILLEGAL_ADDRESS = 1, 2, 201, 700
_NAMES = {1: 'INVALID_VALUE', 2: 'OUT_OF_MEMORY', 100: 'NO_DEVICE', 201: 'INVALID_CONTEXT',
          700: 'ILLEGAL_ADDRESS', 900: 'STREAM_CAPTURE_UNSUPPORTED',
          901: 'STREAM_CAPTURE_INVALIDATED'}


def expected(images: np.ndarray, name: str = 'labels') -> np.ndarray:
    """Return what an engine here computes of uint8 (N, H, W, 3) images."""
    total = images.astype(np.int64).sum(3)
    if name == 'labels':
        return (total % CLASSES).astype(np.uint8)
    if name == 'confidence':
        return (total // 3).astype(np.uint8)
    return np.stack([total / 765.0] * 3, 1).astype(np.float32)


class Cuda:
    """A driver's library: its functions as C functions, and what a test may look at.

    Attributes:
        fail: function's name -> the error that it returns from now on.
        broken: work on the GPU fails when it is waited for.
        called: how often each function was called.
        launches: graphs that were replayed.
    """

    def __init__(self, name: str = 'Stand-in GPU', capability: tuple[int, int] = (8, 7)) -> None:
        self.name, self.capability = name, capability
        self.fail: dict[str, int] = {}
        self.broken = False
        self.called: dict[str, int] = {}
        self.launches = 0
        self.memory: dict[int, np.ndarray] = {}  # on the GPU, by address
        self.host: dict[int, Any] = {}  # pinned, by address
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.capturing: dict[int, list[Callable[[], None]]] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.spoilt: set[int] = set()  # streams whose capture cannot become a graph
        self.retained = 0
        self._handles = itertools.count(0x1000)
        self._addresses = itertools.count(0x7000_0000_0000, 0x1000_0000)
        self._current = threading.local()
        self._texts = [ctypes.create_string_buffer(f'CUDA_ERROR_{n}'.encode()) for n in ['']]
        for function, types in FUNCTIONS.items():
            prototype = ctypes.CFUNCTYPE(c_int, *types)
            setattr(self, function, prototype(functools.partial(self._call, function)))

    def device(self) -> Device:
        """Return this GPU."""
        return Device(driver=Driver(self))

    @property
    def leaks(self) -> list[str]:
        """Return what was not given back."""
        kinds = {'memory': self.memory, 'pinned': self.host, 'streams': self.streams,
                 'graphs': self.graphs, 'contexts': range(self.retained)}
        return [name for name, held in kinds.items() if held]

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        """Give work to a stream, as a kernel launch does."""
        (self.capturing[stream] if stream in self.capturing else self.streams[stream]).append(work)

    def at(self, address: int, size: int) -> np.ndarray:
        """Return ``size`` bytes of the GPU's memory."""
        if address not in self.memory or len(self.memory[address]) < size:
            raise MemoryError(hex(address))
        return self.memory[address][:size]

    def _call(self, function: str, *arguments: Any) -> int:
        self.called[function] = self.called.get(function, 0) + 1
        if function in self.fail:
            return self.fail[function]
        free = ('cuInit', 'cuDriverGetVersion', 'cuDevice', 'cuGetError', 'cuCtxSetCurrent')
        if not function.startswith(free) and not getattr(self._current, 'context', None):
            return _NO_CONTEXT
        try:
            return int(getattr(self, '_' + function.removesuffix('_v2'))(*arguments) or 0)
        except (KeyError, ValueError):
            return _INVALID_VALUE

    def _cuInit(self, flags: int) -> None:
        pass

    def _cuDriverGetVersion(self, version: Any) -> None:
        version[0] = 12060

    def _cuGetErrorName(self, error: int, text: Any) -> int:
        if error not in _NAMES:
            return _INVALID_VALUE
        self._texts.append(ctypes.create_string_buffer(f'CUDA_ERROR_{_NAMES[error]}'.encode()))
        text[0] = ctypes.cast(self._texts[-1], ctypes.c_char_p)
        return 0

    def _cuGetErrorString(self, error: int, text: Any) -> int:
        self._texts.append(ctypes.create_string_buffer(b'so it is told'))
        text[0] = ctypes.cast(self._texts[-1], ctypes.c_char_p)
        return 0

    def _cuDeviceGet(self, device: Any, index: int) -> int:
        device[0] = index
        return 0 if index == 0 else 101

    def _cuDeviceGetName(self, text: int, size: int, device: int) -> None:
        ctypes.memmove(text, self.name.encode() + b'\0', len(self.name) + 1)

    def _cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> None:
        value[0] = self.capability[{75: 0, 76: 1}[attribute]]

    def _cuDevicePrimaryCtxRetain(self, context: Any, device: int) -> None:
        self.retained += 1
        context[0] = 0xC0

    def _cuDevicePrimaryCtxRelease(self, device: int) -> None:
        self.retained -= 1

    def _cuCtxSetCurrent(self, context: int) -> int:
        self._current.context = context
        return 0 if context == 0xC0 and self.retained else _NO_CONTEXT

    def _cuMemGetInfo(self, free: Any, total: Any) -> None:
        total[0] = 1 << 33
        free[0] = total[0] - sum(map(len, self.memory.values()))

    def _cuMemAlloc(self, address: Any, size: int) -> int:
        if size > 1 << 33:
            return _OUT_OF_MEMORY
        address[0] = next(self._addresses)
        self.memory[int(address[0])] = np.full(size, 0xAA, np.uint8)  # never what is wanted
        return 0

    def _cuMemFree(self, address: int) -> None:
        del self.memory[address]

    def _cuMemHostAlloc(self, address: Any, size: int, flags: int) -> None:
        held = ctypes.create_string_buffer(size)
        address[0] = ctypes.addressof(held)
        self.host[ctypes.addressof(held)] = held

    def _cuMemFreeHost(self, address: int) -> None:
        del self.host[address]

    def _cuMemcpyHtoDAsync(self, to: int, source: int, size: int, stream: int) -> None:
        def copy() -> None:
            if ctypes.sizeof(self.host[source]) < size:
                raise MemoryError
            self.at(to, size)[:] = np.frombuffer(ctypes.string_at(source, size), np.uint8)
        self.enqueue(stream, copy)

    def _cuMemcpyDtoHAsync(self, to: int, source: int, size: int, stream: int) -> None:
        def copy() -> None:
            if ctypes.sizeof(self.host[to]) < size:
                raise MemoryError
            ctypes.memmove(to, self.at(source, size).tobytes(), size)
        self.enqueue(stream, copy)

    def _cuStreamCreate(self, stream: Any, flags: int) -> None:
        stream[0] = next(self._handles)
        self.streams[int(stream[0])] = []

    def _cuStreamSynchronize(self, stream: int) -> int:
        if stream in self.capturing:
            self.spoilt.add(stream)
            return _CAPTURE_UNSUPPORTED
        if self.broken:
            return _ILLEGAL_ADDRESS
        while self.streams[stream]:
            try:
                self.streams[stream].pop(0)()
            except (MemoryError, KeyError):
                self.broken = True
                return _ILLEGAL_ADDRESS
        return 0

    def _cuStreamDestroy(self, stream: int) -> None:
        del self.streams[stream]

    def _cuStreamBeginCapture(self, stream: int, mode: int) -> None:
        assert stream in self.streams and not self.streams[stream], 'work is still to be done'
        self.capturing[stream] = []

    def _cuStreamEndCapture(self, stream: int, graph: Any) -> int:
        captured = self.capturing.pop(stream)
        graph[0] = None
        if stream in self.spoilt:
            self.spoilt.discard(stream)
            return _CAPTURE_INVALIDATED
        graph[0] = next(self._handles)
        self.graphs[int(graph[0])] = captured
        return 0

    def _cuGraphInstantiateWithFlags(self, made: Any, graph: int, flags: int) -> None:
        made[0] = next(self._handles)
        self.graphs[int(made[0])] = self.graphs[graph]

    def _cuGraphLaunch(self, graph: int, stream: int) -> None:
        self.launches += 1
        for work in self.graphs[graph]:
            self.enqueue(stream, work)

    def _cuGraphExecDestroy(self, graph: int) -> None:
        del self.graphs[graph]

    _cuGraphDestroy = _cuGraphExecDestroy


def members(kind: str, version: str) -> set[str]:
    """Return the attributes that a class of the bindings has in one version."""
    index = str(VERSIONS.index(version))
    groups = API['classes'][kind]
    return {n for held, names in groups.items() if index in held.split() for n in names.split()}


class _Limited:
    """An object of the bindings: has nothing but what its class has in its version."""

    def __init__(self, kind: str, tensorrt: Tensorrt, **values: Any) -> None:
        known = members(kind, tensorrt.release)
        self.__dict__.update(
            {name: value for name, value in values.items() if name in known},
            _kind=kind, _known=known, _values=values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f'{self._kind} has no {name}')

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._known:
            raise AttributeError(f'{self._kind} has no {name}')
        self.__dict__[name] = value


class _Memory(bytes):
    """What the bindings call IHostMemory."""

    @property
    def nbytes(self) -> int:
        return len(self)


class Tensorrt(SimpleNamespace):
    """A TensorRT library of one version.

    Attributes:
        cuda: the GPU that it runs on; None for a machine without one.
        starts, parses, builds, deserializes, contexts, runs: set one to False to see it fail.
        capturable: whether its work can be captured into a CUDA graph.
        graph: inputs and outputs of whatever is parsed: name -> (type's name, shape).
        parsed: content of the graph that was parsed last.
        off_by: what an engine adds to its labels, by whether it was built in float16.
        asked: what the last build was asked for.
        builds_made: how many builds were made.
    """

    def __init__(
        self, release: str = '10.3.0', cuda: Cuda | None = None, size: tuple[int, int] = (4, 8),
        outputs: tuple[str, ...] = ('labels',), dla_cores: int = 0, real: bool = False,
    ) -> None:
        """Stand for one version.

        Args:
            release: of ``VERSIONS``.
            cuda: see above.
            size: (H, W) of the images of every graph, unless ``real``.
            outputs: likewise.
            dla_cores: of the machine.
            real: read the graph and run it in ONNX Runtime.
        """
        super().__init__()
        self.real = real
        rtx = release.startswith('rtx')
        self.release, self.cuda, self.rtx, self.dla_cores = release, cuda, rtx, dla_cores
        self.__name__ = 'tensorrt_rtx_bindings' if rtx else 'tensorrt'
        self.__version__ = release.removeprefix('rtx ')
        self.starts = self.parses = self.builds = self.deserializes = self.contexts = True
        self.runs = self.capturable = True
        self.off_by: dict[bool, int] = {}
        self.parsed = b''
        self.built_in_half: list[bool] = []
        height, width = size
        self.graph: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
            'inputs': {'image': ('UINT8', (-1, height, width, 3))},
            'outputs': {
                name: ('FLOAT', (-1, 3, height, width)) if name == 'uncertainty'
                else ('UINT8', (-1, height, width)) for name in outputs
            },
        }
        self.asked: dict[str, Any] = {}
        self.builds_made = 0
        self.during_build: Callable[[], None] = lambda: None
        self.ILogger = type('ILogger', (), {
            'INTERNAL_ERROR': 0, 'ERROR': 1, 'WARNING': 2, 'INFO': 3, 'VERBOSE': 4})
        enums = ('BuilderFlag', 'NetworkDefinitionCreationFlag', 'MemoryPoolType', 'DeviceType',
                 'TensorIOMode', 'DataType', 'ComputeCapability', 'CudaGraphStrategy')
        for kind in enums:
            names = sorted(members(kind, release))
            if names:
                setattr(self, kind, SimpleNamespace(
                    **{name: _Member(index, name) for index, name in enumerate(names)}))
        if members('IProgressMonitor', release):
            self.IProgressMonitor = type('IProgressMonitor', (), {})

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def Builder(self, logger: Any) -> Any:
        """Start a builder: as the bindings do, by an error of another kind where it cannot."""
        self._start(logger)
        return _Limited(
            'Builder', self, num_DLA_cores=self.dla_cores, platform_has_fast_fp16=True,
            create_network=self._network, create_builder_config=self._config,
            create_optimization_profile=lambda: _Limited('IOptimizationProfile', self, set_shape=(
                lambda *shapes: self.asked.update(shapes=shapes))),
            build_serialized_network=functools.partial(self._build, logger))

    def Runtime(self, logger: Any) -> Any:
        """Start a runtime."""
        self._start(logger)
        return _Limited(
            'Runtime', self, DLA_core=-1,
            deserialize_cuda_engine=functools.partial(self._engine, logger))

    def OnnxParser(self, network: Any, logger: Any) -> Any:
        """Return a parser that takes anything."""
        def parse(content: bytes) -> bool:
            logger.log(self.ILogger.VERBOSE, 'parsing')
            self.parsed = content
            if self.real:
                self.graph = _ends(content)
                network.__dict__.update(self._network(self.asked['flags']).__dict__)
            return self.parses
        errors = [
            {'desc': lambda: 'bad type', 'node_operator': lambda: 'Transpose',
             'node_name': lambda: '/t'},
            {'desc': lambda: 'unknown'},
        ]
        return _Limited(
            'OnnxParser', self, parse=parse, num_errors=2,
            get_error=lambda index: _Limited('ParserError', self, **errors[index]))

    def _start(self, logger: Any) -> None:
        if not self.starts:
            logger.log(self.ILogger.ERROR, 'no driver')
            raise TypeError('factory function returned nullptr')

    def _network(self, flags: int = 0) -> Any:
        self.asked['flags'] = flags
        tensors = {
            end: [SimpleNamespace(name=name, dtype=getattr(self.DataType, dtype), shape=shape)
                  for name, (dtype, shape) in self.graph[end].items()]
            for end in ('inputs', 'outputs')
        }
        return _Limited(
            'INetworkDefinition', self, num_inputs=len(tensors['inputs']),
            num_outputs=len(tensors['outputs']), num_layers=7,
            get_input=tensors['inputs'].__getitem__, get_output=tensors['outputs'].__getitem__)

    def _config(self) -> Any:
        state = self.asked
        for name in ('set', 'pools', 'timings', 'monitor', 'capability'):
            state.pop(name, None)
        config = _Limited(
            'IBuilderConfig', self, add_optimization_profile=lambda profile: 0,
            set_flag=lambda flag: state.setdefault('set', set()).add(flag.name),
            set_memory_pool_limit=lambda pool, size: state.setdefault(
                'pools', {}).update({pool.name: size}),
            create_timing_cache=lambda data: None if data[:3] == b'old' else SimpleNamespace(
                data=data, serialize=lambda: _Memory(b'timed ' + self.__version__.encode())),
            set_timing_cache=lambda cache, ignore: state.update(timings=cache) or True,
            get_timing_cache=lambda: state.get('timings'),
            set_compute_capability=lambda capability, index: state.update(
                capability=capability.name) or True,
            num_compute_capabilities=0, DLA_core=-1, default_device_type=None,
            progress_monitor=None)
        state['config'] = config
        return config

    def _build(self, logger: Any, network: Any, config: Any) -> bytes | None:
        logger.log(self.ILogger.WARNING, 'a warning')
        monitor = getattr(config, 'progress_monitor', None)
        if monitor is not None:
            monitor.phase_start('Building', None, 2)
            monitor.phase_start('Timing', 'Building', 4)
            for step in range(4):
                assert monitor.step_complete('Timing', step)
            monitor.phase_finish('Timing')
            assert monitor.step_complete('Building', 0)
            monitor.phase_finish('Building')
        self.during_build()
        if not self.builds:
            logger.log(self.ILogger.ERROR, 'no kernel')
            return None
        self.builds_made += 1
        name, *profile = self.asked['shapes']
        half = 'FP16' in self.asked.get('set', ()) or (
            self.real and precision_of(self.parsed) == 'fp16')
        self.built_in_half.append(half)
        return _Memory(json.dumps({
            'release': self.release, **self.graph, 'profile': {name: profile},
            'off_by': self.off_by.get(half, 0),
            'content': base64.b64encode(self.parsed).decode() if self.real else ''}).encode())

    def _engine(self, logger: Any, plan: bytes) -> Any:
        try:
            facts = json.loads(plan)
        except ValueError:
            facts = {}
        if facts.get('release') != self.release or not self.deserializes or self.cuda is None:
            logger.log(self.ILogger.ERROR, 'Version tag does not match')
            return None
        tensors = [(name, dtype, tuple(shape), mode)
                   for end, mode in (('inputs', 'INPUT'), ('outputs', 'OUTPUT'))
                   for name, (dtype, shape) in facts[end].items()]
        by_name = {tensor[0]: tensor for tensor in tensors}
        values: dict[str, Any] = {
            'num_io_tensors': len(tensors),
            'get_tensor_name': lambda index: tensors[index][0],
            'get_tensor_mode': lambda name: getattr(self.TensorIOMode, by_name[name][3]),
            'get_tensor_dtype': lambda name: getattr(self.DataType, by_name[name][1]),
            'get_tensor_shape': lambda name: by_name[name][2],
            'get_tensor_profile_shape': lambda name, index: (
                facts['profile'][name] if -1 in by_name[name][2] else [()] * 3),
            'create_execution_context': functools.partial(self._context, logger, facts, by_name),
            'create_runtime_config': self._runtime_config,
        }
        return _Limited('ICudaEngine', self, **values)

    def _runtime_config(self) -> Any:
        state: dict[str, Any] = {'known': b''}

        def take(data: bytes) -> bool:
            if not data.startswith(b'kernels'):
                return False
            state['known'] = data
            return True
        self.kernels = _Limited(
            'IRuntimeCache', self, deserialize=take,
            serialize=lambda: _Memory(state['known'] or b'kernels of this GPU'))
        return _Limited(
            'IRuntimeConfig', self, create_runtime_cache=lambda: self.kernels,
            set_runtime_cache=lambda cache: cache is self.kernels, cuda_graph_strategy=None)

    def _context(self, logger: Any, facts: Any, by_name: Any, config: Any = None) -> Any:
        if not self.contexts:
            logger.log(self.ILogger.ERROR, 'out of memory')
            return None
        assert self.cuda is not None
        assert self.rtx == (config is not None), 'a configuration that this version has not'
        session: Any = None
        if facts['content']:
            session = _session(base64.b64decode(facts['content']))
        addresses: dict[str, int] = {}
        shapes: dict[str, tuple[int, ...]] = {}

        def set_shape(name: str, shape: tuple[int, ...]) -> bool:
            low, _, high = facts['profile'][name]
            if not all(a <= b <= c for a, b, c in zip(low, shape, high)):
                logger.log(self.ILogger.ERROR, f'{name} is out of the profile')
                return False
            shapes[name] = shape
            return True

        def shape_of(name: str) -> tuple[int, ...]:
            stated = by_name[name][2]
            return (shapes['image'][0], *stated[1:])

        def execute(stream: int) -> bool:
            if not self.runs or set(addresses) != set(by_name) or 'image' not in shapes:
                logger.log(self.ILogger.ERROR, 'it did not run')
                return False
            cuda, shape = self.cuda, shapes['image']
            if stream in cuda.capturing and not self.capturable:
                cuda.spoilt.add(stream)
                return True

            def compute() -> None:
                size = int(np.prod(shape))
                images = cuda.at(addresses['image'], size).reshape(shape)
                for name in facts['outputs']:
                    made = session.run([name], {'image': images})[0] if session else expected(
                        images, name)
                    if name == 'labels':
                        made = (made + facts['off_by']).astype(np.uint8)
                    cuda.at(addresses[name], made.nbytes)[:] = made.view(np.uint8).reshape(-1)
            cuda.enqueue(stream, compute)
            return True

        return _Limited(
            'IExecutionContext', self, set_input_shape=set_shape, get_tensor_shape=shape_of,
            set_tensor_address=lambda name, address: addresses.update({name: address}) or True,
            execute_async_v3=execute)


@functools.lru_cache(maxsize=8)
def _session(content: bytes) -> Any:
    from segnode.runtimes.session import open_session

    return open_session(content, threads=1)


def _ends(content: bytes) -> dict[str, dict[str, tuple[str, tuple[int, ...]]]]:
    session = _session(content)
    types = {'tensor(uint8)': 'UINT8', 'tensor(float)': 'FLOAT'}
    return {
        end: {t.name: (types[t.type], tuple(s if isinstance(s, int) else -1 for s in t.shape))
              for t in tensors}
        for end, tensors in (('inputs', session.get_inputs()), ('outputs', session.get_outputs()))
    }


class _Member(int):
    """A member of an enumeration."""

    name: str

    def __new__(cls, value: int, name: str) -> _Member:
        made = super().__new__(cls, value)
        made.name = name
        return made

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT 8.5 to 11 and TensorRT for RTX as one library: everything that differs is here.

Sources: the Python bindings of 8.5.1 (github NVIDIA/TensorRT), and the attributes of those of
8.6.1, 10.0.1, 10.3.0, 10.9.0, 11.4.0 and of TensorRT for RTX 1.7.1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import functools
import logging
import platform
import threading
from types import ModuleType
from typing import Any

from segnode.dependencies import installed, require
from segnode.errors import SegnodeError

_LOG = logging.getLogger('segnode')

# Import names of TensorRT and of TensorRT for RTX, the latter also as its two wheels alone.
TENSORRT_RTX = ('tensorrt_rtx', 'tensorrt_rtx_bindings')
TENSORRT = ('tensorrt', *TENSORRT_RTX)
# uint8 inputs and outputs, and tensors addressed by name.
OLDEST = (8, 5)
_KEPT_ERRORS = 8

# Is told a phase of the build and its share that is done, 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class BuildOptions:
    """How an engine is built.

    Args:
        fp16: let TensorRT choose float16 where it is faster; without effect where it takes the
            types from the graph (``Library.strongly_typed``).
        int8: the graph is quantised.
        workspace: most bytes of scratch memory that an operation may take; 0 for TensorRT's
            default, which is all the memory of the GPU.
        dla_core: of the deep learning accelerators of a Jetson, None for the GPU; what they
            cannot run goes to the GPU.
        capability: compute capability to build for, where the library builds for others than the
            GPU that is there.
    """

    fp16: bool = False
    int8: bool = False
    workspace: int = 0
    dla_core: int | None = None
    capability: tuple[int, int] | None = None


def find_tensorrt(modules: tuple[str, ...] = TENSORRT) -> ModuleType:
    """Import and return the first of ``modules`` that is installed.

    Raises:
        SegnodeError: none is, or it does not load.
    """
    for module in modules:
        if installed(module):
            found: ModuleType = require(module, 'building an engine')
            return found
    if platform.machine() == 'aarch64':  # pip has TensorRT for other boards than Jetsons
        source = 'on a Jetson: apt install python3-libnvinfer'
    elif modules == TENSORRT[:1]:
        source = 'pip install tensorrt'
    else:
        source = 'pip install tensorrt_rtx_cu12_libs tensorrt_rtx_cu12_bindings'
    one = f'{modules[0]} is not' if len(modules) == 1 else f'none of {", ".join(modules)} is'
    raise SegnodeError(f'building an engine needs TensorRT, and {one} installed; {source}')


@functools.cache
def library(module: ModuleType) -> Library:
    """Return the library that ``module`` is, the same for the same module.

    Raises:
        SegnodeError: it is older than ``OLDEST``.
    """
    return Library(module)


class Library:
    """One version of TensorRT, with the operations that differ from version to version.

    Raises:
        SegnodeError: it is older than ``OLDEST``.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        name = module.__name__.removesuffix('_bindings')
        self.rtx = name in TENSORRT_RTX
        self.version = str(module.__version__)
        self.name = f'{name} {self.version}'
        self.title = f'TensorRT{" for RTX" if self.rtx else ""} {self.version}'
        self.numbers = tuple(int(part) for part in self.version.split('.')[:2])
        if not self.rtx and self.numbers < OLDEST:
            raise SegnodeError(
                f'{self.name} is too old: uint8 images need TensorRT '
                f'{".".join(map(str, OLDEST))} or later'
            )
        # From 11 on, and always on RTX, a network is computed in the types that it states.
        self.strongly_typed = not hasattr(module.BuilderFlag, 'FP16')
        self.logger = _logger(module)

    def builder(self) -> Any:
        """Return a builder.

        Raises:
            SegnodeError: TensorRT does not start, for want of a driver for instance.
        """
        return self._started(self.module.Builder)

    def runtime(self, dla_core: int | None = None) -> Any:
        """Return what loads engines.

        Raises:
            SegnodeError: TensorRT does not start.
        """
        runtime = self._started(self.module.Runtime)
        if dla_core is not None:
            runtime.DLA_core = dla_core
        return runtime

    def network(self, builder: Any) -> Any:
        """Return an empty network definition with the batch among its dimensions."""
        flags = 0
        if self.numbers[0] < 10 and not self.rtx:  # later ones have no other kind
            flags = 1 << int(self.module.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
        return builder.create_network(flags)

    def configure(self, builder: Any, options: BuildOptions) -> Any:
        """Return a builder's configuration.

        Raises:
            SegnodeError: the library or the machine lacks what an option asks for.
        """
        config = builder.create_builder_config()
        flags = self.module.BuilderFlag
        if not self.strongly_typed:
            if options.fp16:
                config.set_flag(flags.FP16)
            if options.int8:
                config.set_flag(flags.INT8)
        if options.workspace:
            config.set_memory_pool_limit(self.module.MemoryPoolType.WORKSPACE, options.workspace)
        if options.dla_core is not None:
            cores = 0 if self.rtx else int(builder.num_DLA_cores)
            if not 0 <= options.dla_core < cores:
                raise SegnodeError(
                    f'there is no DLA core {options.dla_core}: {self.name} finds {cores} here')
            config.default_device_type = self.module.DeviceType.DLA
            config.DLA_core = options.dla_core
            config.set_flag(flags.GPU_FALLBACK)
        if options.capability is not None and hasattr(config, 'set_compute_capability'):
            # Left to itself TensorRT for RTX leaves out Turing, and builds for all that follow.
            wanted = 'SM{}{}'.format(*options.capability)
            target = getattr(self.module.ComputeCapability, wanted, None)
            if target is not None:
                config.num_compute_capabilities = 1
                config.set_compute_capability(target, 0)
        return config

    def load_timings(self, config: Any, content: bytes) -> bool:
        """Let a build use, and add to, what earlier ones measured.

        Args:
            config: of the build.
            content: as ``timings`` gave it; empty for none yet.

        Returns:
            False where the library keeps no timings: TensorRT for RTX measures nothing when it
            builds, and asks for a GPU that it otherwise does not need.
        """
        if self.rtx:
            return False
        for data in (content, b''):  # what another version or GPU measured is refused
            cache = config.create_timing_cache(data)
            if cache is not None and config.set_timing_cache(cache, False):
                return True
        return False

    def timings(self, config: Any) -> bytes:
        """Return all that was measured, b'' for nothing."""
        cache = None if self.rtx else config.get_timing_cache()
        return b'' if cache is None else bytes(cache.serialize())

    def watch(self, config: Any, progress: Progress) -> bool:
        """Let ``progress`` be told how far a build is; False where TensorRT does not say (8)."""
        if not hasattr(self.module, 'IProgressMonitor'):
            return False
        config.progress_monitor = _monitor(self.module)(progress)
        return True

    def deserialize(self, runtime: Any, plan: bytes) -> Any:
        """Return an engine.

        Raises:
            SegnodeError: TensorRT does not take the plan.
        """
        self.logger.forget()
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise SegnodeError(f'{self.name} does not load the engine: {self.logger.reason()}')
        return engine

    def context(self, engine: Any, kernels: bytes = b'') -> tuple[Any, KernelCache | None]:
        """Return what runs an engine; its CUDA graph is TensorRT's own matter where it has one.

        Args:
            engine: as ``deserialize`` gave it.
            kernels: see ``KernelCache``.

        Returns:
            The context, and the kernels where the library keeps some; both must be held on to.

        Raises:
            SegnodeError: there is not enough memory for it, or the like.
        """
        self.logger.forget()
        cache = None
        if self.rtx and hasattr(engine, 'create_runtime_config'):
            config = engine.create_runtime_config()
            config.cuda_graph_strategy = self.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            cache = KernelCache(config, kernels)
            context = engine.create_execution_context(config)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise SegnodeError(f'{self.name} cannot run the engine: {self.logger.reason()}')
        return context, cache

    @property
    def replays_itself(self) -> bool:
        """Tell whether the library replays a CUDA graph of its own accord."""
        return self.rtx

    def _started(self, kind: Any) -> Any:
        self.logger.forget()
        try:
            return kind(self.logger)
        except TypeError as error:  # its constructor returned nothing
            raise SegnodeError(f'{self.name} does not start: {self.logger.reason()}') from error


class KernelCache:
    """The kernels that TensorRT for RTX compiles when an engine first runs on a GPU.

    Args:
        config: of the run, which is kept with it; it is given the kernels.
        content: what ``news`` gave the last time; b'' or that of another version, GPU or driver
            is no harm.
    """

    def __init__(self, config: Any, content: bytes) -> None:
        self._config = config
        self._cache = config.create_runtime_cache()
        self._known = content if content and self._cache.deserialize(content) else b''
        config.set_runtime_cache(self._cache)

    @property
    def empty(self) -> bool:
        """Tell whether everything is still to be compiled."""
        return not self._known

    def news(self) -> bytes:
        """Return all of them where there are others than at the last time, else b''."""
        content = bytes(self._cache.serialize() or b'')
        if content == self._known:
            return b''
        self._known = content
        return content


@functools.cache
def _logger(module: ModuleType) -> Any:
    # TensorRT tells its errors to the first logger that a process gave it.
    class Logger(module.ILogger):  # type: ignore[name-defined,misc]
        """Keeps the last errors for the sentence that is raised; passes the rest to logging."""

        def __init__(self) -> None:
            super().__init__()
            self.errors: deque[str] = deque(maxlen=_KEPT_ERRORS)

        def log(self, severity: Any, msg: str) -> None:
            if severity == module.ILogger.VERBOSE:
                return  # 100,000 lines of a build
            if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                self.errors.append(' '.join(msg.split()))
            _LOG.debug('TensorRT: %s', msg)

        def forget(self) -> None:
            """Drop the errors of what went before."""
            self.errors.clear()

        def reason(self) -> str:
            """Return the errors since, in TensorRT's words."""
            return '; '.join(dict.fromkeys(self.errors)) or 'it gives no reason'

    return Logger()


@functools.cache
def _monitor(module: ModuleType) -> Any:
    class Monitor(module.IProgressMonitor):  # type: ignore[name-defined,misc]
        """Makes one share of phases within phases."""

        def __init__(self, progress: Progress) -> None:
            super().__init__()
            self._progress = progress
            self._phases: dict[str, list[Any]] = {}  # name -> parent, steps, steps done
            self._lock = threading.Lock()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._phases[phase_name] = [parent_phase, max(1, num_steps), 0]
            self._tell(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                if phase_name in self._phases:
                    self._phases[phase_name][2] = step + 1
            self._tell(phase_name)
            return True

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._phases.pop(phase_name, None)

        def _tell(self, name: str) -> None:
            with self._lock:
                share, root, seen = 0.0, name, set()
                while root in self._phases and root not in seen:
                    seen.add(root)
                    parent, steps, done = self._phases[root]
                    share = min(1.0, (done + share) / steps)
                    if parent not in self._phases:
                        break
                    root = parent
            self._progress(root, share)

    return Monitor

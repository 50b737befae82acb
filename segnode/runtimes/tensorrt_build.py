# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""From an ONNX graph to a TensorRT plan: parsing and building, with TensorRT's own words on error.

TensorRT for RTX builds without a GPU; TensorRT itself asks for the one that it builds for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import functools
import logging
import threading
import time
from types import ModuleType
from typing import Any

from segnode.dependencies import installed, require
from segnode.errors import SegnodeError

_LOG = logging.getLogger('segnode')

# Import names of TensorRT and of TensorRT for RTX, the latter also as its two wheels alone.
TENSORRT_RTX = ('tensorrt_rtx', 'tensorrt_rtx_bindings')
TENSORRT = ('tensorrt', *TENSORRT_RTX)

Shape = tuple[int, ...]

# TensorRT tells its errors to one logger per process, whichever builder they come from.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Binding:
    """An input or output of a graph: type ('uint8', 'float', ...), and shape with -1 for any."""

    type: str
    shape: Shape


@dataclass(frozen=True)
class Plan:
    """A serialised engine and the facts of its making.

    Args:
        content: what TensorRT's runtime loads.
        builder: library and version, which an engine is bound to.
        inputs, outputs: by name, as the parser found them.
        layers: of the parsed network, before TensorRT fuses them.
        seconds: that the build took, without the parsing.
    """

    content: bytes
    builder: str
    inputs: dict[str, Binding]
    outputs: dict[str, Binding]
    layers: int
    seconds: float


def find_tensorrt(modules: tuple[str, ...] = TENSORRT) -> ModuleType:
    """Import and return the first of ``modules`` that is installed.

    Raises:
        SegnodeError: none is, or it does not load.
    """
    for module in modules:
        if installed(module):
            found: ModuleType = require(module, 'building an engine')
            return found
    raise SegnodeError(
        f'building an engine needs TensorRT, and none of {", ".join(modules)} is installed; on '
        'x86-64: pip install tensorrt_rtx_cu12_libs tensorrt_rtx_cu12_bindings'
    )


def build_plan(
    content: bytes,
    profile: Mapping[str, tuple[Shape, Shape, Shape]],
    *,
    tensorrt: ModuleType | None = None,
) -> Plan:
    """Parse an ONNX graph and build an engine of it, in the types that the graph states.

    Args:
        content: of the ``.onnx`` file.
        profile: for each input the smallest, the usual and the largest shape to build for; all
            three the same for one shape alone.
        tensorrt: the library; by default what ``find_tensorrt`` finds.

    Raises:
        SegnodeError: there is no TensorRT, or it does not take the graph or these shapes.
    """
    tensorrt = tensorrt or find_tensorrt()
    name = f'{tensorrt.__name__.removesuffix("_bindings")} {tensorrt.__version__}'
    with _one_at_a_time:
        logger = _logger(tensorrt)
        logger.errors.clear()
        try:
            builder = tensorrt.Builder(logger)
        except TypeError as error:  # its constructor returned nothing
            raise SegnodeError(f'{name} does not start: {logger.reason()}') from error
        network = builder.create_network(_flags(tensorrt))
        parser = tensorrt.OnnxParser(network, logger)
        if not parser.parse(content):
            reasons = [_sentence(parser.get_error(i)) for i in range(parser.num_errors)]
            raise SegnodeError(f'{name} does not take the graph: {"; ".join(reasons)}')
        inputs = [network.get_input(i) for i in range(network.num_inputs)]
        outputs = [network.get_output(i) for i in range(network.num_outputs)]
        config = builder.create_builder_config()
        shapes = builder.create_optimization_profile()
        for tensor in inputs:
            if tensor.name not in profile:
                raise ValueError(f'the profile lacks the shapes of the input {tensor.name}')
            shapes.set_shape(tensor.name, *profile[tensor.name])
        config.add_optimization_profile(shapes)
        start = time.perf_counter()
        plan = builder.build_serialized_network(network, config)
        seconds = time.perf_counter() - start
        if plan is None:
            raise SegnodeError(f'{name} builds no engine of the graph: {logger.reason()}')
        return Plan(
            bytes(plan), name, _bindings(inputs), _bindings(outputs), network.num_layers, seconds
        )


@functools.cache
def _logger(tensorrt: ModuleType) -> Any:
    class Logger(tensorrt.ILogger):  # type: ignore[name-defined,misc]
        """Keeps errors for the sentence that is raised, and passes all on to logging."""

        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (tensorrt.ILogger.ERROR, tensorrt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)
            _LOG.debug('TensorRT: %s', message)

        def reason(self) -> str:
            return '; '.join(self.errors) or 'it gives no reason'

    return Logger()


def _flags(tensorrt: ModuleType) -> int:
    # Below 10 a batch among the dimensions must be asked for; from 11 on the flag is gone.
    if int(tensorrt.__version__.split('.')[0]) < 10:
        flag = getattr(tensorrt.NetworkDefinitionCreationFlag, 'EXPLICIT_BATCH', None)
        return 0 if flag is None else 1 << int(flag)
    return 0


def _sentence(error: Any) -> str:
    # The operator and its name are not told by parsers before TensorRT 10.
    operator = ' '.join(
        part for part in (_called(error, 'node_operator'), _called(error, 'node_name')) if part
    )
    return f'{operator}: {error.desc()}' if operator else str(error.desc())


def _called(error: Any, method: str) -> str:
    return str(getattr(error, method, str)())


def _bindings(tensors: list[Any]) -> dict[str, Binding]:
    return {t.name: Binding(t.dtype.name.lower(), tuple(t.shape)) for t in tensors}

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""From an ONNX graph to a TensorRT plan: parsing and building, with TensorRT's own words on error.

TensorRT for RTX builds without a GPU; TensorRT itself asks for the one that it builds for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import threading
import time
from types import ModuleType
from typing import Any

from segnode.errors import SegnodeError
from segnode.runtimes.tensorrt_versions import (
    BuildOptions,
    find_tensorrt,
    Library,
    library,
    Progress,
)

Shape = tuple[int, ...]
Profile = Mapping[str, tuple[Shape, Shape, Shape]]

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
        timings: what was measured, for the next build; b'' where nothing is.
    """

    content: bytes
    builder: str
    inputs: dict[str, Binding]
    outputs: dict[str, Binding]
    layers: int
    seconds: float
    timings: bytes = b''


def build_plan(
    content: bytes,
    profile: Profile,
    *,
    tensorrt: ModuleType | None = None,
    options: BuildOptions | None = None,
    timings: bytes = b'',
    progress: Progress | None = None,
) -> Plan:
    """Parse an ONNX graph and build an engine of it.

    Args:
        content: of the ``.onnx`` file.
        profile: for each input the smallest, the usual and the largest shape to build for; all
            three the same for one shape alone.
        tensorrt: the library; by default what ``find_tensorrt`` finds.
        options: by default everything in the types that the graph states.
        timings: of an earlier build, which make this one faster.
        progress: is told how far it is, where TensorRT says so.

    Raises:
        SegnodeError: there is no TensorRT, or it does not take the graph or these shapes.
    """
    found = library(tensorrt or find_tensorrt())

    def define(network: Any, config: Any) -> Any:
        parser = found.module.OnnxParser(network, found.logger)
        if not parser.parse(content):
            reasons = [_sentence(parser.get_error(i)) for i in range(parser.num_errors)]
            raise SegnodeError(f'{found.name} does not take the graph: {"; ".join(reasons)}')
        return parser

    return build_network(
        found, define, profile, options=options, timings=timings, progress=progress)


def build_network(
    found: Library,
    define: Callable[[Any, Any], Any],
    profile: Profile,
    *,
    options: BuildOptions | None = None,
    timings: bytes = b'',
    progress: Progress | None = None,
) -> Plan:
    """Build an engine of whatever ``define`` puts into a network definition.

    Args:
        found: the library.
        define: is given the empty definition and the configuration; what it returns is kept until
            the engine is built, for definitions refer to weights that lie elsewhere.
        profile, options, timings, progress: as of ``build_plan``.

    Raises:
        SegnodeError: TensorRT does not start, or builds no engine of it; or what ``define``
            raises.
    """
    with _one_at_a_time:
        builder = found.builder()
        network = found.network(builder)
        config = found.configure(builder, options or BuildOptions())
        kept = define(network, config)
        inputs = [network.get_input(i) for i in range(network.num_inputs)]
        outputs = [network.get_output(i) for i in range(network.num_outputs)]
        found.logger.forget()
        shapes = builder.create_optimization_profile()
        for tensor in inputs:
            if tensor.name not in profile:
                raise ValueError(f'the profile lacks the shapes of the input {tensor.name}')
            shapes.set_shape(tensor.name, *profile[tensor.name])
        if config.add_optimization_profile(shapes) < 0:
            raise SegnodeError(
                f'{found.name} does not take the shapes {dict(profile)}: {found.logger.reason()}')
        timed = found.load_timings(config, timings)
        if progress is not None:
            found.watch(config, progress)
        start = time.perf_counter()
        plan = builder.build_serialized_network(network, config)
        seconds = time.perf_counter() - start
        if plan is None:
            raise SegnodeError(
                f'{found.name} builds no engine of the graph: {found.logger.reason()}')
        del kept
        return Plan(
            bytes(plan), found.name, _bindings(inputs), _bindings(outputs), network.num_layers,
            seconds, found.timings(config) if timed else b'',
        )


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

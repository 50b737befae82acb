# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a model can be converted to: each target makes a file, and runs it to be measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
import time
from typing import Any

import numpy as np

from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.onnx_half import in_half_precision
from segnode.runtimes import load_runtime, Runtime
from segnode.runtimes.session import nvidia_driver
from segnode.runtimes.tensorrt_build import build_plan
from segnode.runtimes.tensorrt_versions import BuildOptions, find_tensorrt, library
from training.convert.compare import Labeller, labeller
from training.convert.frames import Frames
from training.convert.graphs import LOGITS, with_logits
from training.convert.search import search


@dataclass(frozen=True)
class Job:
    """What is to be made, and of what.

    Args:
        content: of the model's deploy graph in float32, as ``.onnx``.
        precision: one of the target's.
        size: (H, W) of its images.
        batch: images at once, where a target fixes that.
        fit: how images are brought to ``size``.
        calibration: frames that int8's ranges are taken from; None for other precisions.
        drop_of: (content of an ``.onnx`` file) -> measured drop of the mean IoU, 0..1.
        max_drop: of it that int8 may cost.
        keep: names of convolutions that int8 leaves in float, ``*`` for any part of one.
        rest: 'fp32' or 'fp16': what int8 leaves is in.
        threads: on the CPU; 0 = default.
    """

    content: bytes
    precision: str
    size: tuple[int, int]
    batch: int = 1
    fit: str = 'stretch'
    calibration: Frames | None = None
    drop_of: Callable[[bytes], float] | None = None
    max_drop: float = 0.0
    keep: tuple[str, ...] = ()
    rest: str = 'fp32'
    threads: int = 0


@dataclass(frozen=True)
class Made:
    """A graph in another precision.

    Args:
        content: of the ``.onnx`` file, without metadata.
        facts: what is known of its making, for the report and the record.
    """

    content: bytes
    facts: dict[str, Any] = field(default_factory=dict)


class OnnxTarget:
    """An ``.onnx`` file for the ``onnx`` runtime, and for everything else that reads one."""

    name = 'onnx'
    precisions: tuple[str, ...] = ('fp32', 'fp16', 'int8')
    rests: tuple[str, ...] = ('fp32', 'fp16')  # that what int8 leaves may be in
    runtime = 'onnx'

    def check(self) -> None:
        """See whether what is needed is installed.

        Raises:
            SegnodeError: it is not; one sentence.
        """
        for module in ('onnx', 'onnxruntime'):
            require(module, f'converting to {self.name}')

    def make(self, job: Job) -> Made:
        """Make the graph in the precision wanted."""
        if job.precision == 'fp16':
            return Made(in_half_precision(job.content))
        if job.precision == 'int8':
            return _int8(job)
        return Made(job.content)

    def labeller(self, content: bytes, precision: str, runtime: Runtime) -> Labeller:
        """Return what runs the graph and gives its logits.

        Args:
            content: of the ``.onnx`` file.
            precision: that it is to be run in.
            runtime: the same graph as ``load`` loaded it.
        """
        return labeller(content)

    def load(self, model: Model, job: Job) -> Runtime:
        """Load what was made as it is to be measured: on a vehicle's terms, on the CPU."""
        return self.load_for_search(model, job)

    def load_for_search(self, model: Model, job: Job) -> Runtime:
        """Load one of many drafts whose mean IoU decides on the next one."""
        return load_runtime(model, 'onnx', threads=job.threads, device='cpu')

    def facts(self, runtime: Runtime, job: Job) -> dict[str, Any]:
        """Return what is known of what was made once it is loaded.

        Args:
            runtime: of what was made.
            job: that it was made for.
        """
        return {'measured_in': runtime.details}


class OpenVinoTarget(OnnxTarget):
    """The same files, measured in the ``openvino`` runtime; bf16 is in the record alone."""

    name = 'openvino'
    precisions = ('fp32', 'bf16', 'int8')
    rests = ('fp32',)
    runtime = 'openvino'

    def check(self) -> None:
        """See whether OpenVINO is installed."""
        super().check()
        require('openvino', 'converting to openvino')

    def labeller(self, content: bytes, precision: str, runtime: Runtime) -> Labeller:
        """Return what runs the graph in OpenVINO and gives its logits."""
        openvino = require('openvino', 'converting to openvino')
        compiled = openvino.Core().compile_model(
            openvino.Core().read_model(model=with_logits(content), weights=b''), 'CPU',
            {'INFERENCE_PRECISION_HINT': 'bf16' if precision == 'bf16' else 'f32'},
        )
        known = LOGITS in compiled.outputs[-1].get_names()

        def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            labels, *others = compiled([images]).to_tuple()
            return labels, others[-1] if known else None

        return run

    def load_for_search(self, model: Model, job: Job) -> Runtime:
        """Load what was made as a vehicle does."""
        return load_runtime(model, 'openvino', threads=job.threads)


class TensorRtTarget(OnnxTarget):
    """An ``.onnx`` file that TensorRT is known to build an engine of.

    Engines do not travel: what is kept is the graph, in the types that a strongly typed TensorRT
    computes in. Where there is a GPU its labels, mean IoU and milliseconds are the engine's;
    elsewhere they are those of ONNX Runtime, and the report says so: TensorRT for RTX builds an
    engine without a GPU, but none runs it. Logits are ONNX Runtime's in both cases.
    """

    name = 'tensorrt'

    def check(self) -> None:
        """See whether a TensorRT is installed."""
        super().check()
        find_tensorrt()

    def make(self, job: Job) -> Made:
        """Make the graph, and build an engine of it where there is no GPU to load one."""
        made = super().make(job)
        if nvidia_driver():
            return made
        shape = (job.batch, *job.size, 3)
        plan = build_plan(
            made.content, {'image': (shape, shape, shape)},
            options=BuildOptions(
                fp16=job.precision != 'fp32', int8=job.precision == 'int8'),
        )
        return Made(made.content, {
            **made.facts,
            'engine': {
                'builder': plan.builder, 'batch': job.batch, 'layers': plan.layers,
                'bytes': len(plan.content), 'build_seconds': round(plan.seconds, 2),
            },
        })

    def labeller(self, content: bytes, precision: str, runtime: Runtime) -> Labeller:
        """Return what gives the labels of the engine where there is one."""
        in_onnx_runtime = labeller(content)
        if runtime.name != 'tensorrt':
            return in_onnx_runtime

        def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            images = np.repeat(image, runtime.batch or 1, 0)
            return runtime.run(images).labels[:1], in_onnx_runtime(image)[1]

        return run

    def load(self, model: Model, job: Job) -> Runtime:
        """Load the engine where there is a GPU."""
        if not nvidia_driver():
            return self.load_for_search(model, job)
        precision = str(model.record.conversion.get('precision', 'fp32'))
        return load_runtime(
            model, 'tensorrt', threads=job.threads, precision=precision, batch=job.batch)

    def facts(self, runtime: Runtime, job: Job) -> dict[str, Any]:
        """Return what was measured, and where there is a GPU the engine."""
        if runtime.name != 'tensorrt':
            return {
                'measured_in': f'{runtime.details}, for want of a GPU: the engine was built and '
                'never run',
            }
        known: Any = runtime
        return {
            'measured_in': f'{runtime.details}; logits in ONNX Runtime',
            'engine': {
                'batch': job.batch,
                **{name: known.facts[name]
                   for name in ('builder', 'layers', 'bytes', 'build_seconds')},
            },
        }


class Torch2trtTarget(OnnxTarget):
    """No file but an engine for this GPU, see ``training.convert.torch2trt``."""

    name = 'torch2trt'
    precisions = ('fp32', 'fp16')
    runtime = 'torch2trt'

    def check(self) -> None:
        """See whether torch2trt, a TensorRT that it works with and a GPU are there."""
        torch = require('torch', 'converting to torch2trt')
        from segnode.runtimes.torch2trt_convert import check_library

        check_library(library(find_tensorrt(('tensorrt',))))
        if not torch.cuda.is_available():
            raise SegnodeError('torch2trt builds for a CUDA GPU, and PyTorch finds none here')


# A further target is a further entry: its class says what it needs, makes a file and runs it.
TARGETS: dict[str, OnnxTarget] = {
    target.name: target
    for target in (OnnxTarget(), OpenVinoTarget(), TensorRtTarget(), Torch2trtTarget())
}


def find_target(name: str, precision: str) -> OnnxTarget:
    """Return a target that has the precision and all that it needs.

    Raises:
        SegnodeError: there is none of that name, or what it needs is missing.
    """
    if name not in TARGETS:
        raise SegnodeError(f'there is no target {name!r}; there is {", ".join(TARGETS)}')
    target = TARGETS[name]
    if precision not in target.precisions:
        raise SegnodeError(
            f'{name} has no precision {precision!r}; it has {", ".join(target.precisions)}')
    target.check()
    return target


def _int8(job: Job) -> Made:
    if job.calibration is None or job.drop_of is None:
        raise TypeError('int8 takes calibration frames and a measure of what it costs')
    start = time.monotonic()
    found = search(
        job.content, job.calibration, job.size, job.fit, job.drop_of, job.max_drop,
        keep=job.keep, rest=job.rest)
    return Made(found.content, {
        'calibration': {
            'data': job.calibration.name, 'frames': len(job.calibration),
            'ranges': found.method,
        },
        'int8_layers': found.layers,
        'float_layers': list(found.float_layers),
        'kept_layers': list(found.kept_layers),
        'rest': job.rest,
        'search_seconds': round(time.monotonic() - start, 1),
    })

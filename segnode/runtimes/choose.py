# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Choosing a runtime by name, or the fastest that this machine can run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
import importlib
import inspect
import logging
from typing import Any

import numpy as np

from segnode.dependencies import installed, require
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes.base import check_label_stride, check_samples, Runtime, working_size
from segnode.runtimes.fallback import Choice, FallbackRuntime, one_line
from segnode.runtimes.session import nvidia_driver
from segnode.runtimes.tensorrt_versions import TENSORRT

_LOG = logging.getLogger('segnode')

_CLASSES = {
    'tensorrt': ('segnode.runtimes.tensorrt', 'TensorrtRuntime'),
    'torch2trt': ('segnode.runtimes.torch2trt', 'Torch2trtRuntime'),
    'pytorch': ('segnode.runtimes.pytorch', 'PyTorchRuntime'),
    'onnx': ('segnode.runtimes.onnx', 'OnnxRuntime'),
    'openvino': ('segnode.runtimes.openvino', 'OpenVinoRuntime'),
}
RUNTIMES = ('auto', *_CLASSES)
# Options of ``load_runtime`` that not every runtime has -> the value that leaves them to it. A
# runtime refuses those that it lacks, so they are given only where they differ.
UNSET: dict[str, Any] = {
    'device': 'auto', 'precision': 'auto', 'compile': False, 'dla_core': -1, 'workspace': 0}
# Those that run on one device alone -> which.
_ONLY_DEVICE = {'tensorrt': 'cuda', 'torch2trt': 'cuda', 'openvino': 'cpu'}


def load_runtime(
    model: Model,
    name: str = 'auto',
    *,
    input_size: tuple[int, int] | None = None,
    confidence: bool = False,
    samples: int = 0,
    label_stride: int = 1,
    threads: int = 0,
    at_once: int = 1,
    **options: Any,
) -> Runtime:
    """Load a runtime and run it once, so that the first image is as fast as the next.

    With 'auto' the next one takes over where one fails, at once or later.

    Args:
        model: what to run.
        name: one of ``RUNTIMES``.
        input_size: (H, W) of the images it will be given; by default the model's own.
        confidence: give the confidence too.
        samples: passes of Monte Carlo dropout, which give the uncertainty too; 0 = none.
        label_stride: the labels are at 1/label_stride of the input, of ``LABEL_STRIDES``.
        threads: on the CPU; 0 = all usable cores but one, 1 to 4.
        at_once: images that will mostly come together, such as those of several cameras: what is
            built for a batch is built for so many (16 at most).
        options: of the runtime named, such as ``device`` of pytorch; 'auto' takes a runtime that
            has them.

    Raises:
        SegnodeError: unknown name, size or option, samples of a network without Monte Carlo
            dropout, or the runtime cannot run this model here; with 'auto', none can.
    """
    if name not in RUNTIMES:
        raise SegnodeError(f'there is no runtime {name!r}; there is {", ".join(RUNTIMES)}')
    if threads < 0:
        raise SegnodeError(f'threads must be 0 (default) or more, not {threads}')
    size = working_size(model.record, input_size)
    check_samples(model.record, samples)
    check_label_stride(label_stride, size)
    given = {
        'input_size': size, 'confidence': confidence, 'samples': samples,
        'label_stride': label_stride, 'threads': threads, 'at_once': at_once,
    }
    if name != 'auto':
        return _started(Candidate(name, 'asked for'), model, {**given, **options})

    def choice(candidate: Candidate) -> Choice:
        return candidate.label, lambda: _started(
            candidate, model, {**given, **candidate.options, **options})

    # Any runtime settles the device and the precision; what else is asked for chooses among them.
    wanted = set(options) - {'device', 'precision'}
    possible = [
        candidate for candidate in candidates(model, options.get('device', 'auto'))
        if wanted <= options_of(candidate.name)
    ]
    if not possible:
        raise SegnodeError(
            f'no runtime that can run here has the option '
            f'{", ".join(map(repr, sorted(wanted)))}')
    return FallbackRuntime([choice(candidate) for candidate in possible])


@dataclass(frozen=True)
class Candidate:
    """A runtime that may run a model here, why it is preferred, and its options."""

    name: str
    reason: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return what tells it from the others: 'pytorch' may be there twice."""
        return ' on '.join([self.name, *map(str, self.options.values())])

    def takes(self, device: str) -> bool:
        """Tell whether it may run there."""
        own = self.options.get('device', _ONLY_DEVICE.get(self.name))
        return device == 'auto' or own in (None, device.partition(':')[0])


def candidates(model: Model, device: str = 'auto') -> list[Candidate]:
    """Return the runtimes that 'auto' tries for this model here, the fastest first.

    OpenVINO is not among them: in float32 it is as fast as ONNX Runtime within what machines and
    networks differ, and what runs should not depend on an extra that happens to be installed. Nor
    is torch2trt, which has nothing that TensorRT by itself has not.

    Args:
        model: what is to run.
        device: where, one of ``DEVICES``.

    Raises:
        SegnodeError: there is none.
    """
    torch_can = installed('torch') and (model.safetensors_path is not None or model.record.random)
    has_graph = model.onnx_path is not None or model.custom is not None
    found = []
    if nvidia_driver() and any(map(installed, TENSORRT)) and (has_graph or torch_can):
        found.append(Candidate('tensorrt', 'the fastest on an NVIDIA GPU'))
    if torch_can and _cuda():
        reason = 'the fastest on a CUDA GPU without TensorRT'
        found.append(Candidate('pytorch', reason, {'device': 'cuda'}))
    if installed('onnxruntime') and (has_graph or torch_can):
        without = 'PyTorch on the GPU' if nvidia_driver() else 'a GPU'
        found.append(Candidate('onnx', f'the fastest without {without}'))
    if torch_can:
        reason = 'nothing faster runs here' if found else 'ONNX Runtime is not installed'
        found.append(Candidate('pytorch', reason, {'device': 'cpu'}))
    if not found:
        raise SegnodeError(
            f'nothing here can run model {model.name}: install ONNX Runtime '
            '(pip install onnxruntime)'
            + ('' if has_graph else ' and PyTorch (pip install torch onnx)')
        )
    there = [candidate for candidate in found if candidate.takes(device)]
    if not there:
        raise SegnodeError(
            f'of the runtimes here none runs model {model.name} on {device}; there is '
            + ', '.join(candidate.label for candidate in found)
        )
    return there


def options_of(name: str) -> set[str]:
    """Return the names of the options that a runtime has.

    Args:
        name: of ``RUNTIMES``, not 'auto'.
    """
    cls = getattr(importlib.import_module(_CLASSES[name][0]), _CLASSES[name][1])
    return set(inspect.signature(cls).parameters) - {'model'}


def _started(candidate: Candidate, model: Model, arguments: dict[str, Any]) -> Runtime:
    """Return the runtime after its first run.

    Raises:
        SegnodeError: whatever keeps it from running, in one sentence.
    """
    name = candidate.name
    cls = getattr(importlib.import_module(_CLASSES[name][0]), _CLASSES[name][1])
    known = options_of(name)
    at_once = arguments.pop('at_once')
    if at_once > 1 and 'batch' in known:
        arguments.setdefault('batch', at_once)
    arguments = _settled(name, known, model, arguments)
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise SegnodeError(
            f'the {name} runtime has no option {unknown[0]!r}; it has {", ".join(sorted(known))}'
        )
    runtime: Runtime | None = None
    try:
        runtime = cls(model, **arguments)
        runtime.run(np.zeros((runtime.batch or 1, *runtime.input_size, 3), np.uint8))
    except Exception as error:  # out of memory on the GPU, a kernel that is missing there, ...
        if runtime is not None:
            with contextlib.suppress(Exception):
                runtime.close()  # the next one needs its memory
        if isinstance(error, SegnodeError):
            raise
        raise SegnodeError(
            f'the {name} runtime cannot run model {model.name}: {one_line(error)}'
        ) from error
    _LOG.info(
        'runtime %s (%s): %s, %s at %dx%d',
        name, candidate.reason, runtime.details, model.name, *runtime.input_size,
    )
    return runtime


def _settled(
    name: str, known: set[str], model: Model, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return the options without a device or precision that a runtime has no choice of.

    Raises:
        SegnodeError: it is another than that of the runtime.
    """
    left = dict(arguments)
    if 'device' not in known:
        device, own = left.pop('device', 'auto'), _ONLY_DEVICE.get(name)
        if device not in ('auto', own):
            raise SegnodeError(f'the {name} runtime runs on {own}, not on {device}')
    if 'precision' not in known:
        precision = left.pop('precision', 'auto')
        converted = model.record.conversion.get('precision')
        own = converted if converted in ('fp16', 'int8') else 'fp32'
        if precision not in ('auto', own):
            raise SegnodeError(
                f'the {name} runtime computes in what its file is in, {own}, not in {precision}: '
                'python -m training convert makes files in fp16 and int8'
            )
    return left


def _cuda() -> bool:
    """Tell whether PyTorch finds a CUDA GPU; an installation that does not load finds none."""
    if not nvidia_driver():
        return False
    try:
        return bool(require('torch', 'running on the GPU').cuda.is_available())
    except SegnodeError as error:
        _LOG.warning('the GPU is passed over: %s', error)
        return False

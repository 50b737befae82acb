# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Choosing a runtime by name, or the fastest that this machine can run."""

from __future__ import annotations

from dataclasses import dataclass, field
import importlib
import inspect
import logging
from pathlib import Path
from typing import Any

import numpy as np

from segnode.dependencies import installed, require
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes.base import check_samples, Runtime, working_size

_LOG = logging.getLogger('segnode')

_CLASSES = {
    'pytorch': ('segnode.runtimes.pytorch', 'PyTorchRuntime'),
    'onnx': ('segnode.runtimes.onnx', 'OnnxRuntime'),
}
RUNTIMES = ('auto', *_CLASSES)


def load_runtime(
    model: Model,
    name: str = 'auto',
    *,
    input_size: tuple[int, int] | None = None,
    confidence: bool = False,
    samples: int = 0,
    threads: int = 0,
    **options: Any,
) -> Runtime:
    """Load a runtime and run it once, so that the first image is as fast as the next.

    Args:
        model: what to run.
        name: one of ``RUNTIMES``.
        input_size: (H, W) of the images it will be given; by default the model's own.
        confidence: give the confidence too.
        samples: passes of Monte Carlo dropout, which give the uncertainty too; 0 = none.
        threads: on the CPU; 0 = all usable cores but one, 1 to 4.
        options: of the runtime named, such as ``device`` of pytorch.

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
    given = {
        'input_size': size, 'confidence': confidence, 'samples': samples, 'threads': threads
    }
    if name != 'auto':
        return _started(Candidate(name, 'asked for'), model, {**given, **options})
    failures: list[str] = []
    found = candidates(model)
    for candidate in found:
        try:
            return _started(candidate, model, {**given, **candidate.options, **options})
        except SegnodeError as error:
            failures.append(str(error))
            if candidate is not found[-1]:
                _LOG.warning('runtime %s is passed over: %s', candidate.name, error)
    # One sentence each; a machine that lacks one thing often fails twice for the same reason.
    raise SegnodeError('; '.join(dict.fromkeys(failures)))


@dataclass(frozen=True)
class Candidate:
    """A runtime that may run a model here, why it is preferred, and its options."""

    name: str
    reason: str
    options: dict[str, Any] = field(default_factory=dict)


def candidates(model: Model) -> list[Candidate]:
    """Return the runtimes that 'auto' tries for this model here, the fastest first.

    Raises:
        SegnodeError: there is none.
    """
    torch_can = installed('torch') and (model.safetensors_path is not None or model.record.random)
    found = []
    if torch_can and _cuda():
        found.append(Candidate('pytorch', 'there is a CUDA GPU', {'device': 'cuda'}))
    if installed('onnxruntime') and (model.onnx_path is not None or torch_can):
        found.append(Candidate('onnx', 'the fastest without a GPU'))
    if torch_can:
        reason = 'nothing faster runs here' if found else 'ONNX Runtime is not installed'
        found.append(Candidate('pytorch', reason, {'device': 'cpu'}))
    if not found:
        raise SegnodeError(
            f'nothing here can run model {model.name}: install ONNX Runtime '
            '(pip install onnxruntime)'
            + ('' if model.onnx_path else ' and PyTorch (pip install torch onnx)')
        )
    return found


def _started(candidate: Candidate, model: Model, arguments: dict[str, Any]) -> Runtime:
    """Return the runtime after its first run.

    Raises:
        SegnodeError: whatever keeps it from running, in one sentence.
    """
    name = candidate.name
    cls = getattr(importlib.import_module(_CLASSES[name][0]), _CLASSES[name][1])
    known = set(inspect.signature(cls).parameters) - {'model'}
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise SegnodeError(
            f'the {name} runtime has no option {unknown[0]!r}; it has {", ".join(sorted(known))}'
        )
    try:
        runtime: Runtime = cls(model, **arguments)
        runtime.run(np.zeros((1, *runtime.input_size, 3), np.uint8))
    except SegnodeError:
        raise
    except Exception as error:  # out of memory on the GPU, a kernel that is missing there, ...
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise SegnodeError(
            f'the {name} runtime cannot run model {model.name}: {reason}'
        ) from error
    _LOG.info(
        'runtime %s (%s): %s, %s at %dx%d',
        name, candidate.reason, runtime.details, model.name, *runtime.input_size,
    )
    return runtime


def _cuda() -> bool:
    """Tell whether PyTorch finds a CUDA GPU; an installation that does not load finds none."""
    if not _may_have_cuda():
        return False
    try:
        return bool(require('torch', 'running on the GPU').cuda.is_available())
    except SegnodeError as error:
        _LOG.warning('the GPU is passed over: %s', error)
        return False


def _may_have_cuda() -> bool:
    """Tell whether an NVIDIA driver is loaded, without the seconds that importing torch takes."""
    return any(
        Path(path).exists()
        for path in ('/dev/nvidiactl', '/dev/nvhost-gpu', '/dev/nvgpu', '/dev/dxg')
    )

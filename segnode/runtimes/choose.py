# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Choosing a runtime by name, or the fastest that this machine can run."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import numpy as np

from segnode.dependencies import installed
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes.base import Runtime

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
    threads: int = 0,
    **options: Any,
) -> Runtime:
    """Load a runtime and run it once, so that the first image is as fast as the next.

    Args:
        model: what to run.
        name: one of ``RUNTIMES``.
        input_size: (H, W) of the images it will be given; by default the model's own.
        confidence: give the confidence too.
        threads: on the CPU; 0 = all usable cores but one, 1 to 4.
        options: of the runtime named, such as ``device`` of pytorch.

    Raises:
        SegnodeError: unknown name, or the runtime cannot run this model here.
    """
    if name not in RUNTIMES:
        raise SegnodeError(f'there is no runtime {name!r}; there is {", ".join(RUNTIMES)}')
    if threads < 0:
        raise SegnodeError(f'threads must be 0 (default) or more, not {threads}')
    reason = 'asked for'
    if name == 'auto':
        name, reason = choose(model)
    module, cls = _CLASSES[name]
    runtime: Runtime = getattr(importlib.import_module(module), cls)(
        model, input_size=input_size, confidence=confidence, threads=threads, **options
    )
    runtime.run(np.zeros((1, *runtime.input_size, 3), np.uint8))
    _LOG.info(
        'runtime %s (%s): %s, %s at %dx%d',
        name, reason, runtime.details, model.name, *runtime.input_size,
    )
    return runtime


def choose(model: Model) -> tuple[str, str]:
    """Return the runtime that 'auto' means for this model here, and why.

    Raises:
        SegnodeError: none can run it.
    """
    torch_can = installed('torch') and (model.safetensors_path is not None or model.record.random)
    if torch_can and _may_have_cuda():
        import torch

        if torch.cuda.is_available():
            return 'pytorch', 'there is a CUDA GPU'
    if installed('onnxruntime') and (model.onnx_path is not None or torch_can):
        return 'onnx', 'the fastest without a GPU'
    if torch_can:
        return 'pytorch', 'ONNX Runtime is not installed'
    raise SegnodeError(
        f'nothing here can run model {model.name}: install ONNX Runtime (pip install onnxruntime)'
        + ('' if model.onnx_path else ' and PyTorch (pip install "segnode[torch]")')
    )


def _may_have_cuda() -> bool:
    """Tell whether an NVIDIA driver is loaded, without the seconds that importing torch takes."""
    return any(
        Path(path).exists()
        for path in ('/dev/nvidiactl', '/dev/nvhost-gpu', '/dev/nvgpu', '/dev/dxg')
    )

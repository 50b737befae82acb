# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph in PyTorch, on a CUDA GPU or the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes.base import (
    check_images,
    check_samples,
    closed,
    default_threads,
    output_names,
    RuntimeOutput,
    working_size,
)


class PyTorchRuntime:
    """Runs the deploy graph eagerly, channels last; any input size, any batch.

    Args:
        model: with its ``.safetensors``.
        input_size: (H, W); by default the record's.
        confidence: give the confidence too.
        samples: passes of Monte Carlo dropout, which give the uncertainty too; 0 = none. They
            draw from PyTorch's own generator.
        threads: on the CPU, for this whole process (PyTorch has one pool); 0 = default.
        device: 'cpu', 'cuda', or 'auto' for CUDA where PyTorch finds it.

    Raises:
        SegnodeError: PyTorch or the weights are missing, or the network does not take this size.
    """

    name = 'pytorch'
    batch: int | None = None

    def __init__(
        self,
        model: Model,
        *,
        input_size: tuple[int, int] | None = None,
        confidence: bool = False,
        samples: int = 0,
        threads: int = 0,
        device: str = 'auto',
    ) -> None:
        torch = require('torch', 'the pytorch runtime')
        from segnode.runtimes.graph import deploy_graph

        self.input_size = working_size(model.record, input_size)
        check_samples(model.record, samples)
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self._torch = torch
        graph: Any = deploy_graph(
            model.build_network(), model.record, self.input_size, confidence=confidence,
            samples=samples,
        )
        self._outputs = output_names(confidence, samples)
        try:
            self._device = torch.device(device)
            self._graph = graph.to(self._device, memory_format=torch.channels_last)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SegnodeError(f'PyTorch cannot use the device {device!r}: {reason}') from error
        if self._device.type == 'cpu':
            threads = threads or default_threads()
            torch.set_num_threads(threads)
            where = f'CPU, {threads} thread' + 's' * (threads > 1)
        else:
            where = torch.cuda.get_device_name(self._device)
        self.details = f'PyTorch {torch.__version__}, {where}'

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images of ``input_size``."""
        if self._graph is None:
            raise closed()
        check_images(images, self.input_size)
        torch = self._torch
        if not images.flags.writeable:
            images = images.copy()  # torch refuses to promise that it will not write
        with torch.inference_mode():
            outputs = self._graph(torch.from_numpy(images).to(self._device))
        if not isinstance(outputs, tuple):
            outputs = (outputs,)
        return RuntimeOutput(
            **{name: output.cpu().numpy() for name, output in zip(self._outputs, outputs)})

    def close(self) -> None:
        """Drop the network."""
        self._graph = None

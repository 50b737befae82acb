# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph in PyTorch, on a CUDA GPU or the CPU."""

from __future__ import annotations

import copy
import logging
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
    MIN_AGREEMENT,
    output_names,
    RuntimeOutput,
    working_size,
)
from segnode.sample_image import sample_image

_LOG = logging.getLogger('segnode')

PRECISIONS = ('auto', 'fp32', 'fp16', 'bf16')


class PyTorchRuntime:
    """Runs the deploy graph, channels last; any input size, any batch.

    On a CUDA GPU bytes go over the bus through pinned memory, and a CUDA graph replays the
    network; on the CPU it runs eagerly.

    Args:
        model: with its ``.safetensors``.
        input_size: (H, W); by default the record's.
        confidence: give the confidence too.
        samples: passes of Monte Carlo dropout, which give the uncertainty too; 0 = none. They
            draw from PyTorch's own generator.
        label_stride: the labels are at 1/label_stride of the input.
        threads: on the CPU, for this whole process (PyTorch has one pool); 0 = default.
        device: 'cpu', 'cuda', or 'auto' for CUDA where PyTorch finds it.
        precision: of the network on a GPU: 'fp32' (in which cuDNN multiplies in TF32 where the
            GPU has it), 'fp16', 'bf16', or 'auto' for float16 unless that gives other labels. The
            CPU computes in float32.
        compile: let torch.compile make kernels of it, which takes from seconds to minutes at
            every start and, on the CPU, a C++ compiler.

    Raises:
        SegnodeError: PyTorch or the weights are missing, or the network does not take this size,
            or the device not this precision.
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
        label_stride: int = 1,
        threads: int = 0,
        device: str = 'auto',
        precision: str = 'auto',
        compile: bool = False,
    ) -> None:
        torch = require('torch', 'the pytorch runtime')
        from segnode.runtimes.graph import deploy_graph

        self.input_size = working_size(model.record, input_size)
        check_samples(model.record, samples)
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        on_cpu = device.partition(':')[0] == 'cpu'
        _check_precision(precision, on_cpu=on_cpu, samples=samples)
        self._torch = torch
        self._compile = compile
        graph: Any = deploy_graph(
            model.build_network(), model.record, self.input_size, confidence=confidence,
            samples=samples, label_stride=label_stride,
        )
        self._outputs = output_names(confidence, samples)
        try:
            self._device = torch.device(device)
            self._graph: Any = graph.to(self._device, memory_format=torch.channels_last)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SegnodeError(f'PyTorch cannot use the device {device!r}: {reason}') from error
        if self._device.type not in ('cpu', 'cuda'):
            raise SegnodeError(f'the device of pytorch must be cpu or cuda, not {device!r}')
        self._runner: Any = None
        if on_cpu:
            threads = threads or default_threads()
            torch.set_num_threads(threads)
            self._graph = self._compiled(self._graph)
            self._where = f'CPU, {threads} thread' + 's' * (threads > 1)
        else:
            torch.backends.cudnn.benchmark = True  # of one shape the fastest kernel is found once
            precision = self._choose(graph, precision, samples)
            self._where = f'{torch.cuda.get_device_name(self._device)}, {precision}'

    @property
    def details(self) -> str:
        """Return in words what runs it: version, device, precision or threads."""
        replays = self._runner is not None and self._runner.replays
        compiled = ', compiled' * self._compile
        return (f'PyTorch {self._torch.__version__}, {self._where}{compiled}'
                + ', CUDA graph' * replays)

    @property
    def graph(self) -> Any:
        """Return the deploy graph."""
        return self._graph

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images of ``input_size``."""
        if self._graph is None:
            raise closed()
        check_images(images, self.input_size)
        if self._runner is not None:
            return RuntimeOutput(**self._runner.run(images))
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
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _choose(self, graph: Any, precision: str, samples: int) -> str:
        """Put the graph into a precision; return which."""
        if precision == 'fp32' or samples:
            self._runner = self._new_runner(graph)
            return 'fp32'
        if precision != 'auto':
            self._runner = self._new_runner(in_precision(graph, precision))
            return precision
        image = sample_image(self.input_size)
        whole = self._new_runner(graph, replay=False)
        expected = whole.run(image)['labels']
        whole.close()
        halved = self._new_runner(in_precision(copy.deepcopy(graph), 'fp16'), replay=False)
        agreement = float((halved.run(image)['labels'] == expected).mean())
        halved.close()
        if agreement < MIN_AGREEMENT:
            _LOG.warning('float16 keeps only %.2f %% of the labels of a test image: PyTorch '
                         'computes in float32', 100 * agreement)
            precision = 'fp32'
        else:
            precision, graph = 'fp16', in_precision(graph, 'fp16')
        self._runner = self._new_runner(graph)
        return precision

    def _new_runner(self, graph: Any, replay: bool = True) -> Any:
        from segnode.runtimes.torch_cuda import CudaRunner

        made = self._compiled(graph) if replay else graph
        return CudaRunner(made, self._device, self.input_size, self._outputs, replay=replay)

    def _compiled(self, graph: Any) -> Any:
        return self._torch.compile(graph, dynamic=False) if self._compile else graph


def in_precision(graph: Any, precision: str) -> Any:
    """Return a ``DeployGraph`` with its network in 'fp16' or 'bf16'; changes the one given.

    The image is prepared in float32, and so is what is made of the logits beside the labels.
    """
    from segnode.runtimes.torch_cuda import InPrecision, TYPES

    graph.network = InPrecision(graph.network, TYPES[precision], back=graph.confidence)
    return graph


def _check_precision(precision: str, *, on_cpu: bool, samples: int) -> None:
    if precision not in PRECISIONS:
        raise SegnodeError(
            f'the precision of pytorch must be one of {", ".join(PRECISIONS)}, not {precision!r}')
    if precision in ('auto', 'fp32'):
        return
    if on_cpu:
        raise SegnodeError(
            f'PyTorch computes in fp32 on the CPU, not in {precision}: give precision fp32 or '
            'auto, or device cuda'
        )
    if samples:
        raise SegnodeError(f'uncertainty is computed in fp32, not in {precision}')

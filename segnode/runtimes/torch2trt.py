# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A network converted by NVIDIA's torch2trt, for TensorRT 8 and 10, with PyTorch around it.

What torch2trt cannot express, the uint8 image and the choice of the class, runs in PyTorch on the
GPU, from the code of the deploy graph. The engine is kept as TensorRT's own bytes and a JSON side
file, and loading it runs no pickled code.
"""

from __future__ import annotations

import json
import logging
from typing import Any, TYPE_CHECKING

import numpy as np

from segnode.dependencies import require, versions
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes.base import (
    check_images,
    closed,
    MIN_AGREEMENT,
    output_names,
    RuntimeOutput,
    working_size,
)
from segnode.runtimes.cache import kept
from segnode.runtimes.cuda_driver import Device
from segnode.runtimes.tensorrt_build import Plan
from segnode.runtimes.tensorrt_cached import built_with_timings, machine
from segnode.runtimes.tensorrt_versions import find_tensorrt, Library, library
from segnode.sample_image import sample_image

if TYPE_CHECKING:
    from segnode.runtimes.torch_cuda import CudaRunner

_LOG = logging.getLogger('segnode')

DEVICE = 'cuda'
PRECISIONS = ('auto', 'fp32', 'fp16')
MAX_BATCH = 16


class Torch2trtRuntime:
    """Runs a network's engine inside PyTorch, built for this GPU and kept.

    Args:
        model: with its ``.safetensors``.
        input_size: (H, W); by default the record's.
        confidence: give the confidence too.
        samples: 0; torch2trt has no Monte Carlo dropout.
        label_stride: the labels are at 1/label_stride of the input.
        threads: of no effect.
        precision: 'fp32', 'fp16', or 'auto' for float16 unless that gives other labels.
        batch: images that go through the engine at once, 1 to 16.

    Raises:
        SegnodeError: there is no CUDA GPU, PyTorch, torch2trt or TensorRT 8 or 10; the network
            calls what torch2trt does not convert correctly; or its engine gives other labels than
            PyTorch.
    """

    name = 'torch2trt'

    def __init__(
        self,
        model: Model,
        *,
        input_size: tuple[int, int] | None = None,
        confidence: bool = False,
        samples: int = 0,
        label_stride: int = 1,
        threads: int = 0,
        precision: str = 'auto',
        batch: int = 1,
    ) -> None:
        _check_options(precision, batch, samples)
        self.input_size = working_size(model.record, input_size)
        torch = require('torch', 'the torch2trt runtime')
        found = library(find_tensorrt(('tensorrt',)))
        from segnode.runtimes.torch2trt_convert import check_library

        check_library(found)
        if not torch.cuda.is_available():
            raise SegnodeError('the torch2trt runtime needs a CUDA GPU, and PyTorch finds none')
        self.batch: int | None = batch
        made = _Maker(
            model, self.input_size, batch, found, confidence=confidence, label_stride=label_stride)
        self._runner: CudaRunner | None
        self._runner, self.facts, self.graph = made.runner(precision)
        self._where = f'torch2trt, {found.title}, {self.facts["gpu"]}, {self.facts["precision"]}'

    @property
    def details(self) -> str:
        """Return in words what runs it: libraries, GPU, precision."""
        replays = self._runner is not None and self._runner.replays
        return self._where + ', CUDA graph' * replays

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images of ``input_size``."""
        if self._runner is None:
            raise closed()
        check_images(images, self.input_size, self.batch)
        return RuntimeOutput(**self._runner.run(images))

    def close(self) -> None:
        """Drop the engine and its memory."""
        if self._runner is not None:
            self._runner.close()
            self._runner = self.graph = None


class _Maker:
    """From a model to what runs its engine."""

    def __init__(
        self, model: Model, size: tuple[int, int], batch: int, found: Library, *,
        confidence: bool, label_stride: int,
    ) -> None:
        self.model, self.size, self.batch, self.library = model, size, batch, found
        self.outputs = output_names(confidence, 0)
        self.options: dict[str, Any] = {'confidence': confidence, 'label_stride': label_stride}

    def runner(self, precision: str) -> tuple[CudaRunner, dict[str, Any], Any]:
        """Return what runs the engine, what is known of it, and the graph around it."""
        for name in ('fp16', 'fp32') if precision == 'auto' else (precision,):
            runner, facts, graph = self._made(name)
            agreement = facts.get('agreement', 1.0)
            if agreement >= MIN_AGREEMENT or not self.model.trained:
                break
            said = (f'the engine of {self.model.name} in {name} gives the labels of PyTorch for '
                    f'only {agreement:.2%} of the pixels of a test image')
            if name == 'fp32':
                raise SegnodeError(said)
            _LOG.warning('%s', said)
        return runner, {**facts, 'precision': name}, graph

    def _made(self, precision: str) -> tuple[CudaRunner, dict[str, Any], Any]:
        made: list[Any] = []
        gpu = Device()
        try:
            def load(plan: bytes) -> None:
                made.append(self._around(plan))

            def make() -> tuple[bytes, dict[str, Any]]:
                plan = self._built(precision, gpu)
                load(plan.content)
                return plan.content, {
                    'builder': plan.builder, 'gpu': gpu.name, 'layers': plan.layers,
                    'build_seconds': round(plan.seconds, 2), 'bytes': len(plan.content),
                    'agreement': round(self._agreement(made[-1]), 5),
                }

            name = f'{self.model.name}-{self.size[0]}x{self.size[1]}-{self.batch}-{precision}'
            found = kept(f'{name}-torch2trt', '.engine', self._made_from(precision, gpu), make,
                         load)
        finally:
            gpu.close()
        return self._runner(made[-1]), {**found.facts, 'path': found.path}, made[-1]

    def _built(self, precision: str, gpu: Device) -> Plan:
        """Convert the network as it was trained.

        What ``rewrite.simplify`` makes of it calls functions by references of its own, which
        torch2trt does not replace.
        """
        import torch

        from segnode.runtimes.graph import DeployGraph
        from segnode.runtimes.torch2trt_convert import build

        network = self.model.build_network()
        images = np.repeat(sample_image(self.size), self.batch, 0)
        with torch.no_grad():
            example = DeployGraph(network, self.model.record).prepare(torch.from_numpy(images))
        return built_with_timings(
            self.library, gpu, f'{self.model.name} in {precision}, converted by torch2trt,',
            lambda timings, progress: build(
                self.library, network, example.contiguous(), fp16=precision == 'fp16',
                name=self.model.name, timings=timings, progress=progress),
        )

    def _around(self, plan: bytes) -> Any:
        """Return the deploy graph with the engine in the place of its network."""
        import torch

        from segnode.networks.zoo import create
        from segnode.runtimes.graph import DeployGraph
        from segnode.runtimes.torch_engine import EngineNetwork

        record = self.model.record
        with torch.device('meta'):  # what it says of its logits, without its weights
            network: Any = create(
                record.network, record.label_set.num_classes, **record.network_args)
        engine = EngineNetwork(self.library, plan, torch.device(DEVICE))
        return DeployGraph(
            engine, record, upsampling=str(getattr(network, 'upsampling', 'bilinear')),
            output_stride=int(getattr(network, 'output_stride', 1)), **self.options,
        ).eval().to(DEVICE)

    def _runner(self, graph: Any, replay: bool = True) -> CudaRunner:
        import torch

        from segnode.runtimes.torch_cuda import CudaRunner

        return CudaRunner(graph, torch.device(DEVICE), self.size, self.outputs, replay=replay)

    def _agreement(self, graph: Any) -> float:
        """Return the share of a test image's labels that PyTorch gives too."""
        from segnode.runtimes.graph import DeployGraph

        images = np.repeat(sample_image(self.size), self.batch, 0)
        plain = DeployGraph(
            self.model.build_network(), self.model.record, **self.options).eval().to(DEVICE)
        runners = [self._runner(one, replay=False) for one in (plain, graph)]
        expected, labels = (one.run(images)['labels'] for one in runners)
        return float((labels == expected).mean())

    def _made_from(self, precision: str, gpu: Device) -> dict[str, str]:
        """Return all that an engine depends on."""
        return {
            'weights': self.model.weights_sha256,
            'record': self.model.record.to_json(),
            'size': f'{self.size[0]}x{self.size[1]}',
            'batch': str(self.batch),
            'precision': precision,
            'versions': json.dumps(versions('segnode', 'torch', 'torch2trt'), sort_keys=True),
            **machine(self.library, gpu),
        }


def _check_options(precision: str, batch: int, samples: int) -> None:
    if precision not in PRECISIONS:
        raise SegnodeError(
            f'the precision of torch2trt must be one of {", ".join(PRECISIONS)}, '
            f'not {precision!r}'
        )
    if not 1 <= batch <= MAX_BATCH:
        raise SegnodeError(f'batch must be 1 to {MAX_BATCH}, not {batch}')
    if samples:
        raise SegnodeError('torch2trt has no Monte Carlo dropout: take another runtime')

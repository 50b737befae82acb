# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph in TensorRT 8.5 to 11 or TensorRT for RTX, without PyTorch.

The ONNX file is what travels; the engine is built from it on the machine that runs it.
"""

from __future__ import annotations

import numpy as np

from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.onnx_compact import read_deploy_graph
from segnode.onnx_graph import read_graph
from segnode.runtimes.base import (
    check_images,
    check_samples,
    closed,
    default_threads,
    RuntimeOutput,
    working_size,
)
from segnode.runtimes.cuda_driver import Driver
from segnode.runtimes.onnx import graph_path
from segnode.runtimes.tensorrt_cached import EngineSource
from segnode.runtimes.tensorrt_engine import Engine
from segnode.runtimes.tensorrt_versions import find_tensorrt, library

PRECISIONS = ('auto', 'fp32', 'fp16', 'int8')
MAX_BATCH = 16


class TensorrtRuntime:
    """Runs an engine of the model's graph, built for this GPU and kept.

    Args:
        model: with its ``.onnx``; for another size or another output with its ``.safetensors``.
        input_size: (H, W); by default the record's.
        confidence: give the confidence too.
        samples: passes of Monte Carlo dropout, which give the uncertainty too; 0 = none.
        label_stride: the labels are at 1/label_stride of the input.
        threads: of ONNX Runtime, where an engine is compared with it; 0 = default.
        precision: 'fp32', 'fp16', 'int8' of a model that was quantised, or 'auto': what the file
            is in, and for one in float32 float16, unless that gives other labels.
        batch: most images that go through the engine at once, 1 to 16; ``run`` takes any number,
            unless the graph or a DLA is made for one number alone.
        dla_core: of a Jetson's deep learning accelerators; -1 for the GPU.
        workspace: MiB of scratch memory that an operation may take; 0 for TensorRT's default,
            all the memory of the GPU.

    Raises:
        SegnodeError: there is no NVIDIA GPU or no TensorRT, it does not take the graph, its
            engine gives other labels than ONNX Runtime, or PyTorch is missing where an export is
            needed.
    """

    name = 'tensorrt'

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
        dla_core: int = -1,
        workspace: int = 0,
    ) -> None:
        _check_options(precision, batch, workspace)
        self.input_size = working_size(model.record, input_size)
        check_samples(model.record, samples)
        found = library(find_tensorrt())
        Driver()  # says that there is no GPU before anything is exported
        path = graph_path(
            model, self.input_size, confidence=confidence, samples=samples,
            label_stride=label_stride,
        )
        content = read_deploy_graph(path)
        given = read_graph(path).inputs
        image = (*self.input_size, 3)
        if len(given) != 1 or given[0].shape is None or given[0].shape[1:] != image:
            height, width = self.input_size
            raise SegnodeError(f'{path} does not hold a deploy graph for {height}x{width}')
        first = given[0].shape[0]
        # A DLA takes one shape only, and so does a graph of a fixed batch.
        fixed = isinstance(first, int) or dla_core >= 0
        most = first if isinstance(first, int) else batch
        shapes = ((most if fixed else 1, *image), (most, *image), (most, *image))
        source = EngineSource(
            model.name, content, {given[0].name: shapes}, found,
            trained=model.trained, threads=threads or default_threads(),
            dla_core=None if dla_core < 0 else dla_core, workspace=workspace << 20,
        )
        self._engine: Engine | None
        self._engine, self.facts = source.engine(precision)
        self.batch: int | None = most if fixed else None
        self._where = f'{found.title}, {self._engine.device.name}, {self.facts["precision"]}'

    @property
    def details(self) -> str:
        """Return in words what runs it: library, version, GPU, precision."""
        graph = self._engine is not None and self._engine.replays
        return self._where + ', CUDA graph' * graph

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images of ``input_size``."""
        if self._engine is None:
            raise closed()
        check_images(images, self.input_size, self.batch)
        most = self._engine.max_batch
        parts = [self._engine.run(images[i : i + most]) for i in range(0, len(images), most)]
        if len(parts) == 1:
            return RuntimeOutput(**parts[0])
        return RuntimeOutput(
            **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def close(self) -> None:
        """Give the engine's memory back."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _check_options(precision: str, batch: int, workspace: int) -> None:
    if precision not in PRECISIONS:
        raise SegnodeError(
            f'the precision of tensorrt must be one of {", ".join(PRECISIONS)}, not {precision!r}'
        )
    if not 1 <= batch <= MAX_BATCH:
        raise SegnodeError(f'batch must be 1 to {MAX_BATCH}, not {batch}')
    if workspace < 0:
        raise SegnodeError(f'workspace must be 0 (default) or more MiB, not {workspace}')

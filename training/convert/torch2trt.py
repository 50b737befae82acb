# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A conversion by torch2trt: an engine for the GPU that is there, measured beside PyTorch on it.

An engine serves this GPU and this TensorRT alone, so it is put where the ``torch2trt`` runtime
looks for it, and no file is made that could travel.
"""

from __future__ import annotations

import time
from typing import Any, TYPE_CHECKING

import numpy as np

from segnode.benchmarking.machine import machine
from segnode.benchmarking.timing import take_turns
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes import load_runtime, Runtime
from segnode.runtimes.base import working_size
from segnode.runtimes.cache import cache_folder
from segnode.segmenter import Segmenter
from training.convert.compare import compare, Labeller
from training.convert.report import Report
from training.evaluate import evaluate

if TYPE_CHECKING:
    from training.convert.run import Options


def convert_torch2trt(
    model: Model, precision: str, options: Options, least: float, rounds: int, compared: int
) -> Report:
    """Build the engine, and measure it beside PyTorch in float32 on the same GPU.

    Args:
        model: with its weights.
        precision: 'fp32' or 'fp16'.
        options: of the conversion.
        least: share of pixels that must keep their label.
        rounds: of the timing.
        compared: frames on which logits and labels are compared.

    Raises:
        SegnodeError: see ``Torch2trtRuntime``, or it changes more labels than ``least`` allows.
    """
    size = working_size(model.record, options.input_size)
    data, batch = options.data, options.batch
    before: Any = load_runtime(
        model, 'pytorch', input_size=size, device='cuda', precision='fp32')
    runtimes: dict[str, Any] = {'before': before}
    try:
        start = time.monotonic()
        after: Any = load_runtime(
            model, 'torch2trt', input_size=size, precision=precision, batch=batch)
        runtimes['after'] = after
        seconds = time.monotonic() - start
        comparison = compare(
            _labeller(before, before.graph, batch), _labeller(after, after.graph, batch),
            data.spread(compared).images(size, options.fit),
        )
        if comparison.agreement < least:
            raise SegnodeError(
                f'{model.name} in torch2trt keeps the labels of only {comparison.agreement:.3%} '
                f'of the pixels, less than {least:.3%} (--min-agreement)'
            )
        mious = {name: _miou(model, runtime, options) for name, runtime in runtimes.items()}
        frames = [np.repeat(image, batch, 0) for image in data.spread(4).images(size, options.fit)]
        times = take_turns(
            {name: lambda images, runtime=runtime: runtime.run(images).labels  # type: ignore[misc]
             for name, runtime in runtimes.items()},
            frames, rounds,
        )
        facts = dict(after.facts)
        return Report(
            model=model.name, target='torch2trt', precision=precision, input_size=size,
            batch=batch, file=facts.pop('path') or cache_folder(),
            bytes_before=model.safetensors_path.stat().st_size if model.safetensors_path else 0,
            bytes_after=facts['bytes'], convert_seconds=round(seconds, 1), data=data.name,
            data_frames=len(data), comparison=comparison, miou_before=mious['before'],
            miou_after=mious['after'],
            milliseconds={n: t.summary()['median_ms'] for n, t in times.items()},
            details={name: runtime.details for name, runtime in runtimes.items()},
            facts={'measured_in': runtimes['after'].details, 'engine': {
                'builder': facts['builder'], 'batch': batch, 'layers': facts['layers'],
                'bytes': facts['bytes'], 'build_seconds': facts['build_seconds'],
            }},
            machine=machine(),
        )
    finally:
        for runtime in runtimes.values():
            runtime.close()


def _labeller(runtime: Runtime, graph: Any, batch: int) -> Labeller:
    """Return what gives the labels of a runtime and the logits of the graph that it runs."""
    import torch

    def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        images = np.repeat(image, runtime.batch or batch, 0)
        labels = runtime.run(images).labels[:1]
        with torch.inference_mode():
            given = torch.from_numpy(images).to(graph.mean.device)
            logits = graph.network(graph.prepare(given))[:1].float().cpu().numpy()
        return labels, logits

    return run


def _miou(model: Model, runtime: Runtime, options: Options) -> float | None:
    data = options.data
    if data.pool is None:
        return None
    segmenter = Segmenter(model, runtime, options.fit)
    return evaluate(segmenter, data.pool, indices=data.indices, progress=options.progress).miou

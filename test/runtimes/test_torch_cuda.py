# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's way to a GPU, as far as it goes without one: buffers, replays, precisions.

What a GPU itself does is in test_gpu.py.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import load_runtime
from segnode.runtimes.base import output_names
import small_model
from standin_torch import CPU, OnCpu

torch = pytest.importorskip('torch')

from segnode.runtimes import pytorch  # noqa: E402
from segnode.runtimes.graph import deploy_graph  # noqa: E402
from segnode.runtimes.pytorch import in_precision, PyTorchRuntime  # noqa: E402
from segnode.runtimes.torch_cuda import CudaRunner, InPrecision  # noqa: E402


def graph(confidence: bool = False) -> Any:
    model = small_model.model()
    return deploy_graph(
        model.build_network(), model.record, small_model.SIZE, confidence=confidence)


def runner(made: Any, confidence: bool = False, kind: type[CudaRunner] = OnCpu) -> Any:
    return kind(made, CPU, small_model.SIZE, output_names(confidence, 0))


def test_replays_give_what_plain_runs_give() -> None:
    images = small_model.frames(4)
    with torch.inference_mode():
        labels, confidence = (t.numpy() for t in graph(True)(torch.from_numpy(images)))
    made = runner(graph(True), True)
    assert not made.replays
    for count in (1, 3, 1, 3, 1):
        for first in range(2):
            found = made.run(images[first : first + count])
            # One image is not computed as it is among three, in the last bit.
            part = slice(first, first + count)
            assert (found['labels'] == labels[part]).mean() > 0.9999
            assert np.abs(found['confidence'].astype(int) - confidence[part]).max() <= 1
    assert made.captures == 2 and made.replays
    made.close()


def test_buffers_of_a_few_numbers_of_images_are_kept() -> None:
    made = runner(lambda image: image[..., 0] + 0)
    for count in (1, 2, 3, 4, 5, 5, 1):
        assert made.run(np.full((count, *small_model.SIZE, 3), count, np.uint8))[
            'labels'].shape == (count, *small_model.SIZE)
    assert made.captures == 6


def test_its_stream_waits_for_what_was_done_to_the_weights(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were brought to the GPU, and to float16, on the stream of whoever made the runner."""
    waited: list[Any] = []

    class Stream:
        def __init__(self, device: Any) -> None:
            self.device = device

        def wait_stream(self, other: Any) -> None:
            waited.append((self.device, other))

    monkeypatch.setattr(torch.cuda, 'Stream', Stream)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device: f'current of {device}')
    CudaRunner(graph(), CPU, small_model.SIZE, ['labels'])
    assert waited == [(CPU, 'current of cpu')]


def test_results_are_not_overwritten_by_the_next_image() -> None:
    made = runner(lambda image: image[..., 0] + 0)
    first = made.run(np.full((1, *small_model.SIZE, 3), 1, np.uint8))['labels']
    made.run(np.full((1, *small_model.SIZE, 3), 2, np.uint8))
    assert (first == 1).all()


@pytest.mark.parametrize('fault, told', [
    ('breaks', 'without a CUDA graph: not permitted when stream is capturing'),
    ('spoils', 'without a CUDA graph, which gave other labels'),
])
def test_a_graph_that_does_not_work_is_not_used(
    fault: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = runner(lambda image: image[..., 0] + 0)
    setattr(made, fault, True)
    with caplog.at_level(logging.INFO, 'segnode'):
        for value in (1, 2, 3):
            found = made.run(np.full((1, *small_model.SIZE, 3), value, np.uint8))
            assert (found['labels'] == value).all()
    assert told in caplog.text and not made.replays
    assert '\nand more' not in caplog.text


def test_what_samples_is_not_replayed() -> None:
    made = OnCpu(lambda image: (image[..., 0], image[..., :1].permute(0, 3, 1, 2).float()),
                 CPU, small_model.SIZE, ['labels', 'uncertainty'])
    assert made.run(small_model.frames(1))['uncertainty'].dtype == np.float32
    assert made.captures == 0 and not made.replays


@pytest.mark.parametrize('precision, least', [('fp16', 0.99), ('bf16', 0.9)])
@pytest.mark.parametrize('confidence', [False, True])
def test_lower_precisions(precision: str, least: float, confidence: bool) -> None:
    images = torch.from_numpy(small_model.frames(2))
    with torch.inference_mode():
        whole = graph(confidence)(images)
        lower = in_precision(graph(confidence), precision)
        assert isinstance(lower.network, InPrecision)
        assert {p.dtype for p in lower.network.parameters()} == {lower.network.dtype}
        logits = lower.network(lower.prepare(images))
        assert lower.prepare(images).dtype == torch.float32
        assert (logits.dtype == torch.float32) == confidence
        found = lower(images)
    if not confidence:
        whole, found = (whole,), (found,)
    assert (whole[0] == found[0]).float().mean() > least
    assert found[0].dtype == torch.uint8
    if confidence:
        assert (whole[1].int() - found[1].int()).abs().float().mean() < (2 if precision == 'fp16'
                                                                         else 8)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runtime choose as on a GPU, which is the CPU under another name."""
    monkeypatch.setattr(
        PyTorchRuntime, '_new_runner',
        lambda self, made, replay=True: runner(made, 'confidence' in self._outputs))
    monkeypatch.setattr(pytorch, 'require', lambda module, purpose: _Torch())
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'Stand-in')
    monkeypatch.setattr(torch.nn.Module, 'to', _to)
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', False)


class _Cpu:
    type = 'cuda'


class _Torch:
    """PyTorch, but for its devices."""

    def device(self, name: str) -> _Cpu:
        return _Cpu()

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


_module_to = torch.nn.Module.to


def _to(self: Any, *arguments: Any, **options: Any) -> Any:
    return _module_to(self, *(CPU if isinstance(a, _Cpu) else a for a in arguments),
                      **options)


def test_auto_is_float16_where_the_labels_stay(gpu: None) -> None:
    runtime = load_runtime(small_model.model(), 'pytorch', device='cuda')
    assert runtime.details.endswith('Stand-in, fp16, CUDA graph')
    image = small_model.frames(1)
    plain = load_runtime(small_model.model(), 'pytorch', device='cuda', precision='fp32')
    assert plain.details.endswith('Stand-in, fp32, CUDA graph')
    assert (runtime.run(image).labels == plain.run(image).labels).mean() > 0.99
    for made in (runtime, plain):
        made.close()
        with pytest.raises(SegnodeError, match='was closed'):
            made.run(image)


def test_auto_is_float32_where_they_do_not(
    gpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pytorch, 'MIN_AGREEMENT', 1.1)
    runtime = load_runtime(small_model.model(), 'pytorch', device='cuda')
    assert ', fp32' in runtime.details
    assert {p.dtype for p in runtime._graph.parameters()} == {  # type: ignore[attr-defined]
        torch.float32}
    assert 'PyTorch computes in float32' in caplog.text


@pytest.mark.parametrize('options, sentence', [
    ({'precision': 'int8'}, 'precision of pytorch must be one of auto, fp32, fp16, bf16, not'),
    ({'precision': 'fp16', 'device': 'cpu'}, 'computes in fp32 on the CPU, not in fp16'),
    ({'device': 'meta'}, "device of pytorch must be cpu or cuda, not 'meta'"),
])
def test_what_is_refused(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(SegnodeError, match=sentence):
        load_runtime(small_model.model(), 'pytorch', **options)


@pytest.mark.exhaustive
def test_compiled_on_the_cpu() -> None:
    image = small_model.frames(1)
    runtime = load_runtime(small_model.model(), 'pytorch', device='cpu', threads=1)
    try:
        compiled = load_runtime(
            small_model.model(), 'pytorch', device='cpu', threads=1, compile=True)
    except SegnodeError as error:
        pytest.skip(f'torch.compile does not work here: {error}')
    assert compiled.details.endswith(', compiled')
    assert (compiled.run(image).labels == runtime.run(image).labels).mean() > 0.999

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""'auto' with runtimes that fail on purpose, when they load and in the middle of a drive."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import choose, load_runtime
from segnode.runtimes.base import RuntimeOutput
from segnode.runtimes.choose import candidates
from segnode.runtimes.fallback import FallbackRuntime
from segnode.segmenter import Segmenter
import small_model
from standin_gpu import Cuda, Tensorrt

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')

SIZE = (4, 8)


class Runs:
    """A runtime whose labels are all one number; fails as it is told."""

    input_size, batch = SIZE, None

    def __init__(self, name: str, label: int = 0, fails_at: int = -1) -> None:
        self.name, self.label, self.fails_at, self.runs = name, label, fails_at, 0
        self.details = f'{name} details'
        self.closed = False

    def run(self, images: np.ndarray) -> RuntimeOutput:
        self.runs += 1
        if self.runs == self.fails_at:
            raise RuntimeError(f'{self.name} is broken\nsecond line')
        return RuntimeOutput(np.full((len(images), *SIZE), self.label, np.uint8))

    def close(self) -> None:
        self.closed = True
        if self.fails_at > 0:
            raise RuntimeError('nor does it close')


def images(count: int = 1) -> np.ndarray:
    return np.zeros((count, *SIZE, 3), np.uint8)


def refuses() -> Any:
    raise SegnodeError('there is none here')


def test_the_next_takes_over_in_the_middle_of_a_drive(caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = Runs('a', 1, fails_at=3), Runs('b', 2, fails_at=2), Runs('c', 3)
    runtime = FallbackRuntime(
        [('a', lambda: first), ('x', refuses), ('b', lambda: second), ('c', lambda: third)])
    assert runtime.warning == '' and (runtime.name, runtime.details) == ('a', 'a details')
    found = [int(runtime.run(images(2)).labels[1, 0, 0]) for _ in range(6)]
    assert found == [1, 1, 2, 3, 3, 3], 'no image is lost'
    assert first.closed and second.closed and not third.closed
    assert runtime.name == 'c'
    assert runtime.warning == (
        'a failed (a is broken); x failed (there is none here); b failed (b is broken); '
        'c runs instead')
    assert 'runtime a failed and is given up: a is broken' in caplog.text
    runtime.close()
    runtime.close()
    assert third.closed
    with pytest.raises(SegnodeError, match='was closed'):
        runtime.run(images())


def test_one_that_does_not_load_is_told_too() -> None:
    runtime = FallbackRuntime([('x', refuses), ('c', lambda: Runs('c'))])
    assert runtime.warning == 'x failed (there is none here); c runs instead'


def test_when_none_is_left_every_image_says_why() -> None:
    runtime = FallbackRuntime([('a', lambda: Runs('a', fails_at=1)), ('x', refuses)])
    for _ in range(2):
        with pytest.raises(SegnodeError) as caught:
            runtime.run(images())
        assert str(caught.value) == 'a is broken; there is none here'
    assert (runtime.name, runtime.warning) == ('a', 'a failed (a is broken); '
                                               'x failed (there is none here)')
    with pytest.raises(SegnodeError, match='^there is none here$'):
        FallbackRuntime([('x', refuses), ('y', refuses)])


def test_all_are_tried_again_after_a_while() -> None:
    made = [Runs('a', 1, fails_at=1), Runs('a', 2)]
    runtime = FallbackRuntime([('a', lambda: made.pop(0)), ('x', refuses)], patience=0.0)
    with pytest.raises(SegnodeError):
        runtime.run(images())
    assert runtime.run(images()).labels[0, 0, 0] == 2 and runtime.warning == ''


def test_the_last_one_is_kept_for_the_next_image() -> None:
    last = Runs('c', 3, fails_at=2)
    runtime = FallbackRuntime([('x', refuses), ('c', lambda: last)])
    runtime.run(images())
    with pytest.raises(RuntimeError, match='c is broken'):
        runtime.run(images())
    assert runtime.run(images()).labels[0, 0, 0] == 3 and not last.closed


def test_others_may_ask_while_the_next_one_loads() -> None:
    """As the diagnostics do, from another thread."""
    seen: list[tuple[str, str]] = []

    def load() -> Runs:
        seen.append((runtime.name, runtime.warning))
        return Runs('b')

    runtime = FallbackRuntime([('a', lambda: Runs('a', fails_at=1)), ('b', load)])
    runtime.run(images())
    assert seen == [('a', 'a failed (a is broken)')]


def test_wrong_images_are_not_the_runtimes_fault() -> None:
    first = Runs('a')
    runtime = FallbackRuntime([('a', lambda: first), ('c', lambda: Runs('c'))])
    with pytest.raises(ValueError, match='images must be uint8'):
        runtime.run(np.zeros((1, 3, 3, 3), np.uint8))
    assert runtime.name == 'a' and first.runs == 0


@pytest.fixture
def jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tensorrt:
    """Make this a machine with a GPU and TensorRT, but no PyTorch that would find the GPU."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    tensorrt = Tensorrt('10.3.0', Cuda(), real=True)
    monkeypatch.setattr('segnode.runtimes.cuda_driver._load', lambda: tensorrt.cuda)
    monkeypatch.setattr('segnode.runtimes.tensorrt.find_tensorrt', lambda: tensorrt)
    monkeypatch.setattr(choose, 'nvidia_driver', lambda: True)
    monkeypatch.setattr(choose, 'TENSORRT', ('json',))  # some module that is installed
    return tensorrt


def test_auto_takes_tensorrt_where_it_is_and_says_why(
    jetson: Tensorrt, caplog: pytest.LogCaptureFixture
) -> None:
    assert [c.name for c in candidates(small_model.model())] == ['tensorrt', 'onnx', 'pytorch']
    with caplog.at_level(logging.INFO, 'segnode'):
        segmenter = Segmenter.load(small_model.model())
    assert segmenter.runtime.name == 'tensorrt' and segmenter.warning == ''
    assert ('runtime tensorrt (the fastest on an NVIDIA GPU): TensorRT 10.3.0, Stand-in GPU, '
            'fp16, CUDA graph, fsffnet_small at 128x256') in caplog.text
    segmenter.close()


def test_auto_keeps_to_the_device(jetson: Tensorrt) -> None:
    model = small_model.model()
    assert [c.label for c in candidates(model, 'cuda')] == ['tensorrt', 'onnx']
    assert [c.label for c in candidates(model, 'cpu')] == ['onnx', 'pytorch on cpu']
    assert [c.label for c in candidates(model, 'tensorrt')] == ['onnx']
    runtime: Any = load_runtime(model, device='cpu')
    assert runtime.name == 'onnx' and runtime.warning == '', 'what was not wanted has not failed'


def test_auto_without_a_runtime_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, 'installed', lambda module: module == 'torch')
    with pytest.raises(SegnodeError, match='none runs model fsffnet_small on cuda; there is '
                                           'pytorch on cpu'):
        load_runtime(small_model.model(), device='cuda')


def test_auto_goes_on_when_the_gpu_fails(jetson: Tensorrt) -> None:
    image = small_model.frames(1)
    expected = load_runtime(small_model.model(), 'onnx', device='cpu').run(image).labels
    segmenter = Segmenter.load(small_model.model())
    cuda: Any = jetson.cuda
    cuda.broken = True
    found = segmenter.segment(image[0])
    assert (found.labels == expected[0]).all()
    assert segmenter.runtime.name == 'onnx'
    assert segmenter.warning == (
        "tensorrt failed (CUDA's cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS, so it "
        'is told); onnx runs instead')
    assert cuda.leaks == []


@pytest.mark.parametrize('failure', ['starts', 'parses', 'builds', 'contexts', 'runs'])
def test_auto_goes_on_when_tensorrt_does_not_load(failure: str, jetson: Tensorrt) -> None:
    setattr(jetson, failure, False)
    runtime: Any = load_runtime(small_model.model())
    assert runtime.name == 'onnx'
    assert runtime.warning.startswith('tensorrt failed (tensorrt 10.3.0 ')
    assert jetson.cuda.leaks == []  # type: ignore[union-attr]


def test_one_that_was_named_does_not_fall_back(jetson: Tensorrt) -> None:
    segmenter = Segmenter.load(small_model.model(), runtime='tensorrt')
    jetson.cuda.broken = True  # type: ignore[union-attr]
    for _ in range(2):
        with pytest.raises(SegnodeError, match='cuStreamSynchronize failed'):
            segmenter.segment(small_model.frames(1)[0])
    assert segmenter.runtime.name == 'tensorrt' and segmenter.warning == ''
    segmenter.close()


def test_a_first_run_that_fails_gives_the_memory_back(
    jetson: Tensorrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segnode.runtimes.tensorrt import TensorrtRuntime

    def broken(self: Any, images: np.ndarray) -> RuntimeOutput:
        raise MemoryError

    monkeypatch.setattr(TensorrtRuntime, 'run', broken)
    with pytest.raises(SegnodeError, match='tensorrt runtime cannot run model .*: MemoryError'):
        load_runtime(small_model.model(), 'tensorrt')
    assert jetson.cuda.leaks == []  # type: ignore[union-attr]

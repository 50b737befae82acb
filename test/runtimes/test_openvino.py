# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The ``openvino`` runtime: the labels of the ``onnx`` one, in the precision asked for."""

from __future__ import annotations

from dataclasses import replace
import logging
from pathlib import Path
import sys
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import load_runtime, Runtime
import small_model

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def _load(name: str = 'openvino', **options: Any) -> Runtime:
    if name == 'openvino':
        pytest.importorskip('openvino', reason='OpenVINO, an extra, is not installed')
    return load_runtime(small_model.model(), name, threads=1, **options)


@pytest.mark.parametrize('size', [(128, 256), (256, 128)])
def test_same_labels_and_confidence_for_one_image_and_for_three(size: tuple[int, int]) -> None:
    images = small_model.frames(3, size)
    runtime = _load(input_size=size, confidence=True)
    expected = _load('onnx', input_size=size, confidence=True).run(images)
    assert (runtime.name, runtime.input_size, runtime.batch) == ('openvino', size, None)
    for first, last in ((0, 3), (0, 1), (1, 3), (2, 3)):
        found = runtime.run(images[first:last])
        assert found.labels.dtype == np.uint8 and found.labels.shape == (last - first, *size)
        assert (found.labels == expected.labels[first:last]).mean() >= 0.9999
        assert found.confidence is not None and expected.confidence is not None
        gap = found.confidence.astype(int) - expected.confidence[first:last]
        assert np.abs(gap).max() <= 2
    assert len(np.unique(expected.labels)) > 2


def test_results_are_the_callers_own() -> None:
    runtime = _load()
    images = small_model.frames(2)
    first = runtime.run(images[:1]).labels
    kept = first.copy()
    second = runtime.run(images[1:]).labels
    assert (first == kept).all() and (first != second).any()
    wide = np.zeros((1, 128, 300, 3), np.uint8)
    wide[:, :, :256] = images[:1]
    assert (runtime.run(wide[:, :, :256]).labels == kept).all()
    images.setflags(write=False)
    assert (runtime.run(images[:1]).labels == kept).all()


def test_only_so_many_batches_are_kept() -> None:
    runtime: Any = _load(input_size=(128, 128))
    image = small_model.frames(1, (128, 128))
    expected = runtime.run(image).labels
    for batch in (2, 3, 4, 5, 6):
        assert runtime.run(np.repeat(image, batch, 0)).labels.shape[0] == batch
    assert list(runtime._requests) == [3, 4, 5, 6]
    assert (runtime.run(image).labels == expected).all()


def test_float32_unless_another_was_asked_for(caplog: Any) -> None:
    assert _load().details.endswith(', fp32')
    assert 'never measured' not in caplog.text
    with caplog.at_level(logging.WARNING, 'segnode'):
        runtime = _load(precision='bf16')
    assert 'what bf16 does to the labels of fsffnet_small was never measured' in caplog.text
    if runtime.details.endswith(', fp32'):
        pytest.skip('this processor has no bfloat16')
    images = small_model.frames(1)
    same = (runtime.run(images).labels == _load('onnx').run(images).labels).mean()
    assert 0.5 < same < 1.0


def test_what_a_model_was_measured_in_is_its_precision(caplog: Any) -> None:
    pytest.importorskip('openvino', reason='OpenVINO, an extra, is not installed')
    model = small_model.model()
    training = {**model.record.training, 'conversion': {'precision': 'bf16'}}
    converted = replace(model, record=replace(model.record, training=training))
    with caplog.at_level(logging.WARNING, 'segnode'):
        runtime: Any = load_runtime(converted, 'openvino', threads=1)
        assert runtime._options['INFERENCE_PRECISION_HINT'] == 'bf16'
        runtime = load_runtime(converted, 'openvino', threads=1, precision='fp32')
        assert runtime._options['INFERENCE_PRECISION_HINT'] == 'f32'
    assert caplog.text == ''


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = _load()
    with pytest.raises(ValueError, match='images must be uint8'):
        runtime.run(np.zeros((1, 64, 64, 3), np.uint8))
    runtime.close()
    runtime.close()
    with pytest.raises(SegnodeError, match='was closed'):
        runtime.run(small_model.frames(1))
    with pytest.raises(SegnodeError, match="one of auto, fp32, bf16, not 'fp8'"):
        _load(precision='fp8')
    with pytest.raises(SegnodeError, match='openvino runtime runs on cpu, not on cuda'):
        _load(device='cuda')
    assert _load(device='cpu').name == 'openvino'


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(SegnodeError, match='needs OpenVINO, .*pip install openvino'):
        load_runtime(small_model.model(), 'openvino')

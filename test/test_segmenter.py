# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The Segmenter: any image size, batches, timing, logs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.segmenter import Segmenter
import small_model

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def segmenter() -> Any:
    loaded = Segmenter.load(small_model.stem(), confidence=False, threads=1)
    yield loaded
    loaded.close()


@pytest.mark.parametrize('size', [(128, 256), (360, 480), (1, 1), (37, 501), (1080, 1920)])
def test_labels_have_the_images_size(segmenter: Segmenter, size: tuple[int, int]) -> None:
    found = segmenter.segment(np.full((*size, 3), 90, np.uint8))
    assert found.labels.shape == size and found.labels.dtype == np.uint8
    assert found.labels.max() < 11
    assert found.confidence is None
    assert set(found.timing) == {'fit', 'run', 'restore'}
    assert all(value >= 0 for value in found.timing.values())
    assert found.timing['run'] > 0


def test_it_is_the_runtime_between_fit_and_restore(segmenter: Segmenter) -> None:
    image = small_model.frames(1, (360, 480))[0]
    fitted, placement = fit_image(image, segmenter.input_size)
    expected = placement.restore(segmenter.runtime.run(fitted[None]).labels[0])
    assert (segmenter.segment(image).labels == expected).all()
    assert len(np.unique(expected)) > 2


def test_what_it_says_of_itself(segmenter: Segmenter) -> None:
    assert segmenter.input_size == small_model.SIZE
    assert segmenter.label_set.name == 'camvid'
    assert segmenter.model.name == small_model.NAME
    assert segmenter.runtime.name == 'onnx'
    assert 'ONNX Runtime' in segmenter.runtime.details


def test_a_batch_of_different_sizes(segmenter: Segmenter) -> None:
    images = [small_model.frames(1, size)[0] for size in ((128, 256), (360, 480), (200, 300))]
    together = segmenter.segment_batch(images)
    for image, found in zip(images, together):
        alone = segmenter.segment(image)
        assert found.labels.shape == image.shape[:2]
        assert (alone.labels == found.labels).mean() > 0.999
    assert segmenter.segment_batch([]) == []


@pytest.mark.parametrize('fit', ['letterbox', 'crop'])
def test_other_fits_with_confidence(
    fit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    loaded = Segmenter.load(small_model.stem(), runtime='pytorch', fit=fit, confidence=True)
    found = loaded.segment(small_model.frames(1, (200, 200))[0])
    assert found.confidence is not None and found.confidence.shape == (200, 200)
    unseen = found.labels == 255
    assert unseen.any() == (fit == 'crop')
    assert (found.confidence[unseen] == 0).all()
    assert (found.confidence[~unseen] > 0).all()


def test_labels_do_not_change_with_the_next_image(segmenter: Segmenter) -> None:
    first, second = small_model.frames(2)
    found = segmenter.segment(first).labels
    kept = found.copy()
    segmenter.segment(255 - second)
    assert (found == kept).all()


@pytest.mark.parametrize('image', [
    np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32),
    np.zeros((0, 4, 3), np.uint8), None, [[0]],
])
def test_no_image(segmenter: Segmenter, image: Any) -> None:
    with pytest.raises(SegnodeError) as caught:
        segmenter.segment(image)
    assert '\n' not in str(caught.value)


def test_licence_is_logged_once(caplog: Any) -> None:
    with caplog.at_level(logging.INFO, 'segnode'):
        loaded = Segmenter.load(small_model.stem())
        for frame in small_model.frames(2):
            loaded.segment(frame)
    assert caplog.text.count('made for tests') == 1


def test_random_weights(
    caplog: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr('segnode.store.folders', lambda: (tmp_path,))
    with pytest.raises(SegnodeError, match='no model'):
        Segmenter.load('fsffnet')
    with caplog.at_level(logging.WARNING, 'segnode'):
        loaded = Segmenter.load(
            'fsffnet', runtime='pytorch', input_size=(128, 128), allow_random_weights=True
        )
    assert loaded.model.record.training['random'] is True
    assert 'random weights' in caplog.text
    assert loaded.segment(small_model.frames(1)[0]).labels.shape == small_model.SIZE


def test_unknown_fit() -> None:
    with pytest.raises(SegnodeError, match='stretch, letterbox or crop'):
        Segmenter.load(small_model.stem(), fit='squeeze')


def test_an_array_of_images(segmenter: Segmenter) -> None:
    images = small_model.frames(2)
    listed = segmenter.segment_batch(list(images))
    for found, expected in zip(segmenter.segment_batch(images), listed):
        assert (found.labels == expected.labels).all()


@pytest.mark.parametrize('runtime', ['onnx', 'pytorch'])
def test_after_close(runtime: str) -> None:
    loaded = Segmenter.load(small_model.stem(), runtime=runtime, threads=1)
    loaded.close()
    loaded.close()
    with pytest.raises(SegnodeError, match='this runtime was closed'):
        loaded.segment(small_model.frames(1)[0])

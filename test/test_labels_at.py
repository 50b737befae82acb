# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Labels at another size than the image's: what they show, in the Segmenter and in predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segnode.commands.predict import main as predict
from segnode.errors import SegnodeError
from segnode.fitting import at_size, fit_image
from segnode.model import Model
from segnode.runtimes.base import LABELS_AT
from segnode.segmenter import Segmenter
from small_custom import describe, frames, SIZE, write_network


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Return a network that gives the labels of each pixel for itself."""
    pytest.importorskip('onnxruntime')
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    return Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))


def _place(size: tuple[int, int], axis: int) -> np.ndarray:
    """Return float (H, W): where each pixel is along an axis, 0 to 1."""
    line = (np.arange(size[axis]) + 0.5) / size[axis]
    return np.broadcast_to(line[:, None] if axis == 0 else line, size)


@pytest.mark.parametrize('fit', ['stretch', 'letterbox', 'crop'])
@pytest.mark.parametrize('image', [(128, 256), (360, 480), (480, 360), (100, 300), (37, 29)])
@pytest.mark.parametrize('stride', [1, 4, 8])
def test_it_shows_the_whole_image(fit: str, image: tuple[int, int], stride: int) -> None:
    """A map of places comes back as one: of each pixel where it is in the image."""
    size = (128, 256)
    _, placement = fit_image(np.zeros((*image, 3), np.uint8), size, fit)
    for axis in (0, 1):
        # What a network sees: the place in the image that each of its pixels shows.
        top, length = placement.source[axis], placement.source[axis + 2]
        begin, extent = placement.target[axis], placement.target[axis + 2]
        of_input = (_place(size, axis) * size[axis] - begin) / extent
        seen = (of_input * length + top) / image[axis]
        small = seen.reshape(size[0] // stride, stride, size[1] // stride, stride).mean((1, 3))
        found = placement.reduced(small.astype(np.float32), outside=np.nan)
        known = np.isfinite(found)
        # One pixel of the map, in the image, is as far as it may be off.
        step = stride * length / extent / image[axis]
        assert np.abs(found - _place(found.shape, axis))[known].max() <= 0.51 * step + 1e-6
        inside = [(_place(found.shape, a) * image[a] - placement.source[a])
                  / placement.source[a + 2] for a in (0, 1)]
        expected = np.all([(i >= 0) & (i < 1) for i in inside], 0)
        assert (known == expected).all()
        # Both sides have one scale, up to the rounding of either.
        for a in (0, 1):
            exact = image[a] * placement.target[a + 2] / placement.source[a + 2] / stride
            assert abs(found.shape[a] - exact) <= 0.5 or found.shape[a] == 1


def test_stretched_labels_are_what_the_runtime_gave() -> None:
    _, placement = fit_image(np.zeros((360, 480, 3), np.uint8), (384, 512))
    labels = np.zeros((48, 64), np.uint8)
    assert placement.reduced(labels) is labels


@pytest.mark.parametrize('labels_at', LABELS_AT)
@pytest.mark.parametrize('fit', ['stretch', 'letterbox', 'crop'])
def test_segmenter(model: Model, labels_at: str, fit: str) -> None:
    segmenter = Segmenter.load(model, labels_at=labels_at, fit=fit, confidence=True, threads=1)
    assert segmenter.labels_at == labels_at
    (image,) = frames(1, (48, 48))
    found = segmenter.segment(image)
    sizes = {
        'stretch': {'network': (32, 64), '1/4': (8, 16), '1/8': (4, 8)},
        'letterbox': {'network': (32, 32), '1/4': (8, 8), '1/8': (4, 4)},
        'crop': {'network': (64, 64), '1/4': (16, 16), '1/8': (8, 8)},
    }[fit]
    assert found.labels.shape == sizes.get(labels_at, (48, 48))
    assert found.confidence is not None and found.confidence.shape == found.labels.shape
    unseen = found.labels == 255
    assert unseen.any() == (fit == 'crop')
    assert (found.confidence[unseen] == 0).all() and (found.confidence[~unseen] > 0).all()


def test_each_is_the_network_s_answer_at_its_size(model: Model) -> None:
    (image,) = frames(1, SIZE)
    whole = Segmenter.load(model, threads=1).segment(image).labels
    network = Segmenter.load(model, labels_at='network', threads=1).segment(image).labels
    assert (whole == network).all()
    assert len(np.unique(whole)) > 3
    # The frame is of blocks of 4 pixels, so their mean is any of them.
    quarter = Segmenter.load(model, labels_at='1/4', threads=1).segment(image).labels
    assert (quarter == whole[::4, ::4]).all()


def test_unknown() -> None:
    with pytest.raises(SegnodeError, match="labels_at must be image, network, 1/4 or 1/8, not '1"):
        Segmenter.load('fsffnet', labels_at='1/2')


def test_sides_that_are_no_multiples(tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime')
    write_network(tmp_path / 'net.onnx', size=(36, 60))
    path = describe(tmp_path / 'mine.yaml', 'net.onnx')
    assert Segmenter.load(path, labels_at='1/4').segment(
        frames(1, (36, 60))[0]).labels.shape == (9, 15)
    with pytest.raises(SegnodeError, match='labels at 1/8 need an input whose height and width '
                       'are multiples of 8, not 36x60'):
        Segmenter.load(path, labels_at='1/8')


def test_predict(model: Model, tmp_path: Path, capsys: Any) -> None:
    assert model.custom is not None
    (image,) = frames(1, (40, 50))
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    truth = np.full((40, 50), 3, np.uint8)
    (tmp_path / 'truth').mkdir()
    cv2.imwrite(str(tmp_path / 'truth' / 'a.png'), truth)
    arguments = [str(tmp_path / 'a.png'), '--model', str(model.custom.path), '--out',
                 str(tmp_path / 'out'), '--truth', str(tmp_path / 'truth')]
    assert predict([*arguments, '--labels-at', '1/4']) == 0
    line = capsys.readouterr().out

    def picture(kind: str) -> np.ndarray:
        return np.asarray(cv2.imread(
            str(tmp_path / 'out' / f'a_{kind}.png'), cv2.IMREAD_UNCHANGED))

    labels = Segmenter.load(model, labels_at='1/4').segment(image).labels
    assert (picture('labels') == labels).all() and labels.shape == (8, 16)
    colors = model.record.label_set.palette[labels][..., ::-1]
    assert (picture('color') == colors).all()
    assert picture('overlay').shape == (40, 50, 3)
    assert picture('side').shape[0] == picture('compare').shape[0] == 40
    share = (at_size(labels, (40, 50)) == 3).mean()
    assert f'{share:.1%} right' in line
    # With labels at the image's size nothing is as it was with fewer.
    assert predict(arguments) == 0
    assert picture('labels').shape == (40, 50)

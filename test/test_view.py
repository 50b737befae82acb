# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Region of interest, rotation, ego mask and grouped labels: in the Segmenter and in predict."""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
from typing import Any
import zlib

import cv2
import numpy as np
import pytest

from segnode.__main__ import main
from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.label_grouping import load_grouping
from segnode.labels import load_label_set
from segnode.model import Model
from segnode.runtimes.base import LABELS_AT
from segnode.segmenter import Segmenter
from segnode.view import checked_roi, View
from small_custom import describe, frames, SIZE, write_network


@pytest.fixture(scope='module')
def path(tmp_path_factory: Any) -> Path:
    """Return a network that gives each pixel a label by its colour alone."""
    pytest.importorskip('onnxruntime')
    folder = tmp_path_factory.mktemp('view')
    write_network(folder / 'net.onnx', stride=1, batch=None)
    return describe(folder / 'mine.yaml', 'net.onnx')


@pytest.fixture(scope='module')
def load(path: Path, tmp_path_factory: Any) -> Callable[..., Segmenter]:
    """Return what loads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        model = Model.load(path)
        yield lambda **options: Segmenter.load(model, confidence=True, threads=1, **options)


def same(found: Any, labels: np.ndarray, confidence: np.ndarray | None) -> None:
    np.testing.assert_array_equal(found.labels, labels)
    assert confidence is not None
    np.testing.assert_array_equal(found.confidence, confidence)


@pytest.mark.parametrize('rotation', [90, 180, 270])
@pytest.mark.parametrize('labels_at', LABELS_AT)
@pytest.mark.parametrize('fit', ['stretch', 'letterbox', 'crop'])
def test_a_turned_image_gives_the_turned_labels(
    load: Callable[..., Segmenter], rotation: int, labels_at: str, fit: str
) -> None:
    options = {'labels_at': labels_at, 'fit': fit}
    plain, turned = load(**options), load(rotation=rotation, **options)
    for size in (SIZE, (48, 80), (37, 29), (64, 128)):
        (upright,) = frames(1, size)
        expected = plain.segment(upright)
        assert len(np.unique(expected.labels)) > 1
        # So many quarters counterclockwise is what the camera is turned by.
        quarters = rotation // 90
        found = turned.segment(np.rot90(upright, quarters))
        same(found, np.rot90(expected.labels, quarters), np.rot90(expected.confidence, quarters))


@pytest.mark.parametrize('fit', ['stretch', 'letterbox', 'crop'])
@pytest.mark.parametrize('roi, pixels', [
    ([10, 20, 30, 50], (10, 20, 30, 50)),
    ([0, 0, 60, 100], (0, 0, 60, 100)),
    ([59.0, 99.0, 1.0, 2.0], None),
    ([0.25, 0.5, 0.75, 0.5], (15, 50, 45, 50)),
    ([0.7, 0.0, 0.3, 1.0], (42, 0, 18, 100)),
    ([0.99, 0.999, 0.001, 0.001], (59, 99, 1, 1)),
])
def test_labels_of_a_region_are_those_of_the_cropped_image(
    load: Callable[..., Segmenter], fit: str, roi: list[float], pixels: Any
) -> None:
    (image,) = frames(1, (60, 100))
    segmenter = load(roi=roi, fit=fit)
    if pixels is None:
        with pytest.raises(SegnodeError, match='1x2 at row 59, column 99, reaches beyond an image '
                           'of 60x100'):
            segmenter.segment(image)
        return
    top, left, height, width = pixels
    inside = (slice(top, top + height), slice(left, left + width))
    alone = load(fit=fit).segment(image[inside])
    labels, confidence = np.full((60, 100), 255, np.uint8), np.zeros((60, 100), np.uint8)
    labels[inside], confidence[inside] = alone.labels, alone.confidence
    same(segmenter.segment(image), labels, confidence)


@pytest.mark.parametrize('rotation', [0, 90, 180, 270])
@pytest.mark.parametrize('stride, labels_at', [(1, 'network'), (4, '1/4'), (8, '1/8')])
def test_a_region_at_network_size(
    load: Callable[..., Segmenter], stride: int, labels_at: str, rotation: int
) -> None:
    """The labels show the whole image at the scale at which the network saw the region."""
    height, width = SIZE
    (image,) = frames(1, (2 * height, 3 * width))
    roi = (height // 2, width, height, width)
    inside = image[height // 2:height // 2 + height, width:2 * width]
    alone = load(labels_at=labels_at).segment(inside).labels
    expected = np.full((2 * height // stride, 3 * width // stride), 255, np.uint8)
    top, left = height // 2 // stride, width // stride
    expected[top:top + height // stride, left:left + width // stride] = alone
    quarters = rotation // 90
    # The region is told in the image as the camera gives it.
    marked = np.zeros(image.shape[:2], np.uint8)
    marked[roi[0]:roi[0] + height, roi[1]:roi[1] + width] = 1
    rows, columns = np.nonzero(np.rot90(marked, quarters))
    turned_roi = (rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1)
    found = load(labels_at=labels_at, roi=turned_roi, rotation=rotation).segment(
        np.rot90(image, quarters))
    np.testing.assert_array_equal(found.labels, np.rot90(expected, quarters))
    assert found.confidence is not None
    assert ((found.confidence == 0) == (found.labels == 255)).all()


@pytest.mark.parametrize('rotation', [0, 90, 180, 270])
@pytest.mark.parametrize('fit', ['stretch', 'letterbox', 'crop'])
def test_a_region_of_a_turned_image_is_put_where_it_was(fit: str, rotation: int) -> None:
    """A picture of places that goes to the network and back is at its own place again."""
    rows, columns = np.indices((90, 120), np.uint8)
    image = np.stack([rows, columns, rows], 2)
    roi = (20, 30, 40, 60)
    view = View.of(roi, rotation)
    fitted, placement = view.fit(image, (80, 120), fit)
    for channel, places in ((0, rows), (1, columns)):
        back = view.restore(placement.restore(fitted[..., channel].astype(np.float32),
                                              outside=-9), -9)
        seen = back != -9
        assert not np.delete(seen, slice(20, 60), 0).any()
        assert not np.delete(seen, slice(30, 90), 1).any()
        assert seen.mean() > 0.4 * 40 * 60 / (90 * 120)
        assert np.abs(back - places)[seen].max() <= 2
    turned = np.rot90(image[20:60, 30:90], -(rotation // 90))
    np.testing.assert_array_equal(fitted, fit_image(turned, (80, 120), fit)[0])


def test_an_ego_mask(load: Callable[..., Segmenter], tmp_path: Path) -> None:
    (image,) = frames(1, (40, 60))
    mask = np.zeros((20, 30, 4), np.uint8)
    mask[..., 3] = 255  # opaque everywhere: not a channel that counts
    mask[14:, 5:25, 1] = 7
    cv2.imwrite(str(tmp_path / 'ego.png'), mask)
    ego = np.zeros((40, 60), bool)
    ego[28:, 10:50] = True
    plain = load().segment(image)
    assert plain.confidence is not None
    for given in (tmp_path / 'ego.png', mask[..., 1], ego):
        segmenter = load(ego_mask=given)
        for _ in range(2):
            same(segmenter.segment(image), np.where(ego, 255, plain.labels),
                 np.where(ego, 0, plain.confidence))
        # Another size in between, such as a camera that is switched over.
        (other,) = frames(1, (80, 120))
        assert (segmenter.segment(other).labels[56:, 20:100] == 255).all()
    at_network = load(ego_mask=ego, labels_at='1/4').segment(image).labels
    assert (at_network[6:, 3:13] == 255).all() and (at_network[:5] != 255).all()


def test_all_of_it_together(load: Callable[..., Segmenter], tmp_path: Path) -> None:
    """The order: region, turn, network, turn back, put back, ego mask; and grouped."""
    (image,) = frames(1, (60, 100))
    ego = np.zeros((60, 100), np.uint8)
    ego[30:] = 1
    grouping = load_grouping('driving', load_label_set('camvid'))
    segmenter = load(roi=(10, 20, 40, 60), rotation=270, ego_mask=ego, label_grouping='driving')
    turned = np.rot90(image[10:50, 20:80], 1)
    alone = load().segment(turned)
    labels, confidence = np.full((60, 100), 255, np.uint8), np.zeros((60, 100), np.uint8)
    labels[10:50, 20:80] = grouping.table[np.rot90(alone.labels, -1)]
    assert alone.confidence is not None
    confidence[10:50, 20:80] = np.rot90(alone.confidence, -1)
    labels[30:], confidence[30:] = 255, 0
    found = segmenter.segment(image)
    same(found, labels, confidence)
    assert len(np.unique(found.labels)) > 3
    assert segmenter.label_set.name == 'driving'
    assert segmenter.model.record.label_set.name == 'camvid'
    # The runtime's own arrays are not written to, nor is the camera's image.
    same(segmenter.segment(image), labels, confidence)
    np.testing.assert_array_equal(image, frames(1, (60, 100))[0])


@pytest.mark.parametrize('labels_at', LABELS_AT)
def test_grouped_labels(load: Callable[..., Segmenter], labels_at: str) -> None:
    (image,) = frames(1, (50, 70))
    table = load_grouping('driving', load_label_set('camvid')).table
    plain = load(labels_at=labels_at).segment(image)
    same(load(labels_at=labels_at, label_grouping='driving').segment(image),
         table[plain.labels], plain.confidence)


def test_uncertainty_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is at its maximum, which is that of the model's classes, not of the groups."""
    small_bayesian = pytest.importorskip('small_bayesian')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    segmenter = Segmenter.load(
        small_bayesian.stem(), samples=2, threads=1, roi=(0.5, 0, 0.5, 1), rotation=180,
        label_grouping='driving')
    (image,) = frames(1, (64, 64))
    found = segmenter.segment(image).uncertainty
    assert found is not None
    np.testing.assert_allclose(found.entropy[:32], np.log(11), rtol=1e-6)
    assert (found.entropy[32:] < np.log(11)).all()


def test_warm_up_needs_no_image(load: Callable[..., Segmenter]) -> None:
    load(roi=(500, 500, 100, 100)).warm_up()


@pytest.mark.parametrize('roi', [
    [], [0, 0, 5], [0, 0, 5, 5, 5], [0, 0, 0, 5], [0, 0, 5, -1], [-1, 0, 5, 5], ['a', 0, 5, 5],
    [0.5, 0, 0.6, 1], [0, 0.5, 10, 10], [0, 0, 10.5, 10], [0, 0, float('nan'), 1],
    [0, 0, float('inf'), 5], [2, 2, 1, 1],
])
def test_no_region(roi: list[Any]) -> None:
    with pytest.raises(SegnodeError, match=r'roi must be \[top, left, height, width\]'):
        checked_roi(roi)


def test_wrong_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SegnodeError, match='rotation must be 0, 90, 180 or 270, not 45'):
        View.of(rotation=45)
    (tmp_path / 'no.png').write_text('no picture')
    for name in ('no.png', 'gone.png', 'long.png' * 100):
        with pytest.raises(SegnodeError, match=f'the ego mask .*{name} cannot be read'):
            View.of(ego_mask=tmp_path / name)
    os.mkfifo(tmp_path / 'pipe.png')
    with monkeypatch.context() as patch:
        patch.setattr(np, 'fromfile', lambda *_: pytest.fail('this would wait for ever'))
        with pytest.raises(SegnodeError, match='pipe.png cannot be read'):
            View.of(ego_mask=tmp_path / 'pipe.png')
    small = cv2.imencode('.png', np.zeros((8, 8), np.uint8))[1].tobytes()
    header = small[12:16] + 2 * (40000).to_bytes(4, 'big') + small[24:29]
    (tmp_path / 'large.png').write_bytes(
        small[:12] + header + zlib.crc32(header).to_bytes(4, 'big') + small[33:])
    with monkeypatch.context() as patch:
        patch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('this would take gigabytes'))
        with pytest.raises(SegnodeError, match='large.png cannot be read'):
            View.of(ego_mask=tmp_path / 'large.png')
    with pytest.raises(SegnodeError, match='nonzero everywhere'):
        View.of(ego_mask=np.ones((4, 4), np.uint8))
    with pytest.raises(SegnodeError, match='must be'):
        View.of(ego_mask=np.ones(4, np.uint8))
    assert View.of().plain and not View.of(rotation=90).plain
    assert View.of([0, 0, 1, 1]).plain and not View.of([0, 0, 0.5, 1]).plain


def test_predict(path: Path, tmp_path: Path, capsys: Any, load: Callable[..., Segmenter]) -> None:
    (image,) = frames(1, (40, 50))
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    ego = np.zeros((40, 50), np.uint8)
    ego[35:] = 255
    cv2.imwrite(str(tmp_path / 'ego.png'), ego)
    (tmp_path / 'truth').mkdir()
    truth = np.random.default_rng(0).integers(0, 11, (40, 50)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / 'truth' / 'a.png'), truth)
    command = ['predict', str(tmp_path / 'a.png'), '--model', str(path), '--out',
               str(tmp_path / 'out'), '--json', '--truth', str(tmp_path / 'truth'),
               '--roi', '4,5,36,40', '--rotation', '90', '--ego-mask', str(tmp_path / 'ego.png'),
               '--label-grouping', 'driving']
    assert main(command) == 0
    (answer,) = json.loads(capsys.readouterr().out)['images']
    labels = cv2.imread(str(tmp_path / 'out' / 'a_labels.png'), cv2.IMREAD_UNCHANGED)
    segmenter = load(roi=(4, 5, 36, 40), rotation=90, ego_mask=ego, label_grouping='driving')
    assert segmenter.grouping is not None
    np.testing.assert_array_equal(labels, segmenter.segment(image).labels)
    assert (labels[:4] == 255).all() and (labels[35:] == 255).all()
    colors = cv2.imread(str(tmp_path / 'out' / 'a_color.png'))
    np.testing.assert_array_equal(colors, segmenter.label_set.palette[labels][..., ::-1])
    assert set(answer['share']) <= {*segmenter.label_set.names, 'unlabelled'}
    # The truth is of the model's classes, and is grouped like the labels.
    right = (labels == segmenter.grouping.table[truth]).mean()
    assert answer['pixel_accuracy'] == pytest.approx(right, abs=1e-6)
    for wrong in ('1,2,3', 'a,b,c,d', '0,0,0,9', '0.5,0,0.6,1'):
        with pytest.raises(SystemExit):
            main([*command, '--roi', wrong])
        assert 'roi must be [top, left, height, width]' in capsys.readouterr().err


def test_images_of_several_cameras_have_views_of_their_own(load: Callable[..., Segmenter]) -> None:
    """In one run; without a view it is the segmenter's."""
    options = [{'rotation': 90}, {'roi': (0, 0, 1, 0.5), 'labels_at': 'image'}, {}]
    images = [frames(1, size)[0] for size in ((48, 80), SIZE, (37, 29))]
    segmenter = load()
    fitted = [segmenter.fitted(image, View.of(o.get('roi'), o.get('rotation', 0)))
              for image, o in zip(images[:2], options)]
    found = segmenter.run([*fitted, segmenter.fitted(images[2])])
    for one, image, given in zip(found, images, options):
        expected = load(**given).segment(image)
        same(one, expected.labels, expected.confidence)
    assert segmenter.run([]) == []

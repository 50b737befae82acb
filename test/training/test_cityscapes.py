# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The Cityscapes reader: the official layout, ids, planted faults, the real frames."""

from __future__ import annotations

from pathlib import Path
import re

import cv2
import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from training.datasets.base import read_ids
from training.datasets.cityscapes import CITYSCAPES, load_label
from training.datasets.registry import dataset

CLASSES = load_label_set('cityscapes')
# cityscapesScripts helpers/labels.py: the train id of ids 0 to 33.
TRAIN_IDS = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10,
                         11, 12, 13, 14, 15, 255, 255, 16, 17, 18]


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
    return path


def frame(root: Path, key: str, ids: np.ndarray, kind: str = 'labelIds') -> None:
    """Write one frame of split train: a black image and its labels."""
    city = key.partition('_')[0]
    write(root / 'leftImg8bit/train' / city / f'{key}_leftImg8bit.png',
          np.zeros((*ids.shape, 3), np.uint8))
    write(root / 'gtFine/train' / city / f'{key}_gtFine_{kind}.png', ids)


def test_label_ids_become_train_ids(tmp_path):
    frame(tmp_path, 'ulm_000001_000019', np.arange(34, dtype=np.uint8)[None])
    frame(tmp_path, 'aachen_000000_000019', np.uint8([[7, 26]]))
    # What else the archives have in these folders is no label file.
    write(tmp_path / 'gtFine/train/ulm/ulm_000001_000019_gtFine_color.png',
          np.zeros((1, 34, 3), np.uint8))
    write(tmp_path / 'gtFine/train/ulm/ulm_000001_000019_gtFine_instanceIds.png',
          np.zeros((1, 34), np.uint16))
    (tmp_path / 'gtFine/train/ulm/ulm_000001_000019_gtFine_polygons.json').write_text('{}')
    first, second = dataset('cityscapes').samples(tmp_path, 'train')
    assert (first.key, second.key) == ('aachen_000000_000019', 'ulm_000001_000019')
    image, label = CITYSCAPES.load(second, CITYSCAPES.label_set(tmp_path))
    assert image.shape == (1, 34, 3)
    assert label.dtype == np.uint8 and label[0].tolist() == TRAIN_IDS
    assert CITYSCAPES.load(first, CLASSES)[1].tolist() == [[0, 13]]


def test_ready_made_train_ids_only_where_there_are_no_label_ids(tmp_path):
    frame(tmp_path, 'ulm_000001_000019', np.uint8([[0, 18, 255]]), 'labelTrainIds')
    frame(tmp_path, 'ulm_000002_000019', np.uint8([[1, 1, 1]]), 'labelTrainIds')
    frame(tmp_path, 'ulm_000002_000019', np.uint8([[7, 33, 4]]))
    loaded = [CITYSCAPES.load(s, CLASSES)[1].tolist()
              for s in CITYSCAPES.samples(tmp_path, 'train')]
    assert loaded == [[[0, 18, 255]], [[0, 18, 255]]]


@pytest.mark.parametrize('lost', ['leftImg8bit/train/ulm/ulm_000002_000019_leftImg8bit.png',
                                  'gtFine/train/ulm/ulm_000002_000019_gtFine_labelIds.png'])
def test_a_missing_partner_is_named(tmp_path, lost):
    for number in (1, 2, 3):
        frame(tmp_path, f'ulm_00000{number}_000019', np.uint8([[7]]))
    (tmp_path / lost).unlink()
    with pytest.raises(SegnodeError, match='1 files .* no partner.*ulm_000002_000019'):
        CITYSCAPES.samples(tmp_path, 'train')


@pytest.mark.parametrize('kind, value, text', [
    ('labelIds', 34, 'the value 34, but files of Cityscapes label ids hold 0 to 33 and 255'),
    ('labelTrainIds', 19, 'the value 19, but files of Cityscapes train ids hold 0 to 18 and 255'),
])
def test_values_that_no_such_file_has_are_named(tmp_path, kind, value, text):
    path = write(tmp_path / f'ulm_000000_000019_gtFine_{kind}.png', np.uint8([[7, value, 255]]))
    with pytest.raises(SegnodeError, match=f'{re.escape(str(path))} holds {text}'):
        load_label(path, CLASSES)


def test_colours_are_no_ids(tmp_path):
    path = write(tmp_path / 'a_gtFine_labelIds.png', np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(SegnodeError, match='one 8-bit channel'):
        load_label(path, CLASSES)


def test_another_size_is_named(tmp_path):
    frame(tmp_path, 'ulm_000001_000019', np.uint8([[7, 7]]))
    write(tmp_path / 'gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png', np.uint8([[7]]))
    (sample,) = CITYSCAPES.samples(tmp_path, 'train')
    with pytest.raises(SegnodeError, match=r'is 1x2, but its label .* is 1x1'):
        CITYSCAPES.load(sample, CLASSES)


def test_a_missing_split_names_the_folders(tmp_path):
    frame(tmp_path, 'ulm_000001_000019', np.uint8([[7]]))
    with pytest.raises(SegnodeError, match='leftImg8bit/val and gtFine/val'):
        CITYSCAPES.samples(tmp_path, 'val')


def test_one_frame_in_two_places_is_refused(tmp_path):
    frame(tmp_path, 'ulm_000001_000019', np.uint8([[7]]))
    write(tmp_path / 'leftImg8bit/train/bonn/ulm_000001_000019_leftImg8bit.png',
          np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(SegnodeError, match='are of the same frame'):
        CITYSCAPES.samples(tmp_path, 'train')


def test_the_folder_comes_from_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv('CITYSCAPES_DATASET', raising=False)
    with pytest.raises(SegnodeError, match='CITYSCAPES_DATASET'):
        CITYSCAPES.folder()
    monkeypatch.setenv('CITYSCAPES_DATASET', str(tmp_path))
    assert CITYSCAPES.folder() == tmp_path


def test_the_real_frames(data_root):
    root = data_root / 'cityscapes_frames'
    if not root.is_dir():
        pytest.skip(f'no Cityscapes: {root} is not there')
    samples = CITYSCAPES.samples(root, 'train')
    assert [s.key for s in samples[::4]] == ['aachen_000000_000019', 'bochum_000000_000313']
    assert len(samples) == 8
    seen = set()
    for sample in samples[:2]:
        image, label = CITYSCAPES.load(sample, CLASSES)
        assert image.shape == (1024, 2048, 3) and label.shape == (1024, 2048)
        seen |= set(np.unique(label).tolist())
    assert {0, 1, 2, 5, 8, 10, 13} < seen <= {*range(19), 255}


def test_our_mapping_is_theirs(data_root):
    """A frame of which both files exist, the train ids made by cityscapesScripts."""
    stem = data_root / 'cityscapes_frames/tiny/frankfurt_000000_000294_gtFine'
    if not stem.parent.is_dir():
        pytest.skip(f'{stem.parent} is not there')
    ids = read_ids(Path(f'{stem}_labelIds.png'))
    made = load_label(Path(f'{stem}_labelIds.png'), CLASSES)
    theirs = load_label(Path(f'{stem}_labelTrainIds.png'), CLASSES)
    assert (made == theirs).mean() > 0.997  # the two were shrunk apart: edges differ
    assert len(np.unique(ids)) == 14
    for label_id in np.unique(ids):
        assert np.bincount(theirs[ids == label_id]).argmax() == TRAIN_IDS[label_id]

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The CamVid reader: its layouts, its faults, the real data."""

import cv2
import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from training.datasets import camvid
from training.datasets.camvid import CAMVID

CLASSES = load_label_set('camvid')


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def test_segnet_layout_maps_11_to_unlabelled(tmp_path):
    label = np.array([[0, 10], [11, 3]], np.uint8)
    write(tmp_path / 'train' / 'a.png', np.zeros((2, 2, 3), np.uint8))
    write(tmp_path / 'trainannot' / 'a.png', label)
    (sample,) = CAMVID.samples(tmp_path, 'train')
    image, read = CAMVID.load(sample, CLASSES)
    assert image.shape == (2, 2, 3)
    assert read.tolist() == [[0, 10], [255, 3]]


def test_full_size_layout_merges_32_colours(tmp_path):
    # R, G, B: building, archway, lane marking, road shoulder, truck, child, scooter, void
    rgb = [(128, 0, 0), (192, 0, 128), (128, 0, 192), (128, 128, 192),
           (192, 128, 192), (192, 128, 64), (192, 0, 192), (0, 0, 0)]
    mask = np.array([[c[::-1] for c in rgb]], np.uint8)
    write(tmp_path / 'val' / 'f_1.png', np.zeros((1, 8, 3), np.uint8))
    write(tmp_path / 'val_labels' / 'f_1_L.png', mask)
    (sample,) = CAMVID.samples(tmp_path, 'val')
    assert sample.key == 'f_1'
    assert CAMVID.load(sample, CLASSES)[1].tolist() == [[1, 1, 3, 4, 8, 9, 10, 255]]


def test_every_colour_belongs_to_one_class():
    colors = [c for group in camvid.COLORS_OF_CLASS.values() for c in group]
    assert len(colors) == len(set(colors)) == 31  # 32 with void


def test_a_file_without_partner_is_named(tmp_path):
    for name in ('a', 'b'):
        write(tmp_path / 'train' / 'images' / f'{name}.png', np.zeros((2, 2, 3), np.uint8))
    write(tmp_path / 'train' / 'labels' / 'a.png', np.zeros((2, 2), np.uint8))
    with pytest.raises(SegnodeError, match='no partner, first: .*b'):
        CAMVID.samples(tmp_path, 'train')


def test_wrong_label_values_and_sizes_are_named(tmp_path):
    write(tmp_path / 'train' / 'images' / 'a.png', np.zeros((2, 2, 3), np.uint8))
    write(tmp_path / 'train' / 'labels' / 'a.png', np.full((2, 2), 17, np.uint8))
    (sample,) = CAMVID.samples(tmp_path, 'train')
    with pytest.raises(SegnodeError, match=r'a\.png holds the label 17'):
        CAMVID.load(sample, CLASSES)
    write(tmp_path / 'train' / 'labels' / 'a.png', np.zeros((2, 3), np.uint8))
    with pytest.raises(SegnodeError, match='is 2x2, but its label a.png is 2x3'):
        CAMVID.load(sample, CLASSES)


def test_missing_split_names_what_was_looked_for(tmp_path):
    with pytest.raises(SegnodeError, match=r'test.*images \+ labels'):
        CAMVID.samples(tmp_path, 'test')


@pytest.mark.parametrize('layout, split, count', [
    ('camvid', 'train', 367), ('camvid', 'val', 101),
    ('camvid_720', 'train', 231), ('camvid_720', 'val', 77),
])
def test_real_data(data_root, layout, split, count):
    samples = CAMVID.samples(data_root / layout, split)
    assert len(samples) == count
    image, label = CAMVID.load(samples[0], CLASSES)
    assert image.shape[:2] == label.shape == ((360, 480) if layout == 'camvid' else (720, 960))
    # A road frame: most of it labelled, road in the lower half.
    assert (label != 255).mean() > 0.9
    assert (label[label.shape[0] // 2:] == 3).mean() > 0.15


@pytest.mark.parametrize('mask', [
    np.full((2, 2, 3), 7, np.uint8),  # ids stored as grey RGB
    np.array([[[0, 0, 128], [1, 2, 3]]], np.uint8),
])
def test_a_colour_that_is_not_camvids_is_named(tmp_path, mask):
    write(tmp_path / 'a_L.png', mask)
    with pytest.raises(SegnodeError, match=r'a_L\.png holds the colour'):
        camvid.load_label(tmp_path / 'a_L.png')


def test_wide_ids_do_not_wrap(tmp_path):
    write(tmp_path / 'a.png', np.full((2, 2), 259, np.uint16))
    with pytest.raises(SegnodeError, match='holds the label 259'):
        camvid.load_label(tmp_path / 'a.png')


@pytest.mark.parametrize('key, split', [
    ('0001TP_008520', 'train'), ('0001TP_008550', 'test'), ('0006R0_f02310', 'train'),
    ('0016E5_08640', 'train'), ('0016E5_07960', 'train'), ('0016E5_07959', 'val'),
    ('0016E5_08159', 'val'), ('0016E5_08161', 'train'), ('Seq05VD_f00000', 'test'),
    ('street_1', ''), ('Seq05VD', ''),
])
def test_a_frame_names_its_published_split(key, split):
    assert camvid.split_of(key) == split


@pytest.mark.parametrize('layout', ['camvid', 'camvid_720'])
def test_the_real_splits_are_the_published_ones(data_root, layout):
    for split in ('train', 'val'):
        keys = [sample.key for sample in CAMVID.samples(data_root / layout, split)]
        assert {camvid.split_of(key) for key in keys} == {split}


def test_another_split_under_the_same_names_is_told(tmp_path, caplog):
    for split in ('val', 'mine'):
        for key in ('0016E5_07961', 'Seq05VD_f00030'):
            write(tmp_path / split / 'images' / f'{key}.png', np.zeros((2, 2, 3), np.uint8))
            write(tmp_path / split / 'labels' / f'{key}.png', np.zeros((2, 2), np.uint8))
    assert len(CAMVID.samples(tmp_path, 'mine')) == 2 and not caplog.records
    assert len(CAMVID.samples(tmp_path, 'val')) == 2
    assert '1 frames of camvid:val are in another published split, first: Seq05VD' in caplog.text

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Cityscapes' coarse annotations, its instance files, and images without labels."""

import json
import logging

import cv2
import numpy as np
import pytest

pytest.importorskip('tqdm')

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
import small_cityscapes
from training.cli import main
from training.datasets.bdd100k import BDD100K
from training.datasets.cityscapes import CITYSCAPES, CITYSCAPES_COARSE, CORRUPT
from training.datasets.source import open_pool, refuse_overlap

CLASSES = load_label_set('cityscapes')


def test_coarse_labels_of_every_split(tmp_path):
    for split, numbers in (('train', (1,)), ('val', (2,)), ('train_extra', (3, 4))):
        for number in numbers:
            small_cityscapes.add_frame(tmp_path, number, split, 'gtCoarse')
    fine, _ = small_cityscapes.add_frame(tmp_path, 1, 'train', 'gtFine')
    roots = {'cityscapes': str(tmp_path)}  # one folder serves both
    pool = open_pool(['cityscapes:train', 'cityscapes_coarse:train_extra'], roots)
    assert len(pool) == 3
    assert pool.load(0)[1].tolist() == CLASSES.raw_to_train[fine].tolist()
    assert [s.label.name for s in pool.sources[1].samples] == [
        f'{small_cityscapes.key(n)}_gtCoarse_labelIds.png' for n in (4, 3)]
    # The fine dataset has no other labels for this split.
    assert open_pool('cityscapes:train_extra', roots).sources[0].samples == (
        pool.sources[1].samples)
    assert len(open_pool('cityscapes_coarse:val', {'cityscapes_coarse': str(tmp_path)})) == 1
    assert CITYSCAPES_COARSE.counts == {'train': 2975, 'val': 500, 'train_extra': 19998}
    with pytest.raises(SegnodeError, match='gtCoarse/test'):
        open_pool('cityscapes_coarse:test', roots)


def test_one_frame_has_one_name_in_both(tmp_path):
    for annotation in ('gtFine', 'gtCoarse'):
        small_cityscapes.add_frame(tmp_path, 2, 'val', annotation)
    roots = {'cityscapes': str(tmp_path)}
    coarse, fine = (open_pool(f'{n}:val', roots) for n in ('cityscapes_coarse', 'cityscapes'))
    assert coarse.keys() == fine.keys() == ['cityscapes/aachen_000002_000019']
    assert coarse.key(0) == fine.key(0)
    with pytest.raises(SegnodeError, match='1 frames are in both cityscapes_coarse:val and'):
        refuse_overlap(coarse, fine)


def test_check_data_knows_that_the_images_are_the_same(tmp_path, capsys):
    for annotation in ('gtFine', 'gtCoarse'):
        small_cityscapes.add_frame(tmp_path, 2, 'val', annotation)
    small_cityscapes.add_frame(tmp_path, 2, 'train_extra', 'gtCoarse')
    command = ['check-data', '--root', f'cityscapes={tmp_path}', '--root',
               f'cityscapes_coarse={tmp_path}', '--out', str(tmp_path / 'out'), '--json']
    assert main([*command, 'cityscapes:val', 'cityscapes_coarse:val']) == 0
    assert json.loads(capsys.readouterr().out)['overlaps'] == []
    assert main([*command, 'cityscapes:val', 'cityscapes_coarse:train_extra']) == 1
    assert json.loads(capsys.readouterr().out)['overlaps'] == [
        'cityscapes:val and cityscapes_coarse:train_extra share 1 frames, first: '
        'aachen_000002_000019.']


def test_the_folder_of_both_is_one_variable(tmp_path, monkeypatch):
    monkeypatch.setenv('CITYSCAPES_DATASET', str(tmp_path))
    assert CITYSCAPES_COARSE.folder() == CITYSCAPES.folder() == tmp_path
    monkeypatch.delenv('CITYSCAPES_DATASET')
    with pytest.raises(SegnodeError, match='set CITYSCAPES_DATASET'):
        CITYSCAPES_COARSE.folder()


def test_the_black_frame_is_left_out_and_told_once(tmp_path, caplog):
    small_cityscapes.add_frame(tmp_path, 3, 'train_extra', 'gtCoarse')
    city, ids = CORRUPT.partition('_')[0], np.zeros((8, 8), np.uint8)
    for path in (f'leftImg8bit/train_extra/{city}/{CORRUPT}_leftImg8bit.png',
                 f'gtCoarse/train_extra/{city}/{CORRUPT}_gtCoarse_labelIds.png'):
        small_cityscapes.write(tmp_path / path, ids)
    with caplog.at_level(logging.WARNING, 'segnode'):
        for _ in range(2):
            keys = [s.key for s in CITYSCAPES_COARSE.samples(tmp_path, 'train_extra')]
    assert keys == ['ulm_000003_000019']
    assert caplog.text.count('troisdorf_000000_000073') == 1
    assert list(CITYSCAPES.images(tmp_path, 'train_extra')) == keys


def test_instances_are_read_with_all_16_bits(tmp_path):
    _, numbers = small_cityscapes.add_frame(tmp_path, 5)
    small_cityscapes.add_frame(tmp_path, 6, instances=False)
    pool = open_pool('cityscapes:val', {'cityscapes': str(tmp_path)})
    assert pool.keys()[0].endswith('aachen_000006_000019')
    assert pool.load_instances(0) is None
    read = pool.load_instances(1)
    assert read.dtype == np.uint16 and read.max() > 24000 and (read == numbers).all()
    # In another label set the ids in them mean nothing.
    mapped = open_pool('cityscapes:val', {'cityscapes': str(tmp_path)}, load_label_set('camvid'))
    assert mapped.load_instances(1) is None
    sample = pool.sources[0].samples[1]
    path = sample.label.with_name(sample.label.name.replace('labelIds', 'instanceIds'))
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SegnodeError, match='instanceIds.png is not a readable image of one 16'):
        pool.load_instances(1)


def test_images_of_splits_without_labels(tmp_path):
    images = tmp_path / 'leftImg8bit/test/berlin'
    small_cityscapes.write(images / 'berlin_000000_000019_leftImg8bit.png',
                           np.zeros((4, 8, 3), np.uint8))
    assert list(CITYSCAPES.images(tmp_path, 'test')) == ['berlin_000000_000019']
    with pytest.raises(SegnodeError, match='gtFine/test'):
        CITYSCAPES.samples(tmp_path, 'test')
    with pytest.raises(SegnodeError, match='looked for the folder leftImg8bit/val'):
        CITYSCAPES.images(tmp_path, 'val')
    (tmp_path / 'leftImg8bit/val').mkdir()
    with pytest.raises(SegnodeError, match='cityscapes:val in .* has no images'):
        CITYSCAPES.images(tmp_path, 'val')


@pytest.mark.parametrize('folder', ['images/10k/test', 'bdd100k/seg/images/test'])
def test_bdd100k_test_images(tmp_path, folder):
    small_cityscapes.write(tmp_path / folder / 'a-1.jpg', np.zeros((4, 8, 3), np.uint8))
    assert list(BDD100K.images(tmp_path, 'test')) == ['a-1']
    with pytest.raises(SegnodeError, match='No BDD100K split "val".*looked for images'):
        BDD100K.images(tmp_path, 'val')

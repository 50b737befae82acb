# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets: their layouts and faults, one label set for several, and where they lie."""

import json
import logging

import cv2
import numpy as np
from PIL import Image
import pytest

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from training.datasets.bdd100k import BDD100K
from training.datasets.label_maps import label_map
from training.datasets.mapillary import MAPILLARY, MAPILLARY_V2
from training.datasets.source import open_pool, refuse_overlap

CITYSCAPES = load_label_set('cityscapes')
VISTAS = load_label_set('mapillary')


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.asarray(array, np.uint8))


def write_palette(path, ids):
    """Write a PNG as Mapillary does: indices into a palette of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(ids, np.uint8), mode='P')
    picture.putpalette([(7 * i) % 256 for i in range(768)])
    picture.save(path)


PICTURE = np.zeros((2, 3, 3))
IDS = [[0, 18, 255], [10, 13, 5]]


@pytest.mark.parametrize('base, images, masks, suffix', [
    ('', 'images/10k', 'labels/sem_seg/masks', ''),
    ('bdd100k', 'images/10k', 'labels/sem_seg/masks', ''),
    ('', 'seg/images', 'seg/labels', '_train_id'),
    ('bdd100k', 'images/100k', 'labels/sem_seg/masks', '_train_id'),
])
def test_bdd100k_layouts(tmp_path, base, images, masks, suffix):
    write(tmp_path / base / images / 'val' / 'a-1.jpg', PICTURE)
    write(tmp_path / base / masks / 'val' / f'a-1{suffix}.png', IDS)
    (sample,) = BDD100K.samples(tmp_path, 'val')
    assert sample.key == 'a-1'
    image, label = BDD100K.load(sample, BDD100K.label_set(tmp_path))
    assert image.shape == (2, 3, 3) and label.tolist() == IDS


def test_bdd100k_takes_the_images_that_the_masks_belong_to(tmp_path):
    for folder, stem in (('images/10k', 'b'), ('images/100k', 'a')):
        write(tmp_path / folder / 'train' / f'{stem}.jpg', PICTURE)
    write(tmp_path / 'labels/sem_seg/masks/train/a.png', IDS)
    assert [s.image.parent.parent.name for s in BDD100K.samples(tmp_path, 'train')] == ['100k']


def test_bdd100k_files_without_partner_are_left_out_and_told(tmp_path, caplog):
    for stem in ('a', 'b'):
        write(tmp_path / 'images/10k/train' / f'{stem}.jpg', PICTURE)
    for stem in ('b', 'c'):
        write(tmp_path / 'labels/sem_seg/masks/train' / f'{stem}.png', IDS)
    with caplog.at_level(logging.WARNING, 'segnode'):
        assert [s.key for s in BDD100K.samples(tmp_path, 'train')] == ['b']
    assert '2 files of bdd100k:train have no partner' in caplog.text and 'a.jpg' in caplog.text


def test_bdd100k_faults_are_named(tmp_path):
    write(tmp_path / 'images/10k/val/a.jpg', PICTURE)
    mask = tmp_path / 'labels/sem_seg/masks/val/a.png'
    for ids, words in (
        ([[19, 0, 0], [0, 0, 0]], r'a\.png holds the label 19'),
        (np.zeros((3, 2)), r'is 2x3, but its label a\.png is 3x2'),
        (np.zeros((2, 3, 3)), 'not a label image of one 8-bit channel'),
    ):
        write(mask, ids)
        (sample,) = BDD100K.samples(tmp_path, 'val')
        with pytest.raises(SegnodeError, match=words):
            BDD100K.load(sample, CITYSCAPES)
    mask.write_bytes(b'no picture')
    with pytest.raises(SegnodeError, match=r'a\.png is not a readable label image'):
        BDD100K.load(sample, CITYSCAPES)
    with pytest.raises(SegnodeError, match='No BDD100K split "test"'):
        BDD100K.samples(tmp_path, 'test')


@pytest.mark.parametrize('labels', ['v1.2/labels', 'labels'])
def test_mapillary_palette_indices_are_the_labels(tmp_path, labels):
    write(tmp_path / 'training/images/a.jpg', PICTURE)
    write_palette(tmp_path / 'training' / labels / 'a.png', [[13, 64, 65], [0, 24, 55]])
    (sample,) = MAPILLARY.samples(tmp_path, 'train')
    _, label = MAPILLARY.load(sample, MAPILLARY.label_set(tmp_path))
    assert label.tolist() == [[13, 64, 255], [0, 24, 55]]
    write_palette(sample.label, [[66, 0, 0], [0, 0, 0]])
    with pytest.raises(SegnodeError, match=r'a\.png holds the id 66, which "mapillary" has not'):
        MAPILLARY.load(sample, VISTAS)


def test_mapillary_v2_has_the_classes_of_its_config(tmp_path):
    write(tmp_path / 'validation/images/a.jpg', PICTURE[:1])
    write_palette(tmp_path / 'validation/v2.0/labels/a.png', [[0, 1, 2]])
    with pytest.raises(SegnodeError, match=r'config_v2\.0\.json is missing'):
        MAPILLARY_V2.label_set(tmp_path)
    entries = [('Ground', True), ('Unlabeled', False), ('Sky', True)]
    (tmp_path / 'config_v2.0.json').write_text(json.dumps({'version': '2.0', 'labels': [
        {'readable': name, 'name': f'x--{name}', 'color': [i, i, i], 'instances': False,
         'evaluate': on} for i, (name, on) in enumerate(entries)]}))
    classes = MAPILLARY_V2.label_set(tmp_path)
    assert (classes.name, classes.names) == ('mapillary_v2.0', ('Ground', 'Sky'))
    (sample,) = MAPILLARY_V2.samples(tmp_path, 'val')
    assert MAPILLARY_V2.load(sample, classes)[1].tolist() == [[0, 255, 1]]


def test_a_real_mapillary_frame(data_root, tmp_path):
    (image,) = (data_root / 'mapillary_tiny' / 'images').iterdir()
    (label,) = (data_root / 'mapillary_tiny' / 'v1.2').iterdir()
    for source, folder in ((image, 'images'), (label, 'v1.2/labels')):
        (tmp_path / 'validation' / folder).mkdir(parents=True)
        (tmp_path / 'validation' / folder / source.name).symlink_to(source)
    _, native = open_pool('mapillary:val', {'mapillary': str(tmp_path)}).load(0)
    assert np.unique(native).tolist() == [17, 44, 45]  # building, street light, pole
    _, mapped = open_pool('mapillary:val', {'mapillary': str(tmp_path)}, CITYSCAPES).load(0)
    assert mapped.tolist() == np.select([native == 17, native == 45], [2, 5], 255).tolist()


def test_tables_from_one_label_set_to_another(tmp_path):
    table = label_map(VISTAS, CITYSCAPES)
    names = {VISTAS.names[i]: CITYSCAPES.names[t] for i, t in enumerate(table[:65]) if t < 255}
    assert names['Lane Marking - General'] == 'road' and names['On Rails'] == 'train'
    assert names['Utility Pole'] == 'pole' and 'Parking' not in names
    assert set(names.values()) == set(CITYSCAPES.names)
    assert (table[65:] == 255).all()
    assert label_map(CITYSCAPES, CITYSCAPES) is None
    camvid = load_label_set('camvid')
    # By way of Cityscapes: Mapillary's Bicyclist is its rider, which is CamVid's bicyclist.
    both = label_map(VISTAS, camvid)
    assert camvid.names[both[VISTAS.names.index('Bicyclist')]] == 'bicyclist'
    with pytest.raises(SegnodeError, match='No table leads from the classes of "camvid"'):
        label_map(camvid, CITYSCAPES)
    own = tmp_path / 'own.yaml'
    own.write_text('from: camvid\nto: cityscapes\nclasses: {road: [road, 4], sky: sky}\n')
    assert label_map(camvid, CITYSCAPES, [own])[:5].tolist() == [10, 255, 255, 0, 0]
    for text, words in (
        ('from: camvid\nto: cityscapes\nclasses: {street: [road]}', 'has no class "street"'),
        ('from: camvid\nto: cityscapes\nclasses: {road: [street]}', "has no class 'street'"),
        ('from: camvid\nto: cityscapes\nclasses: {road: [3], sky: [road]}', 'under both'),
        ('from: camvid', 'must hold from, to and classes'),
        ('a: [', 'cannot be read'),
    ):
        own.write_text(text)
        with pytest.raises(SegnodeError, match=words):
            label_map(camvid, CITYSCAPES, [own])


def test_several_datasets_become_one_label_set(tmp_path):
    for stem in ('a', 'b'):
        write(tmp_path / 'bdd/images/10k/train' / f'{stem}.jpg', PICTURE)
        write(tmp_path / 'bdd/labels/sem_seg/masks/train' / f'{stem}.png', IDS)
    write(tmp_path / 'vistas/training/images/a.jpg', PICTURE[:1])
    write_palette(tmp_path / 'vistas/training/v1.2/labels/a.png', [[13, 27, 10]])
    roots = {'bdd100k': str(tmp_path / 'bdd'), 'mapillary': str(tmp_path / 'vistas')}
    pool = open_pool(['bdd100k:train', 'mapillary:train'], roots)
    assert pool.label_set.names == CITYSCAPES.names
    assert pool.keys() == ['bdd100k/a', 'bdd100k/b', 'mapillary/a']
    assert pool.key(2) == 'mapillary/a'
    assert [pool.load(i)[1].tolist() for i in (1, 2)] == [IDS, [[0, 10, 255]]]
    counts = pool.class_pixels()
    assert counts.sum() == 2 * 5 + 2 and counts[10] == 3 and counts[0] == 3
    camvid = open_pool('bdd100k:train', roots, load_label_set('camvid'))
    assert camvid.load(0)[1].tolist() == [[3, 10, 255], [0, 8, 2]]


def test_data_that_cannot_be_opened(tmp_path, monkeypatch):
    monkeypatch.delenv('BDD100K_DATASET', raising=False)
    for specs, words in (
        ('bdd100k', 'DATASET:SPLIT'), ('nosuch:train', 'There is no dataset "nosuch"'),
        ('bdd100k:train', 'set BDD100K_DATASET'), ([], 'No data is named'),
        ('rendered:train-0', 'NAME or NAME-COUNT'),
    ):
        with pytest.raises(SegnodeError, match=words):
            open_pool(specs)
    monkeypatch.setenv('BDD100K_DATASET', str(tmp_path / 'gone'))
    with pytest.raises(SegnodeError, match='gone does not exist'):
        open_pool('bdd100k:train')


def test_rendered_scenes_are_a_dataset():
    pool = open_pool(['rendered:train-2', 'rendered:val-2'])
    (image, label), again = pool.load(1), pool.load(1)
    assert image.shape == (360, 480, 3) and (image == again[0]).all()
    assert (label == 3).mean() > 0.1 and label.max() < 11
    assert (pool.load(3)[0] != image).any()
    refuse_overlap(open_pool('rendered:train-2'), open_pool('rendered:val-2'))
    with pytest.raises(SegnodeError, match='2 frames are in both'):
        refuse_overlap(open_pool('rendered:train-2'), open_pool('rendered:train-3'))

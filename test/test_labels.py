# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Label sets: the built-in tables' values, look-ups, and every fault a user's file can have."""

import copy
import hashlib
import json
import logging
import os
from pathlib import Path
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import yaml

from segnode.errors import SegnodeError
from segnode.labels import BUILT_IN, IGNORE, LabelSet, load_label_set, load_mapillary_config

GOOD: dict[str, Any] = {
    'name': 'mine',
    'labels': [
        {'name': 'road', 'color': [1, 2, 3], 'category': 'flat', 'raw_ids': [7, 8]},
        {'name': 'car', 'color': [9, 0, 255], 'category': 'vehicle', 'raw_ids': [3],
         'has_instances': True},
        {'name': 'path', 'color': [4, 5, 6], 'category': 'flat'},
    ],
}


@pytest.mark.parametrize('name, count', [('cityscapes', 19), ('camvid', 11), ('mapillary', 65)])
def test_built_in_sets(name, count):
    """Each set has its classes, one colour each, and survives JSON and pickle."""
    label_set = load_label_set(name)
    assert (label_set.name, label_set.num_classes, len(label_set.names)) == (name, count, count)
    assert len(set(label_set.names)) == count
    assert len({label.color for label in label_set.labels}) == count
    assert sorted(sum(label_set.categories.values(), ())) == list(range(count))
    assert load_label_set(name) is label_set
    assert LabelSet.from_dict(json.loads(json.dumps(label_set.to_dict()))) == label_set
    assert pickle.loads(pickle.dumps(label_set)) == label_set
    assert hash(label_set) == hash(load_label_set(name))


def test_cityscapes_values():
    """The 19 classes as cityscapesScripts has them."""
    label_set = load_label_set('cityscapes')
    assert label_set.names == (
        'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign',
        'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train',
        'motorcycle', 'bicycle')
    assert label_set.train_to_raw[:19].tolist() == [
        7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert label_set.train_to_raw[IGNORE] == 0
    assert label_set.categories == {
        'flat': (0, 1), 'construction': (2, 3, 4), 'object': (5, 6, 7), 'nature': (8, 9),
        'sky': (10,), 'human': (11, 12), 'vehicle': (13, 14, 15, 16, 17, 18)}
    assert [i for i, label in enumerate(label_set.labels) if label.has_instances] == list(
        range(11, 19))
    assert label_set.palette[13].tolist() == [0, 0, 142]
    assert label_set.palette[18].tolist() == [119, 11, 32]


def test_camvid_values():
    """The 11 classes in SegNet's order, in the colours of the original masks."""
    label_set = load_label_set('camvid')
    assert label_set.names == ('sky', 'building', 'pole', 'road', 'sidewalk', 'tree', 'sign',
                               'fence', 'car', 'pedestrian', 'bicyclist')
    assert label_set.raw_to_train.tolist() == list(range(11)) + [255] * 245
    assert label_set.train_to_raw[IGNORE] == 11
    assert label_set.palette[:11].tolist() == [
        [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [0, 0, 192], [128, 128, 0],
        [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192]]


def test_mapillary_is_the_published_list():
    """Names and colours have the digest of the mmsegmentation 1.2.2 wheel's first 65 entries."""
    label_set = load_label_set('mapillary')
    digest = hashlib.sha256(repr([(label.name, label.color) for label in label_set.labels])
                            .encode()).hexdigest()
    assert digest == 'e4e8ab40d14e64bc75f417581697e6291ba8bbb5ad8a1619c436bbf373a85a84'
    assert label_set.labels[13].name == 'Road'
    assert label_set.labels[20].category == 'human--rider'
    assert sum(label.has_instances for label in label_set.labels) == 37  # "37 instance-specific"
    assert label_set.raw_to_train[:65].tolist() == list(range(65))
    assert label_set.raw_to_train[65] == IGNORE
    assert label_set.train_to_raw[IGNORE] == 65


def test_tables():
    """Raw ids map to train ids and back; no class is 255 and black."""
    label_set = LabelSet.from_dict(GOOD)
    assert label_set.raw_to_train[[7, 8, 3, 2, 0, 255]].tolist() == [0, 0, 1, 2, 255, 255]
    assert label_set.train_to_raw[[0, 1, 2, 3, 255]].tolist() == [7, 3, 2, 255, 255]
    assert label_set.palette.shape == (256, 3)
    assert not label_set.palette[3:].any()
    for table in (label_set.palette, label_set.raw_to_train, label_set.train_to_raw):
        assert table.dtype == np.uint8
        with pytest.raises(ValueError, match='read-only'):
            table[0] = 1


@pytest.mark.parametrize('shape', [(5, 7), (2, 5, 7), (0, 4)])
def test_colorize(shape):
    """Each pixel gets its class's colour, into a new array or a given one."""
    label_set = load_label_set('camvid')
    labels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    rgb = label_set.colorize(labels)
    assert rgb.shape == (*shape, 3) and rgb.dtype == np.uint8
    for value in range(256):
        color = label_set.labels[value].color if value < 11 else (0, 0, 0)
        assert (rgb[labels == value] == color).all()
    out = np.empty_like(rgb)
    assert label_set.colorize(labels, out) is out
    assert np.array_equal(out, rgb)


def test_colorize_without_opencv(monkeypatch):
    """It is slower then, and nothing else."""
    label_set = load_label_set('camvid')
    labels = np.random.default_rng(1).integers(0, 256, (5, 7)).astype(np.uint8)
    monkeypatch.setitem(sys.modules, 'cv2', None)
    assert np.array_equal(label_set.colorize(labels), label_set.palette[labels])


def test_colorize_strided_and_refusals():
    """A view is fine as input; another type or a wrong buffer is refused."""
    label_set = load_label_set('camvid')
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert np.array_equal(label_set.colorize(labels[:, ::2]), label_set.colorize(labels)[:, ::2])
    with pytest.raises(ValueError, match='uint8, not int64'):
        label_set.colorize(labels.astype(np.int64))
    with pytest.raises(ValueError, match='out must be'):
        label_set.colorize(labels, np.empty((4, 6), np.uint8))


def write(path, entries):
    """Write a YAML file and return its path."""
    path.write_text(yaml.safe_dump(entries), encoding='utf-8')
    return path


def test_user_set(tmp_path, caplog):
    """A user's file gives the set it describes; equal colours are only warned about."""
    path = write(tmp_path / 'mine.yaml', GOOD)
    assert load_label_set(path) == load_label_set(str(path)) == LabelSet.from_dict(GOOD)
    assert not caplog.records
    twice = copy.deepcopy(GOOD)
    twice['labels'][2]['color'] = [1, 2, 3]
    with caplog.at_level(logging.WARNING, 'segnode'):
        load_label_set(write(path, twice))
    assert 'road and path have the same colour' in caplog.text


def edit(*keys, to=None):
    """Return a copy of GOOD with one entry replaced, or removed when there is nothing to put."""
    entries = copy.deepcopy(GOOD)
    item: Any = entries
    for key in keys[:-1]:
        item = item[key]
    if to is None:
        del item[keys[-1]]
    else:
        item[keys[-1]] = to
    return entries


@pytest.mark.parametrize('entries, message', [
    ([1], 'must be a mapping with name, labels'),
    (edit('name'), ': name is missing'),
    (edit('name', to=12), r': name must be text \(put it in quotes\), not 12'),
    (edit('labels'), ': labels is missing'),
    (edit('labels', to=[]), '1 to 255 classes'),
    (edit('labels', to={}), '1 to 255 classes'),
    (edit('labels', to=[GOOD['labels'][0]] * 256), '1 to 255 classes'),
    (edit('colours', to=1), "unknown key 'colours'"),
    (edit('void_raw_id', to=256), 'void_raw_id must hold whole numbers from 0 to 255, not 256'),
    (edit('void_raw_id', to=7), r'labels\[0\] \(road\): raw id 7 already belongs to void_raw_id'),
    (edit('labels', 1, to='car'), r"labels\[1\]: must be a mapping .* not 'car'"),
    (edit('labels', 1, 'name'), r'labels\[1\]: name is missing'),
    (edit('labels', 1, 'name', to=True), r'labels\[1\]: name must be text'),
    (edit('labels', 1, 'name', to='road'), r'labels\[1\] \(road\): an earlier class has'),
    (edit('labels', 1, 'colour', to=[1, 2, 3]), r"labels\[1\]: unknown key 'colour'"),
    (edit('labels', 1, 'color'), r'labels\[1\]: color is missing'),
    (edit('labels', 1, 'color', to='red'), r"\(car\): color must be three numbers.*'red'"),
    (edit('labels', 1, 'color', to=[1, 2]), r'\(car\): color must be three numbers'),
    (edit('labels', 1, 'color', to=[1, 2, 256]), r'\(car\): color must hold .*0 to 255, not 256'),
    (edit('labels', 1, 'color', to=[1, 2, 0.5]), r'\(car\): color must hold .*, not 0.5'),
    (edit('labels', 1, 'color', to=[1, 2, True]), r'\(car\): color must hold .*, not True'),
    (edit('labels', 1, 'category'), r'labels\[1\]: category is missing'),
    (edit('labels', 1, 'category', to=''), r'\(car\): category must be text'),
    (edit('labels', 1, 'raw_ids', to=5), r'\(car\): raw_ids must be a list'),
    (edit('labels', 1, 'raw_ids', to=[]), r'\(car\): raw_ids must be a list'),
    (edit('labels', 1, 'raw_ids', to=[255]), r'\(car\): raw_ids must hold .*0 to 254, not 255'),
    (edit('labels', 1, 'raw_ids', to=[-1]), r'\(car\): raw_ids must hold'),
    (edit('labels', 1, 'raw_ids', to=[8]), r'\(car\): raw id 8 already belongs to road'),
    (edit('labels', 1, 'raw_ids', to=[4, 4]), r'\(car\): raw id 4 already belongs to car'),
    (edit('labels', 1, 'has_instances', to='yes'), r'\(car\): has_instances must be'),
])
def test_faulty_user_set(tmp_path, entries, message):
    """Each fault is one sentence that names the file and the entry."""
    path = write(tmp_path / 'mine.yml', entries)
    with pytest.raises(SegnodeError, match=message) as caught:
        load_label_set(path)
    assert str(caught.value).startswith(str(path))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content, message', [
    (b'name: [', 'not valid YAML'),
    (b'name: a\nname: b\n', 'name is given twice'),
    (b'? [a, b]\n: 1\n', 'not valid YAML|unknown key|must be'),
    (b'', 'must be a mapping'),
    (b'name: \xff\xfe', 'not UTF-8'),
    (b'!!python/object/apply:os.getcwd []', 'not valid YAML'),
    (b'name: 2024-13-45', 'not valid YAML'),
    (b'name: !!timestamp x', 'not valid YAML'),
    (b'name: !!bool x', 'not valid YAML'),
    (b'[' * 3000, 'not valid YAML'),
])
def test_damaged_file(tmp_path, content, message):
    """A file that is no YAML of ours is one sentence, and nothing in it is run."""
    path = tmp_path / 'mine.yaml'
    path.write_bytes(content)
    with pytest.raises(SegnodeError, match=message) as caught:
        load_label_set(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_missing(tmp_path):
    """An unknown name lists what there is; a missing file and a folder are named."""
    with pytest.raises(SegnodeError, match="no label set 'kitti'.*" + ', '.join(BUILT_IN)):
        load_label_set('kitti')
    with pytest.raises(SegnodeError, match=r'cannot read .*none\.yaml: No such file'):
        load_label_set(tmp_path / 'none.yaml')
    (tmp_path / 'folder.yaml').mkdir()
    with pytest.raises(SegnodeError, match='cannot read .*directory'):
        load_label_set(tmp_path / 'folder.yaml')


def test_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    """A parameter of a running node may name one, and reading it would never end."""
    os.mkfifo(tmp_path / 'pipe.yaml')
    monkeypatch.setattr(Path, 'read_text', lambda *_, **__: pytest.fail('it was read'))
    with pytest.raises(SegnodeError, match='cannot read .*pipe.yaml: it is a .*pipe'):
        load_label_set(tmp_path / 'pipe.yaml')


def mapillary_config():
    """Return a config as Mapillary writes it, made from the built-in set."""
    labels = [{'color': list(label.color), 'instances': label.has_instances,
               'readable': label.name, 'name': f'{label.category}--x', 'evaluate': True}
              for label in load_label_set('mapillary').labels]
    labels.append({'color': [0, 0, 0], 'instances': False, 'readable': 'Unlabeled',
                   'name': 'void--unlabeled', 'evaluate': False})
    return {'labels': labels, 'version': '1.2', 'mapping': 'public'}


def test_mapillary_config(tmp_path):
    """A config as released is the built-in set; a changed one wins and each change is told."""
    path = tmp_path / 'config_v1.2.json'
    config = mapillary_config()
    path.write_text(json.dumps(config))
    assert load_mapillary_config(path) == (load_label_set('mapillary'), [])

    config['labels'][13]['color'] = [1, 2, 3]
    config['labels'][19]['readable'] = 'Human'
    config['labels'][64]['evaluate'] = False
    path.write_text(json.dumps(config))
    label_set, differences = load_mapillary_config(path)
    assert label_set.num_classes == 64
    assert label_set.labels[13].color == (1, 2, 3)
    assert label_set.names[19] == 'Human'
    assert label_set.raw_to_train[64] == label_set.raw_to_train[65] == IGNORE
    assert label_set.void_raw_id == 65
    assert differences == [
        ('config_v1.2.json has 64 classes where the built-in mapillary set has 65; '
         'the file is followed.'),
        'config_v1.2.json lacks Person.',
        'config_v1.2.json lacks Ego Vehicle.',
        'config_v1.2.json adds Human.',
        ('config_v1.2.json gives Road color (1, 2, 3) where the built-in set has (128, 64, 128); '
         'the file is followed.'),
    ]


@pytest.mark.parametrize('change, message', [
    (lambda config: config.pop('labels'), 'has a list under "labels"'),
    (lambda config: config['labels'][3].pop('readable'), r'labels\[3\]: readable is missing'),
    (lambda config: config['labels'].insert(0, 'x'), r'labels\[0\]: readable is missing'),
    (lambda config: config['labels'][3].update(evaluate=1), r'labels\[3\]: evaluate must be'),
    (lambda config: config['labels'][3].update(color=[1]), r'labels\[3\] \(Fence\): color must'),
    (lambda config: config['labels'][3].update(name=4), r'labels\[3\]: name must be text'),
])
def test_faulty_mapillary_config(tmp_path, change, message):
    """Each fault is one sentence that names the file and the entry."""
    config = mapillary_config()
    change(config)
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(config))
    with pytest.raises(SegnodeError, match=message) as caught:
        load_mapillary_config(path)
    assert str(caught.value).startswith(str(path))


def test_mapillary_config_not_json(tmp_path):
    """Broken JSON and a missing file are one sentence."""
    path = tmp_path / 'config.json'
    for text in ('{', '[' * 100_000):
        path.write_text(text)
        with pytest.raises(SegnodeError, match='not valid JSON'):
            load_mapillary_config(path)
    with pytest.raises(SegnodeError, match='cannot read'):
        load_mapillary_config(tmp_path / 'none.json')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Label groupings: the table, every fault a user's file can have, and the command to see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segnode.__main__ import main
from segnode.errors import SegnodeError
from segnode.label_grouping import BUILT_IN_GROUPINGS, load_grouping
from segnode.labels import load_label_set
from small_custom import describe, write_network

CAMVID = load_label_set('camvid')
CITYSCAPES = load_label_set('cityscapes')
GOOD: dict[str, Any] = {
    'name': 'crossing',
    'groups': [
        {'name': 'go', 'color': [1, 2, 3], 'classes': ['road', 4]},
        {'name': 'alive', 'color': [200, 0, 9], 'classes': ['bicyclist', 'pedestrian']},
    ],
}


def write(folder: Path, content: Any) -> Path:
    path = folder / 'mine.yaml'
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_table(tmp_path: Path) -> None:
    grouping = load_grouping(write(tmp_path, GOOD), CAMVID)
    expected = np.full(256, 255)
    expected[[3, 4]] = 0
    expected[[9, 10]] = 1
    assert grouping.table.tolist() == expected.tolist()
    assert grouping.table.dtype == np.uint8 and not grouping.table.flags.writeable
    assert grouping.groups.name == 'crossing' and grouping.groups.names == ('go', 'alive')
    assert grouping.members == {'go': ('road', 'sidewalk'), 'alive': ('pedestrian', 'bicyclist')}
    assert grouping.left_out == (
        'sky', 'building', 'pole', 'tree', 'sign', 'fence', 'car')
    labels = np.random.default_rng(0).integers(0, 256, (7, 9)).astype(np.uint8)
    grouped = grouping.apply(labels)
    assert grouped.dtype == np.uint8 and (grouped == expected[labels]).all()
    assert grouping.groups.palette[grouped[labels == 10]].tolist() == (
        [[200, 0, 9]] * int((labels == 10).sum()))


def test_lists_by_label_set(tmp_path: Path) -> None:
    content = {'name': 'mine', 'groups': [
        {'name': 'alive', 'color': [9, 9, 9],
         'classes': {'cityscapes': ['person'], 'camvid': ['pedestrian']}},
        {'name': 'deep', 'color': [8, 8, 8], 'classes': {'cityscapes': ['wall']}}]}
    path = write(tmp_path, content)
    assert load_grouping(path, CITYSCAPES).members == {'alive': ('person',), 'deep': ('wall',)}
    assert load_grouping(path, CAMVID).members == {'alive': ('pedestrian',), 'deep': ()}
    with pytest.raises(SegnodeError, match='label set "mapillary" it takes; there are groups for '
                       'camvid, cityscapes$'):
        load_grouping(path, load_label_set('mapillary'))


@pytest.mark.parametrize('name', BUILT_IN_GROUPINGS)
@pytest.mark.parametrize('source', [CAMVID, CITYSCAPES], ids=lambda s: s.name)
def test_built_in(name: str, source: Any) -> None:
    """Every class has a place, every group a class, every group a colour of its own."""
    grouping = load_grouping(name, source)
    assert grouping.left_out == ()
    assert all(grouping.members.values())
    colors = {label.color for label in grouping.groups.labels}
    assert len(colors) == grouping.groups.num_classes == 6
    assert grouping.members['human'][0] in ('person', 'pedestrian')
    assert grouping.members['drivable'] == ('road',)


def changed(**changes: Any) -> dict[str, Any]:
    """Return GOOD with another second group."""
    return {**GOOD, 'groups': [GOOD['groups'][0], {**GOOD['groups'][1], **changes}]}


@pytest.mark.parametrize('content, words', [
    ([1], 'has a name and groups'),
    ({**GOOD, 'more': 1}, 'has a name and groups, and nothing else'),
    ({**GOOD, 'groups': []}, 'groups must be a list of at least one'),
    ({**GOOD, 'groups': {'go': [1]}}, 'groups must be a list'),
    ({**GOOD, 'groups': ['go']}, r'groups\[0\]: a group has name, color and classes'),
    ({**GOOD, 'name': 3}, 'name must be text'),
    (changed(name='go'), r'groups\[1\] \(go\): an earlier class has the same name'),
    (changed(color=[1, 2]), r'groups\[1\] \(alive\): color must be three'),
    (changed(classes='road'), r'groups\[1\] \(alive\): classes must be a list'),
    (changed(classes=[True]), r'groups\[1\] \(alive\): classes must be a list'),
    (changed(classes={'camvid': 3}), r'groups\[1\] \(alive\): classes must be a list'),
    (changed(classes=['rider']), 'alive: "camvid" has no class \'rider\''),
    (changed(classes=[11]), 'alive: "camvid" has no class 11'),
    (changed(classes=['road']), "'road' stands under both \"go\" and \"alive\""),
    (changed(classes=[3]), '3 stands under both "go" and "alive"'),
    ({**GOOD, 'groups': [dict(GOOD['groups'][0], name=f'g{i}', classes=[]) for i in range(256)]},
     'groups must be a list of 1 to 255'),
])
def test_faults_name_file_and_entry(content: Any, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(SegnodeError, match=words) as caught:
        load_grouping(path, CAMVID)
    assert str(caught.value).startswith(str(path)) and '\n' not in str(caught.value)


def test_no_such_grouping(tmp_path: Path) -> None:
    with pytest.raises(SegnodeError, match="no label grouping 'walking': give driving or"):
        load_grouping('walking', CAMVID)
    with pytest.raises(SegnodeError, match='cannot read .*gone.yaml'):
        load_grouping(tmp_path / 'gone.yaml', CAMVID)


def _custom_model(folder: Path) -> Path:
    pytest.importorskip('onnxruntime')
    write_network(folder / 'net.onnx')
    return describe(folder / 'model.yaml', 'net.onnx')


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    path = write(tmp_path, GOOD)
    assert main(['labels', 'camvid', '--grouping', str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'crossing: groups of the classes of camvid'
    assert [line.split() for line in lines[1:4]] == [
        ['ID', 'GROUP', 'RGB', 'CLASSES'], ['0', 'go', '1', '2', '3', 'road,', 'sidewalk'],
        ['1', 'alive', '200', '0', '9', 'pedestrian,', 'bicyclist']]
    assert lines[4].split()[:4] == ['255', 'unlabelled', 'sky,', 'building,']
    # The released model's classes are CamVid's.
    assert main(['labels', '--grouping', str(path), '--model', 'fsffnet_camvid', '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['from'] == 'camvid' and told['table'][3:5] == [0, 0]
    assert told['groups'][1] == {'id': 1, 'name': 'alive', 'color': [200, 0, 9],
                                 'classes': ['pedestrian', 'bicyclist']}
    # A .yaml file may be a label set or describe a model: both are known by what they hold.
    for option in ([], ['--model']):
        assert main(['labels', *option, str(_custom_model(tmp_path)), '--json']) == 0
        assert json.loads(capsys.readouterr().out)['name'] == 'camvid'
    assert main(['labels', '--model', 'fsffnet_camvid']) == 0
    assert 'bicyclist' in capsys.readouterr().out
    assert main(['labels', 'camvid', '--model', 'fsffnet_camvid']) == 1
    assert 'not both' in capsys.readouterr().err
    assert main(['labels', 'cityscapes', '--grouping', str(path)]) == 1
    assert '"cityscapes" has no class \'bicyclist\'' in capsys.readouterr().err

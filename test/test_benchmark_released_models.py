# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The comparison of released models, on the package's own and on a small one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')

from benchmark import released_models
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.networks.zoo import NETWORKS
import small_model


def test_as_a_user_types_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Best first, with the records' scores and this machine's times."""
    small_model.copy_to(tmp_path)
    monkeypatch.setenv('SEGNODE_WEIGHTS', str(tmp_path))
    file = tmp_path / 'answer.json'
    assert released_models.main(
        ['--frames', '2', '--threads', '1', '--json', str(file)]) == 0
    shown = capsys.readouterr().out
    rows = json.loads(file.read_text())['rows']
    scores = [row['miou'] for row in rows]
    assert scores == sorted(scores, reverse=True)
    found = {row['model']: row for row in rows}
    own, small = found['fsffnet_camvid'], found[small_model.NAME]
    record = Model.load('fsffnet_camvid').record
    assert own['miou'] == record.miou and small['miou'] == 0.25
    assert own['class_iou'] == record.training['class_iou']['val'] and small['class_iou'] == {}
    assert own['parameters'] == small['parameters'] > 1_200_000
    # 384x512 are six times as many pixels as 128x256.
    assert own['multiply_adds'] == pytest.approx(6 * small['multiply_adds'], rel=0.01)
    assert 0 < small['median_ms'] < own['median_ms']
    assert f'| `{small_model.NAME}` | 128x256 | {small["parameters"]:,} |' in shown
    assert '| 25.00 |' in shown and '| 70.25 |' in shown


def test_auxiliary_heads_are_not_counted() -> None:
    model = Model.untrained('fast_scnn_cityscapes')
    assert released_models.parameters_in_use(model) == NETWORKS['fast_scnn'].parameters_at_19


def test_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    assert released_models.main(['--label-set', 'mapillary']) == 1
    assert 'no released model with the labels of mapillary' in capsys.readouterr().err
    answer = {'rows': [{'median_ms': None}], 'machine': {}}
    pytest.importorskip('matplotlib')
    with pytest.raises(SegnodeError, match='nothing to draw'):
        released_models.plot(answer, Path('never.png'))


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip('matplotlib')
    row = {'model': 'a', 'median_ms': 20.0, 'miou': 0.7, 'parameters': 1_000_000}
    answer = {'rows': [row, {**row, 'model': 'b', 'median_ms': 30.0}], 'split': 'val',
              'machine': {'processor': 'one'}, 'threads': 2}
    file = tmp_path / 'plot.svg'
    released_models.plot(answer, file)
    text = file.read_text()
    assert '<!-- a -->' in text and '<!-- b -->' in text

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of conversions, on a small model and a few rendered frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segnode.errors import SegnodeError
import small_model

pytest.importorskip('torch')
pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('tqdm')

from benchmark import conversions


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversions, 'released', lambda labels: [small_model.model()])
    monkeypatch.setattr(
        conversions, 'CONVERSIONS', (('onnx', 'fp16', 'fp32'), ('onnx', 'int8', 'fp16')))


def measure(tmp_path: Path, root: Path) -> dict[str, Any]:
    file = tmp_path / 'answer.json'
    assert conversions.main(['--limit', '2', '--frames', '3', '--root', str(root),
                             '--json', str(file)]) == 0
    answer: dict[str, Any] = json.loads(file.read_text())
    return answer


@pytest.mark.slow
def test_as_a_user_types_it(
    released: None, tmp_path: Path, rendered_camvid: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))
    # Untrained weights lose more than convert allows, and the search would take long.
    monkeypatch.setattr('training.convert.run._Conversion._drop', lambda self, content: 0.0)
    monkeypatch.setattr('training.convert.run._Conversion._check_drop', lambda self, a, b: None)
    answer = measure(tmp_path, rendered_camvid)
    assert not (tmp_path / 'data').exists(), 'nothing is kept'
    assert (answer['data'], answer['data_frames']) == ('camvid:val', 2)
    assert (answer['calibration'], answer['calibration_frames']) == ('camvid:train', 3)
    half, small = answer['rows']
    assert half['reason'] == small['reason'] == '' and half['miou_before'] == small['miou_before']
    assert half['agreement'] > 0.99 and half['int8_layers'] == 0 < small['int8_layers']
    assert half['miou_after'] == pytest.approx(half['miou_before'], abs=0.02)
    assert small['bytes'] < half['bytes'] < half['bytes_before'] == small['bytes_before']
    shown = capsys.readouterr().out
    assert f'| `{small_model.NAME}` | fp16 (`onnx`) | {100 * half["miou_after"]:.2f} |' in shown
    assert '| int8 (`onnx`, rest fp16) |' in shown


def test_what_is_refused_has_the_reason(
    released: None, tmp_path: Path, rendered_camvid: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    def refuse(*_: Any) -> Any:
        raise SegnodeError('nothing is kept: it costs too much')

    monkeypatch.setattr(conversions, 'convert', refuse)
    rows = measure(tmp_path, rendered_camvid)['rows']
    assert [row['reason'] for row in rows] == 2 * ['nothing is kept: it costs too much']
    assert rows[0]['miou_after'] is None
    assert 'fp16 (`onnx`) | nothing is kept: it costs too much |' in capsys.readouterr().out


def test_refusals(tmp_path: Path, capsys: Any) -> None:
    assert conversions.main(['--label-set', 'mapillary']) == 1
    assert 'no released model with the labels of mapillary' in capsys.readouterr().err

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of precisions, on a small network at a small size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('torch')
pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('tqdm')

from benchmark import precisions
from benchmark.row_text import outcome
from segnode.dependencies import installed


def test_as_a_user_types_it(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    file = tmp_path / 'result.json'
    assert precisions.main([
        '--networks', 'contextnet', '--size', '64x128', '--rounds', '2', '--threads', '1',
        '--json', str(file)]) == 0
    assert not (tmp_path / 'cache').exists(), 'the user has the exports in his cache'
    answer = json.loads(file.read_text())
    assert answer['size'] == '64x128' and answer['threads'] == 1 and answer['processor']
    rows = {(row['runtime'], row['precision']): row for row in answer['rows']}
    assert tuple(rows) == precisions.CANDIDATES
    for (runtime, precision), row in rows.items():
        assert row['network'] == 'contextnet'
        assert row['int8_layers'] == 0 if precision != 'int8' else row['int8_layers'] > 30
        if runtime == 'openvino' and not installed('openvino'):
            assert row['median_ms'] is None and 'needs OpenVINO' in row['reason']
        else:
            assert row['reason'] == '' and row['rounds'] == 2
            assert 0 < row['best_ms'] <= row['median_ms'] < 60_000
    told = capsys.readouterr().out
    assert '| `onnx` fp32 | `onnx` int8 | `openvino` fp32 |' in told and '| `contextnet` |' in told


def test_what_is_shown_of_a_row() -> None:
    assert outcome({'median_ms': 12.4, 'reason': None}) == '12 ms'
    assert outcome({'median_ms': None, 'reason': 'no memory'}) == '- (no memory)'


def test_refusals(capsys: Any) -> None:
    assert precisions.main(['--networks', 'unet']) == 1
    assert "no network 'unet'" in capsys.readouterr().err
    assert precisions.main(['--size', '70x80']) == 1
    assert 'multiples of 128, not 70x80' in capsys.readouterr().err

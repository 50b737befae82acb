# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of training's own convolutions."""

import json

import pytest

pytest.importorskip('torch')

from benchmark import training_convolutions
from training.layer_classes import RepairedConv2d


def test_every_case_is_one_that_training_changes():
    for case in training_convolutions.CASES:
        convolution = case.convolution()
        assert case.change(convolution) == 1 and isinstance(convolution, RepairedConv2d)


def test_both_ways_are_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        training_convolutions, 'CASES', training_convolutions.CASES[3:4])
    out = tmp_path / 'answer.json'
    assert training_convolutions.main(
        ['--batch', '1', '--rounds', '3', '--threads', '1', '--json', str(out)]) == 0
    (row,) = json.loads(out.read_text())['rows']
    assert row['input'] == [1, 768, 32, 40] and row['own_ms'] > 0
    assert row['pytorch_ms'] > 0 and row['times_as_fast'] > 0
    assert '| 1 x 768 channels, 32x40 | 3x3 | 2 | 1 |' in capsys.readouterr().out


def test_medians_of_rounds_without_the_first(monkeypatch):
    seconds = iter([99.0, 99.0, 4.0, 1.0, 6.0, 2.0, 10.0, 2.0])
    monkeypatch.setattr(training_convolutions, 'pass_ms', lambda layer, x: next(seconds))
    row = training_convolutions.measure(training_convolutions.CASES[3], 1, 3)
    assert (row['pytorch_ms'], row['own_ms'], row['times_as_fast']) == (6.0, 2.0, 4.0)

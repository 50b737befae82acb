# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of what feeds training."""

import json

import pytest

pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

from benchmark import training_throughput


def test_ratios_are_those_of_each_round():
    found = training_throughput.ratios([(1.0, 2.0), (3.0, 2.0)], [(2.0, 2.0), (3.0, 4.0)])
    assert found == {
        'of_constant': 0.75, 'of_constant_range': [0.5, 1.0],
        'of_constant_by_processor': 0.75, 'of_constant_by_processor_range': [0.5, 1.0]}


def test_every_feed_is_timed_beside_constant_tensors(rendered_camvid, monkeypatch, tmp_path,
                                                     capsys):
    monkeypatch.setenv('CAMVID_DATASET', str(rendered_camvid))
    out = tmp_path / 'answer.json'
    assert training_throughput.main([
        '--network', 'espnet_c', '--size', '64x96', '--batch', '2', '--rounds', '2', '--steps',
        '2', '--seconds', '0.05', '--feeds', 'loader', 'device', '--json', str(out)]) == 0
    answer = json.loads(out.read_text())
    rows = {row['feed']: row for row in answer['rows']}
    assert list(rows) == ['constant', 'loader', 'device'] and answer['frames'] == 8
    assert rows['constant']['of_constant'] == 1.0
    assert rows['constant']['alone_images_per_s'] is None
    for name in ('loader', 'device'):
        low, high = rows[name]['of_constant_range']
        assert 0 < low <= rows[name]['of_constant'] <= high
        assert rows[name]['of_constant_by_processor'] > 0
        assert rows[name]['alone_images_per_s'] > 0 and rows[name]['images_per_s'] > 0
    assert '| device |' in capsys.readouterr().out

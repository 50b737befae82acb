# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m training networks``."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

from segnode.networks.zoo import NETWORKS
from segnode.ros import describe
from training.cli import main

# With PyTorch forbidden, as on a machine without it; argv: arguments of the command.
WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; from training.cli import main; "
    "sys.exit(main(['networks', *sys.argv[1:]]))"
)


def _without_torch(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', WITHOUT_TORCH, *arguments], cwd=project, capture_output=True,
        text=True, timeout=120, env={**os.environ, 'PYTHONPATH': str(project)},
    )


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['networks']) == 0
    table, _, figures = capsys.readouterr().out.partition('\n\n')
    header, *lines = table.splitlines()
    assert 'GMAC at 1024x2048' in header
    assert [line.split()[0] for line in lines] == list(NETWORKS)
    line = lines[list(NETWORKS).index('fanet')]
    assert line.split()[1:5] == ['1,128,019', '5.42', '1/8', '128']
    assert '65.9 val / 64.1 test Cityscapes' in line and 'DICTA 2020' in line
    assert '64.08 Cityscapes test, 1024x2048 (README and test server' in figures


def test_readme_has_the_same_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Column by column, but for what a user's own folders hold."""
    assert main(['networks']) == 0
    lines = capsys.readouterr().out.partition('\n\n')[0].splitlines()[1:]
    rows = describe.network_table().splitlines()[2:]
    assert len(rows) == len(lines)
    for line, row in zip(lines, rows):
        cells = [cell.strip(' `') for cell in row.strip('|').split(' | ')]
        for cell in cells[:5] + cells[6:]:
            assert cell in line


def test_json_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('torch')
    assert main(['networks', 'espnet_c', 'fsffnet', '--size', '360x480', '--json']) == 0
    espnet, fsffnet = json.loads(capsys.readouterr().out)
    assert espnet['name'] == 'espnet_c' and espnet['input_size'] == [360, 480]
    assert espnet['parameters_at_19'] == 349_193 and espnet['output_stride'] == 8
    # Every map of ESPNet-C is a whole fraction of either size.
    full = NETWORKS['espnet_c'].multiply_adds
    assert espnet['multiply_adds'] * 1024 * 2048 == full * 360 * 480
    assert fsffnet['multiply_adds'] is None and fsffnet['size_multiple'] == 128
    published = fsffnet['published'][0]
    assert published == {
        'dataset': 'Cityscapes', 'split': 'val', 'miou': 71.8, 'input_size': [1024, 2048],
        'source': 'README of github tanmaysingha/FSFFNet', 'of': '', 'note': published['note'],
    }


def test_needs_no_torch(project: Path) -> None:
    done = _without_torch(project, '--json')
    assert done.returncode == 0, done.stderr
    assert {row['name']: row['multiply_adds'] for row in json.loads(done.stdout)} == {
        info.name: info.multiply_adds for info in NETWORKS.values()
    }
    done = _without_torch(project, 'fanet', '--size', '512x1024')
    assert done.returncode == 1
    assert done.stderr.startswith('error: counting multiply-adds needs PyTorch')


def test_released_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The package's own and the user's, best first; README has the package's alone."""
    pytest.importorskip('torch')
    from segnode.export import save_safetensors
    from segnode.networks.zoo import create
    import small_model

    network = create('espnet_c', 11)
    for name, miou in (('poor', 0.1), ('mine', 0.8), ('unknown', None)):
        training = {} if miou is None else {'miou': {'val': miou}}
        record = small_model.record(network='espnet_c', training=training)
        save_safetensors(tmp_path / f'espnet_c_{name}.safetensors', network, record)
    (tmp_path / 'espnet_c_broken.safetensors').write_bytes(b'no model')
    monkeypatch.setenv('SEGNODE_WEIGHTS', str(tmp_path))
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'none'))
    assert main(['networks', 'espnet_c', 'fsffnet', '--json']) == 0
    espnet, fsffnet = json.loads(capsys.readouterr().out)
    assert espnet['released'] == [
        {'name': 'espnet_c_mine', 'label_set': 'camvid', 'miou': 80.0},
        {'name': 'espnet_c_poor', 'label_set': 'camvid', 'miou': 10.0},
        {'name': 'espnet_c_unknown', 'label_set': 'camvid', 'miou': None},
    ]
    assert 'fsffnet_camvid' in [model['name'] for model in fsffnet['released']]
    assert main(['networks', 'espnet_c']) == 0
    text = capsys.readouterr().out
    assert 'espnet_c_mine (80.00), espnet_c_poor (10.00), espnet_c_unknown  ' in text
    readme = describe.network_table()
    assert 'espnet_c_mine' not in readme and 'fsffnet_camvid (' in readme


def test_wrong_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['networks', 'unet']) == 1
    assert "there is no network 'unet'; there is fsffnet" in capsys.readouterr().err

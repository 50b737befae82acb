# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The sweep's findings on losses that are known, and the command's files."""

import csv
import errno
import json
import math

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

from segnode.errors import SegnodeError  # noqa: E402
from training.cli import main  # noqa: E402
from training.config import FitConfig  # noqa: E402
from training.lr_range import lr_range, smoothed, Sweep  # noqa: E402


def sweep(losses, start=1e-6, end=1.0, scale=1.0):
    losses = np.array(losses)
    return Sweep(np.geomspace(start, end, len(losses)), losses, scale)


def valley(count=121):
    """Falls fastest at 1e-3, is lowest near 1e-2, and rises past 1e-1."""
    decades = np.linspace(-6, 0, count)
    return 3 - 2 / (1 + np.exp(-4 * (decades + 3))) + np.exp(6 * (decades + 1))


def test_findings_of_a_valley():
    found = sweep(valley())
    assert found.steepest == pytest.approx(1e-3, rel=0.3)
    # It has lost half of the 2 that it had gained where exp(6 (x + 1)) = 1: at 1e-1.
    assert found.diverged == pytest.approx(1e-1, rel=0.3)
    assert found.suggested == found.steepest
    assert sweep(valley(), scale=4.0).suggested == pytest.approx(found.steepest / 4)


def test_a_late_steepest_descent_stays_away_from_divergence():
    losses = np.concatenate([np.full(60, 3.0), np.linspace(3, 1, 20), np.linspace(1, 9, 20)])
    found = sweep(losses)
    assert found.diverged / 10 < found.steepest < found.diverged
    assert found.suggested == found.diverged / 10


def test_without_a_valley():
    falling = sweep(np.linspace(3, 2.9, 50))
    assert falling.diverged is None and falling.suggested == falling.steepest
    rising = sweep(np.linspace(1, 1.5, 50))
    assert (rising.steepest, rising.diverged, rising.suggested) == (None, None, None)
    assert sweep([3.0, 2.9]).suggested is None and sweep([]).diverged is None
    ended = sweep([*np.linspace(3, 2.9, 30), math.inf])
    assert ended.diverged == ended.rates[-1] and np.isfinite(ended.steepest)


def test_smoothing_keeps_lines_and_lessens_noise():
    assert smoothed(np.full(40, 2.0)) == pytest.approx(np.full(40, 2.0))
    line = np.linspace(0, 1, 81)
    assert smoothed(line)[10:-10] == pytest.approx(line[10:-10])
    noise = np.random.default_rng(0).normal(size=400)
    assert smoothed(noise).std() < 0.3 * noise.std()
    assert smoothed(np.array([1.0, 1.0, math.inf])).tolist() == [1.0, 1.0, math.inf]


def test_files(tmp_path):
    found = sweep([*valley(), math.inf], scale=2.0)
    table, picture = found.write(tmp_path / 'new')
    rows = list(csv.DictReader(open(table, newline='')))
    assert [float(row['lr']) for row in rows] == found.rates.tolist()
    assert [float(row['loss']) for row in rows] == found.losses.tolist()
    image = cv2.imread(str(picture))
    assert image.shape[1] > 600
    for color in ((255, 0, 0), (0, 0, 255)):  # the curve is blue, divergence red
        assert (np.abs(image.astype(int) - color).sum(2) < 250).sum() > 100
    assert json.loads(json.dumps(found.to_dict()))['suggested_lr'] == found.suggested


@pytest.mark.parametrize('values', [(0.0, 1.0, 50), (1.0, 0.1, 50), (1e-6, math.inf, 50),
                                    (1e-6, 1.0, 3)])
def test_what_is_no_sweep(values):
    with pytest.raises(SegnodeError, match='A sweep'):
        lr_range(FitConfig(), *values)


@pytest.mark.parametrize('place', ['file/a', 'file', 'taken'])
def test_where_a_sweep_cannot_be_written_it_is_not_begun(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('training.lr_range.lr_range', lambda *_: pytest.fail('it was begun'))
    (tmp_path / 'file').write_text('')
    (tmp_path / 'taken/lr_range.png').mkdir(parents=True)
    assert main(['lr-range', '--to', str(tmp_path / place)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'error: {tmp_path / place}') and 'cannot be written: ' in error
    assert len(error.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.rglob('*')) == ['file', 'lr_range.png', 'taken']


def test_a_disk_that_fills_up_meanwhile_is_told_and_the_old_table_stays(tmp_path, monkeypatch):
    (tmp_path / 'lr_range.csv').write_text('old')

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('segnode.files.os.replace', full)
    with pytest.raises(SegnodeError, match=r'lr_range\.csv cannot be written: No space left'):
        sweep(valley()).write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['lr_range.csv']
    assert (tmp_path / 'lr_range.csv').read_text() == 'old'

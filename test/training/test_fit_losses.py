# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Boundary heads and teachers in whole runs of ``fit``, as a user types them."""

import csv
import os
from pathlib import Path
import subprocess
import sys

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

from segnode.model import Model  # noqa: E402

PROJECT = Path(__file__).parents[2]
SMALL = ['--data.input_size', '[128,128]', '--batch_size', '4', '--epochs', '2', '--val_every',
         '2', '--optim.warmup_steps', '1', '--accelerator', 'cpu', '--threads', '1',
         '--loss.class_weights', 'none']

pytestmark = pytest.mark.slow


def fit(root, *arguments, expect=0):
    done = subprocess.run(
        [sys.executable, '-m', 'training', 'fit', *SMALL, *map(str, arguments)], cwd=PROJECT,
        env={**os.environ, 'PYTHONPATH': str(PROJECT), 'CAMVID_DATASET': str(root)},
        capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == expect, done.stderr[-3000:]
    return done


@pytest.fixture(scope='module')
def pidnet(rendered_camvid, tmp_path_factory):
    """Return the folder of a run of PIDNet-S with all that its authors train with."""
    out = tmp_path_factory.mktemp('runs')
    fit(rendered_camvid, '--network', 'pidnet_s', '--name', 'pidnet', '--out', out,
        '--loss.kind', 'ohem', '--loss.ohem_threshold', 0.9, '--loss.auxiliary', '[0.4]',
        '--loss.dice', 0.5)
    return out / 'pidnet'


def logged(folder):
    """Return the parts of the loss that a run has logged, by epoch."""
    with open(folder / 'metrics.csv', newline='') as file:
        rows = [row for row in csv.DictReader(file) if row.get('loss')]
    return [{k: float(v) for k, v in row.items() if k.startswith('loss')} for row in rows]


def test_pidnet_trains_with_its_boundary_head(pidnet):
    epochs = logged(pidnet)
    assert len(epochs) == 2
    names = {'ohem', 'dice', 'auxiliary', 'boundary', 'boundary_main'}
    for epoch in epochs:
        assert set(epoch) == {'loss', *(f'loss/{name}' for name in names)}
        assert epoch['loss'] == pytest.approx(
            sum(epoch[f'loss/{name}'] for name in names), rel=1e-4)
    assert epochs[1]['loss/boundary'] < epochs[0]['loss/boundary']
    record = Model.load(pidnet / 'pidnet.onnx').record
    recipe = record.training['recipe']['loss']
    assert recipe['auxiliary'] == [0.4] and recipe['boundary']['weight'] == 20.0
    assert record.network == 'pidnet_s' and recipe['distill']['teacher'] is None


def test_a_student_learns_from_a_released_model(pidnet, rendered_camvid):
    fit(rendered_camvid, '--network', 'espnet_c', '--name', 'student', '--out', pidnet.parent,
        '--loss.distill.teacher', pidnet / 'pidnet.safetensors', '--loss.distill.kind',
        'channels', '--loss.distill.weight', 3)
    student = pidnet.parent / 'student'
    epochs = logged(student)
    assert all(epoch['loss/distill'] > 0 for epoch in epochs)
    state = torch.load(student / 'last.ckpt', weights_only=True)
    for key in ('state_dict', 'current_model_state'):
        assert not [name for name in state[key] if 'teacher' in name]
    assert len(state['state_dict']) < 400 < len(Model.load(
        pidnet / 'pidnet.safetensors').build_network().state_dict())
    recipe = Model.load(student / 'student.onnx').record.training['recipe']
    assert recipe['loss']['distill']['teacher'] == 'pidnet'


def test_what_does_not_fit_is_one_sentence(pidnet, rendered_camvid, tmp_path):
    for options, words in (
            (['--network', 'icnet', '--loss.auxiliary', '[0.4]'], 'icnet as configured has 2'),
            (['--network', 'espnet_c', '--data.input_size', '[120,128]', '--loss.distill.teacher',
              pidnet / 'pidnet.safetensors'], 'multiples of 64')):
        done = fit(rendered_camvid, '--out', tmp_path, *options, expect=1)
        assert words in done.stderr and 'Traceback' not in done.stderr, done.stderr

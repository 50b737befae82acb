# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m training`` as a user types it, on a rendered dataset."""

import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

from segnode.errors import SegnodeError  # noqa: E402
from training.checkpoint import load_checkpoint  # noqa: E402
from training.cli import main  # noqa: E402

PROJECT = Path(__file__).parents[2]
SMALL = ['--data.input_size', '[128,128]', '--batch_size', '4', '--val_every', '2',
         '--optim.warmup_steps', '2', '--loss.lovasz', '1.0', '--network_args.dropout', '0.1',
         '--accelerator', 'cpu', '--threads', '1', '--loss.class_weights', 'none']


EPOCHS = 3


def training(*arguments, expect=0, root=None, code=None):
    environment = {**os.environ, 'PYTHONPATH': str(PROJECT)}
    environment.pop('CAMVID_DATASET', None)
    if root is not None:
        environment['CAMVID_DATASET'] = str(root)
    done = subprocess.run(
        [sys.executable, *(['-c', code] if code else ['-m', 'training']), *map(str, arguments)],
        cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == expect, done.stderr[-3000:]
    return done


def weights(path):
    return torch.load(path, weights_only=True)['current_model_state']


@pytest.fixture(scope='module')
def runs(rendered_camvid, tmp_path_factory):
    """Return the folder of one finished run, ``whole``."""
    folder = tmp_path_factory.mktemp('runs')
    common = ['fit', *SMALL, '--out', folder]
    training(*common, '--name', 'whole', '--epochs', EPOCHS, root=rendered_camvid)
    return folder


def test_a_run_is_not_overwritten(runs, rendered_camvid):
    done = training('fit', *SMALL, '--out', runs, '--name', 'whole', '--epochs', 1, expect=1,
                    root=rendered_camvid)
    assert 'already holds a run' in done.stderr


# The training that kills itself once its last.ckpt is there: from outside it could be too late.
KILLED = """
import os, pathlib, signal, sys
from pytorch_lightning import Trainer
from training.cli import main
save = Trainer.save_checkpoint
def save_and_die(self, path, *given, **more):
    save(self, path, *given, **more)
    if pathlib.Path(path).name == 'last.ckpt':
        os.kill(os.getpid(), signal.SIGKILL)
Trainer.save_checkpoint = save_and_die
sys.exit(main())
"""


@pytest.mark.slow
def test_killed_and_resumed_run_ends_with_the_same_weights(runs, rendered_camvid):
    whole, halves = runs / 'whole' / 'last.ckpt', runs / 'halves' / 'last.ckpt'
    command = ['fit', *SMALL, '--out', runs, '--name', 'halves', '--epochs', EPOCHS]
    training(*command, code=KILLED, expect=-signal.SIGKILL, root=rendered_camvid)
    assert torch.load(halves, weights_only=True)['epoch'] < EPOCHS - 1
    training(*command, '--resume', root=rendered_camvid)
    assert [torch.load(p, weights_only=True)['epoch'] for p in (whole, halves)] == [EPOCHS - 1] * 2
    first, second = weights(whole), weights(halves)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_run_leaves_a_model_that_evaluates_to_its_record(runs, rendered_camvid):
    from segnode.model import Model

    model = Model.load(runs / 'whole' / 'whole.onnx')
    record = model.record
    assert record.input_size == (128, 128) and record.network == 'fsffnet'
    assert 1 <= record.training['epochs'] <= EPOCHS and record.training['seed'] == 1
    assert record.training['recipe']['loss']['lovasz'] == 1.0
    # The last epoch is validated though val_every does not divide it, and what training saw is
    # what the released graph gives (its weights are rounded to float16).
    history = {entry['epoch']: entry['miou'] for entry in record.training['history']}
    assert record.training['epochs'] in history
    last = torch.load(runs / 'whole' / 'last.ckpt', weights_only=True)['segnode_history']
    assert [entry['epoch'] for entry in last] == [2, 3]
    assert record.training['miou']['val'] == pytest.approx(
        history[record.training['epochs']], abs=0.01)
    assert 'roots' not in record.training['recipe']['data']
    for runtime in ('onnx', 'pytorch'):
        done = training(
            'evaluate', '--model', runs / 'whole' / 'whole.onnx' if runtime == 'onnx'
            else runs / 'whole' / 'whole.safetensors', '--runtime', runtime, '--json',
            root=rendered_camvid)
        result = json.loads(done.stdout)
        assert result['frames'] == 3
        assert result['miou'] == pytest.approx(record.training['miou']['val'], abs=1e-3)


@pytest.mark.slow
def test_training_learns(rendered_camvid, tmp_path):
    """Eight frames, seen again under other names: the large classes must be known."""
    for kind in ('images', 'labels'):
        for split in ('train', 'val'):
            (tmp_path / split / kind).mkdir(parents=True)
            for path in (rendered_camvid / 'train' / kind).iterdir():
                shutil.copy(path, tmp_path / split / kind / f'{split}{path.name}')
    training('fit', *SMALL, '--name', 'learn', '--out', tmp_path, '--epochs', 16,
             '--data.scale', '[1.0,1.0]', '--data.jitter', 0, '--optim.lr', 0.006,
             '--optim.ema_decay', 0.8, '--val_every', 16, root=tmp_path)
    from segnode.model import Model

    iou = Model.load(tmp_path / 'learn' / 'learn.onnx').record.training['class_iou']['val']
    # An untrained network has none of them.
    assert iou['road'] > 0.3 and iou['sky'] > 0.3, iou


def test_errors_are_one_sentence(rendered_camvid, tmp_path, monkeypatch, capsys):
    done = training('fit', expect=1)
    assert done.stderr.startswith('error: Where is camvid?')
    # The others in this process: a start takes seconds.
    monkeypatch.setenv('CAMVID_DATASET', str(rendered_camvid))

    def refused(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, capsys.readouterr().err

    for option, value, words in (
            ('--network', 'nosuch', 'nosuch'),
            ('--data.input_size', '[100,100]', 'multiples of 128'),
            ('--devices', 'two', 'must be auto or a number'),
            ('--precision', 'foo', '32-true'), ('--val_every', '0', 'above 0'),
            ('--network_args.num_classes', '5', 'does not take these arguments')):
        status, said = refused(
            'fit', option, value, '--out', tmp_path, '--loss.class_weights', 'none')
        assert status == 1 and said.startswith('error: ') and words in said, option
    for arguments, expected, words in (
            (('fit', '--resume', '--out', tmp_path), 1, 'There is no checkpoint'),
            (('nosuch',), 2, 'there is no verb "nosuch"'),
            (('fit', '--epochs', 'many'), 2, 'epochs'),
            (('evaluate', '--model', 'nosuch'), 1, 'nosuch')):
        status, said = refused(*arguments)
        assert status == expected and words in said, arguments


def test_help_imports_nothing_heavy():
    done = training('--help')
    for verb in ('fit', 'evaluate', 'release', 'networks'):
        assert verb in done.stdout
    code = ('import sys, training.cli; training.cli.main(["--help"]);'
            'sys.exit(any(m in sys.modules for m in ("torch", "pytorch_lightning", "numpy")))')
    subprocess.run([sys.executable, '-c', code], cwd=PROJECT, check=True, timeout=300,
                   env={**os.environ, 'PYTHONPATH': str(PROJECT)}, stdout=subprocess.DEVNULL)


def test_frames_in_both_splits_are_refused(rendered_camvid):
    done = training('fit', '--data.val', 'camvid:train', expect=1, root=rendered_camvid)
    assert 'are in both camvid:train and camvid:train' in done.stderr


def test_a_file_that_is_no_checkpoint(tmp_path):
    """PyTorch's own text would advise to load it in a way that runs what it holds."""
    (tmp_path / 'page.html').write_text('<html>')
    with pytest.raises(SegnodeError) as caught:
        load_checkpoint(tmp_path / 'page.html')
    assert str(caught.value).endswith('page.html is not a checkpoint of "fit", or damaged.')

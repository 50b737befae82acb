# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``fit`` in two processes (CPU, gloo): exact validation, exact resume, ends that are told."""

import dataclasses
from pathlib import Path
import shutil
import signal
import time

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

from training.checkpoint import load_checkpoint, network_weights  # noqa: E402
from training.config import from_dict  # noqa: E402
from training.logs.metrics_file import read_metrics  # noqa: E402

PROJECT = Path(__file__).parents[2]
TORCHRUN = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    return tmp_path_factory.mktemp('processes')


@pytest.fixture
def fit(start, rendered_camvid, out):
    """Return a function that starts fit; ``torchrun=True`` has torchrun start its processes."""
    def run(name, *more, torchrun=False, epochs=3):
        options = [
            '--name', name, '--out', out, '--network', 'espnet_c', '--epochs', epochs,
            '--batch_size', 2, '--accumulate', 2, '--val_every', 1, '--accelerator', 'cpu',
            '--threads', 1, '--data.input_size', '[64,64]', '--loss.class_weights', 'none',
            '--optim.kind', 'sgd', '--optim.lr', 0.05, '--optim.warmup_steps', 1,
            '--optim.ema_decay', 0.5, '--log.tensorboard', 'false', *more]
        words = [*TORCHRUN, '-m', 'training', 'fit'] if torchrun else [
            '-m', 'training', 'fit', '--devices', 2]
        return start(*words, *options, cwd=PROJECT,
                     env={'CAMVID_DATASET': str(rendered_camvid), 'OMP_NUM_THREADS': '1'})
    return run


def finish(process, code=0):
    assert process.wait(240) == code, process.output
    return process.output


def test_two_processes_validate_like_one(fit, out, rendered_camvid):
    """The matrix of both is, to the last pixel, that of one process with the same weights."""
    told = finish(fit('whole'))
    assert told.count('2 processes train; on CPUs each normalises its own batch') == 1
    assert told.count('mean IoU on val') == 1
    history = load_checkpoint(out / 'whole' / 'last.ckpt')['segnode_history']
    assert len(history) == 3
    for epoch, name in ((3, 'last'), (max(history, key=lambda e: e['val_miou'])['epoch'], 'best')):
        entry = history[epoch - 1]
        alone = validated(out / 'whole' / f'{name}.ckpt', rendered_camvid)
        assert np.isfinite(entry['val_miou']) and entry['val_accuracy'] > 0.02
        for key, value in entry.items():
            if key != 'epoch':
                assert alone[key] == value or np.isnan([alone[key], value]).all(), key
    rows = read_metrics(out / 'whole' / 'metrics.csv')
    assert [(row['epoch'], row['step']) for row in rows] == [('1', '1'), ('2', '2'), ('3', '3')]


def validated(checkpoint, root):
    """Validate the weights of a checkpoint in this process alone."""
    from training.fit import build, make_trainer
    from training.processes import Processes

    state = load_checkpoint(checkpoint)
    config = from_dict(state['segnode_config'])
    config = dataclasses.replace(
        config, threads=0, data=dataclasses.replace(config.data, roots={'camvid': str(root)}))
    alone = Processes('cpu', 1)
    module, data = build(config, alone)
    module.graph.network.load_state_dict(network_weights(state))
    trainer = make_trainer(config, alone, checkpoint.parent, [], enable_checkpointing=False,
                           enable_progress_bar=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer.validate(module, data, verbose=False)
    finally:
        torch.set_num_threads(threads)
    return module.history[-1]


def test_torchrun_stopped_and_resumed_ends_with_the_same_weights(fit, out):
    """The other launcher, in two sittings, against the run of the test above."""
    if not (out / 'whole' / 'last.ckpt').is_file():
        finish(fit('whole'))
    told = finish(fit('halves', '--max_minutes', 1e-4, torchrun=True))
    assert told.count('stopped after 1 of 3 epochs') == 1
    told = finish(fit('halves', '--resume', torchrun=True))
    assert told.count('mean IoU on val') == 1
    first, second = (load_checkpoint(out / name / 'last.ckpt') for name in ('whole', 'halves'))
    assert first['segnode_history'] == second['segnode_history']
    for key in ('state_dict', 'current_model_state'):
        for name, tensor in first[key].items():
            assert torch.equal(tensor, second[key][name]), name


def test_errors_of_all_and_of_one_process(fit, out, rendered_camvid, tmp_path):
    told = finish(fit('away', '--optim.lr', 1e30, '--optim.warmup_steps', 0), code=1)
    assert told.count('error: The loss is ') == 1 and 'Traceback' not in told
    assert 'files: camvid/train_' in told and '(process ' in told
    # A file that only one of them meets, in its share of the validation.
    root = tmp_path / 'camvid'
    shutil.copytree(rendered_camvid, root)
    (root / 'val' / 'labels' / 'val_1.png').write_bytes(b'nothing')
    told = finish(fit('torn', '--data.roots.camvid', root, '--data.check', 'false'), code=1)
    assert 'val_1.png is not a readable label image' in told and 'Traceback' not in told


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_signals_end_all_processes(fit, out, number):
    name = f'signal{int(number)}'
    process = fit(name, epochs=100000)
    deadline = time.monotonic() + 120
    while not (out / name / 'metrics.csv').is_file():
        assert process.running and time.monotonic() < deadline, process.output
        time.sleep(0.1)
    assert process.stop(number, timeout=60) == 130, process.output
    assert process.output.count('stopped; --resume goes on') == 1
    assert 'Traceback' not in process.output
    if Path('/proc').is_dir():
        deadline = time.monotonic() + 60
        while running(process.pid):
            assert time.monotonic() < deadline, running(process.pid)
            time.sleep(0.1)


def running(group):
    """Return the processes of a group that still run."""
    found = []
    for folder in Path('/proc').iterdir():
        try:
            fields = (folder / 'stat').read_text().rpartition(')')[2].split()
        except (OSError, ValueError):
            continue
        if folder.name.isdigit() and fields[2] == str(group) and fields[0] != 'Z':
            found.append(int(folder.name))
    return found

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Who trains: what the launchers leave in the environment is understood, or refused."""

import pytest

torch = pytest.importorskip('torch')

from segnode.errors import SegnodeError  # noqa: E402
from training import processes as module  # noqa: E402
from training.processes import Processes, processes, rank  # noqa: E402

TORCHRUN = {'TORCHELASTIC_RUN_ID': 'x', 'WORLD_SIZE': '8', 'LOCAL_WORLD_SIZE': '4', 'RANK': '5',
            'LOCAL_RANK': '1'}
SRUN = {'SLURM_STEP_ID': '0', 'SLURM_NTASKS': '6', 'SLURM_NTASKS_PER_NODE': '3',
        'SLURM_PROCID': '4'}


@pytest.fixture
def gpus(monkeypatch):
    """Return a function that sets how many GPUs there seem to be."""
    def pretend(count):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: count > 0)
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    pretend(0)
    return pretend


def test_one_machine(gpus):
    assert processes('auto', 'auto', {}) == Processes('cpu', 1)
    assert processes('cpu', 2, {}) == Processes('cpu', 2) == processes('auto', '2', {})
    assert processes('cpu', 2, {}).count == 2
    gpus(4)
    assert processes('auto', 'auto', {}) == Processes('gpu', 4)
    assert processes('gpu', 2, {}) == Processes('gpu', 2)
    assert processes('cpu', 'auto', {}) == Processes('cpu', 1)
    with pytest.raises(SegnodeError, match='5 processes cannot have a GPU each.*finds 4'):
        processes('auto', 5, {})
    gpus(0)
    with pytest.raises(SegnodeError, match='accelerator is gpu, but PyTorch finds no GPU'):
        processes('gpu', 1, {})


@pytest.mark.parametrize('environment, expected', [
    (TORCHRUN, Processes('cpu', 4, 2, 'torchrun')), (SRUN, Processes('cpu', 3, 2, 'srun'))])
def test_what_a_launcher_has_started(gpus, environment, expected):
    assert processes('cpu', 'auto', environment) == expected
    assert processes('cpu', expected.devices, environment) == expected
    with pytest.raises(SegnodeError, match=f'{expected.started_by} has started .* devices is 2'):
        processes('cpu', 2, environment)


def test_srun_without_processes_per_machine(gpus):
    environment = {k: v for k, v in SRUN.items() if k != 'SLURM_NTASKS_PER_NODE'}
    with pytest.raises(SegnodeError, match='--ntasks-per-node'):
        processes('cpu', 'auto', environment)


def test_inside_a_job_that_srun_has_not_started(gpus):
    script = {'SLURM_NTASKS': '4', 'SLURM_PROCID': '0', 'SLURM_NTASKS_PER_NODE': '4'}
    assert processes('cpu', 2, script) == Processes('cpu', 2)
    shell = {'SLURM_STEP_ID': '0', 'SLURM_NTASKS': '1'}
    assert processes('cpu', 2, shell) == Processes('cpu', 2)


def test_ranks():
    assert rank({}) == 0
    assert rank({'LOCAL_RANK': '2'}) == 2  # a process that the trainer has started
    assert rank(TORCHRUN) == 5
    assert rank(SRUN) == 4


def test_plugins_say_who_starts(monkeypatch):
    pytest.importorskip('pytorch_lightning')
    for name, value in {**SRUN, 'SLURM_JOB_ID': '1'}.items():
        monkeypatch.setenv(name, value)
    names = [type(Processes('cpu', 3, 2, by).plugins()[0]).__name__
             for by in ('torchrun', 'srun', '')]
    assert names == ['TorchElasticEnvironment', 'SLURMEnvironment', 'LightningEnvironment']
    assert not Processes('cpu', 3, 2, 'srun').plugins()[0].auto_requeue
    assert module.rank() == 4

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which processes train: this one alone, some per machine, on one or several machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os
from typing import Any

from segnode.errors import SegnodeError


class OneProcessError(SegnodeError):
    """An error of one process of several, which the others do not know of and so do not say."""


@dataclass(frozen=True)
class Processes:
    """What pytorch-lightning is to start, or finds started.

    Args:
        accelerator: cpu or gpu.
        devices: processes per machine.
        nodes: machines.
        started_by: torchrun or srun, where they have started the processes; else ''.
    """

    accelerator: str
    devices: int
    nodes: int = 1
    started_by: str = ''

    @property
    def count(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes

    def plugins(self) -> list[Any]:
        """Return the trainer's plug-in that knows who starts the processes."""
        from lightning_fabric.plugins.environments import (
            LightningEnvironment,
            SLURMEnvironment,
            TorchElasticEnvironment,
        )

        if self.started_by == 'torchrun':
            return [TorchElasticEnvironment()]
        if self.started_by == 'srun':
            # Without requeueing, which would save and load checkpoints of its own.
            return [SLURMEnvironment(auto_requeue=False)]
        return [LightningEnvironment()]  # in a SLURM job without srun, too


def rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of this process among all, also before they know of each other."""
    started_by = _started_by(environment)
    name = {'torchrun': 'RANK', 'srun': 'SLURM_PROCID'}.get(started_by, 'LOCAL_RANK')
    return int(environment.get(name, 0))


def processes(
    accelerator: str, devices: int | str, environment: Mapping[str, str] = os.environ
) -> Processes:
    """Settle who trains, from what the user asked for and what there is.

    Args:
        accelerator: auto, cpu or gpu.
        devices: processes per machine, or auto.
        environment: in which torchrun and srun leave what they have started.

    Raises:
        SegnodeError: there is no GPU, there are too few, or something else was started than was
            asked for.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if accelerator == 'gpu' and not gpus:
        raise SegnodeError('accelerator is gpu, but PyTorch finds no GPU here: give auto or cpu.')
    kind = 'gpu' if gpus and accelerator != 'cpu' else 'cpu'
    started_by = _started_by(environment)
    if started_by == 'torchrun':
        local = int(environment['LOCAL_WORLD_SIZE'])
        nodes = int(environment['WORLD_SIZE']) // local
    elif started_by == 'srun':
        if 'SLURM_NTASKS_PER_NODE' not in environment:
            raise SegnodeError(
                'srun has not said how many processes each machine has: start the job with '
                '--ntasks-per-node as well.'
            )
        local = int(environment['SLURM_NTASKS_PER_NODE'])
        nodes = int(environment['SLURM_NTASKS']) // local
    else:
        nodes = 1
        local = (gpus if kind == 'gpu' else 1) if str(devices) == 'auto' else int(devices)
    if started_by and str(devices) not in ('auto', str(local)):
        raise SegnodeError(
            f'{started_by} has started {local} processes on this machine, but devices is '
            f'{devices}: leave it at auto.'
        )
    if kind == 'gpu' and local > gpus:
        raise SegnodeError(
            f'{local} processes cannot have a GPU each, since PyTorch finds {gpus} here: give '
            'fewer --devices, or --accelerator cpu.'
        )
    return Processes(kind, local, nodes, started_by)


def _started_by(environment: Mapping[str, str]) -> str:
    if 'TORCHELASTIC_RUN_ID' in environment:
        return 'torchrun'
    # Inside a job's script, where srun has started nothing, there is no step.
    if 'SLURM_STEP_ID' in environment and int(environment.get('SLURM_NTASKS', 1)) > 1:
        return 'srun'
    return ''

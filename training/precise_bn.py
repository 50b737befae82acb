# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Batch-norm statistics of what a model will see: whole frames, not augmented crops.

The running averages of training are of randomly zoomed and coloured crops, and of weights that
changed meanwhile. Taken anew for the final weights over whole training frames, they are of
these and of images as a vehicle has them (Wu and Johnson, "Rethinking 'Batch' in BatchNorm",
arXiv 2105.07576, sections 3 and 4).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.host_memory import keep_freed_memory
from segnode.record import ModelRecord
from segnode.runtimes.graph import DeployGraph
from training.datasets.source import Pool
from training.run_checks import PRECISE_BN_BATCH as BATCH


def take_statistics(
    network: nn.Module, record: ModelRecord, pool: Pool, frames: int
) -> int:
    """Replace the statistics of the batch norms by those over frames of ``pool``, in place.

    Mean and variance are the averages of those of batches of eight, as the graph of ``record``
    prepares the frames. Weights stay what they are, and so do auxiliary heads; dropout is off.

    Args:
        network: in float32, on any device; it is left in evaluation mode.
        record: says how its images are prepared.
        pool: what it was trained on.
        frames: how many; spread evenly over the pool where that has more.

    Returns:
        How many frames were taken, a multiple of eight.

    Raises:
        SegnodeError: see ``check_frames``.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    check_frames(frames, pool)
    taken = min(frames, len(pool)) // BATCH * BATCH
    keep_freed_memory()
    chosen = np.linspace(0, len(pool) - 1, taken).round().astype(int)
    # Neighbours are often frames of one video and alike: they go into different batches.
    batches = chosen.reshape(BATCH, -1).T
    graph = DeployGraph(network, record).eval()
    momentum = [norm.momentum for norm in norms]
    before = [
        {name: values.clone() for name, values in norm.named_buffers()} for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
    device = next(network.parameters()).device
    with torch.no_grad():
        for batch in tqdm(batches, 'batch norm', disable=None, leave=False, delay=1.0):
            images = [
                fit_image(pool.load(int(index))[0], record.input_size, record.fit)[0]
                for index in batch
            ]
            network(graph.prepare(torch.from_numpy(np.stack(images)).to(device)))
    for norm, own, values in zip(norms, momentum, before):
        norm.momentum = own
        if not norm.num_batches_tracked:  # of an auxiliary head, which is for training alone
            norm.load_state_dict(values, strict=False)
    network.eval()
    return taken


def check_frames(frames: int, pool: Pool) -> None:
    """Find what :func:`take_statistics` could not do, before a run rather than after it.

    Raises:
        SegnodeError: ``pool`` has fewer than eight frames.
    """
    if frames and len(pool) < BATCH:
        raise SegnodeError(
            f'optim.precise_bn needs {BATCH} training frames or more; '
            f'{"+".join(pool.names)} has {len(pool)}.'
        )

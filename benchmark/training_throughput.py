# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Images per second of the training loop, beside the same loop fed with constant tensors.

    python -m benchmark.training_throughput [--data camvid:train] [--json FILE]

The loop is pytorch-lightning's Trainer with the run's own module, optimiser, weight average and
batch transfer. All feeds train the same network and take turns, so that other load on the machine
falls on all alike; a round's ratio is the feed's images per second by those of the constant
tensors in the same round, and the median of the rounds counts. The first step of every turn is a
warm-up. The ratio by processor time (all threads of the training process, not of its workers)
suffers less from other load; of a GPU it says nothing. "alone" is what the feed gives when nobody
trains: how fast a network it could keep busy.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
import json
import logging
import os
from pathlib import Path
import platform
import statistics
import sys
import tempfile
import time
from typing import Any
import warnings

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from segnode.benchmarking.machine import processor
from segnode.commands.arguments import image_size, output_file
from segnode.dependencies import versions
from segnode.errors import SegnodeError
from segnode.networks import zoo
from training.averaging import AveragedWeights
from training.config import check, DataConfig, FitConfig, model_record
from training.data_module import SegmentationData
from training.module import SegmentationModule

CONSTANT = 'constant'
FEEDS: dict[str, dict[str, Any]] = {
    'loader': {'augment_on': 'loader', 'workers': 0},
    'loader, 1 worker': {'augment_on': 'loader', 'workers': 1},
    'loader, 2 workers': {'augment_on': 'loader', 'workers': 2},
    'loader, nothing kept': {'augment_on': 'loader', 'workers': 0, 'cache': 'none'},
    'device': {'augment_on': 'device'},
}
ROUNDS, STEPS = 7, 4
SIZE = '384x512'


class ConstantSet(Dataset[Any]):
    """One batch, again and again."""

    def __init__(self, batch: Any, length: int) -> None:
        self.batch, self.length = batch, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.batch


class ConstantData(pl.LightningDataModule):
    """A run's data without any work: the batch lies on the device already."""

    def __init__(self, batch: Any, length: int) -> None:
        super().__init__()
        self.batch, self.length = batch, length

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(ConstantSet(self.batch, self.length), batch_size=None)


class Clock(pl.Callback):
    """Seconds from the end of the first step to the end of the last: clock and processor."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.start = device, (0.0, 0.0)
        self.seconds = (0.0, 0.0)

    def on_train_batch_end(self, trainer: Any, module: Any, out: Any, batch: Any, index: int
                           ) -> None:
        if trainer.global_step in (1, trainer.max_steps):
            wait(self.device)
            now = time.perf_counter(), time.process_time()
            self.seconds = now[0] - self.start[0], now[1] - self.start[1]
            self.start = now


def wait(device: torch.device) -> None:
    """Let a GPU finish what it was told."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table in Markdown; 1 where something is missing."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmark.training_throughput', description='Time what feeds training.'
    )
    parser.add_argument('--data', help='DATASET:SPLIT (default: camvid:train where '
                        'CAMVID_DATASET is set, else rendered:train)')
    parser.add_argument('--network', default='fsffnet')
    parser.add_argument('--size', type=image_size, default=image_size(SIZE), metavar='HxW')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--precision', default='32-true')
    parser.add_argument('--feeds', nargs='+', default=list(FEEDS), choices=list(FEEDS))
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument('--steps', type=int, default=STEPS, help='steps that count in a turn')
    parser.add_argument('--seconds', type=float, default=2.0, help='that each feed runs alone')
    parser.add_argument('--threads', type=int, default=0, help='of PyTorch; 0 = its own choice')
    parser.add_argument('--json', type=output_file, help='write the answer to this file too')
    options = parser.parse_args(argv)
    try:
        answer = measure(options)
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(table(answer))
    if options.json:
        options.json.write_text(json.dumps(answer, indent=1) + '\n')
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the machine, the versions and one row per feed."""
    # Few workers and no validation are what is wanted here.
    warnings.filterwarnings('ignore', module='pytorch_lightning')
    logging.getLogger('pytorch_lightning').setLevel(logging.WARNING)
    if options.threads:
        torch.set_num_threads(options.threads)
    spec = options.data or (
        'camvid:train' if os.environ.get('CAMVID_DATASET') else 'rendered:train'
    )
    # Nothing is validated, but a run has to have something with the same classes.
    val = f'{spec.partition(":")[0]}:val'
    base = DataConfig(train=spec, val=val, input_size=options.size)
    config = FitConfig(
        network=options.network, data=base, batch_size=options.batch,
        precision=options.precision, epochs=1000,
    )
    check(config)
    feeds = {
        name: SegmentationData(replace(config, data=replace(base, **FEEDS[name])))
        for name in options.feeds
    }
    first = next(iter(feeds.values()))
    network = zoo.create(config.network, first.train.label_set.num_classes)
    module = SegmentationModule(
        network, model_record(config, first.train.label_set, ''), config
    )
    device = torch.device('cuda', 0) if torch.cuda.is_available() else torch.device('cpu')
    steps = options.steps + 1
    images, labels, names = first.on_after_batch_transfer(next(iter(first.train_dataloader())), 0)
    batch = [images.to(device), labels.to(device), names]
    turns: dict[str, Any] = {CONSTANT: ConstantData(batch, steps), **feeds}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds + 1):  # the first one warms up
            for name, data in turns.items():
                seconds = turn(module, data, device, steps, options, Path(folder))
                if number:
                    times[name].append(seconds)
    return {
        'network': config.network,
        'data': spec,
        'frames': len(first.train),
        'size': f'{options.size[0]}x{options.size[1]}',
        'batch': options.batch,
        'precision': options.precision,
        'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu',
        'processor': processor(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'rounds': options.rounds,
        'steps_per_round': options.steps,
        'python': platform.python_version(),
        'versions': versions('segnode', 'torch', 'pytorch-lightning', 'numpy'),
        'rows': [
            {
                'feed': name,
                'images_per_s': round(options.batch * options.steps / statistics.median(
                    clock for clock, _ in found), 2),
                **ratios(times[CONSTANT], found),
                'alone_images_per_s': None if name == CONSTANT else round(
                    alone(feeds[name], options.seconds, device), 1
                ),
            }
            for name, found in times.items()
        ],
    }


def turn(
    module: SegmentationModule, data: pl.LightningDataModule, device: torch.device, steps: int,
    options: argparse.Namespace, folder: Path,
) -> tuple[float, float]:
    """Train a few steps; return the seconds that all but the first took, and of processor time."""
    clock = Clock(device)
    trainer = pl.Trainer(
        accelerator=device.type, devices=1, precision=options.precision, max_steps=steps,
        callbacks=[AveragedWeights(module.config.optim.ema_decay), clock], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, limit_val_batches=0, use_distributed_sampler=False,
        default_root_dir=folder,
    )
    trainer.fit(module, data)
    return clock.seconds


def ratios(
    constant: list[tuple[float, float]], found: list[tuple[float, float]]
) -> dict[str, Any]:
    """Return the speed beside the constant tensors': median and range of the rounds."""
    clock, used = (
        [c[kind] / f[kind] for c, f in zip(constant, found)] for kind in range(2)
    )
    return {
        'of_constant': round(statistics.median(clock), 3),
        'of_constant_range': [round(min(clock), 3), round(max(clock), 3)],
        'of_constant_by_processor': round(statistics.median(used), 3),
        'of_constant_by_processor_range': [round(min(used), 3), round(max(used), 3)],
    }


def alone(data: SegmentationData, seconds: float, device: torch.device) -> float:
    """Images per second that the feed gives to nobody."""
    loader = data.train_dataloader()
    source = endless(loader)
    images = 0
    data.on_after_batch_transfer(next(source), 0)
    wait(device)
    start = end = time.perf_counter()
    while end - start < seconds:
        batch = data.on_after_batch_transfer(next(source), 0)
        images += len(batch[0])
        wait(device)
        end = time.perf_counter()
    return images / (end - start)


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield one epoch's batches after the other's."""
    while True:
        yield from loader


def table(answer: dict[str, Any]) -> str:
    """Return the answer as text and a table in Markdown."""
    lines = [
        f'{answer["network"]} at {answer["size"]}, batch {answer["batch"]}, '
        f'{answer["precision"]}, {answer["frames"]} frames of {answer["data"]}; '
        f'{answer["device"]}, {answer["processor"]}, {answer["threads"]} threads, '
        f'PyTorch {answer["versions"]["torch"]}',
        '',
        '| feed | images/s | of the constant tensors | rounds from - to | by processor time '
        '| rounds from - to | alone, images/s |',
        '|---|---|---|---|---|---|---|',
    ]
    lines += [
        f'| {row["feed"]} | {row["images_per_s"]:.2f} | {row["of_constant"]:.3f} '
        f'| {row["of_constant_range"][0]:.3f} - {row["of_constant_range"][1]:.3f} '
        f'| {row["of_constant_by_processor"]:.3f} '
        f'| {" - ".join(format(v, ".3f") for v in row["of_constant_by_processor_range"])} '
        f'| {row["alone_images_per_s"] or "-"} |'
        for row in answer['rows']
    ]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())

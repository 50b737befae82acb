# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``fit``: train a network, keep the best averaged weights, release them."""

from __future__ import annotations

from dataclasses import asdict, replace
import json
import logging
import os
from pathlib import Path
import signal
from typing import Any
import warnings

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
import torch
import yaml

from segnode.errors import SegnodeError
from segnode.files import write_bytes
from segnode.host_memory import keep_freed_memory
from segnode.networks import zoo
from training.averaging import AveragedWeights
from training.callbacks import checkpoints, early_stopping, EndOnSignal, LastStep, TimeLimit
from training.checkpoint import load_checkpoint
from training.config import check, FitConfig, from_dict, model_record
from training.data_module import SegmentationData
from training.import_weights.backbones.load import load_backbone
from training.logs import tensorboard
from training.logs.metrics_file import MetricsFile
from training.logs.progress import RunProgress
from training.losses import class_weights
from training.module import SegmentationModule
from training.optimizers import real_rate
from training.precise_bn import check_frames
from training.processes import OneProcessError, Processes, processes, rank
from training.release import release
from training.resume import check_classes, check_resume
from training.transfer import load_trained, transfer


def fit(config: FitConfig, resume: bool = False) -> Path:
    """Train as ``config`` says.

    Args:
        config: the run.
        resume: go on from ``OUT/NAME/last.ckpt``.

    Returns:
        The folder of the run: recipe.yaml, last.ckpt (every epoch), best.ckpt (by the validation
        mean IoU), metrics.csv, tensorboard/ and, once it has come to its end, the released pair
        of the best.

    Raises:
        SegnodeError: a value cannot work, the folder holds a run that was not asked for, there
            is none to go on with, or the data has a fault.
        KeyboardInterrupt: the user stopped it.
    """
    check(config, resume)
    folder = Path(config.out) / config.name
    last = folder / 'last.ckpt'
    saved: dict[str, Any] = {}
    if resume:
        saved = load_checkpoint(last)  # its faults in one sentence, before any data is read
        check_resume(config, saved, last)
        # What it started from is in its weights, which have that order of colours.
        before = from_dict(saved['segnode_config'])
        config = replace(config, backbone=before.backbone, init=before.init)
    elif last.is_file():
        raise SegnodeError(
            f'{folder} already holds a run: go on with it by --resume, or give another --name.'
        )
    place = placed(config)
    module, data = build(config, place, saved=saved)
    if len(data.val) < place.count:
        raise SegnodeError(
            f'{"+".join(data.val.names)} has {len(data.val)} frames, fewer than the '
            f'{place.count} processes that validate: train with fewer --devices.'
        )
    if rank() == 0:
        _write_recipe(config, folder)
    limit = TimeLimit(config.max_minutes) if config.max_minutes is not None else None
    callbacks: list[Callback] = [
        AveragedWeights(config.optim.ema_decay),
        MetricsFile(folder / 'metrics.csv'),
        *_tensorboard(config, folder, module),
        RunProgress(),
        *([limit] if limit else []),
        *([early_stopping(config.early_stop)] if config.early_stop is not None else []),
        *checkpoints(folder, config.keep),
    ]
    trainer = make_trainer(config, place, folder, callbacks)
    run(trainer, module, data, place, last if resume else None)
    if trainer.is_global_zero:
        if limit is not None and limit.stopped:
            print(f'stopped after {trainer.current_epoch} of {trainer.max_epochs} epochs, before '
                  f'max_minutes {config.max_minutes:g} were over; --resume goes on')
            return folder
        record = release(folder / 'best.ckpt', folder / config.name, roots=config.data.roots)
        for split, miou in record.training['miou'].items():
            print(f'{config.name}: {100 * miou:.2f} % mean IoU on {split}')
    return folder


def placed(config: FitConfig) -> Processes:
    """Settle which processes train, and say what they do otherwise than asked for.

    Raises:
        SegnodeError: see ``processes``; or the precision is none of this accelerator.
    """
    place = processes(config.accelerator, config.devices)
    if place.accelerator == 'cpu' and config.precision == '16-mixed':
        raise SegnodeError(
            'precision 16-mixed needs a GPU; on a CPU it is 32-true or bf16-mixed.'
        )
    if place.accelerator == 'cpu':
        keep_freed_memory()
    if place.count > 1:
        own = place.accelerator == 'cpu' and config.sync_bn
        _say(f'{place.count} processes train' + (
            '; on CPUs each normalises its own batch (sync_bn needs GPUs)' if own else ''))
    if config.threads:
        torch.set_num_threads(config.threads)
        os.environ['OMP_NUM_THREADS'] = str(config.threads)  # the trainer's own choice gives way
    return place


def build(
    config: FitConfig,
    place: Processes,
    *,
    saved: dict[str, Any] | None = None,
    kind: type[SegmentationModule] = SegmentationModule,
) -> tuple[SegmentationModule, SegmentationData]:
    """Make the module and the data of a run, and load what it starts from.

    Args:
        config: the run.
        place: which processes train.
        saved: the checkpoint that it goes on from; it then starts from nothing else.
        kind: class of the module.

    Raises:
        SegnodeError: the data has a fault, or what it starts from does not fit.
    """
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = SegmentationData(config)
    labels = data.train.label_set
    check_frames(config.optim.precise_bn, data.train)
    if saved:
        check_classes(labels, saved, Path(config.out) / config.name / 'last.ckpt')
    network = zoo.create(config.network, labels.num_classes, **config.network_args)
    backbone: dict[str, Any] = {}
    init: dict[str, Any] = {}
    if config.backbone.weights is not None and not saved:
        path = Path(config.backbone.weights).expanduser()
        loaded = load_backbone(network, zoo.network_info(config.network), path)
        backbone = loaded.to_dict()
        _say(f'{loaded}{loaded.advice(config.mean, config.std)}')
    if config.init.weights is not None and not saved:
        trained = load_trained(config.init.weights)
        # The weights are of that order of colours, and so will be what becomes of them.
        order: Any = trained.record.color_order
        config = replace(config, backbone=replace(config.backbone, color_order=order))
        taken = transfer(
            network, model_record(config, labels, ''), trained, config.data.label_maps
        )
        init = taken.to_dict()
        _say(str(taken))
    module = kind(network, model_record(config, labels, data.train.licence), config)
    module.backbone, module.init = backbone, init
    # After the module, whose faults then show before every label file has been read.
    if config.loss.class_weights != 'none':
        module.criterion.weigh_classes(class_weights(
            config.loss.class_weights, data.train.class_histograms(), config.loss.enet_c,
            labels.names,
        ))
    images = config.batch_size * place.count * config.accumulate
    rate = real_rate(config.optim, images)
    if config.optim.lr_batch is not None and not saved:
        _say(f'learning rate {rate:.3g}: optim.lr {config.optim.lr:g} is for '
             f'{config.optim.lr_batch} images per step, and a step has {images} '
             f'({config.batch_size} x {place.count} processes x {config.accumulate} batches)')
    return module, data


def make_trainer(
    config: FitConfig, place: Processes, folder: Path, callbacks: list[Callback], **more: Any
) -> pl.Trainer:
    """Return the trainer of a run; ``more`` replaces what it would have."""
    # What we say ourselves, what is so on purpose, and what is the trainer's own affair.
    for name in ('pytorch_lightning', 'lightning_fabric'):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in ('Checkpoint directory', '.*treespec', '.*does not have many workers'):
        warnings.filterwarnings('ignore', message=message)
    callbacks = [EndOnSignal(), *callbacks]
    if config.max_steps is not None:
        callbacks.insert(0, LastStep(config.max_steps))
    options: dict[str, Any] = {
        'accelerator': place.accelerator,
        'devices': place.devices,
        'num_nodes': place.nodes,
        'strategy': 'ddp' if place.count > 1 else 'auto',
        'plugins': place.plugins() if place.count > 1 else None,
        'sync_batchnorm': config.sync_bn and place.count > 1 and place.accelerator == 'gpu',
        'precision': config.precision,
        'max_epochs': config.epochs,
        'accumulate_grad_batches': config.accumulate,
        'gradient_clip_val': config.clip_gradient,
        'check_val_every_n_epoch': config.val_every,
        'num_sanity_val_steps': 0,
        'use_distributed_sampler': False,
        'callbacks': callbacks,
        'logger': False,
        'default_root_dir': folder,
        'enable_checkpointing': True,
        'enable_model_summary': False,
    }
    return pl.Trainer(**{**options, **more})


def run(
    trainer: pl.Trainer,
    module: SegmentationModule,
    data: SegmentationData,
    place: Processes,
    checkpoint: Path | None = None,
) -> None:
    """Let the trainer do its work; whatever ends it ends all processes that it has started.

    Raises:
        OneProcessError: what went wrong in this process alone, of several.
        SegnodeError: what went wrong in all of them.
        KeyboardInterrupt: Ctrl-C, or SIGTERM.
    """
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:
        if trainer.interrupted:  # the trainer turns Ctrl-C into an exit of its own
            raise KeyboardInterrupt from None
        raise
    except SegnodeError as error:
        _end_children(trainer)
        if place.count == 1 or module.stopped_together:
            raise
        raise OneProcessError(f'process {rank()}: {error}') from error
    except BaseException as error:
        _end_children(trainer)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        if any(c.asked for c in callbacks if isinstance(c, EndOnSignal)):
            raise KeyboardInterrupt from None  # another process was faster to end
        if place.count > 1 and _lost_another(error):
            raise OneProcessError(
                f'process {rank()}: another process has ended, and so this one does; what it said '
                'of it should be above.'
            ) from error
        raise


def _lost_another(error: BaseException) -> bool:
    """Tell whether it is the error of a process that waited for one that is gone."""
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and 'gloo' in str(error))


def _end_children(trainer: pl.Trainer) -> None:
    """End the processes that wait for this one: some backends would let them wait for minutes."""
    launcher = trainer.strategy.launcher
    if launcher is not None:
        launcher.kill(signal.SIGKILL)


def _tensorboard(
    config: FitConfig, folder: Path, module: SegmentationModule
) -> list[Callback]:
    if not config.log.tensorboard:
        return []
    if not tensorboard.available():
        _say('No events for TensorBoard are written: it is not installed (pip install '
             'tensorboard, or --log.tensorboard false).')
        return []
    return [tensorboard.TensorBoard(folder / 'tensorboard', module.label_set, config.log)]


def _write_recipe(config: FitConfig, folder: Path) -> None:
    """Write what the run is, with every value: ``--config FOLDER/recipe.yaml`` is the same run."""
    plain = json.loads(json.dumps(asdict(config)))
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / 'recipe.yaml', text.encode())
    except OSError as error:
        raise SegnodeError(
            f'{folder} cannot be written to: {error.strerror or error} (--out).'
        ) from error


def _say(text: str) -> None:
    if rank() == 0:
        print(text, flush=True)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``fit``: train a network, keep the best averaged weights, release them."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
import torch

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from segnode.networks import zoo
from training.averaging import AveragedWeights
from training.checkpoint import load_checkpoint
from training.config import check, FitConfig, model_record
from training.data_module import SegmentationData
from training.losses import enet_class_weights
from training.module import SegmentationModule
from training.release import release


def fit(config: FitConfig, resume: bool = False) -> Path:
    """Train as ``config`` says.

    Args:
        config: the run.
        resume: go on from ``OUT/NAME/last.ckpt``.

    Returns:
        The folder of the run: last.ckpt (every epoch), best.ckpt (by the validation mean IoU),
        logs/version_N/metrics.csv (one per start) and the released pair of the best.

    Raises:
        SegnodeError: a value cannot work, the folder holds a run that was not asked for, there
            is none to go on with, or the data has a fault.
        KeyboardInterrupt: the user stopped it.
    """
    check(config)
    folder = Path(config.out) / config.name
    last = folder / 'last.ckpt'
    if resume:
        load_checkpoint(last)  # its faults in one sentence, before any data is read
    elif last.is_file():
        raise SegnodeError(
            f'{folder} already holds a run: go on with it by --resume, or give another --name.'
        )
    if config.threads:
        torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = SegmentationData(config)
    labels = load_label_set(data.reader.LABEL_SET)
    weights = None
    if config.loss.class_weights == 'enet':
        weights = enet_class_weights(data.class_pixels(labels.num_classes), config.loss.enet_c)
    network = zoo.create(config.network, labels.num_classes, **config.network_args)
    record = model_record(config, labels, data.reader.LICENCE)
    module = SegmentationModule(network, record, config, weights)
    trainer = _trainer(config, folder)
    try:
        trainer.fit(module, data, ckpt_path=last if resume else None)
    except SystemExit:
        if trainer.interrupted:  # the trainer turns Ctrl-C into an exit of its own
            raise KeyboardInterrupt from None
        raise
    if trainer.is_global_zero:
        record = release(folder / 'best.ckpt', folder / config.name, root=config.data.root)
        for split, miou in record.training['miou'].items():
            print(f'{config.name}: {100 * miou:.2f} % mean IoU on {split}')
    return folder


def _trainer(config: FitConfig, folder: Path) -> pl.Trainer:
    devices = str(config.devices)
    # Two callbacks, since save_last of one writes last.ckpt only when the best improves.
    best = ModelCheckpoint(
        folder, filename='best', monitor='val_miou', mode='max', save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    last = ModelCheckpoint(
        folder, filename='last', every_n_epochs=1, save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return pl.Trainer(
        accelerator=config.accelerator,
        devices='auto' if devices == 'auto' else int(devices),
        precision=config.precision,  # type: ignore[arg-type]
        max_epochs=config.epochs,
        check_val_every_n_epoch=config.val_every,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[
            AveragedWeights(config.optim.ema_decay), best, last, TQDMProgressBar(refresh_rate=5)
        ],
        logger=CSVLogger(folder, name='logs'),
        default_root_dir=folder,
        log_every_n_steps=10,
        enable_model_summary=False,
    )

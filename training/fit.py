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
from training.config import FitConfig
from training.data_module import SegmentationData
from training.losses import enet_class_weights
from training.module import AveragedWeights, SegmentationModule


def fit(
    config: FitConfig, resume: bool = False, callbacks: list[pl.Callback] | None = None
) -> Path:
    """Train as ``config`` says.

    Args:
        config: the run.
        resume: go on from ``OUT/NAME/last.ckpt``.
        callbacks: more callbacks of the trainer.

    Returns:
        The folder of the run: last.ckpt, best.ckpt, logs/version_N/metrics.csv (one per start)
        and the released pair of the best.

    Raises:
        SegnodeError: the folder holds a run that was not asked for, or the data has a fault.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    folder = Path(config.out) / config.name
    last = folder / 'last.ckpt'
    if last.is_file() and not resume:
        raise SegnodeError(
            f'{folder} already holds a run: go on with it by --resume, or give another --name.'
        )
    folder.mkdir(parents=True, exist_ok=True)
    data = SegmentationData(config)
    labels = load_label_set(data.reader.LABEL_SET)
    weights = None
    if config.loss.class_weights == 'enet':
        weights = enet_class_weights(data.class_pixels(labels.num_classes), config.loss.enet_c)
    network = zoo.create(config.network, labels.num_classes, **config.network_args)
    module = SegmentationModule(network, config, labels.names, weights)
    best = ModelCheckpoint(
        folder, filename='best', monitor='val_miou', mode='max', save_last=True,
        enable_version_counter=False, auto_insert_metric_name=False,
    )
    trainer = pl.Trainer(
        accelerator=config.accelerator,
        devices=config.devices if config.devices == 'auto' else int(config.devices),
        precision=config.precision,  # type: ignore[arg-type]
        max_epochs=config.epochs,
        check_val_every_n_epoch=min(config.val_every, config.epochs),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[
            AveragedWeights(config.optim.ema_decay), best, TQDMProgressBar(refresh_rate=5),
            *(callbacks or []),
        ],
        logger=CSVLogger(folder, name='logs'),
        default_root_dir=folder,
        log_every_n_steps=10,
        enable_model_summary=False,
    )
    trainer.fit(module, data, ckpt_path=last if last.is_file() else None)
    if trainer.is_global_zero:
        # Imported late: a run needs the vehicle side only now.
        from training.release import release

        record = release(folder / 'best.ckpt', folder / config.name)
        for split, miou in record.training['miou'].items():
            print(f'{config.name}: {100 * miou:.2f} % mean IoU on {split}')
    return folder

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""From a run's checkpoint to a released model with its training record inside."""

from __future__ import annotations

from dataclasses import asdict, replace
import datetime
import json
from pathlib import Path
import platform
import tempfile
from typing import Any

import numpy as np
import onnxruntime
import pytorch_lightning as pl
import torch

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from segnode.model import ModelRecord
from segnode.model import release as write_pair
from segnode.networks import zoo
from segnode.segmenter import Segmenter
from training.config import FitConfig, from_dict
from training.datasets.registry import dataset, dataset_root
from training.evaluate import evaluate


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ``fit`` without unpickling code.

    Raises:
        SegnodeError: missing, damaged, or not made by ``fit``.
    """
    if not path.is_file():
        raise SegnodeError(f'There is no checkpoint {path}.')
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
        checkpoint['segnode_config']
    except Exception as error:  # torch raises many kinds for damaged files
        reason = str(error).splitlines()[0]
        raise SegnodeError(f'{path} is not a checkpoint of "fit": {reason}') from error
    return dict(checkpoint)


def release(checkpoint: Path, stem: Path, *, hardware: str = '') -> ModelRecord:
    """Write ``stem.safetensors`` and ``stem.onnx`` from the averaged weights of a checkpoint.

    The pair is written once, evaluated on the run's validation split by ``Segmenter.segment``,
    and written again with the figure in its record.

    Args:
        checkpoint: of ``fit``.
        stem: the path without suffix; its last part is the model's name.
        hardware: what the training ran on, for the record.

    Returns:
        The record that was written.

    Raises:
        SegnodeError: see :func:`load_checkpoint`; or the data of the run is not to be found.
    """
    saved = load_checkpoint(checkpoint)
    config = from_dict(saved['segnode_config'])
    reader = dataset(config.data.dataset)
    labels = load_label_set(reader.LABEL_SET)
    network = zoo.create(config.network, labels.num_classes, **config.network_args)
    prefix = 'network.'
    network.load_state_dict(
        {k[len(prefix):]: v for k, v in saved['state_dict'].items() if k.startswith(prefix)}
    )
    record = ModelRecord(
        network=config.network,
        network_args=dict(config.network_args),
        label_set=labels,
        input_size=config.data.input_size,
        mean=config.mean,
        std=config.std,
        data_licence=reader.LICENCE,
        training=_training_record(saved, config, hardware),
    )
    root = dataset_root(config.data.dataset, config.data.root)
    samples = reader.find_samples(root, config.data.val)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / stem.name
        write_pair(network, record, draft)
        segmenter = Segmenter.load(str(draft.with_suffix('.onnx')), runtime='onnx')
        result = evaluate(segmenter, reader, samples, labels).to_dict()
    training = {**record.training, 'miou': {config.data.val: result['miou']},
                'class_iou': {config.data.val: result['class_iou']}}
    record = replace(record, training=training)
    write_pair(network, record, stem)
    return record


def _training_record(saved: dict[str, Any], config: FitConfig, hardware: str) -> dict[str, Any]:
    recipe = asdict(config)
    # Where the data lay and where the run went says nothing about the model.
    recipe['data'].pop('root')
    recipe.pop('out')
    return {
        'dataset': config.data.dataset,
        'split': config.data.train,
        'recipe': json.loads(json.dumps(recipe)),
        'epochs': int(saved['epoch']) + 1,
        'steps': int(saved['global_step']),
        'seed': config.seed,
        'history': [
            {'epoch': int(entry['epoch']), 'miou': round(float(entry['val_miou']), 4)}
            for entry in saved.get('segnode_history', [])
        ],
        'minutes': round(float(saved.get('segnode_minutes', 0.0)), 1),
        'hardware': hardware or platform.machine(),
        'date': datetime.date.today().isoformat(),
        'versions': {
            'torch': torch.__version__,
            'pytorch_lightning': pl.__version__,
            'onnxruntime': onnxruntime.__version__,
            'numpy': np.__version__,
            'python': platform.python_version(),
        },
    }

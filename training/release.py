# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""From a run's checkpoint to a released model with its training record inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
import datetime
import json
from pathlib import Path
import platform
import tempfile
from typing import Any

from segnode.dependencies import versions
from segnode.export import release as write_pair
from segnode.labels import load_label_set
from segnode.networks import zoo
from segnode.record import ModelRecord
from segnode.segmenter import Segmenter
from training.checkpoint import load_checkpoint, network_weights
from training.config import FitConfig, from_dict, model_record
from training.datasets.source import open_pool
from training.evaluate import evaluate
from training.precise_bn import take_statistics
from training.run_checks import check_optim


def release(
    checkpoint: Path,
    stem: Path,
    *,
    roots: Mapping[str, str] | None = None,
    hardware: str = '',
    remarks: str = '',
    precise_bn: int | None = None,
) -> ModelRecord:
    """Write ``stem.safetensors`` and ``stem.onnx`` from the averaged weights of a checkpoint.

    The pair is written once, evaluated on the run's validation split by ``Segmenter.segment``,
    and written again with the figure in its record.

    Args:
        checkpoint: of ``fit``.
        stem: the path without suffix; its last part is the model's name.
        roots: folders by dataset name, of those that lie elsewhere than the run had them.
        hardware: what the training ran on, for the record.
        remarks: whatever else the record should say.
        precise_bn: training frames for the batch-norm statistics, see
            ``precise_bn.take_statistics``; by default what the run's ``optim.precise_bn`` says.

    Returns:
        The record that was written.

    Raises:
        SegnodeError: see ``load_checkpoint``; or the data of the run is not to be found, or too
            little for ``precise_bn``.
    """
    saved = load_checkpoint(checkpoint)
    config = from_dict(saved['segnode_config'])
    if precise_bn is not None:
        config = replace(config, optim=replace(config.optim, precise_bn=precise_bn))
        check_optim(config.optim)
    data = config.data
    roots = {**data.roots, **(roots or {})}
    label_set = load_label_set(data.label_set) if data.label_set else None
    train = open_pool(data.train, roots, label_set, data.label_maps)
    labels = train.label_set
    val = open_pool(data.val, roots, labels, data.label_maps)
    network = zoo.create(config.network, labels.num_classes, **config.network_args)
    network.load_state_dict(network_weights(saved))
    training = _training_record(saved, config, hardware)
    if remarks:
        training['remarks'] = remarks
    record = model_record(config, labels, train.licence, training)
    if config.optim.precise_bn:
        training['precise_bn_frames'] = take_statistics(
            network, record, train, config.optim.precise_bn)
    with tempfile.TemporaryDirectory() as draft:
        model = write_pair(network, record, Path(draft) / stem.name)
        segmenter = Segmenter.load(model, runtime='onnx')
        result = evaluate(segmenter, val).to_dict()
        segmenter.close()
    # The plain name of the split where there is one; record.miou looks for "val".
    split = val.sources[0].split if len(val.sources) == 1 else '+'.join(val.names)
    training = {**training, 'miou': {split: result['miou']},
                'class_iou': {split: result['class_iou']}}
    record = replace(record, training=training)
    write_pair(network, record, stem)
    return record


def data_of(checkpoint: Path) -> list[str]:
    """Return DATASET:SPLIT of all that a checkpoint's run was trained and validated on.

    Raises:
        SegnodeError: see ``load_checkpoint``.
    """
    data = from_dict(load_checkpoint(checkpoint)['segnode_config']).data
    return [spec for given in (data.train, data.val)
            for spec in ([given] if isinstance(given, str) else given)]


def _training_record(saved: dict[str, Any], config: FitConfig, hardware: str) -> dict[str, Any]:
    recipe = asdict(config)
    # Where the data lay and where the run went says nothing about the model.
    recipe['data'].pop('roots')
    recipe.pop('out')
    backbone = dict(saved.get('segnode_backbone', {}))
    if backbone:
        recipe['backbone']['weights'] = backbone['file']
    init = dict(saved.get('segnode_init', {}))
    if init:
        recipe['init']['weights'] = init['model']
    distill = recipe['loss']['distill']
    if distill['teacher'] is not None:
        distill['teacher'] = Path(distill['teacher']).stem
    minutes, steps = float(saved.get('segnode_minutes', 0.0)), int(saved['global_step'])
    # A checkpoint of before this was kept does not know of other processes.
    images = steps * int(
        saved.get('segnode_images_per_step', config.batch_size * config.accumulate))
    return {
        'dataset': config.data.train,
        'recipe': json.loads(json.dumps(recipe)),
        'epochs': int(saved['epoch']) + 1,
        'steps': steps,
        'seed': config.seed,
        **({'backbone': backbone} if backbone else {}),
        **({'init': init} if init else {}),
        'history': [
            {'epoch': int(entry['epoch']), 'miou': round(float(entry['val_miou']), 4)}
            for entry in saved.get('segnode_history', [])
        ],
        'minutes': round(minutes, 1),
        # Validation, and whatever else the machine did, included.
        'images_per_second': round(images / (60.0 * minutes), 1) if minutes else None,
        'hardware': hardware or platform.machine(),
        'date': datetime.date.today().isoformat(),
        'versions': {
            **versions('torch', 'pytorch-lightning', 'onnxruntime', 'numpy'),
            'python': platform.python_version(),
        },
    }

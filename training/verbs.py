# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The verbs of the training command line."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from segnode.errors import SegnodeError


def fit(argv: list[str]) -> int:
    """Train a network as a YAML recipe says; every value of it is an option, too."""
    from jsonargparse import ArgumentParser

    from training.config import check, FitConfig, from_dict

    parser = ArgumentParser(
        prog='python -m training fit',
        description='Train a network; every value of the recipe can be given as an option.',
    )
    parser.add_argument('--config', action='config', help='YAML recipe; options override it')
    parser.add_argument('--resume', action='store_true', help='go on from the last checkpoint')
    parser.add_class_arguments(FitConfig)
    values = parser.parse_args(argv).as_dict()
    values.pop('config', None)
    resume = values.pop('resume')
    config = from_dict(values)
    check(config)  # before PyTorch takes its seconds to import
    from training.fit import fit as run

    folder = run(config, resume=resume)
    model = folder / f'{config.name}.onnx'
    if int(os.environ.get('LOCAL_RANK', 0)) == 0:
        print(f'The run and its model are in {folder}; show the model to the node with')
        print(f'  ros2 launch segnode segment.launch.py model:={model}')
    return 0


def evaluate(argv: list[str]) -> int:
    """Mean IoU of a released model on a split."""
    from segnode.runtimes import RUNTIMES

    parser = argparse.ArgumentParser(
        prog='python -m training evaluate', description=evaluate.__doc__
    )
    parser.add_argument('--model', default='fsffnet', help='name or path of a released model')
    parser.add_argument('--runtime', default='auto', choices=RUNTIMES)
    parser.add_argument('--data', default='camvid', help='dataset (default camvid)')
    parser.add_argument('--root', help='its folder; by default the variable CAMVID_DATASET')
    parser.add_argument('--split', default='val', help='split (default val)')
    parser.add_argument('--fit', default='stretch', choices=('stretch', 'letterbox', 'crop'))
    parser.add_argument('--json', action='store_true', help='print JSON')
    given = parser.parse_args(argv)
    from segnode.labels import load_label_set
    from segnode.segmenter import Segmenter
    from training.datasets.registry import dataset, dataset_root
    from training.evaluate import evaluate as run

    reader = dataset(given.data)
    samples = reader.find_samples(dataset_root(given.data, given.root, '--root'), given.split)
    segmenter = Segmenter.load(given.model, runtime=given.runtime, fit=given.fit)
    result = run(segmenter, reader, samples, load_label_set(reader.LABEL_SET))
    print(json.dumps(result.to_dict()) if given.json else result.table())
    return 0


def release(argv: list[str]) -> int:
    """Turn a checkpoint of fit into a released model (.safetensors and .onnx)."""
    parser = argparse.ArgumentParser(
        prog='python -m training release', description=release.__doc__
    )
    parser.add_argument('checkpoint', type=Path, help='best.ckpt or last.ckpt of a run')
    parser.add_argument('stem', type=Path, help='where to: a path without suffix')
    parser.add_argument('--root', help="the dataset's folder; by default the run's")
    parser.add_argument('--hardware', default='', help='what it was trained on, for the record')
    parser.add_argument('--remarks', default='', help='whatever else the record should say')
    given = parser.parse_args(argv)
    from training.release import release as run

    record = run(
        given.checkpoint, given.stem, root=given.root, hardware=given.hardware,
        remarks=given.remarks,
    )
    for split, miou in record.training['miou'].items():
        print(f'{given.stem}: {100 * miou:.2f} % mean IoU on {split}')
    return 0


def networks(argv: list[str]) -> int:
    """List the networks that can be trained."""
    parser = argparse.ArgumentParser(
        prog='python -m training networks', description=networks.__doc__
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    given = parser.parse_args(argv)
    from segnode.networks.zoo import NETWORKS

    if not NETWORKS:
        raise SegnodeError('The zoo is empty.')
    if given.json:
        keys = ('name', 'parameters_at_19', 'output_stride', 'size_multiple', 'source')
        print(json.dumps([{k: getattr(info, k) for k in keys} for info in NETWORKS.values()]))
        return 0
    print(f'{"network":28} {"parameters (19 classes)":>24} {"stride":>7} {"sides x":>8}  source')
    for info in NETWORKS.values():
        print(
            f'{info.name:28} {info.parameters_at_19:>24,} {info.output_stride:>7} '
            f'{info.size_multiple:>8}  {info.source}'
        )
    return 0

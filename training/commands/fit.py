# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``fit``: train a network as a recipe says."""

from __future__ import annotations

import os


def main(argv: list[str]) -> int:
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

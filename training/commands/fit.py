# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``fit``: train a network as a recipe says."""

from __future__ import annotations

from typing import Any

from training.commands.recipe_options import parse

DESCRIPTION = """
Train a network and release the best of it (.safetensors and .onnx). Every value of the recipe can
be given as an option. Several processes: --devices N on one machine, or torchrun and srun on one
or several ("torchrun --nproc-per-node 4 -m training fit ..."), which then need OUT in a folder
that all machines share.
"""


def main(argv: list[str]) -> int:
    """Train a network as a YAML recipe says; every value of it is an option, too."""
    config, options = parse(argv, 'fit', DESCRIPTION, _add_options)
    from training.config import check

    check(config, options['resume'])  # before PyTorch takes its seconds to import
    from training.fit import fit as run
    from training.processes import rank

    folder = run(config, resume=options['resume'])
    model = folder / f'{config.name}.onnx'
    if rank() == 0 and model.is_file():
        print(f'The run and its model are in {folder}; show the model to the node with')
        print(f'  ros2 launch segnode segment.launch.py model:={model}')
    return 0


def _add_options(parser: Any) -> None:
    parser.add_argument('--resume', action='store_true',
                        help='go on from the last checkpoint of OUT/NAME, as the run that it was; '
                        'network, input size, mean, std and optim must be what they were')

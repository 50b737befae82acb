# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``lr-range``: find the learning rate of a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.commands.recipe_options import parse

DESCRIPTION = """
Train a recipe's network for a few hundred steps while the learning rate rises exponentially, and
write the loss of each (lr_range.csv, lr_range.png). Suggests the rate of the steepest descent, but
at most a tenth of the one at which the loss runs away. Options are those of fit; the folder of the
run is not touched.
"""


def main(argv: list[str]) -> int:
    """Find the learning rate of a recipe by a sweep over all rates."""
    config, options = parse(argv, 'lr-range', DESCRIPTION, _add_options)
    from training.config import check

    check(config)
    from training.lr_range import check_folder, lr_range
    from training.processes import rank

    folder = Path(options['to'] or Path(config.out) / f'{config.name}-lr-range')
    if rank() == 0:
        check_folder(folder)
    sweep = lr_range(config, options['start_lr'], options['end_lr'], options['steps'])
    if rank() != 0:
        return 0
    written = sweep.write(folder)
    if options['json']:
        print(json.dumps({**sweep.to_dict(), 'written': [str(path) for path in written]}))
        return 0
    print(_text(sweep))
    print('written: ' + ', '.join(map(str, written)))
    return 0


def _text(sweep: Any) -> str:
    lines = []
    if sweep.steepest is not None:
        lines.append(f'steepest descent at a learning rate of {sweep.steepest:.2g}')
    if sweep.diverged is not None:
        lines.append(f'the loss runs away at {sweep.diverged:.2g}')
    else:
        lines.append('the loss did not run away: --end_lr could be higher')
    if sweep.suggested is None:
        lines.append('the loss falls nowhere: no suggestion; give more --steps')
    else:
        lines.append(f'suggested: --optim.lr {sweep.suggested:.2g}')
        if sweep.scale != 1:
            lines[-1] += f' (the rates above are real ones: {sweep.scale:.3g} x optim.lr)'
    return '\n'.join(lines)


def _add_options(parser: Any) -> None:
    parser.add_argument('--start_lr', type=float, default=1e-6, help='first learning rate')
    parser.add_argument('--end_lr', type=float, default=1.0, help='last learning rate')
    parser.add_argument('--steps', type=int, default=200, help='steps of the optimiser')
    parser.add_argument('--to', type=str, default='', metavar='FOLDER',
                        help='where to write (default: OUT/NAME-lr-range)')
    parser.add_argument('--json', action='store_true', help='print JSON')

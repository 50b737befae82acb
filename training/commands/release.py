# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``release``: from a checkpoint to a released model."""

from __future__ import annotations

import argparse
from pathlib import Path


def main(argv: list[str]) -> int:
    """Turn a checkpoint of fit into a released model (.safetensors and .onnx)."""
    parser = argparse.ArgumentParser(
        prog='python -m training release', description=main.__doc__
    )
    parser.add_argument('checkpoint', type=Path, help='best.ckpt or last.ckpt of a run')
    parser.add_argument('stem', type=Path, help='where to: a path without suffix')
    parser.add_argument('--root', action='append', default=[], metavar='[DATASET=]FOLDER',
                        help='where a dataset lies; by default where the run had it; may be given '
                             'several times')
    parser.add_argument('--hardware', default='', help='what it was trained on, for the record')
    parser.add_argument('--remarks', default='', help='whatever else the record should say')
    parser.add_argument('--precise-bn', type=int, metavar='FRAMES',
                        help='take the batch-norm statistics anew over so many whole training '
                             "frames (0: keep the running averages); by default the run's "
                             'optim.precise_bn')
    given = parser.parse_args(argv)
    from training.commands.arguments import read_roots
    from training.release import data_of
    from training.release import release as run

    record = run(
        given.checkpoint, given.stem, roots=read_roots(given.root, data_of(given.checkpoint)),
        hardware=given.hardware, remarks=given.remarks, precise_bn=given.precise_bn,
    )
    for split, miou in record.training['miou'].items():
        print(f'{given.stem}: {100 * miou:.2f} % mean IoU on {split}')
    return 0

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs' command lines have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import os
import re
from typing import TYPE_CHECKING

from segnode.commands.arguments import add_runtime_options, image_size, runtime_options
from segnode.errors import SegnodeError

if TYPE_CHECKING:
    from training.inference import Inference


def add_root(parser: argparse._ActionsContainer) -> None:
    """Let the user say where datasets lie."""
    parser.add_argument(
        '--root', action='append', default=[], metavar='[DATASET=]FOLDER',
        help="where a dataset lies; by default the dataset's variable says, such as "
        'CAMVID_DATASET; may be given several times',
    )


def read_roots(given: Sequence[str], data: Sequence[str]) -> dict[str, str]:
    """Read DATASET=FOLDER, or FOLDER alone where one dataset is meant.

    Args:
        given: what the user wrote after ``--root``.
        data: DATASET[:SPLIT] of all that is asked for.

    Returns:
        Folders by dataset name.

    Raises:
        SegnodeError: it is not clear whose folder one is, or nothing is asked of that dataset.
    """
    from training.datasets.registry import DATASETS

    roots = {}
    asked = {spec.partition(':')[0] for spec in data}
    shown = {DATASETS[name].images_of for name in asked if name in DATASETS}
    for text in given:
        name, sign, folder = text.partition('=')
        if not sign or os.sep in name:
            if len(asked) != 1:
                raise SegnodeError(f'Whose folder is {text}? Give --root DATASET={text}.')
            name, folder = *asked, text
        if name not in asked and name not in shown:
            wanted = ', '.join(sorted(asked)) or 'no dataset'
            raise SegnodeError(f'--root {text} is of no use: {wanted} is what is asked for.')
        roots[name] = folder
    return roots


def add_inference(parser: argparse.ArgumentParser) -> None:
    """Let the user say which model is run, and how."""
    from segnode.record import FIT_CHOICES
    from segnode.runtimes import RUNTIMES

    group = parser.add_argument_group('the model')
    group.add_argument('--model', default='fsffnet',
                       help='name or path of a released model (default %(default)s)')
    group.add_argument('--runtime', default='auto', choices=RUNTIMES)
    add_runtime_options(group)
    group.add_argument('--input-size', type=image_size, metavar='HxW',
                       help="size that the network works at (default: the model's own)")
    group.add_argument('--fit', default='model', choices=FIT_CHOICES,
                       help='how an image of another size is brought to it; model: as the model '
                       'was validated (default)')
    group.add_argument('--threads', type=whole_number, default=0, metavar='N',
                       help='on the CPU, of each process; 0 = default')
    group.add_argument('--samples', type=whole_number, default=0, metavar='N',
                       help='passes of Monte Carlo dropout, of a network that offers it')
    views = parser.add_argument_group(
        'views', 'Averages of softmax probabilities, in PyTorch. They are not what a vehicle '
        'runs, but what many published figures were made with.',
    )
    views.add_argument('--scales', type=scales, default=(1.0,), metavar='S,S,...',
                       help='such as 0.75,1,1.25')
    views.add_argument('--flip', action='store_true', help='the mirror image, too')
    views.add_argument('--window', type=image_size, metavar='HxW',
                       help='look at windows of this size; the image is left at its own size, or '
                       'brought to --input-size')
    views.add_argument('--overlap', type=float, default=0.5, metavar='SHARE',
                       help='of a window that the next one shows again (default %(default)s)')


def read_inference(given: argparse.Namespace) -> Inference:
    """Return what ``add_inference`` let the user say."""
    from training.inference import Inference

    return Inference(
        model=given.model, runtime=given.runtime, input_size=given.input_size, fit=given.fit,
        threads=given.threads, samples=given.samples, scales=given.scales, flip=given.flip,
        window=given.window, overlap=given.overlap, options=runtime_options(given),
    )


def scales(text: str) -> tuple[float, ...]:
    """Read numbers above 0, 10 at most, with commas between."""
    try:
        found = tuple(float(part) for part in text.split(','))
    except ValueError:
        found = ()
    if not found or not all(0 < scale <= 10 for scale in found):  # NaN is within no bounds
        raise argparse.ArgumentTypeError(
            f'{text!r} is not numbers above 0, 10 at most, with commas between, such as '
            '0.75,1,1.25')
    return found


def whole_number(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not re.fullmatch(r'\d+', text):
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of 0 or more')
    return int(text)


def count(text: str) -> int:
    """Read a whole number of 1 or more."""
    if not re.fullmatch(r'\d+', text) or not int(text):
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of 1 or more')
    return int(text)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs' command lines have in common."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import re
from typing import Any

from segnode.errors import SegnodeError
from segnode.files import check_writable

STDOUT = Path('-')  # where an output file may be it


def parser(verb: str, description: str) -> argparse.ArgumentParser:
    """Return a parser that has ``--json``."""
    made = argparse.ArgumentParser(prog=f'python -m segnode {verb}', description=description)
    made.add_argument('--json', action='store_true', help='answer in JSON, for programs')
    return made


def image_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH."""
    match = re.fullmatch(r'(\d+)[x,](\d+)', text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f'{text!r} is not HEIGHTxWIDTH, such as 384x512')
    return int(match[1]), int(match[2])


def output_file(text: str) -> Path:
    """Read the path of a file to write, which is better refused before the work than behind it."""
    path = Path(text)
    try:
        if path.is_dir():
            raise argparse.ArgumentTypeError(f'{text} is a folder, not a file to write')
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(
                f'{text} cannot be written: there is no {path.parent}')
        if path.exists():  # such as /dev/stdout, in whose folder there may be no other file
            if not os.access(path, os.W_OK):
                raise argparse.ArgumentTypeError(f'{text} cannot be written: it is read-only')
        elif path != STDOUT:
            check_writable(path)
    except SegnodeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except OSError as error:  # such as a name too long to ask about
        raise argparse.ArgumentTypeError(
            f'{text} cannot be written: {error.strerror or error}') from error
    return path


def fraction(text: str) -> float:
    """Read a number of 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of 0 to 1')
    return value


def region(text: str) -> tuple[float, float, float, float]:
    """Read TOP,LEFT,HEIGHT,WIDTH, in pixels or as fractions."""
    from segnode.view import checked_roi

    try:
        return checked_roi(text.split(','))
    except SegnodeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_segmenter(arguments: argparse.ArgumentParser) -> None:
    """Let the user say what ``Segmenter.load`` takes; the names are its own."""
    from segnode.label_grouping import BUILT_IN_GROUPINGS
    from segnode.record import FIT_CHOICES
    from segnode.runtimes import RUNTIMES
    from segnode.runtimes.base import LABELS_AT
    from segnode.view import ROTATIONS

    arguments.add_argument('--model', default='fsffnet',
                           help='name or path of a model (default: %(default)s)')
    arguments.add_argument('--runtime', default='auto', choices=RUNTIMES)
    arguments.add_argument('--input-size', type=image_size, metavar='HxW',
                           help="size that the network works at (default: the model's own)")
    arguments.add_argument('--fit', default='model', choices=FIT_CHOICES,
                           help='how an image of another size is brought to it; model: as the '
                                'model was validated')
    arguments.add_argument('--labels-at', default='image', choices=tuple(LABELS_AT),
                           help="size of the labels: the image's, that of the network's input, or "
                                'a part of the latter, which is faster and coarser (default: '
                                '%(default)s)')
    arguments.add_argument('--roi', type=region, metavar='TOP,LEFT,HEIGHT,WIDTH',
                           help='part of the image that the network is to see, in pixels or as '
                                'fractions of the image; labels are 255 elsewhere')
    arguments.add_argument('--rotation', type=int, default=0, choices=ROTATIONS,
                           help='degrees clockwise by which images are turned before the network, '
                                'and labels turned back (default: %(default)s)')
    arguments.add_argument('--ego-mask', type=Path, metavar='PICTURE',
                           help='picture that is nonzero where the vehicle itself is seen; labels '
                                'are 255 there')
    arguments.add_argument('--label-grouping', metavar='FILE',
                           help="groups to give in place of the model's classes: "
                                f'{", ".join(BUILT_IN_GROUPINGS)}, or a YAML file (see labels '
                                '--grouping)')
    arguments.add_argument('--allow-random-weights', action='store_true',
                           help='run a network that nobody trained where there are no weights')


def add_runtime_options(
    arguments: argparse._ActionsContainer, *, several_precisions: bool = False
) -> None:
    """Let the user say where, and in what, the runtimes compute that have a choice.

    Args:
        arguments: a parser, or a group of one.
        several_precisions: ``--precision`` is a list.
    """
    from segnode.runtimes import DEVICES, PRECISIONS

    arguments.add_argument('--device', choices=DEVICES, default='auto',
                           help='where pytorch and onnx run: the CPU, a CUDA GPU, or (onnx alone) '
                           'TensorRT inside of ONNX Runtime (default: %(default)s)')
    if several_precisions:
        arguments.add_argument('--precision', nargs='+', choices=PRECISIONS, default=['auto'],
                               metavar='P', help=f'of {", ".join(PRECISIONS)}, for runtimes that '
                               'have a choice (default: auto)')
    else:
        arguments.add_argument('--precision', choices=PRECISIONS, default='auto',
                               help='what tensorrt, torch2trt, openvino, and pytorch on a GPU '
                               'compute in (default: %(default)s, the choice of the runtime)')
    arguments.add_argument('--compile', action='store_true',
                           help='let pytorch compile the network (torch.compile), which takes up '
                           'to minutes at every start')
    add_engine_options(arguments)


def add_engine_options(arguments: argparse._ActionsContainer) -> None:
    """Let the user say how TensorRT's engines are built."""
    from segnode.runtimes import UNSET

    arguments.add_argument('--dla-core', '--dla', type=int, default=UNSET['dla_core'],
                           metavar='CORE', help="core of a Jetson's deep learning accelerators "
                           'that tensorrt builds for (default: the GPU)')
    arguments.add_argument('--workspace', type=int, default=UNSET['workspace'], metavar='MIB',
                           help='scratch memory that an operation of tensorrt may take (default: '
                           'all there is)')


def runtime_options(given: argparse.Namespace) -> dict[str, Any]:
    """Return what was set of ``add_runtime_options``, as options of ``load_runtime``."""
    from segnode.runtimes import UNSET

    return {
        name: getattr(given, name) for name, unset in UNSET.items()
        if getattr(given, name, unset) not in (unset, [unset])
    }


def print_json(answer: Any) -> None:
    """Print an answer for programs."""
    print(json.dumps(answer, indent=2))


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows as text in columns; the last column is not padded."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    )

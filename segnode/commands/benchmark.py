# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``benchmark``: how fast models run here, in which runtime, and in how much memory."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from pathlib import Path
import sys

from segnode.commands.arguments import (
    add_runtime_options,
    image_size,
    output_file,
    parser,
    print_json,
    runtime_options,
)

EPILOG = """
Times are those of one run on the host, uint8 images in and labels out, after warm-up. Each
candidate has a process of its own, for its memory, and those of one model, size and batch take
turns, so that other load on the machine falls on all alike.
"""


def main(argv: list[str], program: str = 'segnode') -> int:
    """Measure, print a table, write the files asked for; 1 where nothing could be measured."""
    from segnode.runtimes import RUNTIMES

    arguments = parser('benchmark', 'Measure models in runtimes, side by side.')
    arguments.prog, arguments.epilog = f'python -m {program} benchmark', EPILOG
    arguments.add_argument('--model', nargs='+', default=['fsffnet'], metavar='M',
                           help='names or paths (default: fsffnet)')
    arguments.add_argument('--runtime', nargs='+', default=list(RUNTIMES[1:]), choices=RUNTIMES,
                           metavar='R', help=f'of {", ".join(RUNTIMES)} (default: all but auto)')
    arguments.add_argument('--input-size', nargs='+', type=image_size, default=[None],
                           metavar='HxW', help="sizes (default: the model's own)")
    arguments.add_argument('--batch', nargs='+', type=_count, default=[1], metavar='N',
                           help='images at once (default: 1)')
    add_runtime_options(arguments, several_precisions=True)
    arguments.add_argument('--threads', type=_count, default=0, metavar='N',
                           help='on the CPU (default: all usable cores but one, 1 to 4)')
    arguments.add_argument('--frames', type=_count, default=50, metavar='N',
                           help='runs of each that are counted (default: %(default)s)')
    arguments.add_argument('--eager', action='store_true',
                           help='plain PyTorch beside them: float32, no rewrites, no compiler')
    arguments.add_argument('--limits', action='store_true',
                           help="how long the network's arithmetic and memory traffic would take "
                           "at the device's measured peaks (needs PyTorch)")
    arguments.add_argument('--images', type=Path, metavar='FOLDER',
                           help='images to run (default: rendered ones)')
    arguments.add_argument('--allow-random-weights', action='store_true',
                           help='take networks that nobody trained where there are no weights')
    arguments.add_argument('--save', type=output_file, metavar='FILE.json',
                           help='write all figures and the facts of the machine')
    arguments.add_argument('--plot', type=output_file, metavar='FILE',
                           help='draw them, into a .png or .svg (needs matplotlib)')
    options = arguments.parse_args(argv)

    from segnode.benchmarking.candidate import Candidate, EAGER
    from segnode.benchmarking.measure import measure
    from segnode.benchmarking.table import text
    from segnode.dependencies import require

    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    for module, wanted in (('matplotlib', options.plot), ('torch', options.limits)):
        if wanted:  # before anything is measured
            require(module, {'matplotlib': 'the plot', 'torch': '--limits'}[module])
    chosen = [(EAGER, 'auto')] * options.eager
    chosen += list(itertools.product(options.runtime, options.precision))
    more = {name: value for name, value in runtime_options(options).items() if name != 'precision'}
    answer = measure(
        [
            Candidate(
                model=model, runtime=runtime, input_size=size, batch=batch,
                precision='' if precision == 'auto' else precision,
                threads=options.threads, allow_random_weights=options.allow_random_weights,
                images=str(options.images) if options.images else '', **more,
            )
            for model, size, batch in itertools.product(
                options.model, options.input_size, options.batch)
            for runtime, precision in chosen
        ],
        options.frames,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    answer['threads'] = options.threads
    answer['images'] = options.images.name if options.images else 'rendered'
    if options.limits:
        from segnode.benchmarking.limits import add_limits

        add_limits(answer, options.threads)
    if options.save:
        _write(options.save, answer)
    if options.plot:
        from segnode.benchmarking.plot import plot

        plot(answer, options.plot)
    if options.json:
        print_json(answer)
    else:
        print(text(answer))
    return int(all(row['reason'] for row in answer['rows']))


def _write(path: Path, answer: object) -> None:
    from segnode.errors import SegnodeError
    from segnode.files import write_bytes

    try:
        write_bytes(path, json.dumps(answer, indent=1).encode() + b'\n')
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of 1 or more')
    return int(text)

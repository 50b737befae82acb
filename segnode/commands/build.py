# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``build``: engines for this machine, before a vehicle needs them."""

from __future__ import annotations

from collections.abc import Callable
import functools
import logging
import os
import statistics
import sys
import threading
import time
from typing import Any

import numpy as np

from segnode.commands.arguments import (
    add_engine_options,
    image_size,
    parser,
    print_json,
    runtime_options,
    table,
)
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes import load_runtime
from segnode.runtimes.cache import abandon_drafts
from segnode.sample_image import sample_image
from segnode.segmenter import LABELS_AT
from segnode.store import entries

# Runtimes that build engines.
BUILDERS = ('tensorrt', 'torch2trt')
_RUNS = 20  # that a run is timed over


def main(argv: list[str]) -> int:
    """Build the engines of one model, of several or of all, and run each once."""
    arguments = parser(
        'build', 'Build engines from released models for the GPU of this machine and keep them, '
        'so that a node that starts finds them. PyTorch is not needed where there is an .onnx.')
    which = arguments.add_mutually_exclusive_group()
    which.add_argument('--model', nargs='+', default=['fsffnet'], metavar='NAME',
                       help='names or paths of models (default fsffnet)')
    which.add_argument('--all', action='store_true', help='all that "models" lists')
    arguments.add_argument('--runtime', choices=BUILDERS, default=BUILDERS[0],
                           help='default %(default)s')
    arguments.add_argument('--precision', choices=('auto', 'fp32', 'fp16', 'int8'),
                           default='auto', help='auto is float16 unless that gives other labels, '
                           'and for a model that was converted what it was converted to')
    arguments.add_argument('--batch', type=int, default=1, metavar='N',
                           help='most images at once (default %(default)s)')
    arguments.add_argument('--input-size', type=image_size, metavar='HxW',
                           help="another size than the model's own, which needs PyTorch")
    arguments.add_argument('--labels-at', choices=tuple(LABELS_AT), default='image',
                           help='size of the labels (default %(default)s)')
    arguments.add_argument('--confidence', action='store_true', help='with the confidence')
    add_engine_options(arguments)
    options = arguments.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format='%(message)s', stream=sys.stderr)
    given: dict[str, Any] = {
        'precision': options.precision, 'batch': options.batch, 'input_size': options.input_size,
        'confidence': options.confidence, 'label_stride': LABELS_AT[options.labels_at],
    }
    given |= {
        name: value for name, value in runtime_options(options).items() if name != 'precision'}
    rows = []
    for name, model in _models(options.model, every=options.all):
        try:
            if isinstance(model, SegnodeError):
                raise model
            rows.append({'model': name, **_interruptible(
                functools.partial(_built, model, options.runtime, given))})
        except SegnodeError as error:
            if not options.all:
                raise
            print(f'error: {name}: {error}', file=sys.stderr)
            rows.append({'model': name, 'error': str(error)})
    if options.json:
        print_json(rows)
    else:
        print(_text(rows))
    return int(any('error' in row for row in rows))


def _models(names: list[str], *, every: bool) -> list[tuple[str, Model | SegnodeError]]:
    """Return models by name, or what is wrong with one.

    Raises:
        SegnodeError: one that was named is wrong, or there are none at all.
    """
    if not every:
        return [(name, Model.load(name)) for name in names]
    found = entries()
    if not found:
        raise SegnodeError('there are no models to build engines of')
    return [(entry.name, entry.model or SegnodeError(entry.error)) for entry in found]


def _built(model: Model, runtime: str, given: dict[str, Any]) -> dict[str, Any]:
    """Load a runtime, building its engine where need be; return what is known of it."""
    start = time.monotonic()
    loaded: Any = load_runtime(model, runtime, **given)
    seconds = time.monotonic() - start
    try:
        images = np.repeat(sample_image(loaded.input_size), given['batch'], 0)
        times = []
        for _ in range(_RUNS):
            begin = time.perf_counter()
            loaded.run(images)
            times.append(1e3 * (time.perf_counter() - begin))
        facts = {name: value for name, value in loaded.facts.items() if name != 'path'}
        return {
            **facts, 'details': loaded.details, 'seconds': round(seconds, 2),
            'batch': given['batch'], 'median_ms': round(statistics.median(times), 3),
            'file': str(loaded.facts['path'] or ''),
        }
    finally:
        loaded.close()


def _interruptible(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run in a thread: TensorRT, which may take minutes, takes no notice of Ctrl-C."""
    result: list[dict[str, Any]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name='build', daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
    except KeyboardInterrupt:
        abandon_drafts()
        print('interrupted: nothing of this engine is kept', file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # the end of the interpreter would wait for the builder, or crash in it
    if errors:
        raise errors[0]
    return result[0]


def _text(rows: list[dict[str, Any]]) -> str:
    lines: list[tuple[str, ...]] = [
        ('MODEL', 'PRECISION', 'BUILT IN', 'SIZE', 'LAYERS', 'SAME LABELS', 'RUN', 'FILE')]
    for row in rows:
        if 'error' in row:
            lines.append((row['model'], 'failed', *[''] * 6))
            continue
        agreement = row.get('agreement')
        lines.append((
            row['model'], row['precision'], f'{row["build_seconds"]:.1f} s',
            f'{row["bytes"] / 1e6:.1f} MB', str(row['layers']),
            'not compared' if agreement is None else f'{agreement:.2%}',
            f'{row["median_ms"]:.2f} ms' + (f' for {row["batch"]}' if row['batch'] > 1 else ''),
            row['file'],
        ))
    return table(lines)

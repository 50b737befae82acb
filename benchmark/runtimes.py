# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Milliseconds per image of each runtime on this machine's CPU, beside PyTorch eager.

    python -m benchmark.runtimes [--images FOLDER] [--json FILE]

Eager, the yardstick, is the deploy graph around the network as it was trained: float32, NCHW, no
rewrites, no compiler. All use the same number of threads in the same process and take turns, so
that other load on the machine falls on all alike; a ratio is the median of the rounds' ratios. The
first run of each is a warm-up and not counted. Processor milliseconds are those of all threads,
and suffer less from other load. Labels are compared with eager's on every image.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import platform
import statistics
import sys
from typing import Any

import numpy as np

from segnode.benchmarking.images import IMAGES, load_images
from segnode.benchmarking.machine import processor
from segnode.benchmarking.timing import eager, labels, Run, take_turns
from segnode.commands.arguments import image_size, output_file
from segnode.dependencies import versions
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes import load_runtime

SIZES = ('384x512', '512x1024', '1024x2048')
RUNTIMES = ('pytorch', 'onnx')
ROUNDS = 9
THREADS = 2


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table in Markdown; 1 where something is missing."""
    options = _arguments().parse_args(argv)
    try:
        answer = measure(
            Model.load(options.model, allow_random_weights=options.allow_random_weights),
            options.size or [image_size(size) for size in SIZES],
            options.rounds, options.threads, options.images,
        )
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(table(answer))
    if options.json:
        options.json.write_text(json.dumps(answer, indent=1) + '\n')
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m benchmark.runtimes', description='Time the runtimes on the CPU.'
    )
    parser.add_argument('--model', default='fsffnet', help='name or path (default: %(default)s)')
    parser.add_argument('--allow-random-weights', action='store_true')
    parser.add_argument('--size', type=image_size, nargs='+', metavar='HxW',
                        help=f'network sizes (default: {" ".join(SIZES)})')
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument('--threads', type=int, default=THREADS)
    parser.add_argument('--images', type=Path,
                        help=f'folder of images, {IMAGES} of it are used (default: rendered)')
    parser.add_argument('--json', type=output_file, help='write the answer to this file too')
    return parser


def measure(
    model: Model, sizes: list[tuple[int, int]], rounds: int, threads: int, folder: Path | None
) -> dict[str, Any]:
    """Return the machine, the versions and one row per size and runtime."""
    rows = []
    for size in sizes:
        images = load_images(folder, size)
        runs = {'eager': eager(model, threads)}
        for name in RUNTIMES:
            options: dict[str, Any] = {'device': 'cpu'} if name == 'pytorch' else {}
            runs[name] = labels(
                load_runtime(model, name, input_size=size, threads=threads, **options)
            )
        rows += _rows(size, runs, images, rounds)
    return {
        'model': model.name,
        'random_weights': model.record.random,
        'processor': processor(),
        'threads': threads,
        'rounds': rounds,
        'images': str(folder.name) if folder else 'rendered',
        'python': platform.python_version(),
        'versions': versions('segnode', 'torch', 'onnxruntime', 'numpy'),
        'rows': rows,
    }


def _rows(
    size: tuple[int, int], runs: dict[str, Run], images: list[np.ndarray], rounds: int
) -> list[dict[str, Any]]:
    """Compare labels, then time; the runtimes take turns within a round."""
    expected = [runs['eager'](image) for image in images]
    agreement = {
        name: float(np.mean([run(i) == e for i, e in zip(images, expected)]))
        for name, run in runs.items() if name != 'eager'
    }
    times = take_turns(runs, images, rounds)
    return [
        {
            'size': f'{size[0]}x{size[1]}',
            'runtime': name,
            **times[name].summary(),
            'times_as_fast_as_eager': round(statistics.median(
                e / t for e, t in zip(times['eager'].clock, times[name].clock)
            ), 2),
            'label_agreement': agreement.get(name, 1.0),
        }
        for name in runs
    ]


def table(answer: dict[str, Any]) -> str:
    """Return the answer as text and a table in Markdown."""
    lines = [
        f'{answer["model"]}, {answer["threads"]} threads, {answer["processor"]}, '
        f'PyTorch {answer["versions"]["torch"]}, '
        f'ONNX Runtime {answer["versions"]["onnxruntime"]}',
        '',
        '| input | runtime | median ms | best ms | processor ms | times as fast as eager '
        '| same labels |',
        '|---|---|---|---|---|---|---|',
    ]
    lines += [
        f'| {row["size"]} | {row["runtime"]} | {row["median_ms"]:.1f} | {row["best_ms"]:.1f} '
        f'| {row["processor_ms"]:.1f} '
        f'| {row["times_as_fast_as_eager"]:.2f} | {row["label_agreement"]:.4%} |'
        for row in answer['rows']
    ]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())

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
from collections.abc import Callable
from itertools import cycle, islice
import json
from pathlib import Path
import platform
import statistics
import sys
import time
from typing import Any

import cv2
import numpy as np

from segnode.commands.arguments import image_size
from segnode.dependencies import require, versions
from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.image_files import is_image_name
from segnode.model import Model
from segnode.road_scene import RoadScene
from segnode.runtimes import load_runtime

SIZES = ('384x512', '512x1024', '1024x2048')
RUNTIMES = ('pytorch', 'onnx')
ROUNDS = 9
THREADS = 2
IMAGES = 4

Run = Callable[[np.ndarray], np.ndarray]


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
    parser.add_argument('--json', type=Path, help='write the answer to this file too')
    return parser


def measure(
    model: Model, sizes: list[tuple[int, int]], rounds: int, threads: int, folder: Path | None
) -> dict[str, Any]:
    """Return the machine, the versions and one row per size and runtime."""
    rows = []
    for size in sizes:
        images = _images(folder, size)
        runs = {'eager': _eager(model, threads)}
        for name in RUNTIMES:
            options: dict[str, Any] = {'device': 'cpu'} if name == 'pytorch' else {}
            runs[name] = _labels(
                load_runtime(model, name, input_size=size, threads=threads, **options)
            )
        rows += _rows(size, runs, images, rounds)
    return {
        'model': model.name,
        'random_weights': model.record.random,
        'processor': _processor(),
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
    times: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for image in islice(cycle(images), rounds):
        for name, run in runs.items():
            start, used = time.perf_counter(), time.process_time()
            run(image)
            times[name].append(1e3 * (time.perf_counter() - start))
            processor[name].append(1e3 * (time.process_time() - used))
    return [
        {
            'size': f'{size[0]}x{size[1]}',
            'runtime': name,
            'median_ms': round(statistics.median(times[name]), 2),
            'best_ms': round(min(times[name]), 2),
            'processor_ms': round(statistics.median(processor[name]), 2),
            'times_as_fast_as_eager': round(
                statistics.median(e / t for e, t in zip(times['eager'], times[name])), 2
            ),
            'label_agreement': agreement.get(name, 1.0),
        }
        for name in runs
    ]


def _eager(model: Model, threads: int) -> Run:
    torch = require('torch', 'the benchmark')
    from segnode.runtimes.graph import DeployGraph

    torch.set_num_threads(threads)
    graph = DeployGraph(model.build_network(), model.record).eval()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(graph(torch.from_numpy(images)).numpy())

    return run


def _labels(runtime: Any) -> Run:
    return lambda images: np.asarray(runtime.run(images).labels)


def _images(folder: Path | None, size: tuple[int, int]) -> list[np.ndarray]:
    """Return uint8 (1, H, W, 3) images, spread over the folder, or rendered."""
    if folder is None:
        scene = RoadScene(*size)
        return [scene.frame(25 * index)[0][None] for index in range(IMAGES)]
    paths = sorted(p for p in folder.rglob('*') if is_image_name(p))
    if not paths:
        raise SegnodeError(f'there are no images in {folder}')
    images = []
    for path in paths[:: max(1, len(paths) // IMAGES)][:IMAGES]:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise SegnodeError(f'{path} cannot be read as an image')
        images.append(fit_image(np.asarray(image), size)[0][None])
    return images


def _processor() -> str:
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.machine()


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

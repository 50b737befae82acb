# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Milliseconds per image of networks on this machine's CPU, by runtime and precision side by side.

    python -m benchmark.precisions --networks fast_scnn,contextnet --json FILE

Each network runs untrained (the weights' values do not matter for the time) as deploy graph, image
in and labels out. int8 is all that ``convert`` may bring to int8, and so as fast as it gets; what
that costs in labels is measured with trained weights, by ``convert``. All candidates of a network
take turns in one process. Nothing is written to the user's cache. A runtime that is not installed
or fails has null and the reason.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
import json
from pathlib import Path
import platform
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmark.row_text import outcome
from segnode.benchmarking.images import load_images
from segnode.benchmarking.machine import processor
from segnode.benchmarking.timing import labels, Run, take_turns
from segnode.commands.arguments import image_size, output_file
from segnode.dependencies import versions
from segnode.errors import SegnodeError
from segnode.export import export_onnx
from segnode.labels import load_label_set
from segnode.model import Model, RECORD_KEY, WEIGHTS_KEY
from segnode.networks.zoo import network_info
from segnode.onnx_compact import read_deploy_graph
from segnode.onnx_file import with_metadata
from segnode.runtimes import load_runtime
from training.convert.quantize import calibrate, clipped_at, layers, quantized

# Those whose int8 a vehicle without a GPU may want.
NETWORKS = ('fsffnet', 'fast_scnn', 'contextnet', 'espnet', 'bisenetv2', 'pidnet_s',
            'ddrnet23_slim')
CANDIDATES = (
    ('onnx', 'fp32'), ('onnx', 'int8'), ('openvino', 'fp32'), ('openvino', 'bf16'),
    ('openvino', 'int8'), ('pytorch', 'fp32'),
)
ROUNDS, SECONDS, THREADS = 9, 15.0, 2
CALIBRATION = 2  # images: ranges that fit them badly take as long


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table in Markdown; 1 where a network is not known."""
    given = _arguments().parse_args(argv)
    try:
        answer = measure(given.networks.split(','), given)
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(table(answer))
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m benchmark.precisions',
        description='Time networks on the CPU by runtime and precision.',
    )
    parser.add_argument('--networks', default=','.join(NETWORKS), metavar='NAME,...',
                        help='default: %(default)s')
    parser.add_argument('--size', type=image_size, default='512x1024', metavar='HxW',
                        help='of the images (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=ROUNDS,
                        help='rounds at most (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=SECONDS,
                        help='no further round of a network begins after this long, but three '
                        'are made (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=THREADS,
                        help='of each runtime (default: %(default)s)')
    parser.add_argument('--json', type=output_file, help='write the answer to this file')
    return parser


def measure(names: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """Return the machine, the versions and a row per network, runtime and precision.

    The JSON file is written after every network: nothing is lost when it is stopped.

    Raises:
        SegnodeError: there is no such network, or it does not take this size.
    """
    for name in names:
        network_info(name).check_input_size(given.size)
    answer: dict[str, Any] = {
        'processor': processor(),
        'system': f'{platform.system()} {platform.machine()}',
        'versions': versions('segnode', 'torch', 'onnxruntime', 'openvino', 'numpy'),
        'date': time.strftime('%Y-%m-%d'),
        'size': f'{given.size[0]}x{given.size[1]}',
        'threads': given.threads,
        'rows': [],
    }
    for name in names:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix='segnode_benchmark_') as folder:
            rows = _one_network(name, given, Path(folder))
        answer['rows'] += rows
        if given.json:
            given.json.write_text(json.dumps(answer, indent=1) + '\n')
        shown = ', '.join(f'{r["runtime"]} {r["precision"]} {outcome(r)}' for r in rows)
        print(f'{name} ({time.monotonic() - start:.0f} s): {shown}', file=sys.stderr, flush=True)
    return answer


def _one_network(name: str, given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    untrained = Model.untrained(name, load_label_set('cityscapes'), given.size)
    images = load_images(None, given.size)
    exported = export_onnx(untrained, path=folder / f'{name}.onnx')
    small, count = in_int8(exported, images[:CALIBRATION], folder / f'{name}_int8.onnx')
    files = {
        precision: Model.load(path, allow_random_weights=True)
        for precision, path in (('fp32', exported), ('int8', small))
    }
    runs: dict[str, Run] = {}
    reasons = {}
    for runtime, precision in CANDIDATES:
        options: dict[str, Any] = {'device': 'cpu', 'precision': precision}
        model = untrained if runtime == 'pytorch' else files.get(precision, files['fp32'])
        if precision == 'int8':
            del options['precision']  # the file's
        try:
            run = labels(load_runtime(
                model, runtime, input_size=given.size, threads=given.threads, **options))
            run(images[0])
        except SegnodeError as error:
            reasons[f'{runtime} {precision}'] = str(error)
            continue
        runs[f'{runtime} {precision}'] = run
    times = take_turns(runs, images, given.rounds, given.seconds)
    nothing = {'median_ms': None, 'best_ms': None, 'processor_ms': None}
    return [
        {
            'network': name, 'runtime': runtime, 'precision': precision,
            **(times[key].summary() if key in times else nothing),
            'rounds': len(times[key].clock) if key in times else 0,
            'int8_layers': count if precision == 'int8' else 0,
            'reason': reasons.get(key, ''),
        }
        for runtime, precision in CANDIDATES for key in (f'{runtime} {precision}',)
    ]


def in_int8(exported: Path, images: list[np.ndarray], path: Path) -> tuple[Path, int]:
    """Write a deploy graph with all that may be in int8 in it.

    Args:
        exported: the graph in float32.
        images: uint8 (1, H, W, 3) to calibrate on.
        path: to write to.

    Returns:
        the path, and the number of convolutions in int8.
    """
    content = read_deploy_graph(exported)
    source = Model.load(exported, allow_random_weights=True)
    found = layers(content)
    ranges = calibrate(content, [layer.input for layer in found], images)
    found = [layer for layer in found if ranges[layer.input].pixels > 1]
    made = quantized(content, found, clipped_at(ranges, 'max'))
    conversion = {'model': source.name, 'precision': 'int8'}
    record = replace(
        source.record, training={**source.record.training, 'conversion': conversion})
    path.write_bytes(with_metadata(
        made, {RECORD_KEY: record.to_json(), WEIGHTS_KEY: source.weights_sha256}))
    return path, len(found)


def table(answer: dict[str, Any]) -> str:
    """Return the answer as text and a table in Markdown, one line per network."""
    medians = {
        (r['network'], r['runtime'], r['precision']): r['median_ms'] for r in answer['rows']}
    known = ', '.join(
        f'{title} {answer["versions"][module]}' for title, module in (
            ('PyTorch', 'torch'), ('ONNX Runtime', 'onnxruntime'), ('OpenVINO', 'openvino'))
        if answer['versions'].get(module))
    titles = ['network', *(f'`{runtime}` {precision}' for runtime, precision in CANDIDATES)]
    lines = [
        f'{answer["size"]}, {answer["threads"]} threads, {answer["processor"]}, {known}; '
        'median ms per image',
        '', f'| {" | ".join(titles)} |', '|' + '---|' * len(titles),
    ]
    for name in dict.fromkeys(network for network, _, _ in medians):
        cells = [medians[key] for key in ((name, *candidate) for candidate in CANDIDATES)]
        lines.append(
            f'| `{name}` | ' + ' | '.join('-' if c is None else f'{c:.0f}' for c in cells) + ' |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())

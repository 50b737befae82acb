# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How many images the node takes, how late its masks are, and what that costs.

    python -m benchmark.node [--json FILE] [--plot FILE]      some minutes
    python -m benchmark.node --quick                          one small size, short stretches

A camera, the node and a subscriber of its labels run in processes of their own over real DDS, on
this machine. For each size of images, with a released model and with a network that does nothing:

- at fixed rates: latency from the stamp of an image to the node's receipt and to the mask at the
  subscriber, jitter (change of the latency from one mask to the next), drops, and the processor
  time of the node's process per mask;
- the peak: the highest rate of the camera at which less than 5 % of the images get no mask, found
  by bisection.

Beside that: images taken serialised in place of as messages (``benchmark.raw_node``), by turns
with the node as it is; the node's time over the bare Segmenter's (``benchmark.node_overhead``);
and the transport with and without the Fast DDS profile (``benchmark.transport``). Run it on a
machine that does nothing else: what else runs shows in every figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import contextlib
import json
import os
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmark import null_network, transport
from benchmark.node_chain import Chain, Setup
from benchmark.node_table import text
from benchmark.node_trial import peak, Trial
from benchmark.peers import ROOT
from segnode.benchmarking.images import load_images
from segnode.benchmarking.machine import load, machine
from segnode.commands.arguments import image_size, output_file
from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.ros.private_domain import claimed_domain

PARTS = ('rates', 'raw', 'overhead', 'transport')
SIZES = ((480, 640), (720, 1280), (1024, 2048))
RATES = (10.0, 30.0, 60.0)  # Hz, as ros2_benchmark has them
SECONDS = 3.0  # of a stretch at a fixed rate, and of the one that confirms the peak
SEARCH_SECONDS = 1.5  # of one in the search for the peak ...
SEARCH_FRAMES = 40  # ... but so many images where the rate is low,
SEARCH_LIMIT = 3.0  # within so many seconds
TOLERANCE = 0.05  # of the peak
# Shares of the peak that shorter stretches kept which the longer one tries, until it keeps one.
STEPS_BACK = (1.0, 0.95, 0.9, 0.8, 0.65)
RAW_RATE, RAW_SECONDS, RAW_ROUNDS = 15.0, 2.0, 3
OVERHEAD_FRAMES = 40
TRANSPORT_FRAMES = 30
OVERHEAD_TIMEOUT = 600.0  # s
FULL = {
    'search_seconds': SEARCH_SECONDS, 'tolerance': TOLERANCE, 'raw_rounds': RAW_ROUNDS,
    'overhead_frames': OVERHEAD_FRAMES, 'transport_frames': TRANSPORT_FRAMES,
    'reliabilities': transport.RELIABILITIES}
QUICK = {
    'size': [(480, 640)], 'rates': [10.0, 30.0], 'seconds': 1.0, 'search_seconds': 0.5,
    'tolerance': 0.3, 'raw_rounds': 1, 'overhead_frames': 5, 'transport_frames': 10,
    'reliabilities': ('best_effort',)}


def main(argv: list[str] | None = None) -> int:
    """Measure, print the tables in Markdown; 1 where something is missing or fails."""
    options = _options(argv)
    try:
        if options.plot:
            require('matplotlib', 'the plot')
        answer = measure(options)
        print('\n' + text(answer))
        if options.json:
            options.json.write_text(json.dumps(answer, indent=1) + '\n')
        if options.plot:
            from benchmark.plot_node import plot
            plot(answer, options.plot)
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmark.node',
        description='Peak rate, latency, jitter, drops and processor time of the segment node, '
                    'in the manner of ros2_benchmark.')
    parser.add_argument('--model', default='fsffnet_camvid',
                        help='name or path (default: %(default)s)')
    parser.add_argument('--runtime', default='auto')
    parser.add_argument('--threads', type=int, default=1,
                        help='of the runtime; 0 = its own choice (default: %(default)s, for '
                             'camera and subscriber need the machine too)')
    parser.add_argument('--reliability', choices=transport.RELIABILITIES, default='reliable',
                        help='that the camera offers (default: %(default)s)')
    parser.add_argument('--size', type=image_size, nargs='+', metavar='HxW', default=list(SIZES),
                        help='of the images (default: 480x640 720x1280 1024x2048)')
    parser.add_argument('--rates', type=float, nargs='+', metavar='HZ', default=list(RATES),
                        help='fixed ones (default: 10 30 60)')
    parser.add_argument('--seconds', type=float, default=SECONDS,
                        help='of each stretch of images (default: %(default)s)')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS),
                        help='measure these only')
    parser.add_argument('--quick', action='store_true',
                        help='one small size and short stretches: whether all works, no figures '
                             'to keep')
    parser.add_argument('--json', type=output_file, help='write the answer to this file too')
    parser.add_argument('--plot', type=output_file,
                        help='draw it (.png, .svg; needs matplotlib)')
    options = parser.parse_args(argv)
    if min(options.rates) <= 0 or options.seconds <= 0:
        parser.error('rates and seconds must be above 0')
    vars(options).update(QUICK if options.quick else FULL)
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the machine, and what each part gave.

    Raises:
        SegnodeError: there is no such model, or a process of the benchmark failed.
    """
    begun = time.monotonic()
    network_input = Model.load(options.model).record.input_size
    answer: dict[str, Any] = {
        'benchmark': 'node', 'model': options.model, 'runtime': options.runtime,
        'threads': options.threads, 'reliability': options.reliability,
        'network_input': list(network_input), 'quick': options.quick, 'machine': machine(),
        'rows': [], 'raw': [], 'overhead': None, 'transport': None}
    with tempfile.TemporaryDirectory(prefix='segnode_benchmark_') as name:
        folder = Path(name)
        null = str(null_network.write(folder, network_input))
        for size in options.size:
            images = folder / f'{size[0]}x{size[1]}.npy'
            np.save(images, np.concatenate(load_images(None, size)))
            if 'rates' in options.parts:
                with _chain(options, images, options.model) as chain:
                    answer['rows'].append(_row(chain, options, size, options.model))
            if {'rates', 'raw'} & set(options.parts):
                with _chain(options, images, null) as chain:
                    if 'rates' in options.parts:
                        answer['rows'].append(_row(chain, options, size, 'null'))
                    if 'raw' in options.parts:
                        with _chain(options, images, null, 'benchmark.raw_node') as raw:
                            answer['raw'].append(_raw(chain, raw, options, size))
            images.unlink()
    if 'overhead' in options.parts:
        answer['overhead'] = _overhead(options)
    if 'transport' in options.parts:
        answer['transport'] = _transport(options)
    answer['load_after'] = load()
    answer['seconds'] = round(time.monotonic() - begun, 1)
    return answer


@contextlib.contextmanager
def _chain(options: argparse.Namespace, images: Path, model: str,
           module: str = 'segnode.ros.segment_node') -> Iterator[Chain]:
    """Run camera, node and listener in a domain of their own."""
    parameters = {
        'model': model, 'runtime': options.runtime, 'threads': options.threads,
        'image_timeout': 0.0}
    with claimed_domain() as domain, Chain(
            Setup(images, parameters, options.reliability, module), domain) as chain:
        yield chain


def _row(chain: Chain, options: argparse.Namespace, size: tuple[int, int],
         model: str) -> dict[str, Any]:
    """Measure one network with images of one size."""
    what = f'{size[0]}x{size[1]} {model}'

    def tried(rate: float, seconds: float, *, books: bool = False) -> Trial:
        trial = chain.trial(rate, seconds, books=books)
        _tell(f'{what}: {trial.sent_rate:.1f} Hz for {seconds:.1f} s, '
              f'{trial.drop_share:.1%} dropped')
        return trial

    fixed = [tried(rate, options.seconds, books=True) for rate in options.rates]
    best = peak(
        lambda rate: tried(rate, min(max(options.search_seconds, SEARCH_FRAMES / rate),
                                     max(options.search_seconds, SEARCH_LIMIT))),
        fixed, options.tolerance)
    # A rate is kept if it is kept for longer; those at fixed rates were.
    confirmed = max((trial for trial in fixed if trial.kept), key=lambda trial: trial.sent_rate,
                    default=None)
    for rate in [share * best.sent_rate for share in STEPS_BACK] if best else []:
        if confirmed and confirmed.sent_rate >= rate:
            break
        trial = tried(rate, options.seconds, books=True)
        if trial.kept:
            confirmed = trial
            break
    return {
        'size': list(size), 'network': model, 'megabytes': chain.megabytes,
        'rates': [trial.summary() for trial in fixed],
        'peak': None if confirmed is None else {
            **confirmed.summary(), 'camera_limited': bool(best and best.camera_limited)}}


def _raw(message: Chain, raw: Chain, options: argparse.Namespace,
         size: tuple[int, int]) -> dict[str, Any]:
    """Measure both ways to take an image, by turns, which load from outside falls on alike."""
    ways = {'message': message, 'raw': raw}
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for number in range(options.raw_rounds):
        for way in (ways, reversed(ways))[number % 2]:
            rounds[way].append(ways[way].trial(RAW_RATE, RAW_SECONDS).summary())
    if not all(row['masks'] for rows in rounds.values() for row in rows):
        raise SegnodeError('a stretch of images gave no mask: the machine is too busy')
    row: dict[str, Any] = {'size': list(size), 'rate': RAW_RATE, 'rounds': options.raw_rounds}
    for way, found in rounds.items():
        row[way] = {
            'cpu_ms_per_mask': round(statistics.median(r['cpu_ms_per_mask'] for r in found), 3),
            'receipt_ms': _medians(found, 'receipt_ms'),
            'latency_ms': _medians(found, 'latency_ms')}
    row['cpu_ratio'] = round(statistics.median(
        theirs['cpu_ms_per_mask'] / ours['cpu_ms_per_mask']
        for theirs, ours in zip(rounds['raw'], rounds['message'])), 3)
    _tell(f'{size[0]}x{size[1]}: raw over message {row["cpu_ratio"]:.2f} in processor time')
    return row


def _medians(rows: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Return the median over rounds of each figure of a spread."""
    return {name: round(statistics.median(row[key][name] for row in rows), 3)
            for name in ('median', 'p95', 'max')}


def _overhead(options: argparse.Namespace) -> dict[str, Any]:
    """Run ``benchmark.node_overhead`` at the largest size."""
    height, width = max(options.size)
    command = [sys.executable, str(ROOT / 'benchmark' / 'node_overhead.py'), '--json', '-',
               '--model', options.model, '--runtime', options.runtime,
               '--threads', str(options.threads), '--frames', str(options.overhead_frames),
               '--size', str(height), str(width)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=OVERHEAD_TIMEOUT,
                          env=dict(os.environ))
    start = done.stdout.find('{\n')
    if start < 0:
        raise SegnodeError(f'benchmark/node_overhead.py failed: {done.stderr.strip()[-500:]}')
    found: dict[str, Any] = json.loads(done.stdout[start:])
    found.pop('machine')
    _tell(f'node over bare Segmenter: {found["ratio_node"]:.3f}')
    return found


def _transport(options: argparse.Namespace) -> dict[str, Any]:
    """Run ``benchmark.transport`` at the largest size, the profile on both sides and on none."""
    height, width = max(options.size)
    given = transport.argument_parser().parse_args([
        '--frames', str(options.transport_frames), '--height', str(height),
        '--width', str(width)])
    rows = []
    with claimed_domain() as domain:
        for profile in ('neither', 'both'):
            for reliability in options.reliabilities:
                row = {'profile': profile, 'reliability': reliability}
                rows.append(transport.measure(given, row, domain))
                _tell(f'profile loaded by {profile}, {reliability}: '
                      f'{rows[-1]["received"]} of {rows[-1]["frames"]} images received')
    return {'size': [height, width], 'rate': given.rate, 'rows': rows}


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == '__main__':
    sys.exit(main())

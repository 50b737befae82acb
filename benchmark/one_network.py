# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Times one network, untrained, and prints a line of JSON per size and runtime.

    python -m benchmark.one_network fanet --sizes 512x1024,1024x2048

``benchmark.networks`` runs it once per network: memory is given back for certain, and what does
not fit ends this process alone. The smallest size comes first. A runtime that cannot be measured
has null for times and a reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
import resource
import sys
import time
from typing import Any

from segnode.available_memory import available_memory
from segnode.benchmarking.images import load_images
from segnode.benchmarking.timing import labels, Run, take_turns, Times
from segnode.commands.arguments import image_size
from segnode.labels import load_label_set
from segnode.model import Model
from segnode.networks.zoo import network_info
from segnode.runtimes import load_runtime

RUNTIMES = ('onnx', 'pytorch')
ROUNDS, SECONDS, THREADS = 9, 10.0, 2
LIMIT = 60.0  # s; what takes longer for one frame is not measured
MEMORY_SHARE = 0.8  # of what is available may be taken


def main(argv: list[str] | None = None) -> int:
    """Measure; 0 also where nothing could be measured, 2 for wrong arguments."""
    options = arguments(
        argparse.ArgumentParser(prog='python -m benchmark.one_network', description=__doc__)
    )
    options.add_argument('network')
    given = options.parse_args(argv)
    _limit_memory()
    for size in sorted(given.sizes, key=lambda sides: sides[0] * sides[1]):
        for row in measure(given.network, size, given.rounds, given.seconds, given.threads):
            print(json.dumps(row), flush=True)
    return 0


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add what this and ``benchmark.networks`` both take."""
    parser.add_argument('--sizes', type=sizes, default='512x1024,1024x2048', metavar='HxW,...',
                        help='sizes of the images (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=ROUNDS,
                        help='rounds at most (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=SECONDS,
                        help='no further round of a network and size begins after this long, '
                        'but three are made (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=THREADS,
                        help='of either runtime (default: %(default)s)')
    return parser


def sizes(text: str) -> list[tuple[int, int]]:
    """Read HxW,HxW,..."""
    return [image_size(part) for part in text.split(',')]


def measure(
    network: str, size: tuple[int, int], rounds: int, seconds: float, threads: int
) -> list[dict[str, Any]]:
    """Return a row for each runtime, see ``row``."""
    try:
        network_info(network).check_input_size(size)
        model = Model.untrained(network, load_label_set('cityscapes'), size)
        images = load_images(None, size)
    except Exception as error:  # whatever it is, it is the answer
        return [row(network, size, name, reason=_one_line(error)) for name in RUNTIMES]
    runs: dict[str, Run] = {}
    reasons = {}
    for name in RUNTIMES:
        options: dict[str, Any] = {'device': 'cpu'} if name == 'pytorch' else {}
        try:
            run = labels(load_runtime(model, name, input_size=size, threads=threads, **options))
            run(images[0])  # not counted: buffers and code are made ready
            took = _seconds(lambda run=run: run(images[0]))  # type: ignore[misc]
        except Exception as error:
            reasons[name] = _one_line(error)
            continue
        if took > LIMIT:
            reasons[name] = f'one frame takes {took:.0f} s, more than {LIMIT:.0f}'
        else:
            runs[name] = run
    try:
        times = take_turns(runs, images, rounds, seconds) if runs else {}
    except Exception as error:
        times = {}
        reasons.update(dict.fromkeys(runs, _one_line(error)))
    return [
        row(network, size, name, times.get(name), reasons.get(name, '')) for name in RUNTIMES
    ]


def row(
    network: str, size: tuple[int, int], runtime: str, times: Times | None = None,
    reason: str = '',
) -> dict[str, Any]:
    """Return the times in ms (null with a reason where there are none).

    ``process_peak_gb`` is the most memory that the process had until then: both runtimes, and the
    export to ONNX with its check.
    """
    nothing = {'median_ms': None, 'best_ms': None, 'processor_ms': None}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
    return {
        'network': network,
        'size': f'{size[0]}x{size[1]}',
        'runtime': runtime,
        **(nothing if times is None else times.summary()),
        'rounds': 0 if times is None else len(times.clock),
        'process_peak_gb': round(peak * 1024 / 1e9, 2),
        'reason': reason,
    }


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _one_line(error: Exception) -> str:
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text}'[:300]


def _limit_memory() -> None:
    """Let an allocation that is too large fail here, before the system ends other processes."""
    memory = available_memory()
    if memory:
        limit = int(MEMORY_SHARE * memory)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


if __name__ == '__main__':
    sys.exit(main())

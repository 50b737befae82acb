# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Milliseconds per image of every network on this machine's CPU, beside what it costs.

    python -m benchmark.networks --json docs/networks_cpu.json --plot docs/networks_cpu.png

Each network runs untrained (the weights' values do not matter for the time) as deploy graph, image
in and labels out, through the ``onnx`` and the ``pytorch`` runtime, which take turns. One network
after the other, each in a process of its own (``benchmark.one_network``); what does not fit into
memory or takes more than a minute for a frame has null and the reason. Graphs are exported to a
temporary folder, not to the user's cache. The plot needs matplotlib (requirements/benchmark.txt).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import platform
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmark.one_network import arguments, row, RUNTIMES
from benchmark.row_text import outcome
from segnode.available_memory import available_memory
from segnode.benchmarking.machine import processor
from segnode.commands.arguments import output_file
from segnode.dependencies import require, versions
from segnode.errors import SegnodeError
from segnode.networks.multiply_adds import multiply_adds
from segnode.networks.zoo import network_info, NETWORKS

ROOT = Path(__file__).resolve().parent.parent
PROCESS_LIMIT = 900.0  # s for all sizes of one network

Sizes = list[tuple[int, int]]


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table in Markdown, write the files asked for; 1 where that fails."""
    parser = arguments(argparse.ArgumentParser(
        prog='python -m benchmark.networks', description='Time every network on the CPU.'
    ))
    parser.add_argument('--networks', metavar='NAME,...', help='these alone (default: all)')
    parser.add_argument('--json', type=output_file, help='write the answer to this file')
    parser.add_argument('--plot', type=output_file, help='draw it into this .png or .svg file')
    given = parser.parse_args(argv)
    try:
        names = given.networks.split(',') if given.networks else list(NETWORKS)
        for name in names:
            network_info(name)
        if given.plot:
            require('matplotlib', 'the plot')
        answer = measure(names, given)
        if given.plot:
            from benchmark.plot_networks import plot

            plot(answer, given.plot)
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(table(answer))
    return 0


def measure(names: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """Return the machine, the versions and a row per network, size and runtime.

    The JSON file is written after every network: nothing is lost when it is stopped.
    """
    answer: dict[str, Any] = {
        'processor': processor(),
        'cores': os.cpu_count(),
        'available_memory_gb': round(available_memory() / 1e9, 1),
        'system': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
        'versions': versions('segnode', 'torch', 'onnxruntime', 'numpy'),
        'date': time.strftime('%Y-%m-%d'),
        'threads': given.threads,
        'rounds': given.rounds,
        'seconds': given.seconds,
        'classes': 19,
        'rows': [],
    }
    for number, name in enumerate(names, 1):
        start = time.monotonic()
        rows = [{**r, **_costs(name, r['size'])} for r in _one_network(name, given)]
        answer['rows'] += rows
        if given.json:
            given.json.write_text(json.dumps(answer, indent=1) + '\n')
        shown = ', '.join(f'{r["size"]} {r["runtime"]} {outcome(r)}' for r in rows)
        print(f'[{number}/{len(names)}] {name} ({time.monotonic() - start:.0f} s): {shown}',
              file=sys.stderr, flush=True)
    return answer


def _one_network(name: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Run ``benchmark.one_network``; what it did not come to has a reason."""
    texts = [f'{height}x{width}' for height, width in given.sizes]
    command = [
        sys.executable, '-m', 'benchmark.one_network', name, '--sizes', ','.join(texts),
        '--rounds', str(given.rounds), '--seconds', str(given.seconds),
        '--threads', str(given.threads),
    ]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    with tempfile.TemporaryDirectory(prefix='segnode_benchmark_') as folder:
        environment = {**os.environ, 'PYTHONPATH': path, 'XDG_CACHE_HOME': folder}
        with subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                output, errors = process.communicate(timeout=PROCESS_LIMIT)
                reason = _ending(process.returncode, errors)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
                reason = f'not done after {PROCESS_LIMIT:.0f} s'
            except BaseException:
                process.kill()
                raise
    found = {
        (r['size'], r['runtime']): r for r in map(json.loads, output.splitlines())
    }
    return [
        found.get((text, runtime)) or row(name, size, runtime, reason=reason)
        for size, text in zip(given.sizes, texts) for runtime in RUNTIMES
    ]


def _ending(status: int, errors: str) -> str:
    last = (errors.strip().splitlines() or [''])[-1]
    if status < 0:
        return f'the process was ended by signal {-status}, most probably for lack of memory'
    return f'the process ended with status {status}: {last}'[:300]


def _costs(name: str, size: str) -> dict[str, Any]:
    height, width = map(int, size.split('x'))
    try:
        count: int | None = multiply_adds(name, (height, width))
    except SegnodeError:  # not a size of this network
        count = None
    return {'parameters': network_info(name).parameters_at_19, 'multiply_adds': count}


def table(answer: dict[str, Any]) -> str:
    """Return the answer as text and a table in Markdown, one line per network."""
    rows = {(r['network'], r['size'], r['runtime']): r for r in answer['rows']}
    columns = list(dict.fromkeys((r['size'], r['runtime']) for r in answer['rows']))
    sizes = list(dict.fromkeys(size for size, _ in columns))
    titles = [
        'network', 'parameters', *(f'GMAC at {size}' for size in sizes),
        *(f'{size} `{runtime}`' for size, runtime in columns),
    ]
    lines = [
        f'{answer["threads"]} threads, {answer["processor"]}, '
        f'PyTorch {answer["versions"]["torch"]}, '
        f'ONNX Runtime {answer["versions"]["onnxruntime"]}; median ms per image',
        '', f'| {" | ".join(titles)} |', '|' + '---|' * len(titles),
    ]
    for name in dict.fromkeys(network for network, _, _ in rows):
        costs = [rows[name, size, RUNTIMES[0]]['multiply_adds'] for size in sizes]
        cells = [
            f'`{name}`', f'{network_info(name).parameters_at_19:,}',
            *('-' if cost is None else f'{cost / 1e9:.2f}' for cost in costs),
        ]
        for size, runtime in columns:
            median = rows[name, size, runtime]['median_ms']
            cells.append('-' if median is None else f'{median:.0f}')
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Draws what ``benchmark.node`` has measured: latencies at fixed rates, peaks, processor time.

    python -m benchmark.plot_node RESULT.json PICTURE.png

Needs matplotlib (requirements/benchmark.txt).
"""

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any

from benchmark import plot_command
from benchmark.node_table import size_text
from segnode.dependencies import require
from segnode.errors import SegnodeError

COLOURS = ('#0b5fa5', '#d1571c')  # of the model and of the null network
WIDTH = 0.36  # of a bar, of the space of one size


def plot(answer: dict[str, Any], path: Path) -> None:
    """Draw a chart of latencies for each of two networks, one of peaks, one of processor time.

    Raises:
        SegnodeError: matplotlib is missing, nothing was measured, or the file cannot be written.
    """
    require('matplotlib', 'the plot')
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = answer['rows']
    if not rows:
        raise SegnodeError("there is nothing to draw: the part 'rates' was not measured")
    networks = list(dict.fromkeys(row['network'] for row in rows))
    sizes = list(dict.fromkeys(size_text(row['size']) for row in rows))
    figure = Figure(figsize=(11, 9), layout='constrained')
    FigureCanvasAgg(figure)
    latencies, (peaks, costs) = figure.subplots(2, 2)
    for unused in latencies[len(networks):]:
        unused.remove()
    for axis, network in zip(latencies, networks):
        _latencies(axis, network, [row for row in rows if row['network'] == network])
    colours = dict(zip(networks, COLOURS))
    _bars(peaks, rows, sizes, colours, 'peak rate, Hz (dropped < 5 %)',
          lambda row: row['peak'] and row['peak']['sent_rate'])
    peaks.set(yscale='log')
    _plain_logarithm(peaks)
    _bars(costs, rows, sizes, colours, "processor ms of the node's process per mask",
          lambda row: row['rates'][0]['cpu_ms_per_mask'] if row['rates'] else None)
    facts = answer['machine']
    figure.suptitle(
        f'{answer["model"]}, threads: {answer["threads"] or "free"}; {facts["processor"]}, '
        f'{facts["usable_cores"]} cores; camera, node and subscriber each a process')
    try:
        figure.savefig(path, dpi=80)
    except (OSError, ValueError) as error:
        raise SegnodeError(f'{path} cannot be written: {error}') from error


def _latencies(axis: Any, network: str, rows: list[dict[str, Any]]) -> None:
    """Draw for each size and rate the median (dot), p95 (line) and largest (tick) latency."""
    names = []
    for group, row in enumerate(rows):
        for index, found in enumerate(row['rates']):
            at = group * (len(row['rates']) + 1) + index
            names.append((at, f'{found["rate"]:g}'))
            spread = found['latency_ms']
            if spread is None:
                continue
            colour = f'C{group}'
            axis.vlines(at, spread['median'], spread['p95'], color=colour, linewidth=5, alpha=0.4)
            axis.plot(at, spread['max'], '_', color=colour, markersize=9)
            axis.plot(at, spread['median'], 'o', color=colour, markersize=6,
                      label=size_text(row['size']) if index == 0 else None)
    axis.set(yscale='log', title=f'{network}: image to mask', xlabel='images per second',
             ylabel='ms (dot median, bar to p95, tick largest)')
    _plain_logarithm(axis)
    axis.set_xticks([at for at, _ in names], [name for _, name in names])
    _grid(axis)
    if axis.get_legend_handles_labels()[0]:
        axis.legend()


def _bars(axis: Any, rows: list[dict[str, Any]], sizes: list[str], colours: dict[str, str],
          title: str, value: Any) -> None:
    for number, (network, colour) in enumerate(colours.items()):
        known = [(sizes.index(size_text(row['size'])), value(row)) for row in rows
                 if row['network'] == network and value(row) is not None]
        bars = axis.bar([at + (number - 0.5) * WIDTH for at, _ in known], [v for _, v in known],
                        WIDTH, color=colour, label=network)
        axis.bar_label(bars, fmt='%.0f', fontsize=8)
    axis.set(title=title)
    axis.set_xticks(range(len(sizes)), sizes)
    axis.margins(y=0.3)  # for the legend
    _grid(axis)
    axis.legend()


def _plain_logarithm(axis: Any) -> None:
    """Write 20 and 50 beside the y axis in place of powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter('{x:g}')
    axis.yaxis.set_minor_formatter(NullFormatter())


def _grid(axis: Any) -> None:
    axis.grid(which='both', axis='y', color='#e4e4e4', linewidth=0.6)
    axis.set_axisbelow(True)


def main(argv: list[str] | None = None) -> int:
    """Draw the picture; 1 where that fails."""
    return plot_command.run('plot_node', plot, argv)


if __name__ == '__main__':
    sys.exit(main())

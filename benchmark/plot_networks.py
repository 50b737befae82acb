# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Draws what ``benchmark.networks`` has measured: ms against multiply-adds and parameters.

    python -m benchmark.plot_networks docs/networks_cpu.json docs/networks_cpu.png

Needs matplotlib (requirements/benchmark.txt).
"""

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any

from benchmark import plot_command
from segnode.dependencies import require
from segnode.errors import SegnodeError

COLOURS = {'onnx': '#0b5fa5', 'pytorch': '#d1571c'}
# Where a name may stand beside its point, in points of text, the nearest first.
DIRECTIONS = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))
DISTANCES = (5, 11, 18, 26, 36, 48)
LEADER_FROM = 11  # names at this distance and more get a line to their point


def plot(answer: dict[str, Any], path: Path) -> None:
    """Draw a row of two charts for each size, both axes logarithmic, and save it.

    Raises:
        SegnodeError: matplotlib is missing, nothing was measured, or the file cannot be written.
    """
    require('matplotlib', 'the plot')
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [r for r in answer['rows'] if r['median_ms'] is not None]
    if not rows:
        raise SegnodeError('there is nothing to draw: no network was measured')
    sizes = list(dict.fromkeys(r['size'] for r in rows))
    figure = Figure(figsize=(15, 6.5 * len(sizes) + 0.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(sizes), 2, squeeze=False)
    for size, (left, right) in zip(sizes, axes):
        at_size = [r for r in rows if r['size'] == size]
        for axis, key, title in (
            (left, 'multiply_adds', f'multiply-adds at {size} (10$^9$)'),
            (right, 'parameters', 'parameters (10$^6$)'),
        ):
            _chart(axis, at_size, key, 1e9 if key == 'multiply_adds' else 1e6)
            axis.set(xlabel=title, ylabel=f'ms per image of {size}')
    figure.suptitle(
        f'{answer["processor"]}, {answer["threads"]} threads, '
        f'PyTorch {answer["versions"]["torch"]}, '
        f'ONNX Runtime {answer["versions"]["onnxruntime"]}; median, image in to labels out'
    )
    figure.canvas.draw()  # puts every point in its place, so that names can be put beside them
    figure.set_layout_engine('none')  # and there it stays
    for axis in axes.flat:
        _name_points(axis, figure)
    try:
        figure.savefig(path, dpi=80)
    except (OSError, ValueError) as error:
        raise SegnodeError(f'{path} cannot be written: {error}') from error


def _chart(axis: Any, rows: list[dict[str, Any]], key: str, unit: float) -> None:
    axis.set(xscale='log', yscale='log')
    axis.grid(which='both', color='#e4e4e4', linewidth=0.6)
    axis.set_axisbelow(True)
    heights: dict[str, list[float]] = {}
    for row in rows:
        heights.setdefault(row['network'], []).append(row['median_ms'])
    across = {row['network']: row[key] / unit for row in rows}
    for network, values in heights.items():  # a line from one runtime to the other
        axis.vlines(across[network], min(values), max(values), color='#b0b0b0', linewidth=0.8)
    for runtime, colour in COLOURS.items():
        own = [r for r in rows if r['runtime'] == runtime]
        axis.scatter([r[key] / unit for r in own], [r['median_ms'] for r in own], s=26,
                     color=colour, label=runtime, zorder=3)
    axis.margins(0.12)
    axis.legend(loc='upper left')
    axis.names = {name: (across[name], min(values)) for name, values in heights.items()}


def _name_points(axis: Any, figure: Any) -> None:
    """Write each network's name beside its lower point, where no other name or point is."""
    renderer = figure.canvas.get_renderer()
    inside = axis.get_window_extent(renderer)
    taken = [axis.get_legend().get_window_extent(renderer)]
    points = [
        axis.transData.transform(point)
        for dots in axis.collections if dots.get_label() in COLOURS
        for point in dots.get_offsets()
    ]
    for name, point in sorted(axis.names.items(), key=lambda item: item[1][1]):
        text = axis.annotate(name, point, (0, 0), textcoords='offset points', fontsize=8,
                             va='center', zorder=4)
        best, fewest = (0.0, 0.0, 'left'), len(taken) + len(points) + 1
        for distance in DISTANCES:
            for right, up in DIRECTIONS:
                place = right * distance, up * distance, ('center', 'left', 'right')[right]
                text.set(position=place[:2], ha=place[2])
                box = text.get_window_extent(renderer).padded(1)
                hits = sum(box.overlaps(other) for other in taken)
                hits += sum(box.contains(*p) for p in points)
                hits += not (inside.contains(*box.min) and inside.contains(*box.max))
                if hits < fewest:
                    best, fewest = place, hits
        text.set(position=best[:2], ha=best[2])
        taken.append(text.get_window_extent(renderer).padded(1))
        if max(map(abs, best[:2])) >= LEADER_FROM:
            axis.annotate('', point, best[:2], textcoords='offset points', zorder=2,
                          arrowprops={'arrowstyle': '-', 'color': '#909090', 'linewidth': 0.6})


def main(argv: list[str] | None = None) -> int:
    """Draw the picture; 1 where that fails."""
    return plot_command.run('plot_networks', plot, argv)


if __name__ == '__main__':
    sys.exit(main())

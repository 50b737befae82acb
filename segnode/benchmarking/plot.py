# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The result of a measurement as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segnode.dependencies import require
from segnode.errors import SegnodeError

# One colour for each runtime, the same in every picture; others take the last.
COLOURS = {
    'eager': '#9a9a9a', 'pytorch': '#d1571c', 'onnx': '#0b5fa5', 'openvino': '#5d3f9e',
    'tensorrt': '#4f8a10', 'torch2trt': '#a8b400', '': '#404040',
}


def plot(answer: dict[str, Any], path: Path) -> None:
    """Draw the median of every row as a bar, with a mark at its 95th percentile.

    Raises:
        SegnodeError: matplotlib is missing, nothing was measured, or the file cannot be written.
    """
    require('matplotlib', 'the plot')
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in answer['rows'] if not row['reason']]
    if not rows:
        raise SegnodeError('there is nothing to draw: nothing was measured')
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((tuple(row['input_size']), row['batch']), []).append(row)
    heights = [len(group) + 1 for group in groups.values()]
    figure = Figure(figsize=(10, 0.34 * sum(heights) + 0.9 * len(groups)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (((height, width), batch), group) in zip(axes, groups.items()):
        _bars(axis, group)
        images = '' if batch == 1 else f', {batch} images'
        axis.set(title=f'{height}x{width}{images}', xlabel='ms per run, median (bar) and p95 (|)')
    facts = answer['machine']
    where = [facts['board'] or facts['processor'], *(gpu['name'] for gpu in facts['gpus'])]
    figure.suptitle(', '.join(where))
    try:
        figure.savefig(path, dpi=100)
    except (OSError, ValueError) as error:
        raise SegnodeError(f'{path} cannot be written: {error}') from error


def _bars(axis: Any, rows: list[dict[str, Any]]) -> None:
    names = [f'{row["model"]}  {row["runtime"]} {row["precision"]}' for row in rows]
    places = list(range(len(rows)))
    medians = [row['median_ms'] for row in rows]
    axis.barh(places, medians, height=0.7,
              color=[COLOURS.get(row['runtime'], COLOURS['']) for row in rows])
    axis.plot([row['p95_ms'] for row in rows], places, '|', color='black', markersize=12)
    for place, row in zip(places, rows):
        axis.annotate(f'{row["median_ms"]:.1f}', (max(row['median_ms'], row['p95_ms']), place),
                      (6, 0), textcoords='offset points', va='center', fontsize=8)
    axis.set_yticks(places, names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlim(left=0)

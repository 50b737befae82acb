# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The released models of one label set on equal terms: what each costs and what it is worth.

    python -m benchmark.released_models --json FILE --plot FILE

Mean IoU and IoU per class are those of the models' records (``python -m training evaluate --model
NAME`` gives them again), on the val split; milliseconds are measured here, through ``onnx``, one
image of the model's own size at a time. The plot needs matplotlib (requirements/benchmark.txt).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any

from segnode import store
from segnode.benchmarking.candidate import Candidate
from segnode.benchmarking.measure import measure
from segnode.commands.arguments import output_file
from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.networks.multiply_adds import multiply_adds
from segnode.networks.zoo import create

SPLIT = 'val'


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table in Markdown, write the files asked for; 1 where that fails."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmark.released_models',
        description='Released models of one label set: accuracy, cost, speed on this CPU.')
    parser.add_argument('--label-set', default='camvid', help='default: %(default)s')
    parser.add_argument('--frames', type=int, default=100,
                        help='runs of each that are counted (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=2, help='default: %(default)s')
    parser.add_argument('--json', type=output_file, help='write the answer to this file')
    parser.add_argument('--plot', type=output_file, help='draw it into this .png or .svg file')
    given = parser.parse_args(argv)
    try:
        if given.plot:
            require('matplotlib', 'the plot')
        answer = compare(released(given.label_set), given.frames, given.threads)
        if given.json:
            given.json.write_text(json.dumps(answer, indent=1) + '\n')
        if given.plot:
            plot(answer, given.plot)
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(table(answer))
    return 0


def released(label_set: str) -> list[Model]:
    """Return the trained models of a label set with a recorded val mean IoU, best first.

    Raises:
        SegnodeError: there is none.
    """
    found = {
        entry.name: entry.model for entry in reversed(store.entries())  # the first of a name stays
        if entry.model is not None and entry.model.record.label_set.name == label_set
        and entry.model.record.miou >= 0
    }
    if not found:
        raise SegnodeError(f'there is no released model with the labels of {label_set}')
    return sorted(found.values(), key=lambda model: -model.record.miou)


def compare(models: list[Model], frames: int, threads: int) -> dict[str, Any]:
    """Return the machine and a row per model.

    Args:
        models: with recorded scores.
        frames: timed runs of each.
        threads: of ONNX Runtime.
    """
    candidates = [
        Candidate(str(model.onnx_path or model.safetensors_path), 'onnx', threads=threads)
        for model in models]
    answer = measure(candidates, frames, lambda line: print(line, file=sys.stderr, flush=True))
    return {
        'machine': answer['machine'], 'threads': threads, 'runs': frames, 'split': SPLIT,
        'rows': [
            {**_facts(model), 'median_ms': row.get('median_ms'), 'p95_ms': row.get('p95_ms'),
             'reason': row['reason']}
            for model, row in zip(models, answer['rows'])
        ],
    }


def _facts(model: Model) -> dict[str, Any]:
    record = model.record
    classes = record.label_set.num_classes
    return {
        'model': model.name, 'network': record.network, 'input_size': list(record.input_size),
        'parameters': parameters_in_use(model),
        'multiply_adds': multiply_adds(
            record.network, record.input_size, classes, **record.network_args),
        'miou': record.miou,
        'class_iou': record.training.get('class_iou', {}).get(SPLIT, {}),
        'epochs': record.training.get('epochs'), 'minutes': record.training.get('minutes'),
        'training_images_per_second': record.training.get('images_per_second'),
        'hardware': record.training.get('hardware', ''),
    }


def parameters_in_use(model: Model) -> int:
    """Count the parameters that inference needs: without auxiliary heads."""
    import torch

    record = model.record
    with torch.device('meta'):  # shapes only
        network = create(
            record.network, record.label_set.num_classes, **record.network_args).eval()
        logits = network(torch.empty(1, 3, *record.input_size))
    parameters = list(network.parameters())
    used = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    return sum(one.numel() for one, gradient in zip(parameters, used) if gradient is not None)


def table(answer: dict[str, Any]) -> str:
    """Return the answer as two tables in Markdown: the models, and their IoU per class."""
    rows = answer['rows']
    classes = list(dict.fromkeys(name for row in rows for name in row['class_iou']))
    first: list[tuple[str, ...]] = [
        ('model', 'network input', 'parameters', 'GMAC', f'mIoU, {SPLIT}, %',
         'ms per image', 'epochs', 'training, min', 'training, images/s')]
    second: list[tuple[str, ...]] = [('model', *classes)]
    for row in rows:
        height, width = row['input_size']
        first.append((
            f'`{row["model"]}`', f'{height}x{width}', f'{row["parameters"]:,}',
            f'{row["multiply_adds"] / 1e9:.2f}', f'{100 * row["miou"]:.2f}',
            row['reason'] or f'{row["median_ms"]:.1f}', _shown(row['epochs']),
            _shown(row['minutes']), _shown(row['training_images_per_second'])))
        second.append((f'`{row["model"]}`', *(
            _shown(row['class_iou'].get(name), 100) for name in classes)))
    return (f'{answer["machine"]["processor"]}, {answer["threads"]} threads, `onnx`, median of '
            f'{answer["runs"]}\n\n{_markdown(first)}\n\n{_markdown(second)}')


def _shown(value: float | None, factor: float = 1.0) -> str:
    if value is None:
        return '-'
    return str(value) if isinstance(value, int) else f'{factor * value:.1f}'


def _markdown(rows: list[tuple[str, ...]]) -> str:
    lines = [f'| {" | ".join(cells)} |' for cells in rows]
    return '\n'.join([lines[0], '|' + '---|' * len(rows[0]), *lines[1:]])


def plot(answer: dict[str, Any], path: Path) -> None:
    """Draw mean IoU against milliseconds, a point per model, its area as its parameters.

    Raises:
        SegnodeError: matplotlib is missing, nothing was measured, or the file cannot be written.
    """
    require('matplotlib', 'the plot')
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in answer['rows'] if row['median_ms'] is not None]
    if not rows:
        raise SegnodeError('there is nothing to draw: no model was measured')
    figure = Figure(figsize=(8, 5), layout='constrained')
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.scatter(
        [row['median_ms'] for row in rows], [100 * row['miou'] for row in rows],
        s=[row['parameters'] / 2e4 for row in rows], color='#0b5fa5', alpha=0.7)
    times = [row['median_ms'] for row in rows]
    for row in rows:
        # To the left of the first one and of those on the right, where there is room.
        left = row['median_ms'] == min(times) or 2 * row['median_ms'] > min(times) + max(times)
        axis.annotate(row['model'], (row['median_ms'], 100 * row['miou']),
                      (-10 if left else 8, 4), ha='right' if left else 'left',
                      textcoords='offset points', fontsize=9)
    axis.set(xlabel='ms per image (area of a point: parameters)',
             ylabel=f'mean IoU on {answer["split"]}, %')
    axis.grid(color='#e4e4e4', linewidth=0.6)
    axis.set_axisbelow(True)
    axis.margins(0.25)
    figure.suptitle(f'{answer["machine"]["processor"]}, {answer["threads"]} threads, onnx')
    try:
        figure.savefig(path, dpi=100)
    except (OSError, ValueError) as error:
        raise SegnodeError(f'{path} cannot be written: {error}') from error


if __name__ == '__main__':
    sys.exit(main())

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a report that are figures: head, facts, classes, categories, confusions."""

from __future__ import annotations

from collections.abc import Mapping
import json
from typing import Any

import numpy as np

from segnode.model import Model
from training.evaluation import Evaluation
from training.report.html import (
    bar_cell,
    facts,
    left,
    left_heading,
    Markup,
    percent,
    section,
    swatch,
    table,
    tag,
)

MANY = 30  # classes from which on the cells of the confusion matrix have no room for a number
CONFUSIONS = 12  # pairs that are listed
IOU = tag('th', 'IoU %', class_='bar', scope='col')


def cards(figures: Mapping[str, Any]) -> Markup:
    """Return the figures that everybody asks for, large."""
    wanted = [
        ('miou', 'mean IoU'),
        ('mean_iiou', 'mean iIoU'),
        ('mean_category_iou', 'mean IoU of categories'),
        ('pixel_accuracy', 'pixel accuracy'),
        ('mean_class_accuracy', 'mean class accuracy'),
    ]
    if figures['miou_of_occurring'] != figures['miou']:
        wanted.insert(1, ('miou_of_occurring', 'mean IoU of occurring classes'))
    shown = [
        tag('div', tag('b', f'{percent(figures[key])} %'), tag('span', name), class_='card')
        for key, name in wanted if figures.get(key) is not None
    ]
    shown.append(tag('div', tag('b', f'{figures["frames"]:,}'), tag('span', 'frames'),
                     class_='card'))
    return tag('div', *shown, class_='cards')


def facts_section(model: Model, inference: Mapping[str, Any], result: Evaluation) -> Markup:
    """Return what was run, and what its record says."""
    record, training = model.record, model.record.training
    run = facts([
        ('data', ', '.join(result.data)),
        ('frames', f'{result.frames:,}'),
        ('runtime', f'{inference["runtime"]} ({inference["details"]})'),
        ('asked of it', ', '.join(
            f'{name.replace("_", " ")} {inference[name]}'
            for name in ('device', 'precision', 'compile', 'dla_core', 'workspace')
            if name in inference)),
        ('network sees', _seen(inference)),
        ('fit', inference['fit']),
        ('labels at', inference.get('labels_at')),
        ('scales', ', '.join(f'{s:g}' for s in inference.get('scales', []))),
        ('mirror image', 'averaged in' if inference.get('flip') else ''),
        ('Monte Carlo', f'{inference["samples"]} passes' if 'samples' in inference else ''),
    ])
    about = facts([
        ('model', model.name),
        ('network', record.network),
        ('arguments', json.dumps(record.network_args) if record.network_args else ''),
        ('classes', f'{record.label_set.num_classes} ({record.label_set.name})'),
        ('made for', _size(record.input_size)),
        ('mean, std', f'{_numbers(record.mean)}; {_numbers(record.std)} ({record.color_order})'),
        ('trained on', ' '.join(filter(None, (
            _text(training.get('dataset')), _text(training.get('split')))))),
        ('epochs', _text(training.get('epochs'))),
        ('date', _text(training.get('date'))),
        ('recorded mean IoU', _text(training.get('miou'))),
        ('data licence', record.data_licence),
        ('weights', tag('span', f'sha256 {model.weights_sha256[:16]}…',
                        title=model.weights_sha256)),
    ])
    rest = {k: v for k, v in training.items() if k not in ('history', 'class_iou')}
    details = tag('details', tag('summary', 'Training record'),
                  tag('pre', json.dumps(rest, indent=1, ensure_ascii=False))) if rest else ''
    return section('Model and run', tag(
        'div', tag('div', tag('h3', 'Run'), run), tag('div', tag('h3', 'Model'), about, details),
        class_='columns'))


def classes_section(result: Evaluation, figures: Mapping[str, Any]) -> Markup:
    """Return the table of the classes."""
    labels, matrix = result.label_set, result.matrix
    with_instances = 'class_iiou' in figures
    total = max(1, int(matrix.sum()))
    frames = sum((s.matrix.sum(1) > 0 for s in result.scores), np.zeros(len(matrix), np.int64))
    head: list[object] = ['class', IOU, *(['iIoU %'] if with_instances else []), 'accuracy %',
            'precision %', 'pixels', '% of pixels', 'frames']
    rows: list[list[object]] = []
    for index, label in enumerate(labels.labels):
        rows.append([
            tag('th', swatch(label.color), label.name, scope='row', title=label.category),
            bar_cell(figures['class_iou'][label.name]),
            *([percent(figures['class_iiou'][label.name])] if with_instances else []),
            percent(figures['class_accuracy'][label.name]),
            percent(figures['class_precision'][label.name]),
            f'{int(matrix[index].sum()):,}',
            percent(float(matrix[index].sum() / total), 2),
            f'{int(frames[index]):,}',
        ])
    means = ['mean', bar_cell(figures['miou']),
             *([percent(figures['mean_iiou'])] if with_instances else []),
             percent(figures['mean_class_accuracy']), '', f'{int(matrix.sum()):,}', '',
             f'{result.frames:,}']
    rows.append([tag('th', means[0], scope='row'), *means[1:]])
    note = (
        "Accuracy is the share of a class's pixels that was found, precision the share of what "
        'was taken for it that is it.'
    )
    if with_instances:
        note += ' iIoU weights every object the same, whatever its size.'
    listed = table(head, rows, class_='classes with-mean')
    return section('Classes', tag('p', note, class_='soft'), listed)


def categories_section(result: Evaluation, figures: Mapping[str, Any]) -> Markup:
    """Return the table of the categories."""
    labels = result.label_set
    with_instances = 'category_iiou' in figures
    head = ['category', IOU, *(['iIoU %'] if with_instances else []), left_heading('classes')]
    rows: list[list[object]] = [
        [name, bar_cell(figures['category_iou'][name]),
         *([percent(figures['category_iiou'][name])] if with_instances else []),
         left(', '.join(labels.names[i] for i in members))]
        for name, members in labels.categories.items()
    ]
    rows.append([
        'mean', bar_cell(figures['mean_category_iou']),
        *([percent(figures['mean_category_iiou'])] if with_instances else []), ''])
    return section(
        'Categories',
        tag('p', 'To take a class for another of its category is right here.', class_='soft'),
        table(head, rows, class_='categories with-mean'),
    )


def confusion_section(result: Evaluation) -> Markup:
    """Return what is taken for what: the matrix, and the largest confusions in words."""
    names, matrix = list(result.names), result.matrix
    columns = [*names, 'no class'] if matrix[:, -1].any() else names
    rows_total = matrix.sum(1)
    shares = np.divide(matrix, rows_total[:, None], out=np.zeros(matrix.shape),
                       where=rows_total[:, None] > 0)
    rows = []
    for i, truth in enumerate(names):
        cells: list[object] = [truth]
        for j, guess in enumerate(columns):
            share = float(shares[i, j])
            text = f'{100 * share:.0f}' if len(names) < MANY and share >= 0.005 else ''
            cells.append(tag(
                'td', text, class_='right' if i == j else 'wrong',
                # The eye is to see one percent, too.
                style=f'--a:{share ** 0.6 * 0.85:.3f}' if share else '--a:0',
                title=f'{truth} taken for {guess}: {100 * share:.2f} % of it, '
                f'{int(matrix[i, j]):,} pixels'))
        rows.append(cells)
    head = ['truth ↓ taken for →', *(tag('th', tag('span', c), scope='col') for c in columns)]
    kind = 'confusion many' if len(names) >= MANY else 'confusion'
    pairs = sorted(
        ((int(matrix[i, j]), i, j) for i in range(len(names)) for j in range(len(columns))
         if i != j and matrix[i, j]), reverse=True,
    )[:CONFUSIONS]
    listed = table(
        ['truth', left_heading('taken for'), 'pixels', '% of the class', '% of all errors'],
        [[names[i], left(columns[j]), f'{pixels:,}',
          percent(float(shares[i, j])),
          percent(pixels / int(matrix.sum() - np.diag(matrix).sum()))]
         for pixels, i, j in pairs],
    )
    return section(
        'Confusion matrix',
        tag('p', 'Percent of the pixels of each class (row) by what they were taken for (column). '
            'Point at a cell for its pixels.', class_='soft'),
        table(head, rows, class_=kind),
        *((tag('h3', 'Largest confusions'), listed) if pairs else ()),
    )


def _seen(inference: Mapping[str, Any]) -> str:
    size = _size(inference['input_size']) if inference['input_size'] else 'the image as it is'
    if inference.get('window'):
        return (f'{size}, in windows of {_size(inference["window"])} that overlap by '
                f'{percent(inference["overlap"], 0)} %')
    return size


def _size(size: Any) -> str:
    return f'{size[0]}x{size[1]} (height x width)'


def _numbers(values: Any) -> str:
    return ' '.join(f'{value:.3f}' for value in values)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ', '.join(
            f'{k}: {100 * v:.2f} %' if isinstance(v, float) else f'{k}: {v}'
            for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ', '.join(map(str, value))
    return '' if value is None else str(value)


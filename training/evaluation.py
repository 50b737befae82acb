# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The result of an evaluation: counts of every frame, and all figures made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import functools
import math
from typing import Any

import numpy as np

from segnode.labels import LabelSet
from training.instance_metrics import InstanceStats
from training.metrics import (
    category_iou,
    class_accuracy,
    class_iou,
    class_precision,
    defined_mean,
    mean_iou,
    mean_iou_of_occurring,
    pixel_accuracy,
)


@dataclass(frozen=True)
class FrameScore:
    """The counts of one frame.

    Args:
        index: its place in the pool.
        key: DATASET/KEY.
        matrix: int64 (C, C + 1), see ``training.metrics.confusion_matrix``.
        instances: float64, the counts of ``InstanceStats``; None without instances.
    """

    index: int
    key: str
    matrix: np.ndarray
    instances: np.ndarray | None = None

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that this frame's truth has; NaN where it has none."""
        return mean_iou_of_occurring(self.matrix)

    @property
    def accuracy(self) -> float:
        """Correct / evaluated pixels of this frame; NaN where nothing is evaluated."""
        return pixel_accuracy(self.matrix)


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation.

    Sums are taken in the order of the frames, so that they do not depend on who counted which.

    Attributes:
        label_set: the classes.
        scores: of the frames, in the pool's order.
        data: DATASET:SPLIT of what was looked at.
    """

    label_set: LabelSet
    scores: tuple[FrameScore, ...]
    data: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.label_set.names

    @property
    def frames(self) -> int:
        """How many frames were looked at."""
        return len(self.scores)

    @functools.cached_property
    def matrix(self) -> np.ndarray:
        """int64 (C, C + 1), rows truth, last column predictions that are no class."""
        classes = self.label_set.num_classes
        return sum((s.matrix for s in self.scores), np.zeros((classes, classes + 1), np.int64))

    @functools.cached_property
    def instances(self) -> InstanceStats | None:
        """Weighted counts of the objects; None unless every frame has instances."""
        stats = InstanceStats(self.label_set)
        for score in self.scores:
            if score.instances is None:
                return None
            stats.counts += score.instances
        return stats if self.scores else None

    @property
    def miou(self) -> float:
        """Mean of the class IoUs, 0..1."""
        return mean_iou(self.matrix)

    def to_dict(self) -> dict[str, Any]:
        """Plain figures, 0..1; what has no value, such as a class that never occurs, is None."""
        matrix, categories = self.matrix, self.label_set.categories
        accuracy = class_accuracy(matrix)
        grouped = category_iou(matrix, categories)
        figures: dict[str, Any] = {
            'data': list(self.data),
            'frames': self.frames,
            'miou': self.miou,
            'miou_of_occurring': mean_iou_of_occurring(matrix),
            'pixel_accuracy': pixel_accuracy(matrix),
            'mean_class_accuracy': defined_mean(accuracy),
            'class_iou': self._named(class_iou(matrix)),
            'class_accuracy': self._named(accuracy),
            'class_precision': self._named(class_precision(matrix)),
            'class_pixels': self._named(matrix.sum(1)),
            'mean_category_iou': defined_mean(grouped.values()),
            'category_iou': grouped,
        }
        if self.instances is not None:
            single, together = (
                self.instances.class_iiou(matrix), self.instances.category_iiou(matrix)
            )
            figures |= {
                'mean_iiou': defined_mean(single),
                'class_iiou': self._named(single),
                'mean_category_iiou': defined_mean(together.values()),
                'category_iiou': together,
            }
        figures['confusion_matrix'] = matrix.tolist()
        figures['per_frame'] = [
            {'key': score.key, 'miou': score.miou, 'pixel_accuracy': score.accuracy}
            for score in self.scores
        ]
        return _without_nan(figures)

    def table(self) -> str:
        """The figures as text, in percent."""
        figures = self.to_dict()
        with_instances = self.instances is not None
        titles = ('IoU', 'accuracy', *(('iIoU',) if with_instances else ()))
        kinds = ('iou', 'accuracy', *(('iiou',) if with_instances else ()))
        width = max(map(len, (*self.names, 'IoU of occurring classes')))

        def line(name: str, values: Iterable[float | None]) -> str:
            cells = ('' if v is None else f'{100 * v:.2f}' for v in values)
            return f'{name:{width}} ' + ' '.join(f'{cell:>8}' for cell in cells)

        rows = [f'{"":{width}} ' + ' '.join(f'{title:>8}' for title in titles)]
        rows += [
            line(name, (figures[f'class_{kind}'][name] for kind in kinds)) for name in self.names
        ]
        rows.append(line('mean', (
            figures['miou'], figures['mean_class_accuracy'], figures.get('mean_iiou'),
        )[: len(kinds)]))
        rows.append(line('IoU of occurring classes', (figures['miou_of_occurring'],)))
        rows.append('')
        kinds = ('iou', *(('iiou',) if with_instances else ()))
        rows += [
            line(name, (figures[f'category_{kind}'][name] for kind in kinds))
            for name in figures['category_iou']
        ]
        rows.append(line('mean of categories', (
            figures[f'mean_category_{kind}'] for kind in kinds)))
        rows += ['', line('pixel accuracy', (figures['pixel_accuracy'],)),
                 f'{"frames":{width}} {self.frames:>8}']
        return '\n'.join(row.rstrip() for row in rows)

    def _named(self, values: np.ndarray) -> dict[str, Any]:
        return dict(zip(self.names, values.tolist()))


def _without_nan(value: Any) -> Any:
    """Return plain figures with None for NaN, which JSON has not."""
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Mean IoU of a Segmenter on a split: the very call that a user and the node make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from segnode.errors import SegnodeError
from segnode.labels import LabelSet
from segnode.segmenter import Segmenter
from training.datasets.base import Sample
from training.metrics import class_iou, confusion_matrix, mean_iou, pixel_accuracy


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation.

    Attributes:
        matrix: int64 (C, C + 1), rows truth, last column predictions that are no class.
        names: of the classes.
        frames: how many were evaluated.
    """

    matrix: np.ndarray
    names: tuple[str, ...]
    frames: int

    @property
    def miou(self) -> float:
        """Mean of the class IoUs, 0..1."""
        return mean_iou(self.matrix)

    def to_dict(self) -> dict[str, Any]:
        """Plain figures, 0..1; a class that never occurs is None."""
        iou = class_iou(self.matrix)
        return {
            'miou': self.miou,
            'pixel_accuracy': pixel_accuracy(self.matrix),
            'class_iou': {
                n: None if np.isnan(v) else float(v) for n, v in zip(self.names, iou)
            },
            'frames': self.frames,
        }

    def table(self) -> str:
        """The figures as text, in percent."""
        result = self.to_dict()
        rows = [
            f'{name:20} {"-" if value is None else format(100 * value, "6.2f")}'
            for name, value in result['class_iou'].items()
        ]
        rows += [
            f'{"mean IoU":20} {100 * result["miou"]:6.2f}',
            f'{"pixel accuracy":20} {100 * result["pixel_accuracy"]:6.2f}',
            f'{"frames":20} {self.frames:6d}',
        ]
        return '\n'.join(rows)


def evaluate(
    segmenter: Segmenter, reader: ModuleType, samples: Iterable[Sample], labels: LabelSet
) -> Evaluation:
    """Compare what ``segmenter.segment`` says with the untouched truth at the image's size.

    Raises:
        SegnodeError: the model's classes are not the dataset's, or a file is unreadable.
    """
    if segmenter.label_set.names != labels.names:
        raise SegnodeError(
            f'The model knows the classes of "{segmenter.label_set.name}", but the data is '
            f'labelled with "{labels.name}".'
        )
    matrix = np.zeros((labels.num_classes, labels.num_classes + 1), np.int64)
    frames = 0
    for sample in tqdm(samples, desc='evaluate', unit='frame', leave=False):
        image, truth = reader.load(sample)
        predicted = segmenter.segment(image).labels
        matrix += confusion_matrix(truth, predicted, labels.num_classes)
        frames += 1
    return Evaluation(matrix, labels.names, frames)

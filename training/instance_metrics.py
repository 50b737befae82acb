# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Instance-weighted IoU (iIoU): every object counts the same, however large its image.

As cityscapesScripts' evalPixelLevelSemanticLabeling.py defines it: the pixels of an object that
were found and missed are weighted by the average size of its class over the object's own size;
pixels wrongly taken for the class are counted as they are.
"""

from __future__ import annotations

import numpy as np

from segnode.labels import LabelSet
from training.metrics import false_positives

# Average pixels of an object in Cityscapes' training set; the same file, avgClassSize.
AVERAGE_SIZE = {
    'person': 3462.4756337644,
    'rider': 3930.4788056518,
    'car': 12794.0202738185,
    'truck': 27855.1264367816,
    'bus': 35732.1511111111,
    'train': 67583.7075812274,
    'motorcycle': 6298.7200839748,
    'bicycle': 4672.3249222261,
}
# In instance images: raw id of the class times this, plus the object's number.
INSTANCES_PER_CLASS = 1000


class InstanceStats:
    """Weighted counts over any number of frames; two of them add up.

    Args:
        labels: the classes; those with ``has_instances`` and a known average size are counted,
            and the categories all of whose classes have instances.

    Attributes:
        counts: float64 (C + K, 2), found and missed pixels, weighted: of the C classes, then of
            the K categories. What processes sum up.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.categories = {
            name: members for name, members in labels.categories.items()
            if all(labels.labels[i].has_instances for i in members)
        }
        self.counts = np.zeros((labels.num_classes + len(self.categories), 2))

    def add(self, instances: np.ndarray, predicted: np.ndarray) -> None:
        """Count one frame.

        Args:
            instances: integers (H, W): raw id * 1000 + number for a pixel of an object; anything
                below 1000 is none (groups that cannot be told apart carry the bare raw id).
            predicted: uint8 (H, W) train ids.
        """
        objects = instances >= INSTANCES_PER_CLASS
        numbers, seen = instances[objects], predicted[objects]
        # As np.unique(numbers, return_inverse=True), without sorting millions of pixels.
        sizes = np.bincount(numbers)
        found = np.flatnonzero(sizes)
        size = sizes[found]
        place_of = np.zeros(len(sizes), np.int64)
        place_of[found] = np.arange(len(found))
        # right[k, c]: pixels of object k that were taken for class c.
        right = np.bincount(
            place_of[numbers] * 256 + seen, minlength=256 * len(found)
        ).reshape(len(found), 256)
        groups = list(self.categories.values())
        for index, value in enumerate(found.tolist()):
            raw = value // INSTANCES_PER_CLASS
            train_id = int(self.labels.raw_to_train[raw]) if 0 < raw < 256 else 255
            if train_id >= self.labels.num_classes:
                continue
            average = AVERAGE_SIZE.get(self.labels.names[train_id])
            if average is None or not self.labels.labels[train_id].has_instances:
                continue
            weight = average / size[index]
            self._count(train_id, right[index, train_id], size[index], weight)
            for place, members in enumerate(groups):
                if train_id in members:
                    self._count(
                        self.labels.num_classes + place, right[index, list(members)].sum(),
                        size[index], weight,
                    )

    def _count(self, row: int, found: int, size: int, weight: float) -> None:
        self.counts[row] += (found * weight, (size - found) * weight)

    def class_iiou(self, matrix: np.ndarray) -> np.ndarray:
        """Give the iIoU per class, float64 (C,); NaN for classes without instances.

        Args:
            matrix: the confusion matrix of the same frames.
        """
        scores = np.full(self.labels.num_classes, np.nan)
        for train_id, label in enumerate(self.labels.labels):
            if label.has_instances and label.name in AVERAGE_SIZE:
                scores[train_id] = self._score(train_id, false_positives(matrix, (train_id,)))
        return scores

    def category_iiou(self, matrix: np.ndarray) -> dict[str, float]:
        """Give the iIoU of every category; NaN for those without instances."""
        scores = {name: float('nan') for name in self.labels.categories}
        for place, (name, members) in enumerate(self.categories.items()):
            row = self.labels.num_classes + place
            scores[name] = self._score(row, false_positives(matrix, members))
        return scores

    def _score(self, row: int, wrong: int) -> float:
        found, missed = self.counts[row]
        total = found + missed + wrong
        return float(found / total) if total else float('nan')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The confusion matrix as a picture."""

from __future__ import annotations

import numpy as np

from segnode.labels import LabelSet


def confusion_picture(matrix: np.ndarray, label_set: LabelSet) -> np.ndarray:
    """Draw what each class was taken for, in percent of its pixels -> uint8 (H, W, 3) BGR.

    Args:
        matrix: int64 (C, C) or (C, C + 1), rows truth; a last column is of no class.
        label_set: names of the rows. Above 30 classes the cells have no numbers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = label_set.names
    count = len(names)
    totals = matrix.sum(1, keepdims=True)
    shares = 100 * matrix[:, :count] / np.maximum(totals, 1)
    side = 2.5 + 0.38 * count
    figure = Figure(figsize=(side + 0.8, side), layout='constrained')
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=100, cmap='Blues')
    axes.set_xticks(range(count), names, rotation=90)
    axes.set_yticks(range(count), names)
    axes.set_xlabel('predicted')
    axes.set_ylabel('truth')
    if count <= 30:
        for row, column in zip(*np.nonzero(shares >= 0.5)):
            value = shares[row, column]
            axes.text(column, row, f'{value:.0f}', ha='center', va='center', fontsize=8,
                      color='white' if value > 60 else 'black')
    figure.colorbar(image, ax=axes, label='% of the pixels of a class', shrink=0.7)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Class weights, from the labels of the very split that is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segnode.errors import SegnodeError


def class_weights(
    kind: str, histograms: np.ndarray, enet_c: float = 1.10, names: Sequence[str] = ()
) -> np.ndarray:
    """Weight per class, float32 (C,).

    Args:
        kind: enet, median_frequency or inverse_frequency.
        histograms: int64 (images, C), labelled pixels per image and class.
        enet_c: see :func:`enet_class_weights`.
        names: of the classes, for errors.

    Raises:
        SegnodeError: a class without a pixel (its weight would be an artefact).
    """
    _check(histograms.sum(0), names)
    if kind == 'enet':
        return enet_class_weights(histograms.sum(0), enet_c)
    if kind == 'median_frequency':
        return median_frequency_weights(histograms)
    if kind == 'inverse_frequency':
        return inverse_frequency_weights(histograms.sum(0))
    raise ValueError(kind)


def enet_class_weights(pixels: np.ndarray, c: float = 1.10) -> np.ndarray:
    """1 / ln(c + frequency) per class, float32.

    Args:
        pixels: labelled pixels per class over the training split.
        c: 1.02 in the paper, 1.10 in the CamVid recipes of the DABNet lineage.

    Raises:
        SegnodeError: a class without a pixel.

    Reference:
        Paszke et al., ENet (arXiv 1606.02147), section 5.2.
    """
    _check(pixels)
    frequency = pixels / pixels.sum()
    return (1.0 / np.log(c + frequency)).astype(np.float32)


def median_frequency_weights(histograms: np.ndarray) -> np.ndarray:
    """Median of the frequencies / frequency per class, float32.

    A class' frequency is its share of the labelled pixels of those images in which it occurs.

    Args:
        histograms: int64 (images, C), labelled pixels per image and class.

    Raises:
        SegnodeError: a class without a pixel.

    Reference:
        Eigen, Fergus: "Predicting Depth, Surface Normals and Semantic Labels with a Common
        Multi-Scale Convolutional Architecture" (ICCV 2015, arXiv 1411.4734).
    """
    pixels = histograms.sum(0)
    _check(pixels)
    labelled = histograms.sum(1, keepdims=True)
    frequency = pixels / (labelled * (histograms > 0)).sum(0)
    return (np.median(frequency) / frequency).astype(np.float32)


def inverse_frequency_weights(pixels: np.ndarray) -> np.ndarray:
    """1 / frequency per class, scaled to a mean of one over the labelled pixels, float32.

    Every class then weighs the same in all: 1 / C of the loss. Of the three forms it is the
    steepest.

    Args:
        pixels: labelled pixels per class over the training split.

    Raises:
        SegnodeError: a class without a pixel.
    """
    _check(pixels)
    return (pixels.sum() / (len(pixels) * pixels)).astype(np.float32)


def _check(pixels: np.ndarray, names: Sequence[str] = ()) -> None:
    empty = np.flatnonzero(pixels <= 0)
    if empty.size:
        which = ', '.join(names[i] if names else str(i) for i in empty.tolist())
        raise SegnodeError(
            f'No pixel of the training data has the class {which}, so it can have no weight: '
            'choose --loss.class_weights none.'
        )

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a segmentation for people; images in BGR as OpenCV writes them."""

from __future__ import annotations

import cv2
import numpy as np

from segnode.labels import IGNORE, LabelSet


def color_picture(labels: np.ndarray, label_set: LabelSet) -> np.ndarray:
    """Return uint8 (H, W, 3) BGR: the colours of uint8 (H, W) labels, black where unlabelled."""
    return np.asarray(cv2.cvtColor(label_set.colorize(labels), cv2.COLOR_RGB2BGR))


def overlay_picture(
    bgr: np.ndarray, labels: np.ndarray, label_set: LabelSet, alpha: float = 0.5
) -> np.ndarray:
    """Return the image with ``alpha`` parts of the colours; as it is where unlabelled."""
    return blend(bgr, color_picture(labels, label_set), labels, alpha)


def blend(image: np.ndarray, colors: np.ndarray, labels: np.ndarray, alpha: float) -> np.ndarray:
    """Return uint8 (H, W, 3): ``alpha`` parts of the colours; the image where unlabelled.

    Args:
        image: uint8 (H, W, 3).
        colors: uint8 (H, W, 3), in the image's order of channels.
        labels: uint8 (H, W).
        alpha: 0 to 1.
    """
    blended = np.asarray(cv2.addWeighted(image, 1.0 - alpha, colors, alpha, 0.0))
    unlabelled = labels == IGNORE
    if unlabelled.any():
        blended[unlabelled] = image[unlabelled]
    return blended


def side_by_side(*pictures: np.ndarray) -> np.ndarray:
    """Return pictures of one size, left to right."""
    return np.concatenate(pictures, axis=1)

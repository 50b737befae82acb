# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a segmentation for people; images in BGR as OpenCV writes them."""

from __future__ import annotations

import cv2
import numpy as np

from segnode.labels import IGNORE, LabelSet
from segnode.uncertainty import Uncertainty

WRONG = (48, 48, 230)  # BGR, of pixels whose label is wrong


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
    # An index by a mask in NumPy takes 100 times as long, and the interpreter with it.
    return np.asarray(cv2.copyTo(image, cv2.inRange(labels, IGNORE, IGNORE), blended))


def uncertainty_picture(uncertainty: Uncertainty, measure: str) -> np.ndarray:
    """Return uint8 (H, W, 3) BGR: black where certain, over red to pale yellow at the maximum."""
    return np.asarray(cv2.applyColorMap(uncertainty.scaled(measure), cv2.COLORMAP_INFERNO))


def error_picture(
    bgr: np.ndarray, labels: np.ndarray, truth: np.ndarray, num_classes: int
) -> np.ndarray:
    """Return uint8 (H, W, 3) BGR: red where the labels are wrong, over the image in dim grey.

    Args:
        bgr: uint8 (H, W, 3).
        labels, truth: uint8 (H, W) train ids.
        num_classes: truth from this on is not evaluated: black.
    """
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    picture = np.asarray(cv2.cvtColor(grey // 2 + 40, cv2.COLOR_GRAY2BGR))
    picture[labels != truth] = WRONG
    picture[truth >= num_classes] = 0
    return picture


def side_by_side(*pictures: np.ndarray) -> np.ndarray:
    """Return pictures of one size, left to right."""
    return np.concatenate(pictures, axis=1)

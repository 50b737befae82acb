# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How unsure a network that samples is of each pixel: three measures, and their scales."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

# In the order of the deploy graph's output.
MEASURES = ('variance', 'entropy', 'mutual_information')
# Passes per image. One has no spread; the time is in proportion to them.
MIN_SAMPLES = 2
MAX_SAMPLES = 100
DEFAULT_SAMPLES = 20


@dataclass(frozen=True)
class Uncertainty:
    """The predictive uncertainty of every pixel of one image, float32 (H, W) each.

    With p_t the class probabilities of pass t of T and their mean m, which is the prediction:

    Args:
        variance: of p_t over the passes, averaged over the classes (divided by T, not T - 1): the
            map of the Bayesian SegNet paper (arXiv 1511.02680). At most (C - 1) / C**2.
        entropy: of m, in nats: all the doubt there is, the data's and the model's. At most ln C.
        mutual_information: entropy of m less the mean entropy of the p_t, in nats: how much the
            passes disagree, the model's own doubt. At most ln C.
        num_classes: C.

    Where the network did not look, each is at its maximum.
    """

    variance: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray
    num_classes: int

    def scaled(self, measure: str) -> np.ndarray:
        """Return one of ``MEASURES`` as uint8 (H, W): 0 is certain, 255 the largest there can be.

        So the scale is the same for every image, and one grey level is maximum / 255.
        """
        limit = maximum(measure, self.num_classes)
        if not limit:  # a single class is always certain
            return np.zeros(self.entropy.shape, np.uint8)
        values = getattr(self, measure) * np.float32(255.0 / limit)
        return np.asarray(np.rint(np.minimum(values, 255.0)).astype(np.uint8))


def maximum(measure: str, num_classes: int) -> float:
    """Return the largest value that a measure can have with so many classes.

    The variances of all classes add up to at most 1 - 1/C, when the passes are certain of every
    class equally often; then the other two are ln C.
    """
    if measure == 'variance':
        return (num_classes - 1) / num_classes ** 2
    return math.log(num_classes)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Two graphs on the same frames: how far their logits and labels lie apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from segnode.runtimes.base import default_threads
from segnode.runtimes.session import open_session
from training.convert.graphs import LOGITS, with_logits

# Of one uint8 (1, H, W, 3) image: labels uint8 (1, H, W), logits float32 (1, C, h, w) if known.
Labeller = Callable[[np.ndarray], 'tuple[np.ndarray, np.ndarray | None]']


@dataclass(frozen=True)
class Comparison:
    """What a conversion changed.

    Args:
        frames: how many were looked at.
        agreement: share of their pixels that have the same label, 0..1.
        worst_agreement: of the frame that agrees least.
        max_difference: of logits, the largest absolute one; None where they were not compared.
        mean_difference: of logits, the mean absolute one.
        spread: standard deviation of the logits that it was converted from, to judge both by.
    """

    frames: int
    agreement: float
    worst_agreement: float
    max_difference: float | None
    mean_difference: float | None
    spread: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain figures."""
        return asdict(self)


def labeller(content: bytes) -> Labeller:
    """Return what runs a deploy graph in ONNX Runtime on the CPU and gives its logits, too."""
    session = open_session(with_logits(content), threads=default_threads())
    (image,) = session.get_inputs()
    known = session.get_outputs()[-1].name == LOGITS

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        labels, *others = session.run(None, {image.name: images})
        return labels, others[-1] if known else None

    return run


def compare(before: Labeller, after: Labeller, images: Iterable[np.ndarray]) -> Comparison:
    """Run both on the same images.

    Args:
        before: the graph that was converted.
        after: what it was converted to.
        images: uint8 (1, H, W, 3), one at least.
    """
    shares: list[float] = []
    largest, absolute, total, squares, count = 0.0, 0.0, 0.0, 0.0, 0
    for image in images:
        (labels, logits), (new_labels, new_logits) = before(image), after(image)
        shares.append(float(np.mean(labels == new_labels)))
        if logits is None or new_logits is None or logits.shape != new_logits.shape:
            continue
        gap = np.abs(logits - new_logits)
        largest = max(largest, float(gap.max()))
        absolute += float(gap.sum(dtype=np.float64))
        total += float(logits.sum(dtype=np.float64))
        squares += float(np.square(logits, dtype=np.float64).sum())
        count += gap.size
    spread = None
    if count:
        spread = float(np.sqrt(max(0.0, squares / count - (total / count) ** 2)))
    return Comparison(
        frames=len(shares), agreement=float(np.mean(shares)), worst_agreement=min(shares),
        max_difference=largest if count else None,
        mean_difference=absolute / count if count else None, spread=spread,
    )

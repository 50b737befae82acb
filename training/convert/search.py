# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which convolutions stay in float so that int8 costs no more mean IoU than is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
import logging

import numpy as np

from segnode.errors import SegnodeError
from segnode.runtimes.base import default_threads
from segnode.runtimes.session import open_session
from training.convert.frames import Frames
from training.convert.quantize import (
    calibrate,
    clipped_at,
    in_half,
    Layer,
    layers,
    METHODS,
    quantized,
    Range,
)

_LOG = logging.getLogger('segnode')

JUDGED = 8  # calibration frames on which layers are compared with one another


@dataclass(frozen=True)
class Quantized:
    """A graph in int8 and how it came about.

    Args:
        content: of the ``.onnx`` file, without metadata.
        method: how the ranges were chosen, one of ``METHODS``.
        layers: how many convolutions are in int8.
        float_layers: names of those that could be and were left in float, the most costly first.
        kept_layers: names of those that were to be left in float whatever they cost.
        drop: of the mean IoU that this was settled with.
    """

    content: bytes
    method: str
    layers: int
    float_layers: tuple[str, ...]
    kept_layers: tuple[str, ...]
    drop: float


def search(
    content: bytes,
    frames: Frames,
    size: tuple[int, int],
    fit: str,
    drop_of: Callable[[bytes], float],
    max_drop: float,
    *,
    keep: Sequence[str] = (),
    rest: str = 'fp32',
) -> Quantized:
    """Bring as many convolutions to int8 as the bound allows.

    Those whose quantisation alone changes most labels are left in float first: none, one, two,
    four and so on, until the mean IoU drops by no more than ``max_drop``; then as few as that
    takes.

    Args:
        content: of the ``.onnx`` file, float32.
        frames: to calibrate on.
        size: (H, W) of the graph's images.
        fit: how frames are brought to it.
        drop_of: (content of an ``.onnx`` file) -> measured drop of the mean IoU, 0..1.
        max_drop: 0..1.
        keep: names of convolutions that stay in float in any case; ``*`` stands for any part.
        rest: what is not in int8 is in, 'fp32' or 'fp16'; ``drop_of`` is given graphs in it.

    Raises:
        SegnodeError: even with one layer left it drops by more; nothing is called as ``keep``
            says; a frame is unreadable; or the graph cannot be in float16.
    """
    found, kept = _told_apart(layers(content), keep)
    images = list(frames.images(size, fit))
    ranges = calibrate(content, [layer.input for layer in found], images)
    # After a global pooling there is next to nothing to compute, and much to lose.
    found = [layer for layer in found if ranges[layer.input].pixels > 1]
    if not found:
        raise SegnodeError('there is nothing to bring to int8: no convolution but the ends')
    judged = [images[int(i)] for i in np.linspace(0, len(images) - 1, min(JUDGED, len(images)))]
    judge = _Judge(content, judged)
    method, bounds = _best_method(content, found, ranges, judge)

    whole = content if rest == 'fp32' else in_half(content)
    twins = {layer.name: layer for layer in layers(whole)}  # their tensors may be called otherwise
    whole_bounds = {twins[layer.name].input: bounds[layer.input] for layer in found}

    def made(left_out: Sequence[Layer]) -> bytes:
        return quantized(
            whole, [twins[one.name] for one in found if one not in left_out], whole_bounds)

    drop = drop_of(made(()))
    _LOG.info('int8: all %d layers cost %.2f points of mean IoU', len(found), 100 * drop)
    if drop <= max_drop:
        return Quantized(made(()), method, len(found), (), kept, drop)
    order = _by_cost(content, found, bounds, judge)
    drops = {0: drop}
    few, many = 0, 1  # too few left out, and as many as are tried next
    while True:
        many = min(many, len(found) - 1)
        drops[many] = drop_of(made(order[:many]))
        _LOG.info('int8: without %d layers it is %.2f points', many, 100 * drops[many])
        if drops[many] <= max_drop:
            break
        if many == len(found) - 1:
            raise SegnodeError(
                f'int8 costs {100 * drop:.2f} points of mean IoU, more than the '
                f'{100 * max_drop:.2f} that --max-drop allows, and still '
                f'{100 * drops[many]:.2f} with one convolution alone in int8'
            )
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        drops[middle] = drop_of(made(order[:middle]))
        _LOG.info('int8: without %d layers it is %.2f points', middle, 100 * drops[middle])
        if drops[middle] <= max_drop:
            many = middle
        else:
            few = middle
    left = order[:many]
    return Quantized(made(left), method, len(found) - many, tuple(one.name for one in left), kept,
                     drops[many])


def _told_apart(
    found: Sequence[Layer], keep: Sequence[str]
) -> tuple[list[Layer], tuple[str, ...]]:
    """Return the layers that may be in int8, and the names of those that are kept out of it."""
    names = [layer.name for layer in found]
    for pattern in keep:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SegnodeError(
                f'no convolution that could be in int8 is called {pattern}; there are '
                f'{", ".join(names)}'
            )
    kept = [name for name in names if any(fnmatchcase(name, pattern) for pattern in keep)]
    return [layer for layer in found if layer.name not in kept], tuple(kept)


class _Judge:
    """Compares labels with those of the float graph on a few frames."""

    def __init__(self, content: bytes, images: Sequence[np.ndarray]) -> None:
        self.images = images
        self.expected = self._labels(content)

    def _labels(self, content: bytes) -> list[np.ndarray]:
        session = open_session(content, threads=default_threads())
        name = session.get_inputs()[0].name
        return [session.run(None, {name: image})[0] for image in self.images]

    def agreement(self, content: bytes) -> float:
        """Return the share of equal labels, 0..1."""
        return float(np.mean([
            found == expected for found, expected in zip(self._labels(content), self.expected)
        ]))


def _best_method(
    content: bytes, found: Sequence[Layer], ranges: dict[str, Range], judge: _Judge
) -> tuple[str, dict[str, float]]:
    bounds = {method: clipped_at(ranges, method) for method in METHODS}
    scores = {
        method: judge.agreement(quantized(content, found, bounds[method])) for method in METHODS
    }
    best = max(METHODS, key=scores.__getitem__)
    _LOG.info('int8: ranges by %s (agreement %s)', best,
              ', '.join(f'{method} {score:.4f}' for method, score in scores.items()))
    return best, bounds[best]


def _by_cost(
    content: bytes, found: Sequence[Layer], bounds: dict[str, float], judge: _Judge
) -> list[Layer]:
    """Return the layers, first the one that changes most labels when it alone is in int8."""
    costs = {
        layer.name: 1.0 - judge.agreement(quantized(content, [layer], bounds)) for layer in found
    }
    return sorted(found, key=lambda layer: -costs[layer.name])

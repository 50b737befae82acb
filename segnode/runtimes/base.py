# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What every runtime is and does."""

from __future__ import annotations

from dataclasses import dataclass
import operator
import os
from typing import Any, Protocol

import numpy as np

from segnode.errors import SegnodeError
from segnode.networks.zoo import network_info, NETWORKS
from segnode.record import ModelRecord
from segnode.uncertainty import MAX_SAMPLES, MIN_SAMPLES

# Of the deploy graph, part of every cache key: raise it with any change in graph.py, rewrite.py or
# a network that alters the graph. It is here because those cannot be imported without PyTorch.
GRAPH_VERSION = 3
# The labels are at 1/this of the network's input.
LABEL_STRIDES = (1, 4, 8)
# Where the Segmenter's user may want them -> that stride.
LABELS_AT = {'image': 1, 'network': 1, '1/4': 4, '1/8': 8}
# What some runtime computes in; each refuses those that it has not.
PRECISIONS = ('auto', 'fp32', 'fp16', 'bf16', 'int8')
# Share of a test image's pixels whose label a lower precision that nobody asked for must keep.
MIN_AGREEMENT = 0.99
# Sixteen times 1024x2048. Who sets the parameter of a node must not be able to fill its memory.
MAX_INPUT_PIXELS = 1 << 25


@dataclass(frozen=True)
class RuntimeOutput:
    """What the deploy graph makes of a batch.

    All are of the input's size, or of that over the label stride that was asked for.

    Args:
        labels: uint8 (N, H, W), train ids.
        confidence: uint8 (N, H, W), the winning class's softmax times 255; None unless asked for.
        uncertainty: float32 (N, 3, H, W), the ``segnode.uncertainty.MEASURES`` in their order;
            None without Monte Carlo dropout.
    """

    labels: np.ndarray
    confidence: np.ndarray | None = None
    uncertainty: np.ndarray | None = None


def output_names(confidence: bool, samples: int) -> list[str]:
    """Return the names of the deploy graph's outputs, in their order; of RuntimeOutput's too."""
    wanted = {'labels': True, 'confidence': confidence, 'uncertainty': bool(samples)}
    return [name for name, given in wanted.items() if given]


class Runtime(Protocol):
    """One deploy graph, ready to run. Not for two threads at once."""

    @property
    def name(self) -> str:
        """Return the runtime's name, one of ``RUNTIMES``."""

    @property
    def details(self) -> str:
        """Return in words what runs it: library, version, device, threads."""

    @property
    def input_size(self) -> tuple[int, int]:
        """Return the (height, width) of the images that ``run`` takes."""

    @property
    def batch(self) -> int | None:
        """Return the number of images that ``run`` takes at once; None for any number."""

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images of ``input_size``.

        Raises:
            SegnodeError: the runtime was closed.
        """

    def close(self) -> None:
        """Give memory and threads back; nothing happens the second time."""


def working_size(record: ModelRecord, input_size: Any = None) -> tuple[int, int]:
    """Return the (height, width) that a network is to work at, as plain integers.

    Args:
        record: the model's.
        input_size: what was asked for, any pair of whole numbers; None for the record's own.

    Raises:
        SegnodeError: it is no such pair, too large, or the network does not take this size.
    """
    try:
        height, width = map(
            operator.index, record.input_size if input_size is None else input_size
        )
    except (TypeError, ValueError) as error:
        raise SegnodeError(
            f'input_size must be (height, width) in whole pixels, not {input_size!r}'
        ) from error
    network_info(record.network).check_input_size((height, width), record.network_args)
    if height * width > MAX_INPUT_PIXELS:
        raise SegnodeError(
            f'input_size {height}x{width} is too large: at most {MAX_INPUT_PIXELS:,} pixels'
        )
    return height, width


def check_label_stride(label_stride: int, input_size: tuple[int, int]) -> None:
    """Check at which part of the input's size the labels are to be.

    Raises:
        SegnodeError: it is none of ``LABEL_STRIDES``, or the sides are no multiples of it.
    """
    if label_stride not in LABEL_STRIDES:
        raise SegnodeError(
            f'label_stride must be one of {", ".join(map(str, LABEL_STRIDES))}, '
            f'not {label_stride!r}'
        )
    if input_size[0] % label_stride or input_size[1] % label_stride:
        raise SegnodeError(
            f'labels at 1/{label_stride} need an input whose height and width are multiples of '
            f'{label_stride}, not {input_size[0]}x{input_size[1]}'
        )


def check_samples(record: ModelRecord, samples: int) -> None:
    """Check a number of passes of Monte Carlo dropout, 0 for none.

    Raises:
        SegnodeError: it is out of range, or the model's network does not offer it.
    """
    if not samples:
        return
    if not network_info(record.network).monte_carlo:
        offer = ', '.join(info.name for info in NETWORKS.values() if info.monte_carlo)
        raise SegnodeError(
            f'uncertainty needs a network with Monte Carlo dropout, which {record.network} has '
            f'not; {offer} has'
        )
    if not MIN_SAMPLES <= samples <= MAX_SAMPLES:
        raise SegnodeError(
            f'samples must be 0 (off) or {MIN_SAMPLES} to {MAX_SAMPLES}, not {samples}'
        )


def closed() -> SegnodeError:
    """Return the error of a ``run`` after ``close``."""
    return SegnodeError('this runtime was closed: load another')


def check_images(
    images: np.ndarray, input_size: tuple[int, int], batch: int | None = None
) -> None:
    """Raise ValueError unless ``images`` is a non-empty uint8 (N, *input_size, 3) batch.

    Args:
        images: what was given.
        input_size: (H, W).
        batch: the only N that will do; None for any.
    """
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[1:] != (*input_size, 3)
        or not len(images)
    ):
        raise ValueError(
            f'images must be uint8 (N, {input_size[0]}, {input_size[1]}, 3), '
            f'not {images.dtype} {images.shape}'
        )
    if batch is not None and len(images) != batch:
        raise ValueError(f'this runtime takes {batch} images at once, not {len(images)}')


def default_threads() -> int:
    """Return how many threads a runtime uses unless told: all usable cores but one, 1 to 4.

    One core is left to the camera driver and ROS; small networks gain little beyond four.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return max(1, min(4, (usable or 1) - 1))

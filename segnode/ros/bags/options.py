# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What was asked for; plain data, so that it can be sent to another machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OUTPUTS = ('labels', 'color', 'overlay')
STORAGES = ('mcap', 'sqlite3')
# These change how fast a bag is done, not what is in it.
_ONLY_SPEED = ('workers', 'threads')


@dataclass(frozen=True)
class BagOptions:
    """How bags are segmented.

    Args:
        topics: image topics; empty takes all of them.
        outputs: of OUTPUTS.
        compressed_labels: labels as PNG in a CompressedImage, in place of an Image.
        name: last part of the namespace of the mask topics.
        storage: one of STORAGES, or '' for that of the input.
        start: seconds from the beginning of the bag at which segmenting begins.
        duration: seconds that are segmented; None for all.
        max_frames: image messages that are segmented at most, of all topics together; 0 for all.
        alpha: share of the colours in the overlay.
        model, runtime, fit, allow_random_weights: as Segmenter.load takes them.
        batch: images in one run; 0 = 1 on the CPU and in an engine built for one, 8 elsewhere.
        workers: threads that segment; 0 = one for each usable core (4 at most beside a GPU).
        threads: of the runtime in each worker, on the CPU; 0 = 1.
    """

    topics: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ('labels',)
    compressed_labels: bool = False
    name: str = 'segmentation'
    storage: str = ''
    start: float = 0.0
    duration: float | None = None
    max_frames: int = 0
    alpha: float = 0.5
    model: str = 'fsffnet'
    runtime: str = 'auto'
    fit: str = 'model'
    allow_random_weights: bool = False
    batch: int = 0
    workers: int = 0
    threads: int = 0

    def content(self) -> dict[str, Any]:
        """Return what decides on the content of an output, as JSON has it."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items() if key not in _ONLY_SPEED
        }

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What was asked for; plain data, so that it can be sent to another machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from segnode.uncertainty import DEFAULT_SAMPLES
from segnode.view import WHOLE

OUTPUTS = ('labels', 'color', 'overlay')
STORAGES = ('mcap', 'sqlite3')
# These change how fast a bag is done, not what is in it.
_ONLY_SPEED = ('workers', 'threads', 'compile', 'workspace')
# What is in these files decides, wherever they lie: see Engine.content.
_FILES = ('ego_mask', 'label_grouping', 'views')


@dataclass(frozen=True)
class TopicView:
    """What of the images of one topic the network sees, in place of what is said for all.

    Args:
        topic: of the images.
        roi, rotation, ego_mask: as of BagOptions.
    """

    topic: str
    roi: tuple[float, float, float, float] = WHOLE
    rotation: int = 0
    ego_mask: str = ''


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
        confidence: make the confidence image, too.
        min_confidence: softmax of a label, 0 to 1, below which it is 255 in all masks.
        uncertainty: of MEASURES, the uncertainty image to make, too; 'none' makes none.
        samples: passes of Monte Carlo dropout for each image, where there is an uncertainty.
        image_bits: bits in use of 16-bit images, see decode_image.
        model, runtime, input_size, fit, labels_at, roi, rotation, ego_mask, label_grouping,
            allow_random_weights: as Segmenter.load takes them; '' is no file.
        views: of topics that have another roi, rotation or ego_mask.
        device, precision, compile, dla_core, workspace: of runtimes that have a choice; 'auto',
            False, -1 and 0 leave it to them.
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
    confidence: bool = False
    min_confidence: float = 0.0
    uncertainty: str = 'none'
    samples: int = DEFAULT_SAMPLES
    image_bits: int = 16
    model: str = 'fsffnet'
    runtime: str = 'auto'
    input_size: tuple[int, int] | None = None
    fit: str = 'model'
    labels_at: str = 'image'
    roi: tuple[float, float, float, float] = WHOLE
    rotation: int = 0
    ego_mask: str = ''
    label_grouping: str = ''
    views: tuple[TopicView, ...] = ()
    allow_random_weights: bool = False
    device: str = 'auto'
    precision: str = 'auto'
    compile: bool = False
    dla_core: int = -1
    workspace: int = 0
    batch: int = 0
    workers: int = 0
    threads: int = 0

    @property
    def masks(self) -> tuple[str, ...]:
        """Return which images are made of each frame, by the last part of their topics."""
        more = {'confidence': self.confidence, 'uncertainty': self.uncertainty != 'none'}
        return (*self.outputs, *(name for name, wanted in more.items() if wanted))

    def content(self) -> dict[str, Any]:
        """Return what decides on the content of an output, but for files, as JSON has it."""
        views = [[view.topic, list(view.roi), view.rotation] for view in self.views]
        # Not gone on with is what was made before masks of another size had their calibration.
        size = self.labels_at if self.labels_at == 'image' else f'{self.labels_at}, camera_info'
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items() if key not in (*_ONLY_SPEED, *_FILES)
        } | {'labels_at': size} | ({'views': views} if views else {})

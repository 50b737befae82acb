# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The package's front door in Python: a BGR image in, a segmentation out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import logging
import math
from pathlib import Path
import time
from typing import Any

import cv2
import numpy as np

from segnode.errors import SegnodeError
from segnode.fitting import Placement
from segnode.host_memory import give_back_freed_memory
from segnode.label_grouping import LabelGrouping, load_grouping
from segnode.labels import IGNORE, LabelSet
from segnode.model import Model
from segnode.runtimes import load_runtime, Runtime, RuntimeOutput
from segnode.runtimes.base import LABELS_AT
from segnode.uncertainty import maximum, MEASURES, Uncertainty
from segnode.view import View

_LOG = logging.getLogger('segnode')


@dataclass(frozen=True)
class Segmentation:
    """What was seen in one image.

    All are of the image's size, or smaller where that was asked for (``Segmenter.load``); they
    always show the whole image.

    Args:
        labels: uint8 (H, W): train ids, or group ids where the classes are grouped; 255 where the
            network did not look.
        confidence: uint8 (H, W), softmax of the label times 255 (0 where the network did not
            look); None unless asked for.
        timing: milliseconds of 'fit', 'run' and 'restore'; of a batch's run, the image's share.
        uncertainty: None unless samples were asked for.
    """

    labels: np.ndarray
    confidence: np.ndarray | None = None
    timing: dict[str, float] = field(default_factory=dict)
    uncertainty: Uncertainty | None = None

    def labels_above(self, least: float) -> np.ndarray:
        """Return the labels, 255 where the confidence is below ``least`` (0 to 1).

        ``labels`` itself, where nothing is asked for or no confidence is known.
        """
        if self.confidence is None or least <= 0.0:
            return self.labels
        # One pass each, in OpenCV's threads: 0 where it is above, 255 where not.
        below = cv2.threshold(
            self.confidence, math.ceil(255 * least) - 1, 255, cv2.THRESH_BINARY_INV)[1]
        return np.asarray(cv2.bitwise_or(self.labels, below))


@dataclass(frozen=True)
class Fitted:
    """An image brought to the network's input, and the way back.

    Args:
        pixels: uint8 (h, w, 3) BGR of the network's input size.
        placement: where the image lies in it.
        view: what of the image the network is to see.
        milliseconds: that it took.
    """

    pixels: np.ndarray
    placement: Placement
    view: View
    milliseconds: float


class Segmenter:
    """A model in a runtime, for images of any size. Not for two threads at once.

    >>> segmenter = Segmenter.load('fsffnet')
    >>> segmentation = segmenter.segment(cv2.imread('street.jpg'))
    >>> colors = segmenter.label_set.colorize(segmentation.labels)
    """

    def __init__(
        self,
        model: Model,
        runtime: Runtime,
        fit: str = 'model',
        labels_at: str = 'image',
        *,
        view: View | None = None,
        grouping: LabelGrouping | None = None,
    ) -> None:
        _check_labels_at(labels_at)
        self.model = model
        self.runtime = runtime
        self.fit = model.record.chosen_fit(fit)
        self.labels_at = labels_at
        self.view = view or View()
        self.grouping = grouping

    @classmethod
    def load(
        cls,
        model: str | Path | Model = 'fsffnet',
        *,
        runtime: str = 'auto',
        input_size: tuple[int, int] | None = None,
        fit: str = 'model',
        labels_at: str = 'image',
        confidence: bool = False,
        samples: int = 0,
        roi: Sequence[float] | None = None,
        rotation: int = 0,
        ego_mask: str | Path | np.ndarray | None = None,
        label_grouping: str | Path | None = None,
        threads: int = 0,
        at_once: int = 1,
        allow_random_weights: bool = False,
        **options: Any,
    ) -> Segmenter:
        """Load a model into a runtime.

        Args:
            model: name or path, see ``Model.load``, or a model.
            runtime: one of ``segnode.runtimes.RUNTIMES``.
            input_size: (height, width) that the network works at; by default the model's own.
            fit: how an image of another size or aspect is brought to it: 'stretch',
                'letterbox' or 'crop', see ``fit_image``; 'model' is what it was validated with.
            labels_at: size of the labels: 'image' for that of the image; 'network' for that of
                the network's input; '1/4' or '1/8' for that part of it, where the class is chosen
                from logits of this size, and coarse logits are enlarged so far and no further.
            confidence: give the confidence too.
            samples: passes of Monte Carlo dropout for each image, 2 to 100, of a network that
                offers it: labels and confidence are then those of their mean, and the
                uncertainty is given too. 0 = off.
            roi: (top, left, height, width) of the part of the image that the network is to see,
                in pixels, or as fractions of the image where height and width are at most 1;
                labels are 255 elsewhere. ``segnode.view`` says in what order this and the next
                two work.
            rotation: 0, 90, 180 or 270: degrees clockwise by which images are turned before the
                network, and labels turned back; for cameras that are mounted turned.
            ego_mask: picture that is nonzero where the vehicle itself is seen, by its path or as
                uint8 (h, w); labels are 255 there. Brought to the image's size.
            label_grouping: groups to give in place of the model's classes, see
                ``load_grouping``; the confidence stays that of the class.
            threads: on the CPU; 0 = all usable cores but one, 1 to 4.
            at_once: images that will mostly come together, see ``load_runtime``.
            allow_random_weights: run a network that nobody trained where there are no weights.
            options: of the runtime named.

        Raises:
            SegnodeError: see ``Model.load``, ``load_runtime``, ``View.of``, ``load_grouping``.
        """
        _check_labels_at(labels_at)
        view = View.of(roi, rotation, ego_mask)
        if not isinstance(model, Model):
            model = Model.load(model, allow_random_weights=allow_random_weights)
        model.record.chosen_fit(fit)  # a wrong one shows before anything is loaded
        grouping = None
        if label_grouping is not None:
            grouping = load_grouping(label_grouping, model.record.label_set)
        loaded = load_runtime(
            model, runtime, input_size=input_size, confidence=confidence, samples=samples,
            label_stride=LABELS_AT[labels_at], threads=threads, at_once=at_once, **options,
        )
        if model.record.random:
            _LOG.warning(
                'model %s has random weights: its labels mean nothing', model.name
            )
        elif model.record.data_licence:
            _LOG.info(
                'the weights of %s were trained on data under this licence: %s',
                model.name, model.record.data_licence,
            )
        return cls(model, loaded, fit, labels_at, view=view, grouping=grouping)

    @property
    def label_set(self) -> LabelSet:
        """Return the classes that the labels stand for: the model's, or groups of them."""
        return self.model.record.label_set if self.grouping is None else self.grouping.groups

    @property
    def input_size(self) -> tuple[int, int]:
        """Return the (height, width) that the network works at."""
        return self.runtime.input_size

    @property
    def warning(self) -> str:
        """Return which runtimes failed and what runs instead, '' where none failed."""
        return str(getattr(self.runtime, 'warning', ''))

    def segment(self, bgr: np.ndarray) -> Segmentation:
        """Segment one uint8 (H, W, 3) BGR image.

        Raises:
            SegnodeError: not such an image, or the segmenter was closed.
        """
        return self.segment_batch((bgr,))[0]

    def segment_batch(self, images: Sequence[np.ndarray]) -> list[Segmentation]:
        """Segment several uint8 (H, W, 3) BGR images, each of its own size.

        They go through the network in one run, or in as few as it takes where the runtime has a
        fixed batch.

        Raises:
            SegnodeError: one is not such an image.
        """
        return self.run([self.fitted(image) for image in images])

    def fitted(self, image: np.ndarray, view: View | None = None) -> Fitted:
        """Bring a uint8 (H, W, 3) BGR image to the network's input.

        Args:
            image: of any size.
            view: of the camera that it comes from; by default the segmenter's own.

        Raises:
            SegnodeError: it is not such an image, or the view's region reaches beyond it.
        """
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            shape = getattr(image, 'shape', type(image).__name__)
            raise SegnodeError(f'an image is uint8 (H, W, 3) in BGR order, not {shape}')
        start = time.perf_counter()
        view = view or self.view
        pixels, placement = view.fit(image, self.input_size, self.fit)
        return Fitted(pixels, placement, view, 1e3 * (time.perf_counter() - start))

    def run(self, images: Sequence[Fitted]) -> list[Segmentation]:
        """Segment images that `fitted` made, together; what comes back is as of `segment_batch`.

        Raises:
            SegnodeError: the segmenter was closed.
        """
        if not images:
            return []
        start = time.perf_counter()
        output = self._run([image.pixels for image in images])
        share = 1e3 * (time.perf_counter() - start) / len(images)
        results = []
        for index, image in enumerate(images):
            begin = time.perf_counter()
            labels = output.labels[index]
            if self.grouping is not None:
                labels = self.grouping.apply(labels)
            labels = self._restored(labels, image)
            confidence = None
            if output.confidence is not None:
                confidence = self._restored(output.confidence[index], image, outside=0)
            uncertainty = None
            if output.uncertainty is not None:
                uncertainty = self._uncertainty(output.uncertainty[index], image)
            timing = {
                'fit': image.milliseconds,
                'run': share,
                'restore': (time.perf_counter() - begin) * 1e3,
            }
            results.append(Segmentation(labels, confidence, timing, uncertainty))
        return results

    def warm_up(self, at_once: int = 1) -> None:
        """Run the network once: the first run allocates and chooses kernels.

        Args:
            at_once: so it does for each number of images; run up to so many together.
        """
        for count in range(1, at_once + 1):
            self._run([np.zeros((*self.input_size, 3), np.uint8)] * count)

    def _run(self, images: list[np.ndarray]) -> RuntimeOutput:
        """Run the network over images of its input size, as many at a time as the runtime takes.

        Where they are fewer than that, black ones fill the batch up.
        """
        size = self.runtime.batch or len(images)
        outputs = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            if size == 1:
                batch = part[0][None]  # one image needs no copy into a batch
            else:
                batch = np.stack(part + [np.zeros_like(part[0])] * (size - len(part)))
            outputs.append(self.runtime.run(batch))
        if len(outputs) == 1:
            return outputs[0]
        joined: dict[str, Any] = {}
        for name in ('labels', 'confidence', 'uncertainty'):
            parts = [getattr(output, name) for output in outputs]
            joined[name] = None if parts[0] is None else np.concatenate(parts)
        return RuntimeOutput(**joined)

    def _restored(
        self, values: np.ndarray, image: Fitted, outside: float = IGNORE
    ) -> np.ndarray:
        """Bring a map of the runtime to the size that is wanted."""
        if self.labels_at == 'image':
            restored = image.placement.restore(values, outside=outside)
        else:
            restored = image.placement.reduced(values, outside=outside)
        return image.view.restore(restored, outside)

    def _uncertainty(self, maps: np.ndarray, image: Fitted) -> Uncertainty:
        """Bring the float32 (3, h, w) of the runtime to the size that is wanted."""
        classes = self.model.record.label_set.num_classes
        restored = {
            measure: self._restored(values, image, maximum(measure, classes))
            for measure, values in zip(MEASURES, maps)
        }
        return Uncertainty(**restored, num_classes=classes)

    def close(self) -> None:
        """Give the runtime's memory and threads back; nothing happens the second time."""
        self.runtime.close()
        give_back_freed_memory()


def _check_labels_at(labels_at: str) -> None:
    choices = tuple(LABELS_AT)
    if labels_at not in choices:
        raise SegnodeError(
            f'labels_at must be {", ".join(choices[:-1])} or {choices[-1]}, not {labels_at!r}'
        )

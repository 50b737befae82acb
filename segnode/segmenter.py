# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The package's front door in Python: a BGR image in, a segmentation out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import logging
from pathlib import Path
import time
from typing import Any

import numpy as np

from segnode.errors import SegnodeError
from segnode.fitting import fit_image, FITS, Placement
from segnode.labels import IGNORE, LabelSet
from segnode.model import Model
from segnode.runtimes import load_runtime, Runtime, RuntimeOutput
from segnode.runtimes.base import LABELS_AT
from segnode.uncertainty import maximum, MEASURES, Uncertainty

_LOG = logging.getLogger('segnode')


@dataclass(frozen=True)
class Segmentation:
    """What was seen in one image.

    All are of the image's size, or smaller where that was asked for (``Segmenter.load``); they
    always show the whole image.

    Args:
        labels: uint8 (H, W): train ids, 255 where the network did not look.
        confidence: uint8 (H, W), softmax of the label times 255 (0 where the network did not
            look); None unless asked for.
        timing: milliseconds of 'fit', 'run' and 'restore'; of a batch, the image's share.
        uncertainty: None unless samples were asked for.
    """

    labels: np.ndarray
    confidence: np.ndarray | None = None
    timing: dict[str, float] = field(default_factory=dict)
    uncertainty: Uncertainty | None = None


class Segmenter:
    """A model in a runtime, for images of any size. Not for two threads at once.

    >>> segmenter = Segmenter.load('fsffnet')
    >>> segmentation = segmenter.segment(cv2.imread('street.jpg'))
    >>> colors = segmenter.label_set.colorize(segmentation.labels)
    """

    def __init__(
        self, model: Model, runtime: Runtime, fit: str = 'stretch', labels_at: str = 'image'
    ) -> None:
        _check_choices(fit, labels_at)
        self.model = model
        self.runtime = runtime
        self.fit = fit
        self.labels_at = labels_at

    @classmethod
    def load(
        cls,
        model: str | Path | Model = 'fsffnet',
        *,
        runtime: str = 'auto',
        input_size: tuple[int, int] | None = None,
        fit: str = 'stretch',
        labels_at: str = 'image',
        confidence: bool = False,
        samples: int = 0,
        threads: int = 0,
        allow_random_weights: bool = False,
        **options: Any,
    ) -> Segmenter:
        """Load a model into a runtime.

        Args:
            model: name or path, see ``Model.load``, or a model.
            runtime: one of ``segnode.runtimes.RUNTIMES``.
            input_size: (height, width) that the network works at; by default the model's own.
            fit: how an image of another size or aspect is brought to it: 'stretch',
                'letterbox' or 'crop', see ``fit_image``.
            labels_at: size of the labels: 'image' for that of the image; 'network' for that of
                the network's input; '1/4' or '1/8' for that part of it, where the class is chosen
                from logits of this size, and coarse logits are enlarged so far and no further.
            confidence: give the confidence too.
            samples: passes of Monte Carlo dropout for each image, 2 to 100, of a network that
                offers it: labels and confidence are then those of their mean, and the
                uncertainty is given too. 0 = off.
            threads: on the CPU; 0 = all usable cores but one, 1 to 4.
            allow_random_weights: run a network that nobody trained where there are no weights.
            options: of the runtime named.

        Raises:
            SegnodeError: see ``Model.load`` and ``load_runtime``.
        """
        _check_choices(fit, labels_at)
        if not isinstance(model, Model):
            model = Model.load(model, allow_random_weights=allow_random_weights)
        loaded = load_runtime(
            model, runtime, input_size=input_size, confidence=confidence, samples=samples,
            label_stride=LABELS_AT[labels_at], threads=threads, **options,
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
        return cls(model, loaded, fit, labels_at)

    @property
    def label_set(self) -> LabelSet:
        """Return the classes that the labels stand for."""
        return self.model.record.label_set

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
        images = list(images)  # an array of images has no truth value
        if not images:
            return []
        for image in images:
            if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
                shape = getattr(image, 'shape', type(image).__name__)
                raise SegnodeError(f'an image is uint8 (H, W, 3) in BGR order, not {shape}')
        start = time.perf_counter()
        fitted = [fit_image(image, self.input_size, self.fit) for image in images]
        ready = time.perf_counter()
        output = self._run([image for image, _ in fitted])
        done = time.perf_counter()
        share = 1e3 / len(images)
        results = []
        for index, (_, placement) in enumerate(fitted):
            begin = time.perf_counter()
            labels = self._restored(output.labels[index], placement)
            confidence = None
            if output.confidence is not None:
                confidence = self._restored(output.confidence[index], placement, outside=0)
            uncertainty = None
            if output.uncertainty is not None:
                uncertainty = self._uncertainty(output.uncertainty[index], placement)
            timing = {
                'fit': (ready - start) * share,
                'run': (done - ready) * share,
                'restore': (time.perf_counter() - begin) * 1e3,
            }
            results.append(Segmentation(labels, confidence, timing, uncertainty))
        return results

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
        self, values: np.ndarray, placement: Placement, outside: float = IGNORE
    ) -> np.ndarray:
        """Bring a map of the runtime to the size that is wanted."""
        if self.labels_at == 'image':
            return placement.restore(values, outside=outside)
        return placement.reduced(values, outside=outside)

    def _uncertainty(self, maps: np.ndarray, placement: Placement) -> Uncertainty:
        """Bring the float32 (3, h, w) of the runtime to the size that is wanted."""
        classes = self.label_set.num_classes
        restored = {
            measure: self._restored(values, placement, maximum(measure, classes))
            for measure, values in zip(MEASURES, maps)
        }
        return Uncertainty(**restored, num_classes=classes)

    def close(self) -> None:
        """Give the runtime's memory and threads back; nothing happens the second time."""
        self.runtime.close()


def _check_choices(fit: str, labels_at: str) -> None:
    for name, value, choices in (('fit', fit, FITS), ('labels_at', labels_at, tuple(LABELS_AT))):
        if value not in choices:
            raise SegnodeError(
                f'{name} must be {", ".join(choices[:-1])} or {choices[-1]}, not {value!r}')

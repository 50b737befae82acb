# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a network says of several views of an image: other scales, mirrored, window by window.

For figures that stand beside published ones; a vehicle runs ``Segmenter``. Needs PyTorch: it is
the softmax probabilities of the views that are averaged, which no deployed graph gives.
"""

from __future__ import annotations

from collections.abc import Sequence
import math
import time
from typing import Any

import cv2
import numpy as np

from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.labels import LabelSet
from segnode.model import Model
from segnode.networks.zoo import network_info
from segnode.runtimes.base import default_threads, working_size
from segnode.segmenter import Segmentation

Size = tuple[int, int]


class MultiViewSegmenter:
    """Labels of the mean probabilities of all views; used as a ``Segmenter`` is.

    Without ``window`` the network sees the whole image, brought to ``input_size`` times each
    scale as ``fit`` says (and padded where that is no size the network takes). With it, the image
    is left at its own size (or brought to ``input_size``), times each scale, and the network sees
    windows of it that overlap. Labels are taken at the size of scale 1 and come back at the
    image's own as those of ``Segmenter`` do: with scale 1 alone they are the same.

    Args:
        model: with its ``.safetensors``.
        input_size: (H, W) at scale 1; by default the model's own, with ``window`` the image's.
        fit: as in ``Segmenter``.
        scales: of the views, each above 0.
        flip: look at the mirror image of every view, too.
        window: (H, W) of the windows; None for the whole image.
        overlap: share of a window that the next one shows again, at least; 0 to below 1.
        threads: on the CPU; 0 = default.
        device: 'cpu', 'cuda', or 'auto' for CUDA where PyTorch finds it.

    Raises:
        SegnodeError: PyTorch or the weights are missing, or a value is out of its range.
    """

    def __init__(
        self,
        model: Model,
        *,
        input_size: Size | None = None,
        fit: str = 'model',
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        window: Size | None = None,
        overlap: float = 0.5,
        threads: int = 0,
        device: str = 'auto',
    ) -> None:
        torch = require('torch', 'averaging over views')
        if not scales or min(scales) <= 0:
            raise SegnodeError(f'scales must be numbers above 0, such as 0.75 1, not {scales}')
        if not 0.0 <= overlap < 1.0:
            raise SegnodeError(f'overlap must be 0 to below 1, not {overlap}')
        if window is None:
            input_size = working_size(model.record, input_size)
        else:
            window = working_size(model.record, window)
        self.model, self.fit = model, model.record.chosen_fit(fit)
        self.size = input_size
        self.scales, self.flip = tuple(scales), flip
        self.window, self.overlap = window, overlap
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        if device == 'cuda' and not torch.cuda.is_available():
            raise SegnodeError('PyTorch finds no CUDA GPU here')
        if device == 'cpu':
            torch.set_num_threads(threads or default_threads())
        self.details = f'PyTorch {torch.__version__}, {device}'
        self._torch, self._device = torch, device
        self._network: Any = model.build_network()
        info = network_info(model.record.network)
        self._multiple = info.multiple(model.record.network_args)
        self._graphs: dict[Size, Any] = {}

    @property
    def label_set(self) -> LabelSet:
        """Return the classes that the labels stand for."""
        return self.model.record.label_set

    def segment(self, bgr: np.ndarray) -> Segmentation:
        """Segment one uint8 (H, W, 3) BGR image; the labels come back at its size."""
        start = time.perf_counter()
        probabilities, placement = self.probabilities(bgr)
        labels = probabilities.argmax(0).to(self._torch.uint8).cpu().numpy()
        restored = placement.restore(labels)
        return Segmentation(restored, timing={'run': (time.perf_counter() - start) * 1e3})

    def probabilities(self, bgr: np.ndarray) -> tuple[Any, Any]:
        """Return float32 (C, h, w), the mean over the views at scale 1, and its Placement."""
        base = self.size or (bgr.shape[0], bgr.shape[1])
        _, placement = fit_image(bgr, base, self.fit)
        total: Any = 0.0
        with self._torch.inference_mode():
            for scale in self.scales:
                size = (max(1, round(base[0] * scale)), max(1, round(base[1] * scale)))
                seen = self._seen(fit_image(bgr, size, self.fit)[0])
                if size != base:
                    seen = self._torch.nn.functional.interpolate(
                        seen[None], size=base, mode='bilinear', align_corners=False
                    )[0]
                total = total + seen
        return total / len(self.scales), placement

    def close(self) -> None:
        """Drop the network."""
        self._graphs.clear()
        self._network = None

    def _seen(self, image: np.ndarray) -> Any:
        """Return float32 (C, H, W) of one scale's image."""
        height, width = image.shape[:2]
        tile = self.window or (_up(height, self._multiple), _up(width, self._multiple))
        image = _padded(image, (max(height, tile[0]), max(width, tile[1])))
        rows = _starts(image.shape[0], tile[0], self.overlap)
        columns = _starts(image.shape[1], tile[1], self.overlap)
        if len(rows) == len(columns) == 1:
            return self._view(image)[:, :height, :width]
        total: Any = None
        count = self._torch.zeros(image.shape[:2], device=self._device)
        for top in rows:
            for left in columns:
                down, across = slice(top, top + tile[0]), slice(left, left + tile[1])
                seen = self._view(image[down, across])
                if total is None:
                    total = seen.new_zeros((len(seen), *image.shape[:2]))
                total[:, down, across] += seen
                count[down, across] += 1
        return (total / count)[:, :height, :width]

    def _view(self, image: np.ndarray) -> Any:
        """Return float32 (C, h, w) of an image that the network takes as it is."""
        torch = self._torch
        views = [image, image[:, ::-1]] if self.flip else [image]
        graph = self._graph((image.shape[0], image.shape[1]))
        batch = torch.from_numpy(np.stack(views)).to(self._device)
        logits = graph.resized(graph.network(graph.prepare(batch)))
        seen = torch.softmax(logits.float(), 1)
        if graph.repeats > 1:
            seen = seen.repeat_interleave(graph.repeats, 2).repeat_interleave(graph.repeats, 3)
        return (seen[0] + seen[1].flip(-1)) / 2 if self.flip else seen[0]

    def _graph(self, size: Size) -> Any:
        """Return the deploy graph for images of one size; it is made when first asked for."""
        from segnode.runtimes.graph import deploy_graph

        if size not in self._graphs:
            graph = deploy_graph(self._network, self.model.record, size)
            self._graphs[size] = graph.to(
                self._device, memory_format=self._torch.channels_last)  # type: ignore[call-overload]
        return self._graphs[size]


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _padded(image: np.ndarray, size: Size) -> np.ndarray:
    """Enlarge to ``size`` at the right and bottom, in the image's mean colour as in training."""
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    color = [int(value) for value in image.mean(axis=(0, 1))]
    return np.asarray(cv2.copyMakeBorder(
        image, 0, size[0] - height, 0, size[1] - width, cv2.BORDER_CONSTANT, value=color
    ))


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """Return where windows begin: as few as overlap by that share or more, evenly spread."""
    step = max(1, math.floor(window * (1.0 - overlap)))
    steps = -(-(length - window) // step)
    return [round(i * (length - window) / max(1, steps)) for i in range(steps + 1)]

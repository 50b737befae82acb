# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How a model is asked: through a runtime as on a vehicle, or averaged over views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.segmenter import Segmenter
from training.multi_view import MultiViewSegmenter

Size = tuple[int, int]


@dataclass(frozen=True)
class Inference:
    """What is needed to load a model, as plain values that travel to other processes.

    Args:
        model: name or path.
        runtime: one of ``segnode.runtimes.RUNTIMES``; views need 'pytorch' ('auto' becomes it).
        input_size: (H, W); by default the model's own.
        fit: see ``segnode.fitting.fit_image``.
        threads: on the CPU; 0 = default.
        samples: passes of Monte Carlo dropout; 0 = none.
        scales, flip, window, overlap: see ``MultiViewSegmenter``.
        labels_at: size of the labels, see ``Segmenter.load``.
        options: of the runtime, such as its precision.
    """

    model: str = 'fsffnet'
    runtime: str = 'auto'
    input_size: Size | None = None
    fit: str = 'model'
    threads: int = 0
    samples: int = 0
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: Size | None = None
    overlap: float = 0.5
    labels_at: str = 'image'
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def views(self) -> bool:
        """Tell whether several views of an image are averaged."""
        return self.scales != (1.0,) or self.flip or self.window is not None

    def load(self) -> Segmenter | MultiViewSegmenter:
        """Load the model.

        Raises:
            SegnodeError: it cannot be loaded so; one sentence.
        """
        if not self.views:
            return Segmenter.load(
                self.model, runtime=self.runtime, input_size=self.input_size, fit=self.fit,
                labels_at=self.labels_at, threads=self.threads, samples=self.samples,
                **self.options,
            )
        if self.runtime not in ('auto', 'pytorch'):
            raise SegnodeError(
                '--scales, --flip and --window average probabilities, which only --runtime '
                f'pytorch gives, not {self.runtime}'
            )
        more = dict(self.options)
        device = more.pop('device', 'auto')
        if device == 'tensorrt' or more.pop('precision', 'fp32') != 'fp32' or more:
            raise SegnodeError(
                '--scales, --flip and --window are computed in fp32 on the CPU or with CUDA, '
                'without --compile, --dla-core and --workspace'
            )
        if self.samples or self.labels_at != 'image':
            what = '--samples' if self.samples else '--labels-at'
            raise SegnodeError(f'{what} does not go with --scales, --flip or --window')
        return MultiViewSegmenter(
            Model.load(self.model), input_size=self.input_size, fit=self.fit, scales=self.scales,
            flip=self.flip, window=self.window, overlap=self.overlap, threads=self.threads,
            device=device,
        )

    def describe(self, loaded: Segmenter | MultiViewSegmenter) -> dict[str, Any]:
        """Return what ran, for a result's record."""
        facts: dict[str, Any] = {
            'model': loaded.model.name,
            'weights_sha256': loaded.model.weights_sha256,
            'runtime': 'pytorch',
            'details': '',
            'input_size': None,
            'fit': loaded.fit,
        }
        if isinstance(loaded, MultiViewSegmenter):
            facts |= {
                'details': loaded.details,
                'input_size': list(loaded.size) if loaded.size else None,
                'scales': list(self.scales),
                'flip': self.flip,
                'window': list(self.window) if self.window else None,
                'overlap': self.overlap if self.window else None,
            }
        else:
            facts |= {
                'runtime': loaded.runtime.name,
                'details': loaded.runtime.details,
                'input_size': list(loaded.input_size),
            }
            if self.samples:
                facts['samples'] = self.samples
            if self.labels_at != 'image':
                facts['labels_at'] = self.labels_at
        return {**facts, **self.options}

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What is measured: one model in one runtime, at one size, batch and precision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
import json
from typing import Any

EAGER = 'eager'  # plain PyTorch: float32, NCHW, no rewrites, no compiler


@dataclass(frozen=True)
class Candidate:
    """Plain values, so that they travel to another process.

    Args:
        model: name or path.
        runtime: one of ``segnode.runtimes.RUNTIMES``, or ``EAGER``.
        input_size: (H, W); None for the model's own.
        batch: images at once.
        precision: option of the runtime; '' leaves it to the runtime.
        device: option of the runtime; '' leaves it to the runtime.
        threads: on the CPU; 0 = default.
        allow_random_weights: see ``Model.load``.
        images: folder; '' for rendered ones.
        compile, dla_core, workspace: options of the runtime; False, -1 and 0 leave them to it.
    """

    model: str
    runtime: str
    input_size: tuple[int, int] | None = None
    batch: int = 1
    precision: str = ''
    device: str = ''
    threads: int = 0
    allow_random_weights: bool = False
    images: str = ''
    compile: bool = False
    dla_core: int = -1
    workspace: int = 0

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Candidate:
        """Read what ``to_json`` wrote."""
        entries = json.loads(text)
        size = entries.pop('input_size')
        return cls(input_size=None if size is None else (size[0], size[1]), **entries)

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of ``load_runtime`` that not every runtime has."""
        unset = {
            'precision': '', 'device': '', 'compile': False, 'dla_core': -1, 'workspace': 0}
        given = {name: getattr(self, name) for name in unset}
        return {name: value for name, value in given.items() if value != unset[name]}

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's way to a GPU without one: everything that a stream would do later is done at once."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from typing import Any

import pytest

torch = pytest.importorskip('torch')

from segnode.runtimes.torch_cuda import CudaRunner  # noqa: E402

CPU = torch.device('cpu')


class OnCpu(CudaRunner):
    """The runner with a stream that does everything at once, and graphs that call the work."""

    captures, spoils, breaks = 0, False, False

    def __init__(self, graph: Any, device: Any, *others: Any, **options: Any) -> None:
        super().__init__(graph, CPU, *others, **options)

    def _new_stream(self) -> Any:
        return None

    def _on_stream(self) -> Any:
        return contextlib.nullcontext()

    def _wait(self) -> None:
        pass

    def _pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return torch.empty(shape, dtype=dtype)

    def _captured(self, slot: Any) -> Callable[[], object]:
        if self.breaks:
            raise RuntimeError('not permitted when stream is capturing\nand more')
        slot.found = self._work(slot)
        kept = slot.found
        self.captures += 1

        def replay() -> None:
            for buffer, made in zip(kept, self._work(slot)):
                buffer.copy_(made + int(self.spoils))
        return replay

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A deploy graph in PyTorch on a CUDA GPU: uint8 over the bus both ways, replayed as CUDA graph.

Everything runs on a stream of its own with buffers that stay, one set for each number of images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import logging
from typing import Any

import numpy as np
import torch
from torch import nn, Tensor

_LOG = logging.getLogger('segnode')

TYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
# Share of equal labels from which a graph's run counts as the same as the plain one before it.
_SAME = 0.999
# Numbers of images that have their buffers and their graph at a time.
_KEPT = 4
# Runs before a capture, in which libraries choose their kernels and take their memory.
_WARM_UP = 3


class InPrecision(nn.Module):
    """A network whose weights and operations are of another floating-point type.

    Args:
        network: float32 (N, 3, H, W) -> logits; it is converted itself.
        dtype: to this type.
        back: give the logits in float32, for what is computed of them.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype, back: bool) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.dtype = dtype
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x.to(self.dtype))
        return logits.to(torch.float32) if self.back else logits


@dataclass
class _Slot:
    """Buffers for one number of images, in the order in which they are filled."""

    given: Tensor  # pinned
    image: Tensor  # on the GPU
    found: tuple[Tensor, ...] = ()  # on the GPU
    results: tuple[Tensor, ...] = ()  # pinned
    replay: Callable[[], object] | None = None


class CudaRunner:
    """Runs one deploy graph.

    Args:
        graph: in eval mode, on ``device``.
        device: the GPU.
        input_size: (H, W).
        outputs: names of what the graph gives, 'labels' first.
        replay: let a CUDA graph do it.
    """

    def __init__(
        self, graph: Callable[[Tensor], Any], device: torch.device, input_size: tuple[int, int],
        outputs: list[str], replay: bool = True,
    ) -> None:
        self._graph = graph
        self._device = device
        self._size = input_size
        self._outputs = outputs
        # What draws at random is another each time, and cannot be compared.
        self._replay = replay and 'uncertainty' not in outputs
        self._slots: dict[int, _Slot] = {}
        self._stream = self._new_stream()

    @property
    def replays(self) -> bool:
        """Tell whether every number of images so far has its CUDA graph."""
        return bool(self._slots) and all(slot.replay for slot in self._slots.values())

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run uint8 (N, H, W, 3) images; returns a copy of each output by its name."""
        slot = self._slots.get(len(images))
        fresh = slot is None
        if slot is None:
            while len(self._slots) >= _KEPT:
                self._slots.pop(next(iter(self._slots)))
            shape = (len(images), *self._size, 3)
            with self._on_stream():  # whose memory it is then
                image = torch.empty(shape, dtype=torch.uint8, device=self._device)
            slot = _Slot(self._pinned(shape, torch.uint8), image)
        np.copyto(slot.given.numpy(), images)
        with self._on_stream(), torch.inference_mode():
            slot.image.copy_(slot.given, non_blocking=True)
            if slot.replay is not None:
                slot.replay()
            else:
                slot.found = self._work(slot)
            if not slot.results:
                slot.results = tuple(self._pinned(f.shape, f.dtype) for f in slot.found)
            self._fetch(slot)
        if fresh:
            self._slots[len(images)] = slot
            if self._replay:
                self._capture_once(slot)
        return {name: result.numpy().copy() for name, result in zip(self._outputs, slot.results)}

    def _work(self, slot: _Slot) -> tuple[Tensor, ...]:
        found = self._graph(slot.image)
        return found if isinstance(found, tuple) else (found,)

    def _fetch(self, slot: _Slot) -> None:
        for result, found in zip(slot.results, slot.found):
            result.copy_(found, non_blocking=True)
        self._wait()

    def _capture_once(self, slot: _Slot) -> None:
        """Let a graph do the rest of the runs, once it was seen to give what this one gave."""
        plain, expected = slot.found, slot.results[0].clone()
        try:
            with self._on_stream(), torch.inference_mode():
                for _ in range(_WARM_UP):
                    self._work(slot)
                self._wait()
                replay = self._captured(slot)
                for result in slot.results:
                    result.zero_()
                replay()
                self._fetch(slot)
        except RuntimeError as error:
            reason = str(error).partition('\n')[0]
            _LOG.info('PyTorch runs without a CUDA graph: %s', reason)
        else:
            if float((slot.results[0] == expected).float().mean()) >= _SAME:
                slot.replay = replay
                return
            _LOG.warning('PyTorch runs without a CUDA graph, which gave other labels')
        slot.found = plain
        with self._on_stream(), torch.inference_mode():
            self._fetch(slot)

    def _captured(self, slot: _Slot) -> Callable[[], object]:
        """Return what replays the work on a slot; its outputs are then those of the graph."""
        graph = torch.cuda.CUDAGraph()
        # What other threads of a node do on the GPU meanwhile does not spoil it.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode='thread_local'):
            slot.found = self._work(slot)
        return graph.replay

    def _new_stream(self) -> Any:
        stream = torch.cuda.Stream(self._device)
        # The graph's weights may still be on their way there, or be converted.
        stream.wait_stream(torch.cuda.current_stream(self._device))
        return stream

    def _on_stream(self) -> Any:
        return torch.cuda.stream(self._stream)

    def _wait(self) -> None:
        self._stream.synchronize()

    def _pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def close(self) -> None:
        """Drop graphs and buffers."""
        self._slots.clear()

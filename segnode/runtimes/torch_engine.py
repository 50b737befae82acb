# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A TensorRT engine as a PyTorch module, in the place of the network that it was made from."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, Tensor

from segnode.errors import SegnodeError
from segnode.runtimes.tensorrt_versions import Library

_TYPES = {'FLOAT': torch.float32, 'HALF': torch.float16}


class EngineNetwork(nn.Module):
    """Runs an engine of one input and one output, always of one shape.

    Both have buffers that stay. The input is copied into its own whatever its layout: what
    torch2trt's module hands to TensorRT for a tensor that is not contiguous, such as an image
    with its channels last, is a copy that PyTorch has freed by the time it is read.

    Args:
        library: that built the plan.
        plan: serialised engine.
        device: the GPU.

    Shape:
        float (N, 3, H, W) of the engine -> its logits, which the next run overwrites.

    Raises:
        SegnodeError: TensorRT does not load or run it.
    """

    def __init__(self, library: Library, plan: bytes, device: torch.device) -> None:
        super().__init__()
        self._library = library
        self._runtime = library.runtime()
        self._engine = library.deserialize(self._runtime, plan)
        self._context, _ = library.context(self._engine)
        modes = library.module.TensorIOMode
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._buffers_of: dict[Any, Tensor] = {}
        for name in names:
            shape = tuple(int(side) for side in self._engine.get_tensor_shape(name))
            dtype = _TYPES.get(str(self._engine.get_tensor_dtype(name).name))
            mode = self._engine.get_tensor_mode(name)
            if dtype is None or min(shape, default=1) < 1 or mode in self._buffers_of:
                raise SegnodeError(
                    f'the engine is not one of a network: it has {name} of shape {shape}')
            self._buffers_of[mode] = torch.zeros(shape, dtype=dtype, device=device)
            self._do('set_tensor_address', name, self._buffers_of[mode].data_ptr())
        self._input = self._buffers_of[modes.INPUT]
        self._output = self._buffers_of[modes.OUTPUT]

    def forward(self, x: Tensor) -> Tensor:
        self._input.copy_(x)
        self._do('execute_async_v3', self._stream())
        return self._output

    def _stream(self) -> int:
        return int(torch.cuda.current_stream().cuda_stream)

    def _do(self, method: str, *arguments: Any) -> None:
        self._library.logger.forget()
        if not getattr(self._context, method)(*arguments):
            raise SegnodeError(
                f'{self._library.name} does not run the engine: {self._library.logger.reason()}')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic and the memory traffic that a network cannot do without, operation by operation.

Counted are: of convolutions and matrix products the multiply-adds, what they read (weights too)
and what they write; of pooling and enlarging what is read and written; of an addition of two maps
the second one's reading; the image's bytes in and the labels' out, and the logits read once for
the choice. Activations, normalisation, scaling, concatenation and the enlargement of the logits
count nothing: a good runtime does them on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import Any

from segnode.benchmarking.peaks import Peaks
from segnode.dependencies import require
from segnode.networks.zoo import create

BYTES = {'fp32': 4, 'fp16': 2, 'bf16': 2, 'int8': 1}


@dataclass(frozen=True)
class Operation:
    """One operation on a batch.

    Args:
        name: PyTorch's.
        multiply_adds: of it.
        values: numbers of the network's type that it reads and writes.
        bytes: it reads and writes beside those.
    """

    name: str
    multiply_adds: int
    values: int
    bytes: int = 0


def operations(
    network: str, input_size: tuple[int, int], num_classes: int, batch: int = 1,
    args: Mapping[str, Any] | None = None,
) -> list[Operation]:
    """Return what a network of the zoo does with a batch of images, by its shapes alone.

    Args:
        network: a key of ``NETWORKS``.
        input_size: (H, W).
        num_classes: channels of the logits.
        batch: images.
        args: the network's own keyword arguments.

    Raises:
        SegnodeError: no such network, or PyTorch is not installed.
    """
    torch = require('torch', 'counting what a network does')
    from torch.utils._python_dispatch import TorchDispatchMode

    with torch.device('meta'):
        made = create(network, num_classes, **(args or {})).eval()
        image = torch.empty(batch, 3, *input_size)
    found: list[Operation] = []

    class Counter(TorchDispatchMode):  # type: ignore[misc]

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            operation = _counted(func.overloadpacket.__name__, args, out)
            if operation is not None:
                found.append(operation)
            return out

    with torch.no_grad(), Counter():
        logits = made(image)
    if isinstance(logits, tuple):
        logits = logits[0]
    height, width = input_size
    pixels = batch * height * width
    found.append(Operation('image', 0, 3 * pixels, 3 * pixels))
    found.append(Operation('labels', 0, logits.numel(), pixels))
    return found


def _counted(name: str, args: Any, out: Any) -> Operation | None:
    """Return what one call of ATen counts; None for nothing."""
    if name == 'convolution':
        inputs, weight, bias, transposed = args[0], args[1], args[2], args[6]
        per_value = math.prod(weight.shape[1:])  # channels of the group and taps
        products = (inputs.numel() if transposed else out.numel()) * per_value
        values = inputs.numel() + weight.numel() + out.numel()
        return Operation(name, products, values + (0 if bias is None else bias.numel()))
    if name in ('addmm', 'mm', 'bmm'):
        left, right = args[1:3] if name == 'addmm' else args[:2]
        values = left.numel() + right.numel() + out.numel()
        return Operation(name, left.numel() * right.shape[-1], values)
    if 'pool' in name or name.startswith('upsample') or name in ('mean', 'amax'):
        first = out[0] if isinstance(out, tuple) else out
        return Operation(name, 0, args[0].numel() + first.numel())
    if name in ('add', 'add_') and hasattr(args[1], 'numel') and args[1].numel() == out.numel():
        return Operation(name, 0, args[1].numel())
    return None


def least_milliseconds(found: list[Operation], precision: str, peaks: Peaks) -> dict[str, float]:
    """Return how long a device would take that does nothing but what is counted, at its peaks.

    Each operation takes the longer of its arithmetic and its traffic; they come one after
    another. On a CPU what fits into its caches moves faster than that.

    Returns:
        'limit_ms' of all; 'limit_arithmetic_ms' and 'limit_traffic_ms' of either alone.
    """
    size = BYTES[precision]
    arithmetic = [2 * one.multiply_adds / peaks.operations for one in found]
    traffic = [(size * one.values + one.bytes) / peaks.bandwidth for one in found]
    return {
        'limit_ms': 1e3 * sum(map(max, arithmetic, traffic)),
        'limit_arithmetic_ms': 1e3 * sum(arithmetic),
        'limit_traffic_ms': 1e3 * sum(traffic),
    }

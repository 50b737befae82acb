# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How many multiply-adds a network takes, by PyTorch's own counter. Imports no PyTorch itself."""

from __future__ import annotations

from typing import Any

from segnode.dependencies import require
from segnode.networks.zoo import create, network_info


def multiply_adds(
    name: str, input_size: tuple[int, int], num_classes: int = 19, /, **args: Any
) -> int:
    """Count the multiply-adds of one image in inference, of what is run here.

    Convolutions, transposed ones too, and fully connected layers are counted, as is usual in the
    field; normalisation, activations, pooling and enlargement are not. The products with constant
    matrices that pool and enlarge here (``segnode.networks.pooling``) are pooling, not counted.
    Nothing is computed: the tensors have shapes and no content.

    Args:
        name: a key of ``NETWORKS``.
        input_size: (H, W).
        num_classes: channels of the logits.
        args: the network's own keyword arguments.

    Raises:
        SegnodeError: no such network or argument, it does not take this size, or PyTorch is not
            installed.
    """
    network_info(name).check_input_size(input_size, args)
    torch = require('torch', 'counting multiply-adds')
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device('meta'):
        network = create(name, num_classes, **args).eval()
        image = torch.empty(1, 3, *input_size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(image)
    counts = counter.get_flop_counts()['Global']
    aten = torch.ops.aten
    # PyTorch counts a multiplication and an addition as two. addmm is a layer with a bias; mm and
    # bmm are the products with constant matrices.
    return sum(counts.get(kind, 0) for kind in (aten.convolution, aten.addmm)) // 2

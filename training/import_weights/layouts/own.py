# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Our own names: the ``state_dict`` of one of our networks, saved by whatever trained it."""

from __future__ import annotations

import re

from training.import_weights.layout import Layout, Tensors


def own_layout(network: str) -> Layout:
    """Return the layout of files that name a network's tensors as we do.

    Where the classes lie is read off the network itself, built with two numbers of classes.
    """
    import torch

    from segnode.networks.zoo import create

    with torch.device('meta'):
        few, more = (_shapes(create(network, classes)) for classes in (19, 20))
    axes = tuple(
        (re.escape(name), axis)
        for name, shape in few.items()
        for axis, side in enumerate(shape)
        if side == 19 and more[name][axis] == 20
    )
    needed = {name for name in few if not name.startswith('auxiliary')}

    def recognises(tensors: Tensors) -> bool:
        return needed <= set(tensors)

    return Layout(
        name='segnode',
        networks=(network,),
        source='a state_dict of ours',
        recognises=recognises,
        convert=dict,
        # The first is the one that is asked; heads that only training uses may be missing.
        class_axes=tuple(sorted(axes, key=lambda a: a[0].startswith('auxiliary'))),
    )


def _shapes(network: object) -> dict[str, tuple[int, ...]]:
    state = network.state_dict()  # type: ignore[attr-defined]
    return {name: tuple(t.shape) for name, t in state.items() if t.is_floating_point()}

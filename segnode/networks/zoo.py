# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The table of networks: name -> class, and what is known of it. Imports no network itself."""

from __future__ import annotations

from dataclasses import dataclass
import importlib
from typing import Any, TYPE_CHECKING

from segnode.dependencies import require
from segnode.errors import SegnodeError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkInfo:
    """What there is to know of a network before it is imported.

    Args:
        name: what users and records call it.
        module: where its class is.
        cls: name of its class.
        parameters_at_19: trainable parameters with 19 classes and default arguments.
        output_stride: the logits are at 1/output_stride of the input.
        size_multiple: height and width of the input must be multiples of this.
        source: paper and code that the architecture was taken from.
    """

    name: str
    module: str
    cls: str
    parameters_at_19: int
    output_stride: int
    size_multiple: int
    source: str

    def check_input_size(self, size: tuple[int, int]) -> None:
        """Raise SegnodeError unless the network takes images of ``size`` (H, W)."""
        height, width = size
        if height < 1 or width < 1 or height % self.size_multiple or width % self.size_multiple:
            raise SegnodeError(
                f'{self.name} takes heights and widths that are multiples of '
                f'{self.size_multiple}, not {height}x{width}'
            )


NETWORKS: dict[str, NetworkInfo] = {
    info.name: info
    for info in (
        NetworkInfo(
            name='fsffnet',
            module='segnode.networks.fsffnet',
            cls='FSFFNet',
            parameters_at_19=1_226_051,
            output_stride=2,
            size_multiple=128,
            source=(
                'Singha, Pham, Krishna, Gedeon: A Lightweight Multi-scale Feature Fusion Network '
                'for Real-Time Semantic Segmentation, ICONIP 2021; '
                'github tanmaysingha/FSFFNet 4778b40'
            ),
        ),
    )
}


def network_info(name: str) -> NetworkInfo:
    """Return the entry of ``name``.

    Raises:
        SegnodeError: there is no such network.
    """
    try:
        return NETWORKS[name]
    except KeyError:
        raise SegnodeError(
            f'there is no network {name!r}; there is {", ".join(NETWORKS)}'
        ) from None


def create(name: str, num_classes: int, /, **args: Any) -> nn.Module:
    """Build a network with freshly initialised weights.

    Args:
        name: a key of ``NETWORKS``.
        num_classes: channels of its logits, 1 to 255.
        args: the network's own keyword arguments.

    Raises:
        SegnodeError: no such network or argument, or PyTorch is not installed.
    """
    info = network_info(name)
    if not 1 <= num_classes <= 255:
        raise SegnodeError(f'{name} needs 1 to 255 classes, not {num_classes}')
    require('torch', f'building the network {name}')
    network_class = getattr(importlib.import_module(info.module), info.cls)
    try:
        network: nn.Module = network_class(num_classes, **args)
    except (TypeError, ValueError) as error:
        raise SegnodeError(f'{name} does not take these arguments: {error}') from error
    return network

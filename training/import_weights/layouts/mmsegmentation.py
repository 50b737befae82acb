# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the checkpoints of MMSegmentation have in common, whatever the network.

Its ``ConvModule`` names a convolution ``conv`` and its batch normalisation ``bn``, in whichever
order they run, and gives the convolution no bias where a normalisation belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable

from training.import_weights.layout import renaming, Tensors

VERSION = 'mmsegmentation 1.2.2'
LICENCE = 'Apache-2.0'

# The last lines of a table: ConvModules in the usual order, convolution first.
CONV_MODULES = ((r'\.conv\.', '.0.'), (r'\.bn\.', '.1.'))


def pre_activated(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Return the lines for a ConvModule whose normalisation and ReLU come first.

    Args:
        theirs: pattern of its name.
        ours: name of our ``norm_relu_conv``; may refer to groups of the pattern.
    """
    return ((rf'^{theirs}\.bn\.', f'{ours}.0.'), (rf'^{theirs}\.conv\.', f'{ours}.2.'))


def renaming_with_zero_biases(
    biases: tuple[str, ...], *table: tuple[str, str]
) -> Callable[[Tensors], Tensors]:
    """Return a ``convert`` that renames, and adds biases of zero where only ours has any.

    Args:
        biases: our names of biases in front of a normalisation; without them it is the same
            network, so zero is exact.
        table: as of ``renaming``.
    """
    rename = renaming(*table)

    def convert(tensors: Tensors) -> Tensors:
        converted = rename(tensors)
        for bias in biases:
            weight = converted.get(bias.removesuffix('bias') + 'weight')
            if weight is not None and bias not in converted:
                converted[bias] = weight.new_zeros(weight.shape[0])
        return converted

    return convert

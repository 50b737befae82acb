# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DF1 and DF2."""

from __future__ import annotations

from training.import_weights.backbones.by_module import pairs
from training.import_weights.layout import Layout, names_include, renaming

# Theirs -> ours, without what is inside of a block: that has torchvision's names on both sides.
STEM = pairs('stage1', 'stem', {'0': '0.0', '1': '0.1', '3': '1.0', '4': '1.1'})
# Blocks of each of their stages -> our stage and its first block there.
DF1 = {'stage2': (3, 0, 0), 'stage3': (3, 1, 0), 'stage4': (3, 2, 0), 'stage5': (1, 2, 3)}
DF2 = {
    'stage2_1': (2, 0, 0), 'stage2_2': (1, 0, 2),
    'stage3_1': (10, 1, 0), 'stage3_2': (1, 1, 10),
    'stage4_1': (4, 2, 0), 'stage4_2': (2, 2, 4),
}


def _table(stages: dict[str, tuple[int, int, int]]) -> list[tuple[str, str]]:
    modules = {
        f'{theirs}.{block}': f'stages.{stage}.{first + block}'
        for theirs, (repeats, stage, first) in stages.items()
        for block in range(repeats)
    }
    # No name of ours begins as theirs do, so that none is replaced twice.
    return [(rf'^{there}\.', f'{here}.') for there, here in {**STEM, **modules}.items()]


SOURCE = ('github lxtGH/Fast_Seg @7895738, libs/models/backbone/dfnet.py; the same in lxtGH/'
          'SFSegNets network/dfnet.py (df1_imagenet.pth, df2_imagenet.pth; trained on RGB)')

LAYOUTS = (
    Layout(
        name='df1_fast_seg',
        networks=('df1',),
        source=SOURCE,
        recognises=names_include('stage1.0.weight', 'stage5.0.conv1.weight'),
        convert=renaming(*_table(DF1)),
        left_over=(r'fc\..*',),
    ),
    Layout(
        name='df2_fast_seg',
        networks=('df2',),
        source=SOURCE,
        recognises=names_include('stage1.0.weight', 'stage4_2.0.conv1.weight'),
        convert=renaming(*_table(DF2)),
        left_over=(r'fc\..*',),
    ),
)

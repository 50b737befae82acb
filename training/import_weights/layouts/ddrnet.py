# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DDRNet-23-slim: the authors' own files, those of DDRNet.pytorch, and MMSegmentation's.

The logits equal theirs bit by bit, the auxiliary ones too. All enlarge them to the image without
aligned corners, as we do. DDRNet.pytorch (github chenjun2hao/DDRNet.pytorch bc0e193) has the same
names, behind the prefix of its loss wrapper.

The authors' file for CamVid has 11 outputs whose order their code does not state, and it was
trained on the 11 original classes alone instead of on groups of the 32 (their issue 25): give its
classes as a label set of your own.
"""

from __future__ import annotations

from training.import_weights.layout import Layout, names_include, renaming
from training.import_weights.layouts.mmsegmentation import (
    CONV_MODULES,
    LICENCE,
    pre_activated,
    renaming_with_zero_biases,
    VERSION,
)

Table = tuple[tuple[str, str], ...]

# Of residual blocks, in DDRNet and in PIDNet alike.
BLOCKS: Table = (
    (r'\.conv(\d)\.', r'.conv\1.0.'),
    (r'\.bn(\d)\.', r'.conv\1.1.'),
    (r'\.downsample\.', '.shortcut.'),
)
# Of the pooling branches in both context modules; theirs count from 1, after scale 0.
POOLING: Table = tuple(
    line
    for branch in range(4)
    for line in (
        (rf'^spp\.scale{branch + 1}\.1\.', f'context.branches.convs.{branch}.0.'),
        (rf'^spp\.scale{branch + 1}\.3\.', f'context.branches.convs.{branch}.2.'),
    )
)
# MMSegmentation's: stem with the first two layers, context module, both shared with PIDNet.
MM_STEM: Table = (
    (r'^backbone\.stem\.0\.conv\.', 'stem.0.'),
    (r'^backbone\.stem\.0\.bn\.', 'stem.1.'),
    (r'^backbone\.stem\.1\.conv\.', 'stem.3.'),
    (r'^backbone\.stem\.1\.bn\.', 'stem.4.'),
    (r'^backbone\.stem\.2\.', 'layer1.'),
    (r'^backbone\.stem\.4\.', 'layer2.'),
)
MM_CONTEXT: Table = (
    *pre_activated(r'backbone\.spp\.scales\.0', 'context.scale0'),
    *(
        line
        for branch in range(4)
        for line in pre_activated(
            rf'backbone\.spp\.scales\.{branch + 1}\.1', f'context.branches.convs.{branch}'
        )
    ),
    *pre_activated(r'backbone\.spp\.(compression|shortcut)', r'context.\1'),
)
STEM_BIASES = ('stem.0.bias', 'stem.3.bias')


def head(theirs: str, ours: str) -> Table:
    """Return the lines for a segmentation head of the authors of DDRNet and PIDNet."""
    layers = (('bn1', 0), ('conv1', 2), ('bn2', 3), ('conv2', 5))
    return tuple((rf'^{theirs}\.{name}\.', f'{ours}.{index}.') for name, index in layers)


RENAMED: Table = (
    *head('final_layer', 'head'),
    *head('seghead_extra', 'auxiliary'),
    (r'^conv1\.', 'stem.'),
    (r'^layer([34])\.', r'low\1.'),
    (r'^layer5\.0\.', 'low5.'),
    (r'^layer([34])_\.', r'high\1.'),
    (r'^layer5_\.0\.', 'high5.'),
    (r'^compression([34])\.', r'up\1.'),
    (r'^down4\.([01])\.', r'down4.0.\1.'),
    (r'^down4\.3\.', 'down4.1.0.'),
    (r'^down4\.4\.', 'down4.1.1.'),
    *POOLING,
    *((rf'^spp\.process{step + 1}\.', f'context.process.{step}.') for step in range(4)),
    (r'^spp\.', 'context.'),
    *BLOCKS,
)
MM_RENAMED: Table = (
    *MM_STEM,
    *MM_CONTEXT,
    *pre_activated(r'backbone\.spp\.processes\.(\d)', r'context.process.\1'),
    (r'^backbone\.context_branch_layers\.0\.', 'low3.'),
    (r'^backbone\.context_branch_layers\.1\.', 'low4.'),
    (r'^backbone\.context_branch_layers\.2\.0\.', 'low5.'),
    (r'^backbone\.spatial_branch_layers\.0\.', 'high3.'),
    (r'^backbone\.spatial_branch_layers\.1\.', 'high4.'),
    (r'^backbone\.spatial_branch_layers\.2\.0\.', 'high5.'),
    (r'^backbone\.compression_1\.', 'up3.'),
    (r'^backbone\.compression_2\.', 'up4.'),
    (r'^backbone\.down_1\.', 'down3.'),
    (r'^backbone\.down_2\.', 'down4.'),
    *pre_activated(r'decode_head\.head\.0', 'head'),
    (r'^decode_head\.head\.1\.', 'head.3.'),
    (r'^decode_head\.conv_seg\.', 'head.5.'),
    *pre_activated(r'decode_head\.aux_head\.0', 'auxiliary'),
    (r'^decode_head\.aux_head\.1\.', 'auxiliary.3.'),
    (r'^decode_head\.aux_cls_seg\.', 'auxiliary.5.'),
    (r'\.downsample\.', '.shortcut.'),
    *CONV_MODULES,
)
CLASS_AXES = ((r'head\.5\.(weight|bias)', 0), (r'auxiliary\.5\.(weight|bias)', 0))
INPUT_SIZES = {'cityscapes': (1024, 2048)}

LAYOUTS = (
    Layout(
        name='ddrnet',
        networks=('ddrnet23_slim',),
        source='github ydhongHIT/DDRNet @de0db31, segmentation/DDRNet_23_slim.py',
        recognises=names_include(
            'compression3.0.weight', 'down4.3.weight', 'layer3_.0.conv1.weight',
            'spp.process1.2.weight', 'final_layer.conv2.weight',
        ),
        convert=renaming(*RENAMED),
        class_axes=CLASS_AXES,
        unknown_order=('camvid',),
        input_sizes=INPUT_SIZES,
        licence='MIT',
    ),
    Layout(
        name='mmseg_ddrnet',
        networks=('ddrnet23_slim',),
        source=f'{VERSION}, mmseg/models/backbones/ddrnet.py, decode_heads/ddr_head.py',
        recognises=names_include(
            'backbone.context_branch_layers.0.0.conv1.conv.weight',
            'backbone.spp.processes.3.conv.weight', 'decode_head.conv_seg.weight',
        ),
        convert=renaming_with_zero_biases(STEM_BIASES, *MM_RENAMED),
        class_axes=CLASS_AXES,
        input_sizes=INPUT_SIZES,
        licence=LICENCE,
    ),
)

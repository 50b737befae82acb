# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""PIDNet-S: the authors' own files (Cityscapes and CamVid), and MMSegmentation's.

The logits equal theirs bit by bit, the authors' auxiliary ones too; MMSegmentation feeds its
auxiliary heads the same maps before their ReLU. Both codes enlarge the logits to the image with
aligned corners, we without. For CamVid the authors give the classes an order of their own
(alphabetical, datasets/camvid.py), which is undone here.
"""

from __future__ import annotations

from training.import_weights.layout import Layout, names_include, renaming
from training.import_weights.layouts.ddrnet import (
    BLOCKS,
    head,
    MM_CONTEXT,
    MM_STEM,
    POOLING,
    STEM_BIASES,
    Table,
)
from training.import_weights.layouts.mmsegmentation import (
    CONV_MODULES,
    LICENCE,
    pre_activated,
    renaming_with_zero_biases,
    VERSION,
)

RENAMED: Table = (
    *head('final_layer', 'head'),
    *head('seghead_p', 'auxiliary.detail'),
    *head('seghead_d', 'auxiliary.boundary'),
    (r'^conv1\.', 'stem.'),
    (r'^layer([345])\.', r'i\1.'),
    (r'^layer([34])_\.', r'p\1.'),
    (r'^layer5_\.0\.', 'p5.'),
    (r'^layer3_d\.', 'd3.'),
    (r'^layer([45])_d\.0\.', r'd\1.'),
    (r'^compression([34])\.', r'i\1_to_p.'),
    (r'^diff([34])\.', r'i\1_to_d.'),
    (r'^(pag[34])\.f_x\.', r'\1.fine.'),
    (r'^(pag[34])\.f_y\.', r'\1.coarse.'),
    *POOLING,
    (r'^spp\.scale_process\.', 'context.process.'),
    (r'^spp\.', 'context.'),
    (r'^dfm\.conv_p\.', 'fusion.detail.'),
    (r'^dfm\.conv_i\.', 'fusion.context.'),
    *BLOCKS,
)
# MMSegmentation counts its branches' layers, and what joins them, from 0 or 1 instead of 3.
MM_RENAMED: Table = (
    *MM_STEM,
    *MM_CONTEXT,
    *pre_activated(r'backbone\.spp\.processes', 'context.process'),
    *((rf'^backbone\.i_branch_layers\.{n}\.', f'i{n + 3}.') for n in range(3)),
    *((rf'^backbone\.p_branch_layers\.{n}\.', f'p{n + 3}.') for n in range(2)),
    (r'^backbone\.p_branch_layers\.2\.0\.', 'p5.'),
    (r'^backbone\.d_branch_layers\.0\.', 'd3.'),
    (r'^backbone\.d_branch_layers\.1\.0\.', 'd4.'),
    (r'^backbone\.d_branch_layers\.2\.0\.', 'd5.'),
    *(
        line
        for n in (3, 4)
        for line in (
            (rf'^backbone\.compression_{n - 2}\.', f'i{n}_to_p.'),
            (rf'^backbone\.diff_{n - 2}\.', f'i{n}_to_d.'),
            (rf'^backbone\.pag_{n - 2}\.f_p\.', f'pag{n}.fine.'),
            (rf'^backbone\.pag_{n - 2}\.f_i\.', f'pag{n}.coarse.'),
        )
    ),
    (r'^backbone\.dfm\.f_p\.', 'fusion.detail.'),
    (r'^backbone\.dfm\.f_i\.', 'fusion.context.'),
    *(
        line
        for theirs, ours in (('i', 'head'), ('p', 'auxiliary.detail'), ('d', 'auxiliary.boundary'))
        for line in (
            *pre_activated(rf'decode_head\.{theirs}_head\.conv', ours),
            (rf'^decode_head\.{theirs}_head\.norm\.', f'{ours}.3.'),
            (rf'^decode_head\.{theirs}_cls_seg\.', f'{ours}.5.'),
        )
    ),
    (r'^decode_head\.conv_seg\.', 'head.5.'),
    (r'\.downsample\.', '.shortcut.'),
    *CONV_MODULES,
)
CLASS_AXES = ((r'head\.5\.(weight|bias)', 0), (r'auxiliary\.detail\.5\.(weight|bias)', 0))

LAYOUTS = (
    Layout(
        name='pidnet',
        networks=('pidnet_s',),
        source='github XuJiacong/PIDNet @4c158cf, models/pidnet.py',
        recognises=names_include(
            'pag3.f_x.0.weight', 'layer3_d.conv1.weight', 'spp.scale_process.2.weight',
            'dfm.conv_p.0.weight', 'final_layer.conv2.weight',
        ),
        convert=renaming(*RENAMED),
        class_axes=CLASS_AXES,
        # Bicyclist, Building, Car, Column_Pole, Fence, Pedestrian, Road, Sidewalk, SignSymbol,
        # Sky, Tree.
        class_order={'camvid': (9, 1, 3, 6, 7, 10, 8, 4, 2, 5, 0)},
        # CamVid is 720x960 there; 704 is the nearest height that is a multiple of 64.
        input_sizes={'cityscapes': (1024, 2048), 'camvid': (704, 960)},
        licence='MIT',
    ),
    Layout(
        name='mmseg_pidnet',
        networks=('pidnet_s',),
        source=f'{VERSION}, mmseg/models/backbones/pidnet.py, decode_heads/pid_head.py',
        recognises=names_include(
            'backbone.pag_1.f_i.conv.weight', 'backbone.spp.processes.conv.weight',
            'decode_head.i_head.norm.weight', 'decode_head.conv_seg.weight',
        ),
        convert=renaming_with_zero_biases(STEM_BIASES, *MM_RENAMED),
        class_axes=CLASS_AXES,
        input_sizes={'cityscapes': (1024, 2048)},
        licence=LICENCE,
    ),
)

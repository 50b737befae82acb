# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""BiSeNet and BiSeNetV2: the files that CoinCheung/BiSeNet releases.

All outputs equal that code's, the auxiliary ones too, and are enlarged there as here, bilinearly
without aligned corners. Its files of BiSeNet from before July 2021 have a fusion gate of two
layers (up to commit c0422a1), newer ones a gate of one; both are read. Those trained on COCO-Stuff
and ADE20K normalise otherwise and have labels of their own: their sets are to be given.
"""

from __future__ import annotations

from typing import Any

from training.import_weights.layout import (
    Layout,
    names_include,
    Preprocessing,
    renaming,
    Tensors,
)

SOURCE = 'github CoinCheung/BiSeNet @6b4b67a'
# lib/data/cityscapes_cv2.py, of RGB pixels 0..1.
CITYSCAPES = Preprocessing(mean=(0.3257, 0.3690, 0.3223), std=(0.2112, 0.2148, 0.2115))

# Its ConvBNReLU; BiSeNetV2's context embedding has a normalisation by itself.
CONV_BN_RELU = ((r'\.conv\.(\w+)$', r'.0.\1'), (r'(?<!context)\.bn\.(\w+)$', r'.1.\1'))
RENAMED_V1 = (
    (r'^cp\.resnet\.', 'context.backbone.'),
    (r'^cp\.arm(16|32)\.conv\.', r'context.refine\1.conv.'),
    (r'^cp\.arm(16|32)\.conv_atten\.', r'context.refine\1.gate.0.'),
    (r'^cp\.arm(16|32)\.bn_atten\.', r'context.refine\1.gate.1.'),
    (r'^cp\.conv_head(16|32)\.', r'context.up\1.'),
    (r'^cp\.conv_avg\.', 'context.pooled.'),
    *((rf'^sp\.conv{layer + 1}\.', f'spatial.{layer}.') for layer in range(3)),
    (r'^sp\.conv_out\.', 'spatial.3.'),
    (r'^ffm\.convblk\.', 'fusion.mix.'),
    (r'^ffm\.conv1\.', 'fusion.gate.0.'),
    (r'^ffm\.conv2\.', 'fusion.gate.2.'),
    (r'^ffm\.conv\.', 'fusion.gate.0.'),
    (r'^ffm\.bn\.', 'fusion.gate.1.'),
    (r'^(conv_out(?:16|32)?)\.conv_out\.', r'\1.1.'),
    (r'^(conv_out(?:16|32)?)\.conv\.', r'\1.0.'),
    (r'^conv_out\.', 'head.'),
    (r'^conv_out16\.', 'auxiliary.0.'),
    (r'^conv_out32\.', 'auxiliary.1.'),
    *CONV_BN_RELU,
)
RENAMED_V2 = (
    # The detail branch is one sequence here, three there: of two, three and three convolutions.
    *((rf'^detail\.S1\.{n}\.', f'detail.{n}.') for n in range(2)),
    *((rf'^detail\.S2\.{n}\.', f'detail.{n + 2}.') for n in range(3)),
    *((rf'^detail\.S3\.{n}\.', f'detail.{n + 5}.') for n in range(3)),
    (r'^segment\.S1S2\.', 'stem.'),
    (r'^segment\.S([34])\.', r'stage\1.'),
    (r'^segment\.S5_4\.', 'stage5.'),
    (r'^segment\.S5_5\.bn\.', 'context.bn.'),
    (r'^segment\.S5_5\.conv_gap\.', 'context.pooled.'),
    (r'^segment\.S5_5\.conv_last\.', 'context.conv.'),
    # Gather-and-expansion layers: with stride 1 one depthwise convolution, with stride 2 two.
    (r'^(stage\d\.\d)\.conv1\.', r'\1.gather.'),
    (r'^(stage\d\.\d)\.dwconv\.', r'\1.expand.'),
    (r'^(stage\d\.\d)\.dwconv1\.', r'\1.expand.0.'),
    (r'^(stage\d\.\d)\.dwconv2\.', r'\1.expand.1.'),
    (r'^(stage\d\.\d)\.conv2\.', r'\1.project.'),
    (r'^(stage\d\.\d)\.shortcut\.([01])\.', r'\1.shortcut.0.\2.'),
    (r'^(stage\d\.\d)\.shortcut\.2\.', r'\1.shortcut.1.0.'),
    (r'^(stage\d\.\d)\.shortcut\.3\.', r'\1.shortcut.1.1.'),
    *(
        line
        for theirs, ours in (('left1', 'detail_keep'), ('right2', 'semantic_keep'))
        for line in (
            (rf'^bga\.{theirs}\.([01])\.', rf'aggregation.{ours}.0.\1.'),
            (rf'^bga\.{theirs}\.2\.', f'aggregation.{ours}.1.'),
        )
    ),
    (r'^bga\.left2\.', 'aggregation.detail_down.'),
    (r'^bga\.right1\.', 'aggregation.semantic_up.'),
    (r'^bga\.conv\.', 'aggregation.fuse.'),
    (r'^head\.conv\.', 'head.0.'),
    (r'^head\.conv_out\.1\.', 'head.2.'),
    (r'^aux2\.', 'auxiliary.0.'),
    (r'^aux3\.', 'auxiliary.1.'),
    (r'^aux4\.', 'auxiliary.2.'),
    (r'^aux5_4\.', 'auxiliary.3.'),
    (r'^(auxiliary\.\d)\.conv_out\.0\.1\.', r'\1.wide.'),
    (r'^(auxiliary\.\d)\.conv_out\.1\.', r'\1.classifier.'),
    *CONV_BN_RELU,
)


def _arguments(tensors: Tensors, classes: int) -> dict[str, Any]:
    gate = tensors['fusion.gate.0.weight']
    two_layers = 'fusion.gate.2.weight' in tensors
    return {
        'nearest': True,
        'reduction': int(gate.shape[1]) // int(gate.shape[0]) if two_layers else None,
    }


LAYOUTS = (
    Layout(
        name='bisenet',
        networks=('bisenet',),
        source=f'{SOURCE}, lib/models/bisenetv1.py',
        recognises=names_include(
            'cp.resnet.conv1.weight', 'cp.arm16.conv_atten.weight', 'sp.conv_out.conv.weight',
            'ffm.convblk.conv.weight', 'conv_out.conv_out.weight',
        ),
        convert=renaming(*RENAMED_V1),
        class_axes=((r'head\.1\.(weight|bias)', 0), (r'auxiliary\.\d\.1\.(weight|bias)', 0)),
        arguments=_arguments,
        preprocessing=CITYSCAPES,
        input_sizes={'cityscapes': (1024, 2048)},
        licence='MIT',
    ),
    Layout(
        name='bisenetv2',
        networks=('bisenetv2',),
        source=f'{SOURCE}, lib/models/bisenetv2.py',
        recognises=names_include(
            'detail.S1.0.conv.weight', 'segment.S5_4.0.dwconv1.0.weight', 'bga.left1.0.weight',
            'head.conv_out.1.weight',
        ),
        convert=renaming(*RENAMED_V2),
        class_axes=(
            (r'head\.2\.(weight|bias)', 0), (r'auxiliary\.\d\.classifier\.(weight|bias)', 0),
        ),
        preprocessing=CITYSCAPES,
        input_sizes={'cityscapes': (1024, 2048)},
        licence='MIT',
    ),
)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Fast-SCNN: the files of Tramac/Fast-SCNN-pytorch and of MMSegmentation.

Both read the paper differently in places, and the network is built as the file's code has it:
Tramac's has ReLUs inside the depthwise-separable convolutions, no padding in the first one and
aligned corners inside, MMSegmentation's a 3x3 convolution behind the pyramid; neither dilates the
fusion. The logits equal theirs. Tramac's code enlarges them to the image with aligned corners,
MMSegmentation and we without. Tramac's one auxiliary head has no counterpart here, since half of
ours would stay untrained; it is left out.
"""

from __future__ import annotations

from typing import Any

from training.import_weights.layout import Layout, names_include, renaming, Tensors
from training.import_weights.layouts.mmsegmentation import (
    CONV_MODULES,
    LICENCE,
    renaming_with_zero_biases,
    VERSION,
)

# The groups of inverted residuals, in both codes.
GROUPS = tuple(
    (rf'^(?:backbone\.)?global_feature_extractor\.bottleneck{n + 1}\.', f'bottlenecks.{n}.')
    for n in range(3)
)
RENAMED = (
    *GROUPS,
    (r'^(bottlenecks\.\d\.\d)\.block\.0\.conv\.', r'\1.expand.'),
    (r'^(bottlenecks\.\d\.\d)\.block\.1\.conv\.', r'\1.depthwise.'),
    (r'^(bottlenecks\.\d\.\d)\.block\.2\.', r'\1.project.0.'),
    (r'^(bottlenecks\.\d\.\d)\.block\.3\.', r'\1.project.1.'),
    (r'^learning_to_downsample\.conv\.conv\.', 'stem.0.'),
    (r'^learning_to_downsample\.dsconv([12])\.conv\.', r'stem.\1.'),
    (r'^classifier\.dsconv1\.conv\.', 'classifier.0.'),
    (r'^classifier\.dsconv2\.conv\.', 'classifier.1.'),
    (r'^classifier\.conv\.1\.', 'classifier.3.'),
    # A depthwise-separable convolution is 0 conv, 1 norm, 2 ReLU, 3 conv, 4 norm, 5 ReLU.
    (r'^(stem\.[12]|classifier\.[01])\.([01])\.', r'\1.0.\2.'),
    (r'^(stem\.[12]|classifier\.[01])\.3\.', r'\1.1.0.'),
    (r'^(stem\.[12]|classifier\.[01])\.4\.', r'\1.1.1.'),
    *(
        (rf'^global_feature_extractor\.ppm\.conv{n + 1}\.conv\.', f'pyramid.branches.{n}.')
        for n in range(4)
    ),
    (r'^global_feature_extractor\.ppm\.out\.conv\.', 'projection.'),
    (r'^feature_fusion\.dwconv\.conv\.', 'low.0.'),
    (r'^feature_fusion\.conv_lower_res\.', 'low.1.'),
    (r'^feature_fusion\.conv_higher_res\.', 'high.'),
)
MM_RENAMED = (
    *GROUPS,
    (r'^(bottlenecks\.\d\.\d)\.conv\.0\.', r'\1.expand.'),
    (r'^(bottlenecks\.\d\.\d)\.conv\.1\.', r'\1.depthwise.'),
    (r'^(bottlenecks\.\d\.\d)\.conv\.2\.', r'\1.project.'),
    (r'^backbone\.learning_to_downsample\.conv\.', 'stem.0.'),
    (r'^backbone\.learning_to_downsample\.dsconv([12])\.', r'stem.\1.'),
    (r'^decode_head\.convs\.', 'classifier.'),
    (r'\.depthwise_conv\.', '.0.'),
    (r'\.pointwise_conv\.', '.1.'),
    (r'^decode_head\.conv_seg\.', 'classifier.3.'),
    (r'^backbone\.global_feature_extractor\.ppm\.(\d)\.1\.', r'pyramid.branches.\1.'),
    (r'^backbone\.global_feature_extractor\.out\.', 'projection.'),
    (r'^backbone\.feature_fusion\.dwconv\.', 'low.0.'),
    (r'^backbone\.feature_fusion\.conv_lower_res\.', 'low.1.'),
    (r'^backbone\.feature_fusion\.conv_higher_res\.', 'high.'),
    # Theirs are in the order context, stem.
    (r'^auxiliary_head\.0\.', 'auxiliary.1.'),
    (r'^auxiliary_head\.1\.', 'auxiliary.0.'),
    (r'^(auxiliary\.\d)\.convs\.0\.', r'\1.0.'),
    (r'^(auxiliary\.\d)\.conv_seg\.', r'\1.2.'),
    *CONV_MODULES,
)


def _tramac(tensors: Tensors, classes: int) -> dict[str, Any]:
    return {
        'fusion_dilation': 1,
        'depthwise_activation': True,
        'padded_stem': False,
        'align_corners': True,
        'auxiliary': False,
    }


def _mmseg(tensors: Tensors, classes: int) -> dict[str, Any]:
    kernel_size = int(tensors['projection.0.weight'].shape[2])
    return {'fusion_dilation': 1, 'projection_size': kernel_size}


LAYOUTS = (
    Layout(
        name='tramac_fast_scnn',
        networks=('fast_scnn',),
        source='github Tramac/Fast-SCNN-pytorch @0638517, models/fast_scnn.py',
        recognises=names_include(
            'learning_to_downsample.dsconv1.conv.0.weight',
            'global_feature_extractor.ppm.conv1.conv.0.weight', 'classifier.conv.1.weight',
        ),
        convert=renaming(*RENAMED),
        class_axes=((r'classifier\.3\.(weight|bias)', 0),),
        arguments=_tramac,
        input_sizes={'cityscapes': (1024, 2048)},
        left_over=(r'auxlayer\..*',),
        licence='Apache-2.0',
    ),
    Layout(
        name='mmseg_fast_scnn',
        networks=('fast_scnn',),
        source=f'{VERSION}, mmseg/models/backbones/fast_scnn.py, decode_heads/sep_fcn_head.py',
        recognises=names_include(
            'backbone.learning_to_downsample.dsconv1.depthwise_conv.conv.weight',
            'backbone.feature_fusion.conv_lower_res.conv.weight', 'decode_head.conv_seg.weight',
        ),
        convert=renaming_with_zero_biases(('low.1.0.bias', 'high.0.bias'), *MM_RENAMED),
        class_axes=(
            (r'classifier\.3\.(weight|bias)', 0), (r'auxiliary\.\d\.2\.(weight|bias)', 0),
        ),
        arguments=_mmseg,
        input_sizes={'cityscapes': (1024, 2048)},
        licence=LICENCE,
    ),
)

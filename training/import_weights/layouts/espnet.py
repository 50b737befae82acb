# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The authors' own files of ESPNet and ESPNet-C."""

from __future__ import annotations

import re
from typing import Any

from training.import_weights.layout import (
    Layout,
    names_include,
    Preprocessing,
    renaming,
    Tensors,
)

# The authors' names -> ours, in this order.
RENAMED = (
    (r'\blevel1\.conv\.', 'stem.0.'),
    (r'\blevel1\.bn\.', 'stem.1.'),
    (r'\blevel1\.act\.', 'stem.2.'),
    (r'\bb([123])\.bn\.', r'join\1.0.'),
    (r'\bb([123])\.act\.', r'join\1.1.'),
    (r'\blevel([23])_0\.', r'down\1.'),
    (r'^br\.', 'score_norm.'),
    (r'^up_l3\.0\.', 'up3.'),
    (r'^level3_C\.conv\.', 'lateral2.'),
    (r'^combine_l2_l3\.0\.bn\.', 'fuse2.0.0.'),
    (r'^combine_l2_l3\.0\.act\.', 'fuse2.0.1.'),
    (r'^combine_l2_l3\.1\.', 'fuse2.1.'),
    (r'^up_l2\.0\.', 'up2.0.'),
    (r'^up_l2\.1\.bn\.', 'up2.1.'),
    (r'^up_l2\.1\.act\.', 'up2.2.'),
    (r'^conv\.conv\.', 'fuse1.0.'),
    (r'^conv\.bn\.', 'fuse1.1.'),
    (r'^conv\.act\.', 'fuse1.2.'),
    (r'^classifier\.weight$', 'up1.weight'),  # before the next: of ESPNet, not of its encoder
    (r'\bclassifier\.conv\.', 'classifier.'),
    (r'\bc1\.conv\.', 'reduce.'),
    (r'\bd1\.conv\.', 'branches.0.'),
    (r'\bd2\.conv\.', 'branches.1.'),
    (r'\bd4\.conv\.', 'branches.2.'),
    (r'\bd8\.conv\.', 'branches.3.'),
    (r'\bd16\.conv\.', 'branches.4.'),
    (r'\bbn\.bn\.', 'norm.0.'),
    (r'\bbn\.act\.', 'norm.1.'),
    (r'\b(down[23])\.bn\.', r'\1.norm.0.'),
    (r'\b(down[23])\.act\.', r'\1.norm.1.'),
)
SOURCE = 'github sacmehta/ESPNet @afe71c3, test/Model.py and pretrained/'

# test/VisualizeResults.py: B, G, R pixels less their mean, by their deviation, and then by 255.
# A record means (x / 255 - mean) / std, so the deviation stays in grey levels there.
CITYSCAPES = Preprocessing(
    mean=(73.15840149 / 255, 82.90893555 / 255, 72.3923111 / 255),
    std=(44.91483307, 46.15289307, 45.3192215),
    color_order='bgr',
)
# No file of theirs states CamVid's. These are what train/loadData.py computes from the 367
# training frames: the mean over the frames of each frame's mean and deviation.
CAMVID = Preprocessing(
    mean=(104.95 / 255, 108.37 / 255, 110.20 / 255),
    std=(69.86, 72.59, 72.05),
    color_order='bgr',
)


def _depth(tensors: Tensors, level: int) -> int:
    pattern = re.compile(rf'(?:encoder\.)?level{level}\.(\d+)\.')
    found = [int(m[1]) for m in map(pattern.match, tensors) if m]
    return max(found, default=-1) + 1


def _encoder_arguments(tensors: Tensors, classes: int) -> dict[str, Any]:
    return {'p': _depth(tensors, 2), 'q': _depth(tensors, 3)}


def _arguments(tensors: Tensors, classes: int) -> dict[str, Any]:
    """Read the form from the decoder's last fusion and width from what it fuses."""
    arguments = _encoder_arguments(tensors, classes)
    width = int(tensors['up1.weight'].shape[0])
    detail = int(tensors['fuse1.0.weight'].shape[1]) - width
    if width != classes:
        arguments['width'] = width
    if detail == 16 + 3:
        arguments['image_in_detail'] = True
    return arguments


LAYOUTS = (
    Layout(
        name='espnet',
        networks=('espnet',),
        source=SOURCE,
        recognises=names_include(
            'encoder.level1.conv.weight', 'up_l3.0.weight', 'conv.conv.weight',
            'classifier.weight',
        ),
        convert=renaming(*RENAMED),
        # A transposed convolution: (in, out, 2, 2). Its 20 inputs stay, see ``width``.
        class_axes=((r'up1\.weight', 1),),
        arguments=_arguments,
        extra_outputs=1,
        preprocessing=CITYSCAPES,
        preprocessing_by_set={'camvid': CAMVID},
        input_sizes={'cityscapes': (512, 1024), 'camvid': (360, 480)},
        licence='MIT',
    ),
    Layout(
        name='espnet_c',
        networks=('espnet_c',),
        source=SOURCE,
        recognises=names_include('level1.conv.weight', 'level3.0.c1.conv.weight',
                                 'classifier.conv.weight'),
        convert=renaming(*RENAMED),
        class_axes=((r'classifier\.weight', 0),),
        arguments=_encoder_arguments,
        extra_outputs=1,
        preprocessing=CITYSCAPES,
        input_sizes={'cityscapes': (512, 1024)},
        licence='MIT',
    ),
)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ICNet at full width: Fast_Seg's file (icnet_final.pth).

The logits equal theirs, the auxiliary ones too: the network is built with their max-pooling, which
rounds sizes up, and without biases in the classifiers. They enlarge the logits to the image with
aligned corners, we without. Their pyramid concatenates the averages before the map, ours after it,
so the convolution that follows has its input channels reordered.

The authors' own half-width net exists as a Caffe model only, which is not read.
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

# train_distribute.py with --rgb 0: B, G, R pixels 0..255 less their mean, not divided.
BGR_MEAN = (104.00698793, 116.66876762, 122.67891434)

RENAMED = (
    (r'^conv_sub1\.', 'detail.'),
    (r'^conv_sub2\.', 'tap.'),
    (r'^conv_sub4\.', 'pyramid.3.'),
    (r'^(detail\.\d|tap|pyramid\.3)\.conv\.', r'\1.0.'),
    (r'^(detail\.\d|tap|pyramid\.3)\.bn\.', r'\1.1.'),
    (r'^backbone\.head\.stages\.(\d)\.1\.', r'pyramid.0.branches.\1.0.'),
    (r'^backbone\.head\.stages\.(\d)\.2\.', r'pyramid.0.branches.\1.1.'),
    (r'^backbone\.head\.bottleneck\.', 'pyramid.1.'),
    # The deep stem is one sequence here, whose last normalisation is the backbone's bn1.
    (r'^backbone\.conv1\.', 'backbone.conv1.0.'),
    (r'^backbone\.bn1\.', 'backbone.conv1.1.'),
    (r'^backbone\.conv2\.', 'backbone.conv1.3.'),
    (r'^backbone\.bn2\.', 'backbone.conv1.4.'),
    (r'^backbone\.conv3\.', 'backbone.conv1.6.'),
    (r'^backbone\.bn3\.', 'backbone.bn1.'),
    (r'^head\.cff_12\.conv_low_cls\.', 'auxiliary.0.'),
    (r'^head\.cff_24\.conv_low_cls\.', 'auxiliary.1.'),
    (r'^head\.cff_12\.', 'fuse8.'),
    (r'^head\.cff_24\.', 'fuse16.'),
    (r'^(fuse\d+)\.conv_low\.', r'\1.coarse.'),
    (r'^(fuse\d+)\.conv_high\.', r'\1.fine.'),
    (r'^head\.conv_cls\.', 'classifier.'),
)
_rename = renaming(*RENAMED)


def _convert(tensors: Tensors) -> Tensors:
    import torch

    converted = _rename(tensors)
    name = 'pyramid.1.0.weight'
    weight = converted.get(name)
    reduced = converted.get('pyramid.0.branches.0.0.weight')
    if weight is not None and reduced is not None:
        averages = weight.shape[1] - reduced.shape[1]
        converted[name] = torch.cat([weight[:, averages:], weight[:, :averages]], 1)
    return converted


def _arguments(tensors: Tensors, classes: int) -> dict[str, Any]:
    return {'classifier_bias': False, 'ceil_mode': True}


LAYOUTS = (
    Layout(
        name='fast_seg_icnet',
        networks=('icnet_full',),
        source='github lxtGH/Fast_Seg @7895738, libs/models/ICNet.py, libs/models/PSPNet.py',
        recognises=names_include(
            'conv_sub1.0.conv.weight', 'backbone.head.bottleneck.0.weight',
            'head.cff_12.conv_low.0.weight', 'head.conv_cls.weight',
        ),
        convert=_convert,
        class_axes=((r'classifier\.weight', 0), (r'auxiliary\.\d\.weight', 0)),
        arguments=_arguments,
        preprocessing=Preprocessing(
            mean=(BGR_MEAN[2] / 255, BGR_MEAN[1] / 255, BGR_MEAN[0] / 255),
            std=(1 / 255, 1 / 255, 1 / 255),
            color_order='bgr',
        ),
        input_sizes={'cityscapes': (1024, 2048)},
        licence='Apache-2.0',
    ),
)

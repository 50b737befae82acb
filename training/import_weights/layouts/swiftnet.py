# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SwiftNetRN-18, single scale: the authors' own files.

The logits equal theirs, and both enlarge them bilinearly without aligned corners. Their network
normalises the image itself, with buffers that its files hold; here that belongs to the record, so
a file with another normalisation is refused.
"""

from __future__ import annotations

from segnode.errors import SegnodeError
from training.import_weights.layout import (
    Layout,
    names_include,
    Preprocessing,
    renaming,
    Tensors,
)

# configs/rn18_single_scale.py, of RGB pixels 0..255.
MEAN = (73.15, 82.90, 72.3)
STD = (47.67, 48.49, 47.73)

RENAMED = (
    *(
        (rf'^backbone\.spp\.spp\.{theirs}\.', f'pyramid.{ours}.')
        for theirs, ours in (
            ('spp_bn', '0'), *((f'spp{level}', f'1.branches.{level}') for level in range(3)),
            ('spp_fuse', '2'),
        )
    ),
    *(
        (rf'^backbone\.upsample\.{stage}\.', f'{name}.')
        for stage, name in enumerate(('up16', 'up8', 'up4'))
    ),
    (r'\.bottleneck\.', '.project.'),
    (r'\.blend_conv\.', '.blend.'),
    (r'^logits\.norm\.', 'bn.'),
    (r'^logits\.conv\.', 'classifier.'),
    (r'\.norm\.', '.0.'),
    (r'\.conv\.', '.2.'),
)
_rename = renaming(*RENAMED)


def _convert(tensors: Tensors) -> Tensors:
    for name, expected in (('img_mean', MEAN), ('img_std', STD), ('img_scale', (1.0,))):
        buffer = tensors.get(f'backbone.{name}')
        if buffer is None:
            continue
        values = [round(float(value), 4) for value in buffer.flatten()]
        if len(values) != len(expected) or any(
            abs(a - b) > 1e-3 for a, b in zip(values, expected)
        ):
            raise SegnodeError(
                f'its network has {name} {values} instead of {list(expected)}, the one that '
                'the layout swiftnet has for images'
            )
    return _rename(tensors)


LAYOUTS = (
    Layout(
        name='swiftnet',
        networks=('swiftnet',),
        source='github orsic/swiftnet @2b88990, models/resnet/resnet_single_scale.py',
        recognises=names_include(
            'backbone.spp.spp.spp_bn.conv.weight', 'backbone.upsample.2.blend_conv.conv.weight',
            'backbone.layer4.1.conv2.weight', 'logits.conv.weight',
        ),
        convert=_convert,
        class_axes=((r'classifier\.(weight|bias)', 0),),
        preprocessing=Preprocessing(
            mean=(MEAN[0] / 255, MEAN[1] / 255, MEAN[2] / 255),
            std=(STD[0] / 255, STD[1] / 255, STD[2] / 255),
        ),
        input_sizes={'cityscapes': (1024, 2048)},
        left_over=(r'backbone\.img_(mean|std|scale)',),
        licence='GPL-3.0',
    ),
)

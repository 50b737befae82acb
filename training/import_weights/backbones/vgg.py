# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""VGG-16 with batch normalisation, the encoder of Bayesian SegNet."""

from __future__ import annotations

from training.import_weights.backbones.by_module import by_module
from training.import_weights.layout import Layout, names_include

# Convolutions of the five units; behind each unit follows one pooling layer.
UNITS = (2, 2, 3, 3, 3)


def _modules() -> dict[str, str]:
    table: dict[str, str] = {}
    start = 0
    for unit, convolutions in enumerate(UNITS):
        layers = 3 * convolutions  # convolution, normalisation, activation
        table |= {f'features.{start + n}': f'{unit}.{n}' for n in range(layers)}
        start += layers + 1
    return table


LAYOUTS = (
    Layout(
        name='vgg16_bn_torchvision',
        networks=('vgg16_bn',),
        source='torchvision/models/vgg.py @02196ff4; the same in timm/models/vgg.py @aa4b5850',
        recognises=names_include('features.0.weight', 'features.1.running_mean'),
        convert=by_module(_modules()),
        left_over=(r'classifier\..*', r'pre_logits\..*', r'head\..*'),
    ),
)

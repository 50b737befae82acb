# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Fast-SCNN against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.fast_scnn import FastSCNN  # noqa: E402

# The specification's, per module; only the pyramid changes without its projection.
PARAMETERS = {
    'stem': 6_640, 'bottlenecks': 1_016_448, 'pyramid': 16_640, 'projection': 33_024,
    'low': 1_408 + 16_768, 'high': 8_576, 'classifier': 38_547, 'auxiliary': 56_678,
}


class TestFastSCNN(NetworkCase):
    factory = FastSCNN
    parameters = 1_194_729
    inference_parameters = 1_138_051
    auxiliary = 2

    def test_parameters_per_module(self):
        made = FastSCNN(19)
        found = {n: sum(p.numel() for p in m.parameters()) for n, m in made.named_children()}
        assert found == PARAMETERS
        assert found['pyramid'] + found['projection'] == 49_664
        assert found['low'] + found['high'] == 26_752

    def test_auxiliary_strides(self):
        with torch.no_grad():
            outputs = FastSCNN(5)(torch.rand(2, 3, 64, 128))
        assert [tuple(o.shape[1:]) for o in outputs] == [(5, 8, 16), (5, 8, 16), (5, 2, 4)]


class TestFastSCNNWithoutProjection(NetworkCase):
    factory = FastSCNN
    args = {'projection': False, 'auxiliary': False, 'fusion_dilation': 1}
    parameters = 1_105_027


class TestFastSCNNAsTramac(NetworkCase):
    factory = FastSCNN
    args = {
        'fusion_dilation': 1, 'depthwise_activation': True, 'padded_stem': False,
        'align_corners': True, 'auxiliary': False,
    }
    parameters = 1_138_051


class TestFastSCNNAsMMSegmentation(NetworkCase):
    factory = FastSCNN
    args = {'fusion_dilation': 1, 'projection_size': 3, 'auxiliary': False}
    parameters = 1_138_051 + 8 * 256 * 128  # a 3x3 instead of a 1x1 convolution


def test_skips_where_the_shapes_match():
    units = [unit for group in FastSCNN(2).bottlenecks for unit in group]
    assert [unit.skip for unit in units] == 3 * [False, True, True]

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What others published of the networks, and how it is shown."""

from __future__ import annotations

import dataclasses

import pytest

from segnode.networks.published import AUTHORS, PUBLISHED, Published, short
from segnode.networks.zoo import NETWORKS

DATASETS = {'Cityscapes', 'BDD100K', 'CamVid', 'KITTI'}


def test_figures_belong_to_networks() -> None:
    assert set(PUBLISHED) <= set(NETWORKS)
    for name, info in NETWORKS.items():
        assert info.published == PUBLISHED.get(name, ())


@pytest.mark.parametrize('name', PUBLISHED)
def test_each_figure_states_its_conditions(name: str) -> None:
    figures = PUBLISHED[name]
    assert figures
    for figure in figures:
        assert figure.dataset in DATASETS and figure.split in ('val', 'test')
        assert 20 < figure.miou < 85, 'percent'
        assert 'github ' in figure.source or 'arXiv ' in figure.source
        if figure.input_size is not None:
            height, width = figure.input_size
            assert 300 < height <= width < 2100
    stated = [dataclasses.replace(figure, note='') for figure in figures]
    assert len(set(stated)) == len(stated) or name == 'dfanet_a'


def test_figures_of_others_say_so() -> None:
    """The proposal's figures are not its own; nor are those of Fast_Seg's ICNet its authors'."""
    for name in ('msfnet', 'icnet_full', 'separable_unet', 'deeplabv3plus_mobilenetv2'):
        assert all(figure.of != AUTHORS for figure in PUBLISHED[name])
    assert 'not this proposal' in str(PUBLISHED['msfnet'][0])
    ours = [f for f in PUBLISHED['bisenet'] if 'CoinCheung' in f.source]
    assert [f.of for f in ours] == ['re-implementation']


def test_short_form() -> None:
    assert short(PUBLISHED['fsffnet']) == '71.8 val / 69.4 test Cityscapes; 55.2 val BDD100K'
    assert short(PUBLISHED['msfnet']) == (
        "77.1 test Cityscapes; 75.4 test CamVid (the authors' network, not this proposal)")
    assert short(PUBLISHED['icnet_full']) == '74.5 val Cityscapes (re-implementation)'
    assert short(()) == '-'
    # Of several, the one at the largest size; those of others only where the authors have none.
    small = Published('Cityscapes', 'test', 62.8, (512, 1024), 'somewhere')
    large = Published('Cityscapes', 'test', 68.0, (1024, 2048), 'somewhere')
    other = Published('Cityscapes', 'val', 71.0, None, 'elsewhere', 're-implementation')
    assert short([small, large, other]) == '68.0 test Cityscapes'
    assert short([other]) == '71.0 val Cityscapes (re-implementation)'


def test_long_form() -> None:
    figure = Published('CamVid', 'test', 71.0, (640, 896), 'a paper', 're-implementation', 'x')
    assert str(figure) == '71.0 CamVid test, 640x896 [re-implementation; x] (a paper)'
    bare = Published('CamVid', 'test', 71.0, None, 'a paper')
    assert str(bare) == '71.0 CamVid test, input size not stated (a paper)'

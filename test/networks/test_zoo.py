# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The zoo: every entry is what its network really is."""

from __future__ import annotations

import sys

import pytest

from segnode.errors import SegnodeError
from segnode.networks.zoo import create, network_info, network_of, NETWORKS


@pytest.mark.parametrize('name', NETWORKS)
def test_entry_is_true(name: str) -> None:
    torch = pytest.importorskip('torch')
    info = network_info(name)
    network = create(name, 19).eval()
    assert info.name == name and info.source
    assert info.parameters_at_19 == sum(
        p.numel() for name, p in network.named_parameters()
        if p.requires_grad and not name.startswith('auxiliary'))
    assert network.output_stride == info.output_stride
    assert network.size_multiple == info.size_multiple
    assert network.upsampling in ('nearest', 'bilinear')
    size = info.size_multiple, 2 * info.size_multiple
    with torch.no_grad():
        logits = network(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 19, size[0] // info.output_stride, size[1] // info.output_stride)

    from segnode.runtimes.torch2trt_functions import unconverted_calls

    assert unconverted_calls(network, torch.zeros(1, 3, *size)) == []


def test_arguments_reach_the_network() -> None:
    pytest.importorskip('torch')
    assert create('fsffnet', 3, u4_activation=True).ffm.nodes['u4'].activate
    assert not create('fsffnet', 3).ffm.nodes['u4'].activate


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SegnodeError, match='there is fsffnet'):
        create('unet', 19)
    for classes in (0, 256):
        with pytest.raises(SegnodeError, match='1 to 255 classes'):
            create('fsffnet', classes)
    info = network_info('fsffnet')
    info.check_input_size((384, 512))
    for size in ((360, 480), (0, 128), (-128, 128)):
        with pytest.raises(SegnodeError, match='multiples of 128'):
            info.check_input_size(size)
    monkeypatch.setitem(sys.modules, 'torch', None)
    with pytest.raises(SegnodeError, match='needs PyTorch, which is not installed'):
        create('fsffnet', 19)


def test_wrong_arguments() -> None:
    pytest.importorskip('torch')
    with pytest.raises(SegnodeError, match='width; it takes dropout, u4_activation$'):
        create('fsffnet', 19, width=2)
    with pytest.raises(SegnodeError, match='num_classes; it takes none$'):
        create('df1seg', 19, num_classes=2)
    with pytest.raises(SegnodeError, match='contextnet does not take .*: shrink is 2, 4 or 8$'):
        create('contextnet', 19, shrink=3)


def test_network_of_a_model_name() -> None:
    assert network_of('fsffnet_camvid') == ('fsffnet', 'camvid')
    assert network_of('fast_scnn_camvid') == ('fast_scnn', 'camvid')
    assert network_of('espnet_c') == ('espnet_c', '')
    assert network_of('espnet_camvid') == ('espnet', 'camvid')
    assert network_of('unet_camvid') == ('', 'unet_camvid')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ESPNet and ESPNet-C against their specification and their authors' weights."""

from __future__ import annotations

from pathlib import Path

import cv2
from networks.network_cases import NetworkCase
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from segnode.labels import load_label_set  # noqa: E402
from segnode.networks.espnet import ESP, ESPNet, ESPNetC  # noqa: E402
from training.import_weights.layout import renaming  # noqa: E402
from training.import_weights.layouts.espnet import RENAMED  # noqa: E402


class TestESPNet(NetworkCase):
    factory = ESPNet
    parameters = 362_949


class TestESPNetOfTheAuthorsWeights(NetworkCase):
    """More channels in the decoder than classes; see ``width``."""

    factory = ESPNet
    args = {'width': 20}
    parameters = 364_489
    not_converted = ('F.conv_transpose2d: to another number of channels, which is mistaken',)


class TestESPNetC(NetworkCase):
    factory = ESPNetC
    parameters = 349_193


@pytest.mark.parametrize(
    'network, classes, args, parameters',
    [
        (ESPNet, 20, {}, 364_569),
        (ESPNet, 20, {'image_in_detail': True}, 365_109),
        (ESPNet, 19, {'image_in_detail': True, 'q': 3}, 201_542),
        (ESPNet, 20, {'image_in_detail': True, 'q': 5}, 267_957),
        (ESPNetC, 20, {}, 349_449),
        (ESPNetC, 19, {'q': 3}, 187_273),
        # The last layer alone is smaller: 20 x 2 x 2 weights less than with 20 classes.
        (ESPNet, 19, {'width': 20}, 364_569 - 80),
    ],
)
def test_counts_of_the_other_forms(network, classes, args, parameters):
    with torch.device('meta'):
        made = network(classes, **args)
    assert sum(p.numel() for p in made.parameters()) == parameters


def test_esp_block_by_hand():
    """One pixel of 1 through kernels that each pick one tap: every sum ends where it should."""
    block = ESP(1, 5).eval()
    with torch.no_grad():
        block.reduce.weight.fill_(1.0)
        for branch in block.branches:
            branch.weight.zero_()
            branch.weight[0, 0, 1, 0] = 1.0  # reads `dilation` pixels to the left
        x = torch.zeros(1, 1, 1, 32)
        x[..., 8] = 1.0
        out = block(x)[0, :, 0] * (1.0 + 1e-3) ** 0.5
    found = [sorted(row.nonzero().flatten().tolist()) for row in out]
    # Outputs: dilation 1; 2; 2 + 4; 2 + 4 + 8; 2 + 4 + 8 + 16.
    assert found == [[9], [10], [10, 12], [10, 12, 16], [10, 12, 16, 24]]
    assert torch.allclose(out[out != 0], torch.ones(()))


def test_too_few_classes_are_refused():
    with pytest.raises(ValueError, match='at least 5'):
        ESPNet(4)


def _loaded(network: torch.nn.Module, file: Path) -> torch.nn.Module:
    """Load the authors' weights: every tensor has one place, every place one tensor."""
    if not file.exists():
        pytest.skip(f'{file.name} is not in the test data')
    theirs = torch.load(file, map_location='cpu', weights_only=True)
    ours = renaming(*RENAMED)(theirs)
    assert len(ours) == len(theirs)
    counters = {k: v for k, v in network.state_dict().items() if k.endswith('batches_tracked')}
    network.load_state_dict({**counters, **ours})  # strict: files of 2018 have no counters
    return network.eval()


@pytest.mark.parametrize(
    'file, network, args',
    [
        ('espnet_p2_q8_cityscapes', ESPNet, {'num_classes': 20}),
        ('espnet_c_p2_q8_cityscapes', ESPNetC, {'num_classes': 20}),
        ('espnet_p2_q8_camvid', ESPNet, {'num_classes': 12, 'image_in_detail': True}),
    ],
)
def test_the_authors_weights_fit(data_root, file, network, args):
    _loaded(network(**args), data_root / 'weights' / 'espnet' / f'{file}.pth')


@pytest.mark.slow
@pytest.mark.parametrize(
    'file, network', [('espnet_p2_q8', ESPNet), ('espnet_c_p2_q8', ESPNetC)]
)
def test_the_authors_weights_know_a_street(data_root, file, network):
    """By their recipe: BGR, their mean and deviation, then / 255; 512x1024."""
    made = _loaded(network(20), data_root / 'weights' / 'espnet' / f'{file}_cityscapes.pth')
    frames = sorted((data_root / 'cityscapes_frames' / 'leftImg8bit').rglob('*_leftImg8bit.*'))
    if not frames:
        pytest.skip('there are no Cityscapes frames in the test data')
    frame = frames[0]
    name = frame.stem.replace('leftImg8bit', 'gtFine_labelIds.png')
    truth = cv2.imread(
        str(data_root / 'cityscapes_frames' / 'gtFine' / 'train' / frame.parent.name / name),
        cv2.IMREAD_GRAYSCALE,
    )
    image = cv2.resize(cv2.imread(str(frame)), (1024, 512)).astype(np.float32)
    image = (image - (72.39, 82.91, 73.16)) / np.array((45.32, 46.15, 44.91)) / 255
    with torch.inference_mode():
        logits = made(torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1)[None]))
        logits = torch.nn.functional.interpolate(logits, truth.shape, mode='bilinear')
    labels = logits[0, :19].argmax(0).numpy()
    truth = load_label_set('cityscapes').raw_to_train[truth]
    assert (labels == truth)[truth != 255].mean() > 0.85

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Views are averaged as the arithmetic says; without them it is what a vehicle runs."""

import cv2
import numpy as np
import pytest

pytest.importorskip('torch')

import torch

from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.runtimes.graph import deploy_graph
from segnode.segmenter import Segmenter
import small_bayesian
import small_cityscapes
import small_model
from training.inference import Inference
from training.multi_view import _starts, MultiViewSegmenter

IMAGE = small_model.frames(1, (150, 260))[0]


@pytest.fixture(scope='module')
def camvid():
    return small_model.model()


@pytest.fixture(scope='module')
def cityscapes():
    from segnode.model import Model

    return Model.load(small_cityscapes.stem())


def network_says(model, image):
    """float32 (C, H, W): softmax of the enlarged logits, each step written out."""
    graph = deploy_graph(model.build_network(), model.record, image.shape[:2])
    with torch.no_grad():
        logits = graph.network(graph.prepare(torch.from_numpy(image.copy())[None]))
        if graph.repeats > 1:
            logits = logits.repeat_interleave(graph.repeats, 2).repeat_interleave(graph.repeats, 3)
        else:
            logits = torch.nn.functional.interpolate(
                logits, size=image.shape[:2], mode='bilinear', align_corners=False)
        return torch.softmax(logits, 1)[0]


@pytest.mark.parametrize('fit', ['stretch', 'letterbox', 'crop'])
@pytest.mark.parametrize('which', ['camvid', 'cityscapes'])
def test_one_view_is_the_segmenter(which, fit, request):
    model = request.getfixturevalue(which)
    expected = Segmenter.load(model, runtime='pytorch', fit=fit).segment(IMAGE).labels
    labels = MultiViewSegmenter(model, fit=fit).segment(IMAGE).labels
    assert labels.dtype == np.uint8 and labels.shape == IMAGE.shape[:2]
    assert (labels == expected).mean() > 0.999
    assert len(np.unique(expected)) > 1


def test_mirror_image(cityscapes):
    seen, _ = MultiViewSegmenter(cityscapes, flip=True).probabilities(IMAGE)
    fitted = fit_image(IMAGE, small_cityscapes.SIZE)[0]
    mirrored = network_says(cityscapes, fitted[:, ::-1]).flip(-1)
    expected = (network_says(cityscapes, fitted) + mirrored) / 2
    assert torch.allclose(seen, expected, atol=1e-5)
    assert not torch.allclose(seen, mirrored, atol=1e-2)


def test_scales(cityscapes):
    """0.75 is 48x96, which is padded to 64x96: Fast-SCNN takes multiples of 32."""
    seen, _ = MultiViewSegmenter(cityscapes, scales=(0.75, 1.0, 1.5)).probabilities(IMAGE)
    parts = []
    for scale in (0.75, 1.0, 1.5):
        height, width = round(64 * scale), round(128 * scale)
        fitted = fit_image(IMAGE, (height, width))[0]
        mean = tuple(int(v) for v in fitted.mean((0, 1)))
        padded = cv2.copyMakeBorder(
            fitted, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT, value=mean)
        part = network_says(cityscapes, padded)[:, :height, :width]
        parts.append(torch.nn.functional.interpolate(
            part[None], size=(64, 128), mode='bilinear', align_corners=False)[0])
    assert torch.allclose(seen, sum(parts) / 3, atol=1e-5)
    assert torch.allclose(seen.sum(0), torch.ones(64, 128), atol=1e-5)


def test_windows(cityscapes):
    """Windows of 64x128 on 150x260, left at its own size; where they overlap is the mean."""
    loaded = MultiViewSegmenter(cityscapes, window=(64, 128), overlap=0.25)
    seen, placement = loaded.probabilities(IMAGE)
    assert placement.source == (0, 0, 150, 260) and tuple(seen.shape[1:]) == (150, 260)
    total, count = torch.zeros(19, 150, 260), torch.zeros(150, 260)
    for top in (0, 43, 86):
        for left in (0, 66, 132):
            part = network_says(cityscapes, IMAGE[top:top + 64, left:left + 128])
            total[:, top:top + 64, left:left + 128] += part
            count[top:top + 64, left:left + 128] += 1
    assert count.min() == 1 and count.max() == 4
    assert torch.allclose(seen, total / count, atol=1e-5)
    assert (loaded.segment(IMAGE).labels == (total / count).argmax(0).numpy()).mean() > 0.999


def test_a_window_larger_than_the_image(cityscapes):
    seen, _ = MultiViewSegmenter(cityscapes, window=(64, 128)).probabilities(IMAGE[:50, :70])
    assert tuple(seen.shape) == (19, 50, 70)
    mean = tuple(int(v) for v in IMAGE[:50, :70].mean((0, 1)))
    padded = cv2.copyMakeBorder(
        np.ascontiguousarray(IMAGE[:50, :70]), 0, 14, 0, 58, cv2.BORDER_CONSTANT, value=mean)
    assert torch.allclose(seen, network_says(cityscapes, padded)[:, :50, :70], atol=1e-5)


@pytest.mark.parametrize('length, window, overlap, starts', [
    (100, 100, 0.5, [0]),
    (150, 100, 0.5, [0, 50]),
    (151, 100, 0.5, [0, 26, 51]),
    (400, 100, 0.0, [0, 100, 200, 300]),
    (1024, 512, 1 / 3, [0, 256, 512]),
])
def test_windows_cover_everything_evenly(length, window, overlap, starts):
    found = _starts(length, window, overlap)
    assert found == starts or np.abs(np.subtract(found, starts)).max() <= 1
    assert found[0] == 0 and found[-1] == length - window
    assert all(b - a <= window * (1 - overlap) + 1 for a, b in zip(found, found[1:]))


@pytest.mark.parametrize('options, words', [
    ({'runtime': 'onnx', 'flip': True}, 'only --runtime pytorch gives, not onnx'),
    ({'scales': (1.0, 2.0), 'samples': 4}, '--samples does not go with'),
    ({'flip': True, 'options': {'device': 'tensorrt'}}, 'on the CPU or with CUDA'),
    ({'flip': True, 'options': {'dla_core': 0}}, 'without --compile, --dla-core and --workspace'),
    ({'window': (100, 100)}, 'multiples of 32, not 100x100'),
    ({'flip': True, 'input_size': (100, 100)}, 'multiples of 32, not 100x100'),
    ({'window': (64, 64), 'overlap': 1.0}, 'overlap must be 0 to below 1'),
])
def test_what_does_not_go(options, words):
    with pytest.raises(SegnodeError, match=words):
        Inference(str(small_cityscapes.stem()), **options).load()


def test_windows_may_be_of_an_image_brought_to_a_size(cityscapes):
    """With windows the size need be no multiple of anything."""
    inference = Inference(str(small_cityscapes.stem()), window=(64, 128), input_size=(100, 180))
    loaded = inference.load()
    seen, _ = loaded.probabilities(IMAGE)
    assert tuple(seen.shape) == (19, 100, 180)
    assert loaded.segment(IMAGE).labels.shape == (150, 260)
    told = inference.describe(loaded)
    assert told['window'] == [64, 128] and told['input_size'] == [100, 180]
    assert told['runtime'] == 'pytorch' and told['model'] == 'fast_scnn_small'


def test_monte_carlo_dropout():
    inference = Inference(str(small_bayesian.stem()), runtime='pytorch', samples=3)
    loaded = inference.load()
    assert loaded.segment(small_bayesian.frames(1)[0]).uncertainty is not None
    assert inference.describe(loaded)['samples'] == 3

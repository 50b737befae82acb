# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Layouts of released checkpoints against the networks that those were made by.

Each file in ``layouts/`` states what is known of one of them: the names and shapes of a
checkpoint's tensors, how it is wrapped, and a few numbers that the authors' own network gives for
one image when its tensors have the values of ``tensors_of``. So a test fills such a checkpoint,
imports it, and has to find the same numbers, without any of their code.
"""

from __future__ import annotations

import json
from pathlib import Path
import re
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from segnode.errors import SegnodeError  # noqa: E402
from segnode.labels import load_label_set  # noqa: E402
from segnode.networks.zoo import create  # noqa: E402
from segnode.record import ModelRecord  # noqa: E402
from segnode.runtimes.graph import DeployGraph  # noqa: E402
from training.import_weights.checkpoint_file import read_checkpoint  # noqa: E402
from training.import_weights.layout import fill, match  # noqa: E402
from training.import_weights.layouts import LAYOUTS  # noqa: E402
from training.import_weights.run import choose_layout, import_weights  # noqa: E402

FACTS = Path(__file__).with_name('layouts')
NAMES = sorted(path.stem for path in FACTS.glob('*.json'))
SAMPLES = 24


def facts(name: str) -> dict[str, Any]:
    return json.loads((FACTS / f'{name}.json').read_text())


def tensors_of(shapes: dict[str, list[int]], given: dict[str, list[float]]) -> dict[str, Any]:
    """Return tensors of these shapes whose values depend on their order alone.

    ``NAME.*`` stands for the five tensors of a batch normalisation. NumPy's legacy generator gives
    the same bytes in every version.
    """
    random = np.random.RandomState(0)
    tensors: dict[str, Any] = {}
    for name, shape in shapes.items():
        if not name.endswith('.*'):
            tensors[name] = _values(random, name, shape)
            continue
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            full = name[:-1] + part
            tensors[full] = _values(random, full, shape)
        tensors[name[:-1] + 'num_batches_tracked'] = torch.tensor(1)
    for name, values in given.items():
        tensors[name] = torch.tensor(values).reshape(tensors[name].shape)
    return tensors


def _values(random: np.random.RandomState, name: str, shape: list[int]) -> Any:
    count = int(np.prod(shape))
    noise = np.frombuffer(random.bytes(count), np.int8).astype(np.float32).reshape(shape) / 128
    if len(shape) > 1:  # a deviation of 1 / sqrt(inputs)
        noise *= float(np.sqrt(3 / np.prod(shape[1:])))
    elif name.endswith(('weight', 'running_var')):
        noise = 1 + noise / 2
    else:
        noise *= 0.2
    return torch.from_numpy(noise)


def image_of(height: int, width: int) -> Any:
    """Return an image as the network gets it, (1, 3, H, W), with values of about -2 to 2."""
    noise = np.frombuffer(np.random.RandomState(1).bytes(3 * height * width), np.int8)
    return torch.from_numpy(noise.astype(np.float32).reshape(1, 3, height, width) / 64)


def samples(output: Any) -> list[float]:
    """Return values from all over a tensor."""
    flat = output.flatten()
    return [float(flat[i]) for i in np.linspace(0, len(flat) - 1, SAMPLES).astype(int)]


def checkpoint_of(known: dict[str, Any]) -> Any:
    """Return what the authors' training code saves."""
    tensors = tensors_of(known['tensors'], known.get('given', {}))
    prefix = known.get('prefix', '')
    saved: Any = {prefix + name: tensor for name, tensor in tensors.items()}
    for name, shape in known.get('of_the_loss', {}).items():
        saved[name] = torch.ones(shape)
    if 'nested_in' in known:
        saved = {'epoch': 484, 'best_mIoU': 0.5, known['nested_in']: saved, 'optimizer': {}}
    return saved


def imported(name: str, folder: Path) -> tuple[dict[str, Any], Any, Any]:
    """Write the checkpoint, read it by its layout into our network; facts, match and network."""
    known = facts(name)
    torch.save(checkpoint_of(known), folder / 'their.pth')
    tensors = read_checkpoint(folder / 'their.pth')
    layout = choose_layout(tensors, known['network'])
    assert layout.name == known['layout']
    converted = layout.convert(tensors)
    classes = layout.outputs(converted)
    network = create(known['network'], classes, **layout.arguments(converted, classes))
    found = match(network, converted, layout)
    found.check()
    fill(network, converted, found)
    return known, found, network.eval()


@pytest.mark.parametrize('name', NAMES)
def test_outputs_are_the_authors(name, tmp_path):
    known, found, network = imported(name, tmp_path)
    assert not found.missing and not found.wrong_shapes
    assert len(found.left_over) == known.get('left_over', 0)
    network.training = bool(known['auxiliary'])  # its own flag only: normalisations stay as saved
    with torch.no_grad():
        outputs = network(image_of(*known['image']))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(outputs) == 1 + known['auxiliary'] == len(known['outputs'])
    for ours, theirs in zip(outputs, known['outputs']):
        assert list(ours.shape) == theirs['shape']
        scale = max(map(abs, theirs['values']))
        np.testing.assert_allclose(samples(ours), theirs['values'], rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize('name', NAMES)
def test_only_its_own_layout_knows_a_file(name):
    known = facts(name)
    tensors = {k: v for k, v in tensors_of(known['tensors'], {}).items() if 'tracked' not in k}
    assert [layout.name for layout in LAYOUTS if layout.recognises(tensors)] == [known['layout']]


@pytest.mark.parametrize('name', NAMES)
def test_half_a_file_is_refused(name):
    known = facts(name)
    tensors = tensors_of(known['tensors'], known.get('given', {}))
    layout = next(layout for layout in LAYOUTS if layout.name == known['layout'])
    converted = {k: v for k, v in layout.convert(tensors).items() if 'tracked' not in k}
    with torch.device('meta'):
        args = layout.arguments(converted, layout.outputs(converted))
        network = create(known['network'], layout.outputs(converted), **args)
    match(network, converted, layout).check()
    lost = next(k for k in converted if k.endswith('running_var'))
    del converted[lost]
    with pytest.raises(SegnodeError, match=rf'1 missing \({lost}\)'):
        match(network, converted, layout).check()


# What the authors' code makes of a pixel (R, G, B) of 0..255, in the order of their channels.
IMAGENET = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
PREPARED = {
    'bisenet': lambda r, g, b: (
        (r / 255 - 0.3257) / 0.2112, (g / 255 - 0.3690) / 0.2148, (b / 255 - 0.3223) / 0.2115),
    'swiftnet': lambda r, g, b: ((r - 73.15) / 47.67, (g - 82.90) / 48.49, (b - 72.3) / 47.73),
    'fast_seg_icnet': lambda r, g, b: (b - 104.00698793, g - 116.66876762, r - 122.67891434),
}
PREPARED['bisenetv2'] = PREPARED['bisenet']


@pytest.mark.parametrize('name', sorted({facts(name)['layout'] for name in NAMES}))
def test_images_are_prepared_as_the_authors_do(name):
    layout = next(layout for layout in LAYOUTS if layout.name == name)
    how = layout.preprocessing
    record = ModelRecord(
        'espnet', load_label_set('cityscapes'), (8, 8),
        mean=how.mean, std=how.std, color_order=how.color_order,
    )
    red, green, blue = 200, 90, 30
    image = torch.tensor([blue, green, red], dtype=torch.uint8).expand(1, 8, 8, 3)
    prepared = DeployGraph(torch.nn.Identity(), record, output_stride=1).prepare(image)
    expected = PREPARED.get(name, lambda *rgb: [
        (value / 255 - mean) / std for value, (mean, std) in zip(rgb, IMAGENET)
    ])(red, green, blue)
    np.testing.assert_allclose(prepared[0, :, 3, 5].numpy(), expected, rtol=1e-5)


def test_camvid_classes_of_pidnet_come_in_our_order(tmp_path):
    """datasets/camvid.py lists colours; by CamVid's own table they are these classes."""
    theirs = ['bicyclist', 'building', 'car', 'pole', 'fence', 'pedestrian', 'road', 'sidewalk',
              'sign', 'sky', 'tree']
    torch.save(checkpoint_of(facts('pidnet_camvid')), tmp_path / 'their.pth')
    done = import_weights(tmp_path / 'their.pth', 'pidnet_s', dry_run=True)
    assert done.record.label_set.name == 'camvid' and done.record.input_size == (704, 960)
    order = done.match.layout.class_order['camvid']
    ours = [label.name for label in done.record.label_set.labels]
    assert [theirs[output] for output in order] == ours
    # The label set's colours, in their order, are their list.
    colors = [label.color for label in done.record.label_set.labels]
    assert colors[order.index(0)] == (0, 128, 192) and colors[order.index(9)] == (128, 128, 128)

    tensors = read_checkpoint(tmp_path / 'their.pth')
    converted = done.match.layout.convert(tensors)
    sorted_ = done.match.layout.select_outputs(converted, order)
    for name in ('head.5.weight', 'head.5.bias', 'auxiliary.detail.5.weight'):
        for row, output in enumerate(order):
            assert torch.equal(sorted_[name][row], converted[name][output])
    assert torch.equal(sorted_['auxiliary.boundary.5.weight'],
                       converted['auxiliary.boundary.5.weight'])


def _without(known: dict[str, Any], part: str) -> dict[str, Any]:
    kept = {k: v for k, v in known['tensors'].items() if not re.match(part, k)}
    return {**known, 'tensors': kept}


@pytest.mark.parametrize('name, part, args', [
    ('ddrnet', 'seghead_extra', {'auxiliary': False}),
    ('pidnet', 'seghead', {'auxiliary': False}),
    ('bisenet', 'conv_out(16|32)', {'nearest': True, 'reduction': None, 'auxiliary': False}),
    ('tramac_fast_scnn', 'auxlayer', {
        'fusion_dilation': 1, 'depthwise_activation': True, 'padded_stem': False,
        'align_corners': True, 'auxiliary': False,
    }),
])
def test_released_for_inference_only(name, part, args, tmp_path):
    """The authors' DDRNet class is made without its auxiliary head, others drop theirs."""
    known = facts(name)
    torch.save(checkpoint_of(_without(known, part)), tmp_path / 'their.pth')
    done = import_weights(tmp_path / 'their.pth', known['network'], dry_run=True)
    assert done.record.network_args == args
    assert len(done.match.matched) == done.match.wanted


def test_ddrnet_for_camvid_wants_its_classes_named(tmp_path):
    known = facts('ddrnet')
    eleven = {k: [11, *s[1:]] if s and s[0] == 19 else s for k, s in known['tensors'].items()}
    torch.save(tensors_of(eleven, {}), tmp_path / 'their.pth')
    with pytest.raises(SegnodeError, match='does not state the order'):
        import_weights(tmp_path / 'their.pth', 'ddrnet23_slim', dry_run=True)
    done = import_weights(tmp_path / 'their.pth', 'ddrnet23_slim', labels='camvid', dry_run=True)
    assert done.record.label_set.num_classes == 11


def test_swiftnet_with_another_normalisation_is_refused(tmp_path):
    known = facts('swiftnet')
    known['given']['backbone.img_mean'] = [73.1584, 82.9090, 72.3924]
    torch.save(checkpoint_of(known), tmp_path / 'their.pth')
    with pytest.raises(SegnodeError, match='img_mean .73.1584, 82.909, 72.3924. instead of'):
        import_weights(tmp_path / 'their.pth', 'swiftnet', dry_run=True)


def test_a_larger_relative_is_refused_by_its_shapes(tmp_path):
    """PIDNet-M has PIDNet-S's names, with twice the channels."""
    known = facts('pidnet')
    wider = {k: [2 * side if side in (32, 64) else side for side in s]
             for k, s in known['tensors'].items()}
    torch.save(tensors_of(wider, {}), tmp_path / 'their.pth')
    with pytest.raises(SegnodeError, match='of another shape .stem.0.weight is 64x3x3x3'):
        import_weights(tmp_path / 'their.pth', 'pidnet_s', dry_run=True)

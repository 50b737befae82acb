# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT for RTX, which needs no GPU for it, builds engines of every released model's graph.

Whatever lies in segnode/weights is a case, in float32, float16 and int8; weights without a graph
are exported as for a vehicle.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

import segnode
from segnode.dependencies import installed
from segnode.model import Model, SUFFIXES
from segnode.onnx_compact import read_deploy_graph
from segnode.onnx_edit import operators, precision_of
from segnode.onnx_half import in_half_precision
from segnode.road_scene import RoadScene
from segnode.runtimes.onnx import graph_path
from segnode.runtimes.tensorrt_build import Binding, build_plan, Plan
from segnode.runtimes.tensorrt_versions import find_tensorrt, TENSORRT_RTX
from training.convert.quantize import calibrate, clipped_at, in_half, layers, quantized

WEIGHTS = Path(segnode.__file__).with_name('weights')
RELEASED = sorted({path.stem for path in WEIGHTS.iterdir() if path.suffix in SUFFIXES})

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(map(installed, TENSORRT_RTX)),
        reason='TensorRT for RTX is not installed: requirements/tensorrt.txt',
    ),
]


@pytest.fixture(autouse=True, scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Export each graph once for the whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


def read(name: str) -> bytes:
    model = Model.load(WEIGHTS / name)
    content = read_deploy_graph(graph_path(model, model.record.input_size))
    if precision_of(content) != 'fp32':
        pytest.skip(f'{name} is in {precision_of(content)} already')
    return content


def built(name: str, content: bytes, batch: int = 1) -> Plan:
    """Build an engine, and compare its ends with the model's record."""
    size = Model.load(WEIGHTS / name).record.input_size
    one, most = (1, *size, 3), (batch, *size, 3)
    plan = build_plan(content, {'image': (one, most, most)}, tensorrt=find_tensorrt(TENSORRT_RTX))
    assert plan.inputs == {'image': Binding('uint8', (-1, *size, 3))}
    assert plan.outputs == {'labels': Binding('uint8', (-1, *size))}
    print(f'{name}: {plan.layers} layers, {plan.seconds:.2f} s, {len(plan.content) / 1e6:.1f} MB')
    return plan


def frames(name: str) -> list[np.ndarray]:
    """Return two rendered images of the model's size: ranges that fit others build as well."""
    scene = RoadScene(*Model.load(WEIGHTS / name).record.input_size)
    return [scene.frame(number)[0][None] for number in (0, 50)]


def test_models_are_released() -> None:
    assert len(RELEASED) > 1


@pytest.mark.parametrize('name', RELEASED)
def test_float32_and_float16(name: str) -> None:
    whole = read(name)
    half = in_half_precision(whole)
    plans = [built(name, content) for content in (whole, half)]
    convolutions = list(operators(whole)).count('Conv')
    assert plans[0].layers > convolutions > 10
    assert 0 <= plans[1].layers - plans[0].layers < 10, 'little but one cast'
    # All the weights are in it.
    assert len(plans[0].content) > 0.9 * len(whole) and len(plans[1].content) > 0.9 * len(half)


@pytest.mark.parametrize('name', RELEASED)
def test_several_images_at_once(name: str) -> None:
    assert built(name, read(name), batch=4).layers == built(name, read(name)).layers


@pytest.mark.parametrize('rest', ['fp32', 'fp16'])
@pytest.mark.parametrize('name', RELEASED)
def test_int8(name: str, rest: str) -> None:
    """As ``convert`` writes it, with what is left in float32 and in float16."""
    whole = read(name)
    ranges = calibrate(whole, [layer.input for layer in layers(whole)], frames(name))
    chosen = [layer for layer in layers(whole) if ranges[layer.input].pixels > 1]
    bounds = clipped_at(ranges, 'mse')
    if rest == 'fp16':
        bound_of = {layer.name: bounds[layer.input] for layer in chosen}
        whole = in_half(whole)
        chosen = [layer for layer in layers(whole) if layer.name in bound_of]
        bounds = {layer.input: bound_of[layer.name] for layer in chosen}
    plan = built(name, quantized(whole, chosen, bounds))
    inputs, weights = ({getattr(layer, kind) for layer in chosen} for kind in ('input', 'weight'))
    # A layer that quantizes each input and one that takes it back, and one for each weight.
    added = 2 * len(inputs) + len(weights)
    assert len(chosen) > 10 and plan.layers >= built(name, whole).layers + added

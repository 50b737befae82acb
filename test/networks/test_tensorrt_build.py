# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT for RTX, which needs no GPU for it, parses every network and builds an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip('torch')
pytest.importorskip('onnx')

from segnode.dependencies import installed
from segnode.errors import SegnodeError
from segnode.export import export_onnx
from segnode.labels import load_label_set
from segnode.model import Model
from segnode.networks.zoo import NETWORKS
from segnode.onnx_compact import read_deploy_graph
from segnode.onnx_half import in_half_precision
from segnode.runtimes.tensorrt_build import Binding, build_plan
from segnode.runtimes.tensorrt_versions import find_tensorrt, TENSORRT_RTX

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(map(installed, TENSORRT_RTX)),
        reason='TensorRT for RTX is not installed: requirements/tensorrt.txt',
    ),
]

SIZE = (512, 1024)


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Return a function that gives the file of an untrained network, its labels unchecked."""
    monkeypatch.setattr('segnode.export._check_agreement', lambda *_: None)

    def export(name: str, **options: bool) -> bytes:
        model = Model.untrained(name, load_label_set('cityscapes'), SIZE)
        return read_deploy_graph(export_onnx(model, path=tmp_path / 'graph.onnx', **options))
    return export


@pytest.mark.parametrize('name', NETWORKS)
def test_one_image_in_float32_and_in_float16(name: str, exported: Callable[..., bytes]) -> None:
    shape = (1, *SIZE, 3)
    content = exported(name)
    layers = []
    for graph, width in ((content, 4), (in_half_precision(content), 2)):
        plan = build_plan(
            graph, {'image': (shape,) * 3}, tensorrt=find_tensorrt(TENSORRT_RTX))
        assert plan.inputs == {'image': Binding('uint8', (-1, *SIZE, 3))}
        assert plan.outputs == {'labels': Binding('uint8', (-1, *SIZE))}
        layers.append(plan.layers)
        # All the weights are in it; some networks drop a few of them on the way.
        assert len(plan.content) > 0.9 * width * NETWORKS[name].parameters_at_19
    assert layers[0] > 50 and 0 <= layers[1] - layers[0] < 10, 'little but one cast'


def test_batches_and_confidence(exported: Callable[..., bytes]) -> None:
    one, four = (1, *SIZE, 3), (4, *SIZE, 3)
    plan = build_plan(
        exported('fast_scnn', confidence=True), {'image': (one, one, four)},
        tensorrt=find_tensorrt(TENSORRT_RTX),
    )
    assert plan.outputs == {
        'labels': Binding('uint8', (-1, *SIZE)), 'confidence': Binding('uint8', (-1, *SIZE))}


def test_another_size_than_the_files_is_refused_in_tensorrts_words(
    exported: Callable[..., bytes],
) -> None:
    shape = (1, 256, 512, 3)
    with pytest.raises(SegnodeError, match='builds no engine.*image.*512'):
        build_plan(
            exported('fast_scnn'), {'image': (shape,) * 3}, tensorrt=find_tensorrt(TENSORRT_RTX))

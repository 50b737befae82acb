# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Leaving the most costly layers in float, as few as the bound takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError

onnx = pytest.importorskip('onnx')
pytest.importorskip('tqdm')

from training.convert import search as module  # noqa: E402
from training.convert.frames import open_frames  # noqa: E402
from training.convert.quantize import Layer, Range  # noqa: E402
from training.convert.search import search  # noqa: E402

# Of each layer: what it alone costs of the agreement.
COSTS = {f'layer{i}': cost for i, cost in enumerate((1, 5, 0, 9, 3, 2, 8, 4))}
BY_COST = sorted(COSTS, key=lambda name: -COSTS[name])
LAYERS = [Layer(name, f'{name}/in', f'{name}/weight') for name in COSTS]


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph is the names of its int8 layers, with commas between."""
    small = Range(1.0, np.ones(4, np.float32), 4, 4)
    pooled = Range(1.0, np.ones(4, np.float32), 4, 1)
    monkeypatch.setattr(module, 'layers', lambda content: [
        *LAYERS, Layer('behind a global pooling', 'pooled', 'w')])
    monkeypatch.setattr(module, 'calibrate', lambda content, tensors, images: {
        name: pooled if name == 'pooled' else small for name in tensors})

    def quantized(content: bytes, chosen: list[Layer], bounds: Any) -> bytes:
        assert set(bounds) >= {layer.input for layer in chosen}
        return content + ','.join(layer.name for layer in chosen).encode()

    class Judge:

        def __init__(self, content: bytes, images: Any) -> None:
            self.count = len(images)

        def agreement(self, content: bytes) -> float:
            return 1 - sum(COSTS[name] for name in _names(content)) / 100

    monkeypatch.setattr(module, 'quantized', quantized)
    monkeypatch.setattr(module, '_Judge', Judge)


def _names(content: bytes) -> list[str]:
    return [name for name in content.decode().split(',') if name]


def _drop(content: bytes) -> float:
    return sum(COSTS[name] for name in _names(content)) / 1000


def _search(max_drop: float, drop_of: Any = _drop, **more: Any) -> Any:
    from segnode.labels import load_label_set

    frames = open_frames([], load_label_set('camvid'), limit=1)
    return search(b'', frames, (64, 64), 'stretch', drop_of, max_drop, **more)


def test_all_layers_where_that_is_good_enough() -> None:
    found = _search(0.032)
    assert (found.layers, found.float_layers) == (8, ())
    assert found.drop == pytest.approx(0.032) and len(_names(found.content)) == 8


@pytest.mark.parametrize('max_drop, left', [
    (0.031, 1), (0.023, 1), (0.022, 2), (0.014, 3), (0.006, 4), (0.003, 5), (0.001, 6),
    (0.0, 7),
])
def test_as_few_as_the_bound_takes(max_drop: float, left: int) -> None:
    asked: list[int] = []

    def drop_of(content: bytes) -> float:
        asked.append(len(_names(content)))
        return _drop(content)

    found = _search(max_drop, drop_of)
    assert list(found.float_layers) == BY_COST[:left] and found.layers == 8 - left
    assert _drop(found.content) == pytest.approx(found.drop) and found.drop <= max_drop
    assert 'behind a global pooling' not in _names(found.content)
    assert len(asked) <= 7 and len(set(asked)) == len(asked), 'each measurement takes its time'


def test_where_nothing_is_good_enough() -> None:
    with pytest.raises(SegnodeError, match='costs 5.00 points .* the 1.00 that --max-drop allows'):
        _search(0.01, lambda content: 0.05)


def test_layers_that_are_to_stay_in_float() -> None:
    """They are no candidates, and what they would cost is not counted."""
    found = _search(0.032, keep=('layer3', '*6'))
    assert found.kept_layers == ('layer3', 'layer6') and found.float_layers == ()
    assert found.layers == 6 and found.drop == pytest.approx(0.015)
    assert not {'layer3', 'layer6'} & set(_names(found.content))
    found = _search(0.014, keep=('layer3', '*6'))
    assert found.float_layers == ('layer1',), 'the most costly of the others'
    with pytest.raises(SegnodeError, match=r'is called head\*; there are layer0, layer1, '):
        _search(0.032, keep=('layer3', 'head*'))
    with pytest.raises(SegnodeError, match='nothing to bring to int8'):
        _search(0.032, keep=('*',))


def test_the_rest_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is what is kept; tensors are found by the names they have there."""
    monkeypatch.setattr(module, 'in_half', lambda content: content + b'half,')
    plain = module.layers
    monkeypatch.setattr(module, 'layers', lambda content: [
        Layer(one.name, f'{one.input}/half', one.weight) for one in plain(content)
    ] if content.startswith(b'half,') else plain(content))
    asked: list[bytes] = []

    def drop_of(content: bytes) -> float:
        asked.append(content)
        return sum(COSTS.get(name, 0) for name in _names(content)) / 1000

    found = _search(0.022, drop_of, rest='fp16')
    assert list(found.float_layers) == BY_COST[:2]
    assert found.content in asked and all(one.startswith(b'half,') for one in asked)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The record: round trip, and a sentence for each thing that can be wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from segnode.record import ModelRecord


def _record(**changes: Any) -> ModelRecord:
    entries: dict[str, Any] = {
        'network': 'fsffnet', 'label_set': load_label_set('camvid'), 'input_size': (384, 512),
    }
    return ModelRecord(**{**entries, **changes})


def test_round_trip() -> None:
    record = _record(
        network_args={'u4_activation': True}, mean=(0.1, 0.2, 0.3), std=(1, 2, 3),
        color_order='bgr', data_licence='CC BY-NC 4.0',
        training={'miou': {'val': 0.655}, 'seed': 3},
    )
    again = ModelRecord.from_json(record.to_json())
    assert again == record
    assert again.input_size == (384, 512)
    assert again.label_set.names[3] == 'road'
    assert again.to_json() == record.to_json()


@pytest.mark.parametrize('training, expected', [
    ({}, -1.0),
    ({'miou': 0.5}, 0.5),
    ({'miou': {'val': 0.4, 'train': 0.9}}, 0.4),
    ({'miou': {'test': 0.7}}, 0.7),
    ({'miou': {'val': None}}, -1.0),
    ({'miou': 'good'}, -1.0),
    ({'miou': 10 ** 400}, -1.0),
    ({'miou': {'val': float('nan'), 'test': 0.5}}, 0.5),
])
def test_miou(training: dict[str, Any], expected: float) -> None:
    assert _record(training=training).miou == expected


@pytest.mark.parametrize('change', [
    {'format_version': 2},
    {'format_version': None},
    {'network': 3},
    {'network_args': []},
    {'label_set': {'name': 'x'}},
    {'input_size': [384]},
    {'input_size': [384, -512]},
    {'input_size': [384.0, 512]},
    {'mean': [0, 0]},
    {'std': [1, 0, 1]},
    {'std': [1, 1, 10 ** 400]},
    {'mean': [10 ** 400, 0, 0]},
    {'std': ['a', 'b', 'c']},
    {'color_order': 'hsv'},
    {'data_licence': None},
    {'training': 'long'},
])
def test_wrong_entry_is_one_sentence(change: dict[str, Any]) -> None:
    entries = {**json.loads(_record().to_json()), **change}
    with pytest.raises(SegnodeError) as caught:
        ModelRecord.from_json(json.dumps(entries))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['', '[]', '{}', 'null', '{"format_version": 1}'])
def test_no_record(text: str) -> None:
    with pytest.raises(SegnodeError):
        ModelRecord.from_json(text)


def test_what_json_cannot_hold() -> None:
    with pytest.raises(SegnodeError, match='cannot be written as JSON'):
        _record(training={'loss': float('nan')}).to_json()
    with pytest.raises(SegnodeError, match='cannot be written as JSON'):
        _record(training={'path': object()}).to_json()


def test_deep_nesting() -> None:
    with pytest.raises(SegnodeError, match='is not JSON'):
        ModelRecord.from_json('[' * 100_000)
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SegnodeError, match='cannot be written as JSON'):
        _record(training={'nested': nested}).to_json()

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Parsing and building: what is asked of TensorRT, and what is said where it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import tensorrt_build
from segnode.runtimes.tensorrt_build import Binding, build_plan, find_tensorrt

SHAPE = (1, 4, 8, 3)
PROFILE = {'image': (SHAPE, SHAPE, (2, 4, 8, 3))}


class Tensorrt(SimpleNamespace):
    """Stands in for the library: says what it was asked and fails as it is told."""

    def __init__(self, *, version: str = '10.3.0', parses: bool = True, builds: bool = True,
                 starts: bool = True) -> None:
        super().__init__()
        self.__name__, self.__version__ = 'tensorrt_rtx_bindings', version
        self.asked: dict[str, Any] = {}
        self.ILogger = type('ILogger', (), {'ERROR': 1, 'INTERNAL_ERROR': 0, 'WARNING': 2})
        self.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0)
        tensors = {
            name: SimpleNamespace(name=name, dtype=SimpleNamespace(name='UINT8'), shape=shape)
            for name, shape in (('image', (-1, 4, 8, 3)), ('labels', (-1, 4, 8)))
        }
        network = SimpleNamespace(
            num_inputs=1, num_outputs=1, num_layers=7,
            get_input=lambda i: tensors['image'], get_output=lambda i: tensors['labels'],
        )

        def builder(logger: Any) -> Any:
            if not starts:
                logger.log(1, 'no driver')
                raise TypeError('factory function returned nullptr')

            def create_network(flags: int) -> Any:
                self.asked['flags'] = flags
                return network

            def build(*_: Any) -> bytes | None:
                logger.log(2, 'a warning')
                if not builds:
                    logger.log(1, 'no kernel')
                return b'plan' if builds else None
            return SimpleNamespace(
                create_network=create_network,
                create_builder_config=lambda: SimpleNamespace(
                    add_optimization_profile=lambda profile: 0),
                create_optimization_profile=lambda: SimpleNamespace(
                    set_shape=lambda *shapes: self.asked.update(shapes=shapes)),
                build_serialized_network=build,
            )

        self.Builder = builder
        errors = [
            SimpleNamespace(desc=lambda: 'bad type', node_operator=lambda: 'Transpose',
                            node_name=lambda: '/t'),
            SimpleNamespace(desc=lambda: 'an old parser'),
        ]
        self.OnnxParser = lambda network, logger: SimpleNamespace(
            parse=lambda content: parses, num_errors=2, get_error=lambda i: errors[i])

    def __hash__(self) -> int:
        return id(self)


def test_facts_of_a_plan() -> None:
    library: Any = Tensorrt()
    plan = build_plan(b'graph', PROFILE, tensorrt=library)
    assert plan.content == b'plan' and plan.layers == 7 and plan.seconds >= 0
    assert plan.builder == 'tensorrt_rtx 10.3.0'
    assert plan.inputs == {'image': Binding('uint8', (-1, 4, 8, 3))}
    assert plan.outputs == {'labels': Binding('uint8', (-1, 4, 8))}
    assert library.asked == {'flags': 0, 'shapes': ('image', *PROFILE['image'])}


def test_tensorrt_8_is_asked_for_a_batch_among_the_dimensions() -> None:
    library: Any = Tensorrt(version='8.6.1')
    build_plan(b'graph', PROFILE, tensorrt=library)
    assert library.asked['flags'] == 1


@pytest.mark.parametrize('failure, sentence', [
    ('starts', 'tensorrt_rtx 10.3.0 does not start: no driver'),
    ('parses', 'tensorrt_rtx 10.3.0 does not take the graph: Transpose /t: bad type; '
               'an old parser'),
    ('builds', 'tensorrt_rtx 10.3.0 builds no engine of the graph: no kernel'),
])
def test_a_refusal_has_tensorrts_words(failure: str, sentence: str) -> None:
    library: Any = Tensorrt(**{failure: False})
    for _ in range(2):  # the second time without the words of the first
        with pytest.raises(SegnodeError) as caught:
            build_plan(b'graph', PROFILE, tensorrt=library)
        assert str(caught.value) == sentence


def test_every_input_needs_shapes() -> None:
    library: Any = Tensorrt()
    with pytest.raises(ValueError, match='lacks the shapes of the input image'):
        build_plan(b'graph', {}, tensorrt=library)


def test_the_first_library_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {'tensorrt_rtx_bindings'}
    monkeypatch.setattr(tensorrt_build, 'installed', lambda module: module in there)
    monkeypatch.setattr(tensorrt_build, 'require', lambda module, purpose: module)
    assert find_tensorrt() == 'tensorrt_rtx_bindings'
    there.add('tensorrt')
    assert find_tensorrt() == 'tensorrt'
    there.clear()
    with pytest.raises(SegnodeError, match='tensorrt, tensorrt_rtx.* is installed.*pip install'):
        find_tensorrt()

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Parsing and building in each version: what TensorRT is asked, what is said where it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import tensorrt_versions
from segnode.runtimes.tensorrt_build import Binding, build_plan
from segnode.runtimes.tensorrt_versions import BuildOptions, find_tensorrt, library
from standin_gpu import Cuda, Tensorrt, VERSIONS

SHAPE = (1, 4, 8, 3)
PROFILE = {'image': (SHAPE, SHAPE, (2, 4, 8, 3))}


def old(release: str) -> bool:
    return release.startswith('8.')


@pytest.mark.parametrize('release', VERSIONS)
def test_facts_of_a_plan(release: str) -> None:
    tensorrt: Any = Tensorrt(release)
    plan = build_plan(b'graph', PROFILE, tensorrt=tensorrt)
    assert plan.content and plan.layers == 7 and plan.seconds >= 0
    name = 'tensorrt_rtx' if release.startswith('rtx') else 'tensorrt'
    assert plan.builder == f'{name} {release.removeprefix("rtx ")}'
    assert plan.inputs == {'image': Binding('uint8', (-1, 4, 8, 3))}
    assert plan.outputs == {'labels': Binding('uint8', (-1, 4, 8))}
    assert tensorrt.asked['shapes'] == ('image', *PROFILE['image'])
    batch_flag = getattr(tensorrt.NetworkDefinitionCreationFlag, 'EXPLICIT_BATCH', None)
    assert tensorrt.asked['flags'] == (1 << batch_flag if old(release) else 0)
    assert 'set' not in tensorrt.asked and 'pools' not in tensorrt.asked


@pytest.mark.parametrize('release', VERSIONS)
def test_options(release: str) -> None:
    tensorrt: Any = Tensorrt(release, dla_cores=2)
    rtx = release.startswith('rtx')
    typed = rtx or release.startswith('11')
    assert library(tensorrt).strongly_typed == typed
    build_plan(b'graph', PROFILE, tensorrt=tensorrt, options=BuildOptions(
        fp16=not typed, int8=True, workspace=1 << 30, dla_core=None if rtx else 1,
        capability=(8, 9)))
    asked = tensorrt.asked
    flags = set() if typed else {'FP16', 'INT8'}
    assert asked.get('set', set()) == (flags if rtx else flags | {'GPU_FALLBACK'})
    assert asked['pools'] == {'WORKSPACE': 1 << 30}
    assert asked.get('capability') == ('SM89' if rtx else None)
    assert asked['config'].DLA_core == (-1 if rtx else 1)


def test_a_gpu_that_rtx_does_not_name_is_left_to_it() -> None:
    tensorrt: Any = Tensorrt('rtx 1.7.1')
    build_plan(b'', PROFILE, tensorrt=tensorrt, options=BuildOptions(capability=(9, 0)))
    assert 'capability' not in tensorrt.asked


@pytest.mark.parametrize('release, cores', [('10.3.0', 1), ('rtx 1.7.1', 0)])
def test_a_core_that_is_not_there(release: str, cores: int) -> None:
    tensorrt: Any = Tensorrt(release, dla_cores=1)
    with pytest.raises(SegnodeError, match=f'no DLA core 1: .* finds {cores} here'):
        build_plan(b'', PROFILE, tensorrt=tensorrt, options=BuildOptions(dla_core=1))


@pytest.mark.parametrize('release', VERSIONS)
def test_timings_are_kept_but_for_rtx(release: str) -> None:
    tensorrt: Any = Tensorrt(release)
    first = build_plan(b'', PROFILE, tensorrt=tensorrt)
    if release.startswith('rtx'):
        assert first.timings == b'' and 'timings' not in tensorrt.asked
        return
    assert first.timings == b'timed ' + release.encode()
    build_plan(b'', PROFILE, tensorrt=tensorrt, timings=first.timings)
    assert tensorrt.asked['timings'].data == first.timings
    build_plan(b'', PROFILE, tensorrt=tensorrt, timings=b'old timings of another version')
    assert tensorrt.asked['timings'].data == b''


@pytest.mark.parametrize('release', VERSIONS)
def test_progress_where_tensorrt_tells_it(release: str) -> None:
    told: list[tuple[str, float]] = []
    build_plan(b'', PROFILE, tensorrt=Tensorrt(release),  # type: ignore[arg-type]
               progress=lambda phase, share: told.append((phase, share)))
    if old(release):
        assert told == []
    else:
        assert told == [('Building', share) for share in
                        (0.0, 0.0, 0.125, 0.25, 0.375, 0.5, 0.5)]


@pytest.mark.parametrize('release', VERSIONS)
@pytest.mark.parametrize('failure, sentence', [
    ('starts', 'does not start: no driver'),
    ('parses', 'does not take the graph: Transpose /t: bad type; unknown'),
    ('builds', 'builds no engine of the graph: no kernel'),
])
def test_a_refusal_has_tensorrts_words(release: str, failure: str, sentence: str) -> None:
    tensorrt: Any = Tensorrt(release)
    setattr(tensorrt, failure, False)
    if old(release):  # whose parsers do not name the operator
        sentence = sentence.replace('Transpose /t: ', '')
    for _ in range(2):  # the second time without the words of the first
        with pytest.raises(SegnodeError) as caught:
            build_plan(b'graph', PROFILE, tensorrt=tensorrt)
        assert str(caught.value) == f'{library(tensorrt).name} {sentence}'


def test_shapes_that_tensorrt_does_not_take() -> None:
    tensorrt: Any = Tensorrt()
    made = tensorrt._config
    tensorrt._config = lambda: _refusing(made())
    with pytest.raises(SegnodeError, match='tensorrt 10.3.0 does not take the shapes'):
        build_plan(b'graph', PROFILE, tensorrt=tensorrt)


def _refusing(config: Any) -> Any:
    config.add_optimization_profile = lambda profile: -1
    return config


def test_every_input_needs_shapes() -> None:
    tensorrt: Any = Tensorrt()
    with pytest.raises(ValueError, match='lacks the shapes of the input image'):
        build_plan(b'graph', {}, tensorrt=tensorrt)


def test_an_engine_of_another_version_is_one_sentence() -> None:
    made: Any = Tensorrt('10.3.0', Cuda())
    plan = build_plan(b'graph', PROFILE, tensorrt=made)
    other = library(Tensorrt('10.9.0', Cuda()))  # type: ignore[arg-type]
    with pytest.raises(SegnodeError, match='tensorrt 10.9.0 does not load the engine: Version '):
        other.deserialize(other.runtime(), plan.content)


def test_too_old() -> None:
    tensorrt: Any = Tensorrt('8.5.1')
    tensorrt.__version__ = '8.4.1.5'
    with pytest.raises(SegnodeError, match=r'tensorrt 8.4.1.5 is too old.*8\.5 or later'):
        library(tensorrt)


def test_the_first_library_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {'tensorrt_rtx_bindings'}
    monkeypatch.setattr(tensorrt_versions, 'installed', lambda module: module in there)
    monkeypatch.setattr(tensorrt_versions, 'require', lambda module, purpose: module)
    assert find_tensorrt() == 'tensorrt_rtx_bindings'
    there.add('tensorrt')
    assert find_tensorrt() == 'tensorrt'
    there.clear()
    for machine, words in (('x86_64', 'pip install'), ('aarch64', 'apt install python3-libnv')):
        monkeypatch.setattr('platform.machine', lambda machine=machine: machine)
        with pytest.raises(SegnodeError, match=f'tensorrt, tensorrt_rtx.* is installed.*{words}'):
            find_tensorrt()
    monkeypatch.setattr('platform.machine', lambda: 'x86_64')
    with pytest.raises(SegnodeError, match='tensorrt is not installed; pip install tensorrt$'):
        find_tensorrt(('tensorrt',))

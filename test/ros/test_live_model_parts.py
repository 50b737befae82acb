# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a live change of the model is made of: loading aside, the take-over, what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
import threading
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from probe import until
from segnode.errors import SegnodeError
from segnode.ros import live_model, node_parameters
from segnode.ros.background_loader import BackgroundLoader
from segnode.ros.live_model import LiveModel
from segnode.ros.loaded_model import check_change, LoadedModel
from segnode.ros.parameters import BY_NAME, MODEL_VALUES
from segnode.ros.serving import Serving
from segnode.runtimes import UNSET
from segnode.segmenter import Segmentation, Segmenter
from small_custom import describe, frames, write_network


class Runtime:
    """Counts how often it was closed."""

    name = 'stand-in'
    closed = 0


def stand_in(name: str, runtime: Runtime | None = None) -> Any:
    """Return a model with nothing inside but a runtime that may be another's, too."""
    runtime = runtime or Runtime()

    def close() -> None:
        runtime.closed += 1

    return SimpleNamespace(
        segmenter=SimpleNamespace(runtime=runtime, close=close), values={'model': name})


class Change:
    """Keeps what a Serving calls."""

    def __init__(self) -> None:
        self.adopted: list[tuple[Any, Any]] = []
        self.failed: list[tuple[Any, str]] = []
        self.error: Exception | None = None

    def adopt(self, old: Any, new: Any) -> None:
        if self.error is not None:
            raise self.error
        self.adopted.append((old, new))

    def fail(self, model: Any, error: Exception) -> None:
        self.failed.append((model, str(error)))


@pytest.fixture
def change() -> Change:
    return Change()


@pytest.fixture
def serving(change: Change) -> Serving:
    return Serving(change.adopt, change.fail)


def test_a_take_over_waits_for_the_frames_in_the_network(
        serving: Serving, change: Change) -> None:
    """With none it is at once; the old one is closed then, and not before."""
    first, second, third = map(stand_in, 'abc')
    serving.begin(first)
    serving.offer(second)
    assert serving.model is second and change.adopted == [(first, second)]
    assert first.segmenter.runtime.closed == 1
    with serving.in_use() as model:
        assert model is second
        serving.offer(third)
        assert serving.model is second and serving.latest is third
        assert second.segmenter.runtime.closed == 0
    with serving.in_use() as model:
        assert model is third and second.segmenter.runtime.closed == 1
    serving.end()
    assert third.segmenter.runtime.closed == 1 and serving.model is None is serving.latest


def test_only_the_newest_takes_over(serving: Serving, change: Change) -> None:
    """What it replaces before it was used is closed."""
    first, second, third = map(stand_in, 'abc')
    serving.begin(first)
    with serving.in_use():
        serving.offer(second)
        serving.offer(third)
        assert second.segmenter.runtime.closed == 1
    serving.settle()
    assert serving.model is third and change.adopted == [(first, third)]


def test_a_runtime_that_goes_on_is_not_closed(serving: Serving) -> None:
    """Neither when its old model goes, nor when a new one of it is given up."""
    first = stand_in('a')
    runtime = first.segmenter.runtime
    serving.begin(first)
    serving.offer(stand_in('b', runtime))
    assert runtime.closed == 0
    last = stand_in('d')
    with serving.in_use():
        serving.offer(stand_in('c', runtime))
        serving.offer(last)
        assert runtime.closed == 0
    serving.settle()
    assert serving.model is last and runtime.closed == 1


def test_topics_that_cannot_follow_keep_the_old_model(serving: Serving, change: Change) -> None:
    first, second = map(stand_in, 'ab')
    serving.begin(first)
    change.error = SegnodeError('no such QoS')
    serving.offer(second)
    assert serving.model is first is serving.latest
    assert (first.segmenter.runtime.closed, second.segmenter.runtime.closed) == (0, 1)
    assert change.failed == [(second, 'no such QoS')]


def test_a_model_that_is_asked_for_while_another_takes_over(
        serving: Serving, change: Change) -> None:
    """It follows; the one that takes over is the latest until then, and not closed too early."""
    first, second, third = map(stand_in, 'abc')
    light = stand_in('light', second.segmenter.runtime)
    asked = iter((light, third))

    def adopt(old: Any, new: Any) -> None:
        change.adopted.append((old, new))
        assert serving.latest is new and serving.model is old
        for model in asked:
            serving.offer(model)
            assert serving.latest is model and second.segmenter.runtime.closed == 0

    serving = Serving(adopt, change.fail)
    serving.begin(first)
    serving.offer(second)
    assert serving.model is second and serving.latest is third
    assert (first.segmenter.runtime.closed, second.segmenter.runtime.closed) == (1, 0)
    serving.settle()
    assert serving.model is third and second.segmenter.runtime.closed == 1
    assert change.adopted == [(first, second), (second, third)]


class Loading:
    """Makes models when it is told to go on."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.go = threading.Semaphore(0)
        self.made: dict[str, Any] = {}

    def __call__(self, values: Any, base: Any, wanted: Any) -> Any:
        name = values['model']
        self.began.append(name)
        assert self.go.acquire(timeout=60)
        if name == 'bad':
            raise SegnodeError('there is no such model')
        if name == 'exit':
            raise SystemExit(3)
        self.made[name] = stand_in(name, base.segmenter.runtime if name == 'light' else None)
        return self.made[name]


@pytest.fixture
def loading() -> Loading:
    return Loading()


def test_the_newest_request_counts(loading: Loading) -> None:
    """One at a time; what is no longer wanted is closed, what was never begun never is."""
    done = threading.Semaphore(0)
    loader = BackgroundLoader(loading, done.release)
    base = stand_in('base')
    for name in 'abc':
        loader.request({'model': name}, base)
        until(lambda: loading.began)
    assert loader.wanted == {'model': 'c'} and loader.seconds >= 0.0 and loader.take() is None
    loading.go.release(2)
    assert done.acquire(timeout=60) and done.acquire(timeout=60)
    assert loading.began == ['a', 'c'] and loading.made['a'].segmenter.runtime.closed == 1
    loaded = loader.take()
    assert loaded is not None and loaded.model is loading.made['c'] and loaded.error is None
    assert loaded.model.segmenter.runtime.closed == 0
    assert loader.take() is None is loader.wanted
    assert loader.join(60)


@pytest.mark.parametrize('name, kind', [('bad', SegnodeError), ('exit', SystemExit)])
def test_a_failure_is_handed_over(loading: Loading, name: str, kind: type) -> None:
    """Whatever a library raises; the next request is served."""
    loader = BackgroundLoader(loading, lambda: None)
    for wanted in (name, 'good'):
        loader.request({'model': wanted}, stand_in('base'))
        loading.go.release()
        loaded = until(loader.take)
        assert loaded.values == {'model': wanted}
    assert loaded.model is loading.made['good']
    loader.request({'model': name}, stand_in('base'))
    loading.go.release()
    loaded = until(loader.take)
    assert loaded.model is None and isinstance(loaded.error, kind)


def test_what_was_cancelled_is_closed(loading: Loading) -> None:
    """While it loads or after; not where it runs on the runtime of the model in use."""
    loader = BackgroundLoader(loading, lambda: None)
    base = stand_in('base')
    for name in ('a', 'light'):
        loader.request({'model': name}, base)
        until(lambda name=name: name in loading.began)
        loader.cancel()
        loading.go.release()
        assert loader.join(60)
    loader.request({'model': 'b'}, base)
    loading.go.release()
    until(lambda: 'b' in loading.made and loader.wanted is None)
    loader.cancel()
    assert [loading.made[name].segmenter.runtime.closed for name in ('a', 'light', 'b')] == [
        1, 0, 1]
    assert loader.take() is None


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the values of a model whose labels are those of each pixel's colour."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    given = {name: BY_NAME[name].default for name in MODEL_VALUES}
    given = {name: tuple(value) if isinstance(value, list) else value
             for name, value in given.items()}
    return {**given, 'model': str(describe(tmp_path / 'mine.yaml', 'net.onnx')), 'threads': 1,
            'runtime': 'onnx'}


def test_what_the_runtime_does_not_depend_on_needs_no_other(values: dict[str, Any]) -> None:
    """Views, fit, grouping: a new model on the same runtime; the rest: a new runtime."""
    first = LoadedModel.load(values, [''])
    assert first.serves({**values, 'samples': 7})  # of no uncertainty
    for changes in ({'rotation': 180}, {'fit': 'letterbox'}, {'label_grouping': 'driving'},
                    {'roi': (0.0, 0.0, 0.5, 1.0)}, {'labels_at': 'network'}):
        wanted = {**values, **changes}
        assert not first.serves(wanted)
        light = LoadedModel.load(wanted, [''], first)
        assert light.segmenter.runtime is first.segmenter.runtime and light.serves(wanted)
        (image,) = frames(1, (60, 80))
        whole = LoadedModel.load(wanted, [''])
        found, expected = (
            model.segmenter.run([model.segmenter.fitted(image, model.views[''])])[0].labels
            for model in (light, whole))
        np.testing.assert_array_equal(found, expected)
    heavy = LoadedModel.load({**values, 'min_confidence': 0.5}, [''], first)
    assert heavy.segmenter.runtime is not first.segmenter.runtime
    assert not heavy.shows_confidence
    assert heavy.serves({**values, 'min_confidence': 0.7})
    shown = LoadedModel.load({**values, 'min_confidence': 0.5, 'confidence': True}, [''], heavy)
    assert shown.segmenter.runtime is heavy.segmenter.runtime and shown.shows_confidence


def test_options_of_the_runtime_are_given_where_they_are_set(
        values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def load(name: str, **options: Any) -> Any:
        given.append(options)
        return SimpleNamespace(warm_up=lambda count: None)

    monkeypatch.setattr(Segmenter, 'load', load)
    first = LoadedModel.load(values, [''])
    wanted = {**values, 'runtime': 'pytorch', 'compile': True, 'precision': 'fp16'}
    LoadedModel.load(wanted, [''])
    assert not set(UNSET) & set(given[0])
    assert {name: given[1].get(name) for name in UNSET} == {
        'device': None, 'precision': 'fp16', 'compile': True, 'dla_core': None, 'workspace': None}
    assert not first.lends_runtime_to({**values, 'compile': True})


class Parameters:
    """Stands for a node that has nothing but parameters."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = {**values, 'cameras': ['']}

    def get_parameter(self, name: str) -> Any:
        return SimpleNamespace(value=self.values[name])

    def has_parameter(self, name: str) -> bool:
        return name in self.values

    def set_parameters_atomically(self, changes: list[Any]) -> None:
        self.values.update((change.name, change.value) for change in changes)

    def get_logger(self) -> Any:
        return logging.getLogger('stand-in')


def test_what_is_no_longer_wanted_is_not_made_here_either(
        values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process was ended in the middle; what it was to make is not there."""
    loaded: list[Any] = []
    monkeypatch.setattr(live_model, 'needs_making', lambda values: True)
    monkeypatch.setattr(live_model, 'make', lambda values, cameras, wanted, tell: None)
    monkeypatch.setattr(LoadedModel, 'load', lambda *given: loaded.append(given))
    live = LiveModel(Parameters(values), lambda old, new: None, lambda: None)
    base: Any = SimpleNamespace(lends_runtime_to=lambda values: False)
    with pytest.raises(SegnodeError, match='no longer wanted'):
        live._load_aside(values, base, lambda: False)
    assert not loaded
    live._load_aside(values, base, lambda: True)
    assert len(loaded) == 1


def test_what_was_built_on_a_refused_model_is_not_taken(
        values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network was closed with that; it is made anew, on that of the model that goes on."""
    def loaded(wanted: Any, cameras: Any, base: LoadedModel | None = None) -> LoadedModel:
        lent = base is not None and base.lends_runtime_to(wanted)
        segmenter: Any = stand_in('x', base.segmenter.runtime if base and lent else None).segmenter
        segmenter.model = SimpleNamespace(name='x')
        return LoadedModel(segmenter, {}, wanted)

    def adopt(old: LoadedModel, new: LoadedModel) -> None:
        if new.shows_confidence:
            raise SegnodeError('no such topic')

    monkeypatch.setattr(live_model, 'needs_making', lambda values: False)
    monkeypatch.setattr(LoadedModel, 'load', loaded)
    node = Parameters(values)
    live = LiveModel(node, adopt, lambda: None)
    first = loaded(node.values, [''])
    live.serving.begin(LoadedModel(first.segmenter, {}, node_parameters.model_values(node)))
    with live.serving.in_use():  # a frame that takes long
        node.values['confidence'] = True
        until(lambda: live.follow() or live.serving.latest is not live.serving.model)
        refused = live.serving.latest
        node.values.update(confidence=False, min_confidence=0.5)
        live.follow()
        until(lambda: not live.building)
    live.serving.settle()
    assert refused.segmenter.runtime.closed == 1
    until(lambda: live.follow() or live.serving.model.values['min_confidence'] == 0.5)
    assert live.serving.model.segmenter.runtime.closed == 0
    assert first.segmenter.runtime.closed == 1


def test_a_check_that_raises_is_an_answer(
        values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Or rclpy would leave the client without one."""
    def check(*given: Any) -> None:
        raise OSError(36, 'File name too long')

    monkeypatch.setattr(live_model, 'check_change', check)
    woken: list[bool] = []
    live = LiveModel(Parameters(values), lambda old, new: None, lambda: woken.append(True))
    assert 'File name too long' in str(live.refusal({'label_grouping': 'x'}))
    assert live.refusal({'max_rate': 1.0}) is None and not woken


def test_cameras_have_their_own_views_or_the_common_one(values: dict[str, Any]) -> None:
    wanted = {**values, 'rotation': 90, 'left.rotation': 270, 'left.roi': (0.5, 0.0, 0.5, 1.0)}
    model = LoadedModel.load(wanted, ['front', 'left'])
    assert [model.views[name].rotation for name in ('front', 'left')] == [90, 270]
    assert model.views['left'].roi == (0.5, 0.0, 0.5, 1.0) and model.views['front'].plain is False


@pytest.mark.parametrize('changes, words', [
    ({'model': 'nonesuch'}, "there is no model 'nonesuch'"),
    ({'model': '/none/such.onnx'}, '/none/such.onnx is not there'),
    ({'ego_mask': '/none/such.png'}, 'the ego mask /none/such.png cannot be read'),
    ({'label_grouping': 'nonesuch'}, "no label grouping 'nonesuch'"),
    ({'label_grouping': '/none/such.yaml'}, '/none/such.yaml'),
    ({'label_grouping': 'x' * 300}, "no label grouping 'xxx"),
    ({'input_size': (33, 64)}, '33'),
    ({'uncertainty': 'entropy'}, 'uncertainty needs a network with Monte Carlo dropout'),
])
@pytest.mark.parametrize('running', [True, False])
def test_what_can_be_told_at_once_is_refused_at_once(
        values: dict[str, Any], changes: dict[str, Any], words: str, running: bool) -> None:
    """With no model yet, only what is not there at all."""
    model = LoadedModel.load(values, ['']) if running else None
    if not running and set(changes) <= {'input_size', 'uncertainty'}:
        check_change({**values, **changes}, list(changes), model)
        return
    with pytest.raises(SegnodeError) as error:
        check_change({**values, **changes}, list(changes), model)
    assert words in str(error.value)


def test_what_may_well_be_is_not_refused(
        values: dict[str, Any], tmp_path: Path) -> None:
    """Another model may take another size and other classes."""
    mask = np.zeros((8, 8), np.uint8)
    mask[4:] = 1
    cv2.imwrite(str(tmp_path / 'ego.png'), mask)
    model = LoadedModel.load(values, [''])
    for changes in ({'model': 'fsffnet', 'allow_random_weights': True, 'input_size': (128, 128)},
                    {'label_grouping': 'driving'}, {'ego_mask': str(tmp_path / 'ego.png')},
                    {'left.ego_mask': str(tmp_path / 'ego.png')}, {'precision': 'fp16'}):
        check_change({**values, **changes}, list(changes), model)


@pytest.mark.parametrize('least, kept', [
    (0.0, [0, 1, 127, 128, 255]), (1e-9, [1, 127, 128, 255]), (0.5, [128, 255]),
    (128 / 255, [128, 255]), (1.0, [255])])
def test_labels_below_the_least_confidence(least: float, kept: list[int]) -> None:
    """255 in their place; the labels that were given stay as they were."""
    confidence = np.array([[0, 1, 127, 128, 255]], np.uint8)
    labels = np.arange(5, dtype=np.uint8)[None]
    found = Segmentation(labels, confidence).labels_above(least)
    np.testing.assert_array_equal(
        found, np.where(np.isin(confidence, kept), labels, 255))
    assert labels.max() == 4
    assert Segmentation(labels).labels_above(least) is labels

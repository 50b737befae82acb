# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Models that change while images come, over DDS: from one frame to the next, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

import faulty_model
from probe import (
    ACTIVATE,
    CLEANUP,
    Collector,
    CONFIGURE,
    DEACTIVATE,
    facts,
    Probe,
    stamp_of,
    statuses,
    until,
)
from processes import Process
from segnode.labels import load_label_set
from segnode.segmenter import Segmenter
from small_custom import describe, frames, write_network

BLUE = 200
# Label of the images in the first model and in the second.
FIRST, SECOND = BLUE // faulty_model.STEP, BLUE // 80
PERIOD = 0.1  # s between two images


@pytest.fixture(scope='module')
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the paths of two models that differ in classes and labels, and of a broken one."""
    folder = tmp_path_factory.mktemp('models')
    broken = folder / 'broken.onnx'
    broken.write_bytes(b'this is no model')
    return {'first': faulty_model.write(folder, 'first'), 'broken': broken,
            'second': faulty_model.write(folder, 'second', 80, 'cityscapes')}


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder for graphs that are put together."""
    return str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(scope='module')
def node(probe: Probe, models: dict[str, Path], start_module_segment: Callable[..., Process],
         cache: str) -> Iterator[Process]:
    """Start the node of the module; its end is checked too."""
    process = start_module_segment(
        model=models['first'], runtime='onnx', env={'XDG_CACHE_HOME': cache})
    process.wait_for('active:', 90)
    yield process
    assert process.stop() == 0
    assert 'Traceback' not in process.output


@pytest.fixture
def camera(probe: Probe, node: Process, models: dict[str, Path]) -> Iterator[Any]:
    """Return a publisher that the node is subscribed to; the first model is in use."""
    publisher = probe.publisher()
    until(publisher.get_subscription_count, what='the subscription of the node')
    assert probe.set_parameter('model', str(models['first'])) == (True, '')
    with probe.collect('segmentation/labels') as labels:
        until(lambda: label_of(probe.send_and_wait(publisher, image(), labels)[1]) == FIRST)
    yield publisher
    probe.node.destroy_publisher(publisher)


def image() -> np.ndarray:
    """Return an image all of whose labels are FIRST or SECOND."""
    return faulty_model.image(BLUE, (60, 80))


def label_of(mask: Image) -> int:
    """Return the only label in a mask."""
    (label,) = set(mask.data)
    return int(label)


def until_status(
        diagnostics: Collector, condition: Callable[[DiagnosticStatus], Any]) -> DiagnosticStatus:
    """Wait for a status that fits and return it."""
    return until(lambda: next(
        (status for status in statuses(diagnostics)[-1:] if condition(status)), None))


def runs(name: str) -> Callable[[DiagnosticStatus], bool]:
    """Return the condition that a model is in use."""
    return lambda status: facts(status).get('model') == name and 'label set' in facts(status)


@contextlib.contextmanager
def stream(probe: Probe, camera: Any, labels: Collector) -> Iterator[list[Image]]:
    """Publish at 10 Hz while in the block, give what was sent.

    Each when the one before has its mask, or on a busy machine a newer image would replace it.
    """
    sent: list[Image] = []
    done = threading.Event()

    def pour() -> None:
        while not done.wait(PERIOD):
            sent.append(probe.send(camera, image()))
            while stamp_of(sent[-1]) not in labels.by_stamp() and not done.wait(0.01):
                pass

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield sent
    finally:
        done.set()
        thread.join()


def set_together(probe: Probe, **values: Any) -> tuple[bool, str]:
    """Set parameters, all or none of them."""
    request = SetParametersAtomically.Request(parameters=[
        Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])
    result = probe.call(
        SetParametersAtomically, '/segment/set_parameters_atomically', request).result
    return bool(result.successful), str(result.reason)


def test_another_model_from_one_frame_to_the_next(
        probe: Probe, camera: Any, models: dict[str, Path], node: Process) -> None:
    """At 10 Hz every image has its mask, by the old model and then by the new, each as a whole."""
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/color') as colors, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        _, mask, _ = probe.send_and_wait(camera, image(), labels, colors)
        assert label_of(mask) == FIRST
        until_status(diagnostics, runs('first'))
        for name, expected in (('second', SECOND), ('first', FIRST), ('second', SECOND)):
            before, before_colors = len(labels), len(colors)
            with stream(probe, camera, labels) as sent:
                labels.wait(before + 3)
                assert probe.set_parameter('model', str(models[name])) == (True, '')
                until(lambda expected=expected: label_of(labels.messages[-1]) == expected, 60)
                after = len(labels)
                labels.wait(after + 3)
            for message in sent:
                assert labels.answer_to(message).header == message.header
            found = [label_of(mask) for mask in labels.messages[before:]]
            old = FIRST + SECOND - expected
            assert found == [old] * found.count(old) + [expected] * found.count(expected)
            # Colours are those of the label set of the same model.
            colors.wait(before_colors + 1)
            for color in colors.messages[before_colors:]:
                label = label_of(labels.answer_to(color))
                palette = load_label_set('camvid' if label == FIRST else 'cityscapes').palette
                assert bytes(color.data[:3]) == bytes(palette[label])
        found_now = until_status(diagnostics, runs('second'))
    assert facts(found_now)['label set'] == 'cityscapes'
    assert 'model second takes over on onnx' in node.output
    assert probe.get_parameter('model') == str(models['second'])


def test_a_model_that_fails_leaves_the_old_one(
        probe: Probe, camera: Any, models: dict[str, Path], node: Process) -> None:
    """Setting it succeeds; then the parameter goes back, and log and diagnostics say why."""
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        with stream(probe, camera, labels) as sent:
            assert set_together(probe, model=str(models['broken']), rotation=180) == (True, '')
            node.wait_for('broken.onnx, rotation:=180 not taken: ')
            until(lambda: probe.get_parameter('model') == str(models['first']))
            told = until_status(diagnostics, lambda s: 'broken.onnx' in s.message)
        for message in sent:
            assert label_of(labels.answer_to(message)) == FIRST
        assert probe.get_parameter('rotation') == 0
        assert told.level == DiagnosticStatus.WARN
        assert 'first goes on' in told.message
        # What works is taken, and what failed is forgotten.
        assert probe.set_parameter('model', str(models['second'])) == (True, '')
        until(lambda: label_of(probe.send_and_wait(camera, image(), labels)[1]) == SECOND)
        until(lambda: probe.send_and_wait(camera, image(), labels) and any(
            status.level == DiagnosticStatus.OK for status in statuses(diagnostics)[-1:]))


def test_what_can_be_seen_at_once_is_refused(
        probe: Probe, camera: Any, models: dict[str, Path], node: Process) -> None:
    """The reason is in the answer, and nothing has changed."""
    output = node.output
    for name, value, words in (
            ('model', 'nonesuch', "there is no model 'nonesuch'"),
            ('model', '/none/such.onnx', '/none/such.onnx is not there'),
            ('runtime', 'magic', "'runtime' must be one of auto"),
            ('label_grouping', 'nonesuch', "no label grouping 'nonesuch'"),
            ('ego_mask', '/none/such.png', 'cannot be read as a picture'),
            ('input_size', [100, 100], '100'),
            ('uncertainty', 'entropy', 'uncertainty needs a network'),
            ('min_confidence', 1.5, '')):
        before = probe.get_parameter(name)
        done, reason = probe.set_parameter(name, value)
        assert not done and words in reason, (name, reason)
        assert probe.get_parameter(name) == before
    assert not set_together(probe, model=str(models['second']), rotation=45)[0]
    assert probe.get_parameter('model') == str(models['first'])
    assert 'goes on' not in node.output[len(output):]


def test_a_storm_of_models(
        probe: Probe, camera: Any, models: dict[str, Path], node: Process) -> None:
    """The last one that was asked for is what remains; every image has a mask of one of them."""
    with probe.collect('segmentation/labels') as labels, stream(probe, camera, labels) as sent:
        for number in range(30):
            name = ('second', 'broken', 'first')[number % 3]
            assert probe.set_parameter('model', str(models[name])) == (True, '')
        assert set_together(
            probe, model=str(models['second']), fit='letterbox', labels_at='image') == (True, '')
        until(lambda: labels.messages and label_of(labels.messages[-1]) == SECOND, 60)
        labels.wait(len(labels) + 5)
        for message in list(sent)[2:]:
            assert label_of(labels.answer_to(message)) in (FIRST, SECOND)
        assert probe.get_parameter('model') == str(models['second'])
        assert probe.get_parameter('fit') == 'letterbox'
        assert probe.set_parameter('fit', 'model') == (True, '')
        # An earlier second, then the first once more: the last one asked for may take longer.
        until(lambda: {label_of(mask) for mask in labels.messages[-10:]} == {SECOND}, 60)


@pytest.mark.slow
def test_while_inactive_and_while_unconfigured(
        probe: Probe, camera: Any, models: dict[str, Path], node: Process) -> None:
    """Inactive: it takes over at once; unconfigured: it is what is configured next."""
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        assert probe.change(DEACTIVATE)
        assert probe.set_parameter('model', str(models['second'])) == (True, '')
        until_status(diagnostics, runs('second'))
        assert probe.change(ACTIVATE)
        with probe.collect('segmentation/labels') as labels:
            assert label_of(probe.send_and_wait(camera, image(), labels)[1]) == SECOND
        assert probe.change(DEACTIVATE) and probe.change(CLEANUP)
        assert not probe.set_parameter('model', '/none/such.onnx')[0]
        assert probe.set_parameter('model', str(models['first'])) == (True, '')
        until_status(diagnostics, lambda s: 'label set' not in facts(s))
        assert probe.change(CONFIGURE) and probe.change(ACTIVATE)
        with probe.collect('segmentation/labels') as labels:
            assert label_of(probe.send_and_wait(camera, image(), labels)[1]) == FIRST


def test_views_confidence_and_its_least(
        probe: Probe, camera: Any, node: Process, tmp_path: Path, cache: str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned masks, a topic that comes and goes, and labels only where the network is sure."""
    monkeypatch.setenv('XDG_CACHE_HOME', cache)
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    path = describe(tmp_path / 'mine.yaml', 'net.onnx')
    (picture,) = frames(1, (60, 80))
    segmenter = Segmenter.load(path, runtime='onnx', threads=1, confidence=True)
    found = segmenter.segment(picture)
    least = float(np.median(found.confidence)) / 255 + 0.01
    assert probe.set_parameter('model', str(path)) == (True, '')

    def pixels(message: Image) -> np.ndarray:
        return np.frombuffer(message.data, np.uint8).reshape(60, 80, -1).squeeze()

    with probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/color') as colors, \
            probe.collect('segmentation/overlay') as overlays:
        def shows(expected: np.ndarray) -> bool:
            _, mask, color, overlay = probe.send_and_wait(
                camera, picture, labels, colors, overlays)
            seen = pixels(mask)
            np.testing.assert_array_equal(pixels(color), segmenter.label_set.palette[seen])
            unlabelled = seen == 255
            np.testing.assert_array_equal(
                pixels(overlay)[unlabelled], picture[..., ::-1][unlabelled])
            return bool((seen == expected).all())

        until(lambda: shows(found.labels))
        assert probe.set_parameter('min_confidence', least) == (True, '')
        expected = found.labels_above(least)
        assert 0.2 < (expected == 255).mean() < 0.8
        until(lambda: shows(expected), 60)
        topic = '/segmentation/confidence'
        assert probe.node.count_publishers(topic) == 0, 'computed, but not asked for'
        assert probe.set_parameter('confidence', True) == (True, '')
        with probe.collect('segmentation/confidence') as confidences:
            _, confidence = probe.send_and_wait(camera, picture, confidences)
            np.testing.assert_array_equal(pixels(confidence), found.confidence)
        assert set_together(probe, confidence=False, min_confidence=0.0) == (True, '')
        until(lambda: probe.node.count_publishers(topic) == 0)
        until(lambda: shows(found.labels))
        assert probe.set_parameter('rotation', 180) == (True, '')
        turned = Segmenter.load(path, runtime='onnx', threads=1, rotation=180)
        until(lambda: shows(turned.segment(picture).labels))
        assert probe.set_parameter('rotation', 0) == (True, '')


def test_a_least_confidence_that_no_graph_gives(
        probe: Probe, camera: Any, node: Process) -> None:
    """The parameter goes back, and the labels stay."""
    assert probe.set_parameter('min_confidence', 0.5) == (True, '')
    node.wait_for('min_confidence:=0.5 not taken: ')
    until(lambda: probe.get_parameter('min_confidence') == 0.0)
    with probe.collect('segmentation/labels') as labels:
        sent, mask = probe.send_and_wait(camera, image(), labels)
    assert label_of(mask) == FIRST and stamp_of(mask) == stamp_of(sent)


@pytest.mark.slow
def test_a_topic_that_cannot_be_had_keeps_the_old_model(
        probe: Probe, start_segment: Callable[..., Process], tmp_path: Path, cache: str) -> None:
    """The new model is there, but not what it is published with."""
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    name = 'qos_overrides./other/segmentation/confidence.publisher.reliability'
    other = start_segment(
        '-r', '__ns:=/other', env={'XDG_CACHE_HOME': cache},
        **{'model': describe(tmp_path / 'mine.yaml', 'net.onnx'), 'runtime': 'onnx', name: 'some'})
    other.wait_for('active:', 90)
    request = SetParameters.Request(
        parameters=[Parameter('confidence', value=True).to_parameter_msg()])
    answer = probe.call(SetParameters, '/other/segment/set_parameters', request)
    assert answer.results[0].successful
    other.wait_for(f"confidence:=True not taken: parameter '{name}' must be one of reliable", 30)
    get = GetParameters.Request(names=['confidence'])
    until(lambda: not probe.call(
        GetParameters, '/other/segment/get_parameters', get).values[0].bool_value)
    assert other.stop() == 0
    assert 'Traceback' not in other.output

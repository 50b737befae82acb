# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras, one node: each gets the masks of its own images, whatever becomes of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
import signal
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, CompressedImage

import faulty_model
from faulty_model import RAISE, STEP
from probe import CLEANUP, Collector, DEACTIVATE, facts, Probe, until
from processes import Process
from segnode.ros.health import FAILED, REPLACED, UNDECODABLE
from segnode.segmenter import Segmenter

PEERS = Path(__file__).resolve().parent.parent / 'fault_peers.py'
# Height and width of the images; none is the network's input size.
SIZES = {'front': (96, 200), 'left': (60, 80), 'right': (300, 150)}


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the model whose label is the blue of the image, and that can fail."""
    return faulty_model.write(tmp_path_factory.mktemp('faulty'))


@pytest.fixture(scope='module')
def node(probe: Probe, model: Path, start_module_segment: Callable[..., Process]
         ) -> Iterator[Process]:
    """Start the node of the module; its end is checked too."""
    process = start_module_segment(**{
        'model': model, 'runtime': 'onnx', 'image_timeout': 2.0, 'left.rotation': 180,
        'cameras': '[front, left, right]'})
    process.wait_for('active:', 90)
    yield process
    assert process.stop() == 0
    assert 'Traceback' not in process.output


@pytest.fixture
def cameras(probe: Probe, node: Process) -> Iterator[dict[str, Any]]:
    """Return a publisher for each camera, subscribed to by the node."""
    publishers = {name: probe.publisher(f'{name}/image') for name in SIZES}
    for name, publisher in publishers.items():
        until(publisher.get_subscription_count, what=f'the subscription to {name}')
    yield publishers
    for publisher in publishers.values():
        probe.node.destroy_publisher(publisher)


def picture(name: str, seed: int = 0) -> np.ndarray:
    """Return a camera's image, uint8 (H, W, 3), with labels of its own in each place."""
    rng = np.random.default_rng([list(SIZES).index(name), seed])
    height, width = SIZES[name]
    return np.asarray(cv2.resize(
        rng.integers(0, 240, (4, 5, 3), np.uint8), (width, height), interpolation=cv2.INTER_AREA))


def newest(diagnostics: Collector) -> dict[str, DiagnosticStatus]:
    """Return the statuses of a message that was made after this call, by name."""
    def messages() -> list[Any]:
        return [message for message in list(diagnostics.messages)
                if message.status and message.status[0].name.startswith('/segment: ')]
    seen = len(messages())
    until(lambda: len(messages()) > seen + 1, what='diagnostics')
    return {status.name.removeprefix('/segment: '): status for status in messages()[-1].status}


def test_each_camera_gets_its_own_masks(
        probe: Probe, cameras: dict[str, Any], model: Path) -> None:
    """Values, sizes and headers are those of its images; what it has of its own holds for it."""
    expected = {
        name: Segmenter.load(model, runtime='onnx', rotation=180 if name == 'left' else 0)
        for name in SIZES}
    with contextlib.ExitStack() as stack:
        masks, overlays = ({
            name: stack.enter_context(probe.collect(f'{name}/segmentation/{output}'))
            for name in SIZES} for output in ('labels', 'overlay'))
        for seed in range(3):
            for name, camera in cameras.items():
                image = picture(name, seed)
                sent, mask, overlay = probe.send_and_wait(
                    camera, image, masks[name], overlays[name])
                assert mask.header == sent.header == overlay.header
                found = np.frombuffer(mask.data, np.uint8).reshape(SIZES[name])
                assert len(np.unique(found)) > 3
                np.testing.assert_array_equal(found, expected[name].segment(image).labels)
                assert (overlay.height, overlay.width) == SIZES[name]
        # All at once: what goes through the network together comes out apart.
        for seed in range(3, 9):
            sent = {name: probe.send(camera, picture(name, seed))
                    for name, camera in cameras.items()}
            for name, message in sent.items():
                mask = masks[name].answer_to(message)
                assert mask.header == message.header
                np.testing.assert_array_equal(
                    np.frombuffer(mask.data, np.uint8).reshape(SIZES[name]),
                    expected[name].segment(picture(name, seed)).labels)


def test_views_change_while_images_come(
        probe: Probe, cameras: dict[str, Any], model: Path, node: Process) -> None:
    """A camera's own, and the common one for those that have none."""
    def shows(name: str, rotation: int) -> bool:
        expected = Segmenter.load(model, runtime='onnx', rotation=rotation)
        with probe.collect(f'{name}/segmentation/labels') as masks:
            _, mask = probe.send_and_wait(cameras[name], picture(name), masks)
        found = np.frombuffer(mask.data, np.uint8).reshape(SIZES[name])
        return bool((found == expected.segment(picture(name)).labels).all())

    assert probe.set_parameter('left.rotation', 90) == (True, '')
    until(lambda: shows('left', 90))
    assert shows('front', 0)
    assert probe.set_parameter('rotation', 270) == (True, '')
    until(lambda: shows('front', 270))
    assert shows('right', 270) and shows('left', 90)
    done, reason = probe.set_parameter('left.rotation', 45)
    assert not done and "'left.rotation' must be one of 0, 90, 180, 270" in reason
    assert probe.set_parameter('rotation', 0) == (True, '')
    assert probe.set_parameter('left.rotation', 180) == (True, '')
    until(lambda: shows('left', 180) and shows('front', 0))


def test_calibration_and_compressed_images_are_a_cameras_own(
        probe: Probe, node: Process) -> None:
    """One sends JPEG or PNG and one a calibration; the others do not get it."""
    picture_of = np.full((*SIZES['left'], 3), 100, np.uint8)
    camera = probe.publisher('left/image/compressed', kind=CompressedImage)
    info = probe.publisher('left/camera_info', kind=CameraInfo)
    until(camera.get_subscription_count)
    until(info.get_subscription_count)

    def message() -> CompressedImage:
        made = CompressedImage(header=probe.header(), format='png')
        made.data = cv2.imencode('.png', picture_of)[1].tobytes()
        info.publish(CameraInfo(header=made.header, height=60, width=80, d=[0.5]))
        return made

    with probe.collect('left/segmentation/labels') as labels, \
            probe.collect('left/segmentation/camera_info', CameraInfo) as infos, \
            probe.collect('front/segmentation/camera_info', CameraInfo) as others:
        sent, mask, beside = probe.exchange(camera, message, labels, infos)
        assert set(mask.data) == {100 // STEP} and beside.header == sent.header
        assert list(beside.d) == [0.5] and not others.messages
    probe.node.destroy_publisher(camera)
    probe.node.destroy_publisher(info)


@pytest.mark.slow
def test_what_one_camera_sends_does_not_harm_the_others(
        probe: Probe, cameras: dict[str, Any], node: Process) -> None:
    """Images that break the network or none at all are counted where they came from."""
    with contextlib.ExitStack() as stack:
        masks = {name: stack.enter_context(probe.collect(f'{name}/segmentation/labels'))
                 for name in SIZES}
        diagnostics = stack.enter_context(probe.collect('/diagnostics', DiagnosticArray))
        for name, camera in cameras.items():
            probe.send_and_wait(camera, picture(name), masks[name])

        def lost(name: str) -> dict[str, int]:
            values = facts(newest(diagnostics)[name])
            return {cause: int(values[f'dropped: {cause}'])
                    for cause in (FAILED, UNDECODABLE, REPLACED)}

        before = {name: lost(name) for name in SIZES}
        bad = probe.image(picture('left'))
        bad.encoding = 'bgr9'
        for seed in range(12):
            # At the network's input size the command reaches the network; it is turned, though.
            broken = faulty_model.image(50, command=RAISE)[::-1, ::-1].copy()
            probe.send(cameras['left'], broken)
            if seed % 4 == 3:
                cameras['left'].publish(bad)
            for name in ('front', 'right'):
                sent = probe.send(cameras[name], picture(name, seed))
                assert masks[name].answer_to(sent).header == sent.header
        after = {name: lost(name) for name in SIZES}
    assert after['front'] == before['front'] and after['right'] == before['right']
    gained = {cause: after['left'][cause] - before['left'][cause] for cause in after['left']}
    assert sum(gained.values()) == 15 and gained[FAILED] > 4 and gained[UNDECODABLE] > 0
    assert 'an image of left could not be segmented and was skipped' in node.output


@pytest.mark.slow
def test_one_camera_dies(
        probe: Probe, node: Process, start: Callable[..., Process]) -> None:
    """The others go on as before, the diagnostics name it, and it may come back."""
    def camera(name: str) -> Process:
        process = start(
            PEERS, 'camera', '--topic', f'{name}/image', '--rate', 20, '--frame-id', name,
            '--height', SIZES[name][0], '--width', SIZES[name][1],
            env={'PYTHONPATH': f'{PEERS.parent}:{PEERS.parent.parent}'})
        process.wait_for('ready')
        return process

    processes = {name: camera(name) for name in SIZES}
    with contextlib.ExitStack() as stack:
        masks = {name: stack.enter_context(probe.collect(f'{name}/segmentation/labels'))
                 for name in SIZES}
        diagnostics = stack.enter_context(probe.collect('/diagnostics', DiagnosticArray))

        def more(name: str, count: int) -> None:
            seen = len(masks[name])
            until(lambda: len(masks[name]) > seen + count, 60, f'masks of {name}')

        for name in SIZES:
            more(name, 20)
        found = until(lambda: (now := newest(diagnostics)) and all(
            now[name].level == DiagnosticStatus.OK for name in SIZES) and now)
        assert set(found) == {'segmentation', *SIZES}
        assert found['segmentation'].message.startswith('3 of 3 cameras send images: ')
        engine = facts(found['segmentation'])
        assert engine['cameras'] == 'front, left, right' and engine['model'] == 'faulty'
        # Together: fewer runs than images.
        segmented = sum(int(facts(found[name])['frames segmented']) for name in SIZES)
        assert 0 < int(engine['network runs']) <= segmented
        for name in SIZES:
            own = facts(found[name])
            assert own['image topic'] == f'/{name}/image' and 'model' not in own
            assert found[name].message.startswith(f'{name}: ')

        processes['left'].send(signal.SIGKILL)
        processes['left'].wait()
        node.wait_for('no image from camera left on /left/image for ')
        before = newest(diagnostics)
        for name in ('front', 'right'):
            more(name, 40)
        after = newest(diagnostics)
        assert after['left'].level == DiagnosticStatus.WARN
        assert after['left'].message.startswith('left: no image for ')
        gained = {name: int(facts(after[name])['frames segmented'])
                  - int(facts(before[name])['frames segmented']) for name in SIZES}
        assert gained['left'] == 0 and gained['front'] > 30 and gained['right'] > 30
        for name in ('front', 'right'):
            assert after[name].level == DiagnosticStatus.OK, after[name].message
            assert float(facts(after[name])['rate out (Hz)']) > 1.0
            assert masks[name].messages[-1].header.frame_id == name
        processes['left'] = camera('left')
        more('left', 5)
        for process in processes.values():
            process.send(signal.SIGKILL)


@pytest.mark.slow
def test_images_go_through_the_network_together(
        probe: Probe, cameras: dict[str, Any], node: Process) -> None:
    """While the network is busy the next image of each camera waits, and all go in one run."""
    with contextlib.ExitStack() as stack:
        masks = {name: stack.enter_context(probe.collect(f'{name}/segmentation/labels'))
                 for name in SIZES}
        diagnostics = stack.enter_context(probe.collect('/diagnostics', DiagnosticArray))
        for name, camera in cameras.items():
            probe.send_and_wait(camera, picture(name), masks[name])

        def counts() -> tuple[int, int]:
            found = newest(diagnostics)
            return (int(facts(found['segmentation'])['network runs']),
                    sum(int(facts(found[name])['frames segmented']) for name in SIZES))

        runs, images = counts()
        large = np.zeros((1080, 1920, 3), np.uint8)
        for _ in range(10):
            probe.send(cameras['front'], large)
            for name in ('left', 'right'):
                probe.send(cameras[name], picture(name))
        for collector in masks.values():
            collector.settle()
        # Diagnostics come once a second, and say what was a moment before.
        until(lambda: counts()[1] - images >= 3, what='images of three cameras in the books')
        more_runs, more_images = (now - then for now, then in zip(counts(), (runs, images)))
    assert more_images <= 30 and more_runs < more_images


def test_all_of_it_goes_and_comes_back(
        probe: Probe, cameras: dict[str, Any], node: Process) -> None:
    """Transitions act on the topics of every camera."""
    topics = [f'/{name}/segmentation/labels' for name in SIZES]
    assert probe.change(DEACTIVATE)
    until(lambda: not any(camera.get_subscription_count() for camera in cameras.values()))
    assert probe.change(CLEANUP)
    until(lambda: not any(probe.node.count_publishers(topic) for topic in topics))
    assert probe.change(1) and probe.change(3)
    for name, camera in cameras.items():
        with probe.collect(f'{name}/segmentation/labels') as labels:
            probe.send_and_wait(camera, picture(name), labels)


@pytest.mark.parametrize('given, words', [
    ({'cameras': '[front, front]'}, "'cameras' must be different names of letters"),
    ({'cameras': '[front, 2nd]'}, "not ['front', '2nd']"),
    ({'cameras': 'front'}, "'cameras' must be of type string array"),
    ({'cameras': '[front]', 'front.rotation': 45}, "'front.rotation' must be one of 0, 90"),
])
def test_what_cannot_be_used_ends_in_one_sentence(
        start_segment: Callable[..., Process], given: dict[str, Any], words: str) -> None:
    """Exit code 1 and one line."""
    node = start_segment(**given)
    assert node.wait() == 1
    assert node.output.startswith('error: ') and len(node.output.splitlines()) == 1
    assert words in node.output


def test_values_of_a_camera_that_there_is_not_are_named(
        start_segment: Callable[..., Process]) -> None:
    """As every parameter that the node does not have; [] means no named camera."""
    node = start_segment(**{'cameras': '[]', 'fornt.rotation': 90, 'autostart': False})
    node.wait_for("there is no parameter 'fornt.rotation', it is ignored", 60)
    assert node.stop() == 0
    node = start_segment(**{'cameras': '[front]', 'fornt.rotation': 90, 'autostart': False})
    node.wait_for("'fornt.rotation', it is ignored; did you mean 'front.rotation'?", 60)
    assert node.stop() == 0

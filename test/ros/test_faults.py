# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a vehicle does to a node, over DDS and from other processes: the next good image is served.

One node serves the whole module, so each fault meets what the ones before have left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import functools
from pathlib import Path
import random
import signal
import time
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage

import faulty_model
from faulty_model import EXHAUST, RAISE, STEP
import garbage
from probe import ACTIVATE, Collector, CONFIGURE, DEACTIVATE, facts, Probe, statuses, until
from processes import Process
from segnode.ros.health import FAILED, REPLACED, UNDECODABLE
from segnode.ros.parameters import PARAMETERS

PEERS = Path(__file__).resolve().parent.parent / 'fault_peers.py'
PACE = 0.002  # s between two bad messages: most are then looked at, not only replaced
GROWTH = 48 << 20  # bytes that a burst of bad messages may leave or need


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the model that fails on command."""
    return faulty_model.write(tmp_path_factory.mktemp('faulty'))


@pytest.fixture(scope='module')
def node(probe: Probe, model: Path, start_module_segment: Callable[..., Process]
         ) -> Iterator[Process]:
    """Start the node of the module; after all of it its end is in order, and so are its books."""
    process = start_module_segment(model=model, image_timeout=2.0, runtime='onnx')
    process.wait_for('active:', 90)
    yield process
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        values = facts(fresh(diagnostics))
    dropped = sum(int(value) for key, value in values.items() if key.startswith('dropped: '))
    assert int(values['frames received']) == int(values['frames segmented']) + dropped
    assert process.stop() == 0
    assert 'Traceback' not in process.output
    assert 'onnxruntime:' not in process.output, 'the library would tell of each image that fails'


def fresh(diagnostics: Collector) -> DiagnosticStatus:
    """Return diagnostics that were made after this call."""
    seen = len(statuses(diagnostics))
    until(lambda: len(statuses(diagnostics)) > seen + 1)
    return statuses(diagnostics)[-1]


def serves(probe: Probe, camera: Any, labels: Collector, blue: int = 100) -> None:
    """Fail unless an image becomes its mask."""
    _, mask = probe.send_and_wait(camera, faulty_model.image(blue), labels)
    assert set(mask.data) == {blue // STEP}


def drops(status: DiagnosticStatus) -> dict[str, int]:
    """Return the drops by cause."""
    return {key.removeprefix('dropped: '): int(value) for key, value in facts(status).items()
            if key.startswith('dropped: ')}


def memory(process: Process, entry: str = 'VmRSS') -> int:
    """Return an entry of /proc/PID/status in bytes: VmRSS, or VmHWM, the most it ever was."""
    text = Path(f'/proc/{process.pid}/status').read_text()
    return 1024 * int(text.split(f'{entry}:')[1].split()[0])


@pytest.fixture
def camera(probe: Probe, node: Process) -> Iterator[Any]:
    """Return a publisher that the node is subscribed to."""
    publisher = probe.publisher()
    until(publisher.get_subscription_count, what='the subscription of the node')
    yield publisher
    probe.node.destroy_publisher(publisher)


def peer(start: Callable[..., Process], *arguments: object) -> Process:
    """Start one of fault_peers.py."""
    process = start(PEERS, *arguments, env={
        'PYTHONPATH': f'{PEERS.parent}:{PEERS.parent.parent}'})
    process.wait_for('ready')
    return process


def frames_of(labels: Collector, frame_id: str) -> int:
    """Return how many masks came of that camera's images."""
    return sum(message.header.frame_id == frame_id for message in list(labels.messages))


def test_a_burst_of_broken_files(probe: Probe, node: Process) -> None:
    """JPEG and PNG, cut, spoilt and lying about their size; found where only they are sent.

    The first of all: the ghosts of cameras that were killed publish raw images for a while yet.
    """
    camera = probe.publisher('image/compressed', kind=CompressedImage)
    until(camera.get_subscription_count, 40, 'the node at the compressed images')
    picture = faulty_model.image(100, (96, 128))
    with probe.collect('segmentation/labels') as labels:
        def message(suffix: str) -> CompressedImage:
            data = cv2.imencode(suffix, picture)[1].tobytes()
            return CompressedImage(header=probe.header(), format='bgr8', data=data)

        def served() -> None:
            _, mask = probe.exchange(camera, functools.partial(message, '.png'), labels)
            assert (mask.height, mask.width) == (96, 128)
            assert set(mask.data) == {100 // STEP}

        served()
        most = memory(node, 'VmHWM')
        for suffix, seed in (('.jpg', 3), ('.png', 4)):
            for bad in garbage.compressed(message(suffix), 300, seed):
                camera.publish(bad)
                time.sleep(PACE)
        served()
    assert memory(node, 'VmHWM') - most < GROWTH
    probe.node.destroy_publisher(camera)


def test_a_camera_that_is_killed_and_comes_back(
        probe: Probe, node: Process, start: Callable[..., Process]) -> None:
    """SIGKILL leaves a ghost in the graph; a new camera is served beside it, as it offers."""
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        for number, reliability in enumerate(('reliable', 'best_effort')):
            name = f'camera_{number}'
            camera = peer(start, 'camera', '--reliability', reliability, '--frame-id', name)
            until(lambda name=name: frames_of(labels, name) > 5, 60, f'masks of {name}')
            camera.send(signal.SIGKILL)
            camera.wait()
            if number:
                continue
            until(lambda: 'no image for' in fresh(diagnostics).message)
            assert fresh(diagnostics).level == DiagnosticStatus.WARN


def test_a_camera_that_stands_still_and_goes_on(
        probe: Probe, node: Process, start: Callable[..., Process]) -> None:
    """As a driver does that waits for its sensor."""
    with probe.collect('segmentation/labels') as labels:
        camera = peer(start, 'camera', '--frame-id', 'frozen')
        until(lambda: frames_of(labels, 'frozen') > 5, 60)
        camera.send(signal.SIGSTOP)
        time.sleep(2.0)
        before = frames_of(labels, 'frozen')
        camera.send(signal.SIGCONT)
        until(lambda: frames_of(labels, 'frozen') > before + 5)
        camera.send(signal.SIGKILL)


def test_a_burst_of_contradictory_images(probe: Probe, camera: Any, node: Process) -> None:
    """Sizes up to 2^32, any length of data, any encoding: counted, and nothing is allocated."""
    count = 800
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        serves(probe, camera, labels)
        before, most = drops(fresh(diagnostics)), memory(node, 'VmHWM')
        messages = garbage.images(probe.image(faulty_model.image(0)), count, seed=1)
        for number, message in enumerate(messages):
            camera.publish(message)
            time.sleep(PACE)
            if number % 5 == 4:  # no more of them than wait for a node that is kept from its work
                serves(probe, camera, labels)
        status = fresh(diagnostics)
    gained = {cause: number - before[cause] for cause, number in drops(status).items()}
    assert gained[UNDECODABLE] > count // 8 and gained[FAILED] == 0
    assert gained[UNDECODABLE] + gained[REPLACED] > count // 2
    assert memory(node, 'VmHWM') - most < GROWTH
    assert any(status.level == DiagnosticStatus.WARN and 'cannot be decoded' in status.message
               for status in statuses(diagnostics))


def test_a_burst_of_malformed_serialisations(probe: Probe, camera: Any, node: Process) -> None:
    """What is no message never reaches the node; what is one by chance is survived."""
    with probe.collect('segmentation/labels') as labels:
        serves(probe, camera, labels)
        most = memory(node, 'VmHWM')
        for data in garbage.malformed(probe.image(faulty_model.image(0)), 800, seed=2):
            camera.publish(data)
            time.sleep(PACE)
        serves(probe, camera, labels)
    assert memory(node, 'VmHWM') - most < GROWTH


def test_garbage_on_camera_info(probe: Probe, camera: Any, node: Process) -> None:
    """A calibration with nonsense in it goes beside the mask, and does not keep it back."""
    publisher = probe.publisher('camera_info', kind=CameraInfo)
    until(publisher.get_subscription_count)
    rng = random.Random(5)
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/camera_info', CameraInfo) as infos:
        serves(probe, camera, labels)
        for _ in range(100):
            info = CameraInfo(
                height=rng.choice(garbage.SIDES), width=rng.choice(garbage.SIDES),
                distortion_model=rng.choice(garbage.TEXTS),
                d=[rng.choice((0.0, float('nan'), float('inf'), 1e300))] * rng.randrange(20),
                k=[rng.choice((0.0, float('nan'), -1e308)) for _ in range(9)],
                binning_x=rng.choice(garbage.SIDES), binning_y=rng.choice(garbage.SIDES))
            info.roi.height, info.roi.width = rng.choice(garbage.SIDES), rng.choice(garbage.SIDES)
            info.roi.x_offset = rng.choice(garbage.SIDES)
            publisher.publish(info)
            # One may get lost: the node subscribes anew when a ghost is gone.
            serves(probe, camera, labels)
        until(lambda: len(infos) > 50)
    probe.node.destroy_publisher(publisher)


@pytest.mark.parametrize('command, words', [
    (RAISE, 'indices element out of data bounds'),
    (EXHAUST, 'Failed to allocate memory'),
], ids=['raises', 'runs out of memory'])
def test_a_runtime_that_fails(
        probe: Probe, camera: Any, node: Process, command: int, words: str) -> None:
    """The frame is lost and counted, the reason is told, the next frame is served."""
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        serves(probe, camera, labels)
        before = drops(fresh(diagnostics))[FAILED]
        sent = 0

        def three_have_failed() -> DiagnosticStatus | None:
            """Send three and look; on a busy machine one may be replaced, or long ago by then."""
            nonlocal sent
            for number in (1, 2, 3):
                probe.send(camera, faulty_model.image(50, command=command))
                sent += 1
                time.sleep(0.1)
                serves(probe, camera, labels, blue=24 * number)
            status = fresh(diagnostics)
            assert drops(status)[FAILED] <= before + sent
            failed = drops(status)[FAILED] >= before + 3
            return status if failed and status.level == DiagnosticStatus.ERROR else None

        status = until(three_have_failed)
        assert status.message.startswith('images fail: ') and words in status.message
        assert 'an image could not be segmented and was skipped' in node.output


def test_a_storm_of_parameters(
        probe: Probe, node: Process, start: Callable[..., Process]) -> None:
    """Hundreds of changes, right and wrong ones, amid images: all answered, none of them late."""
    rng = random.Random(6)
    images = peer(start, 'camera', '--rate', 50, '--frame-id', 'storm')
    client = probe.client(SetParameters, '/segment/set_parameters')
    live = [spec for spec in PARAMETERS if spec.changes == 'at any time'
            and spec.name not in ('max_rate', 'min_confidence')]
    futures = []
    with probe.collect('segmentation/labels') as labels:
        until(lambda: frames_of(labels, 'storm') > 3, 60)
        before = frames_of(labels, 'storm')
        for _ in range(300):
            spec = rng.choice(live)
            value = rng.choice((
                spec.default, True, -1, 0.5, 1, 1e9, float('nan'), 'text', [1, 2], ['a']))
            futures.append(client.call_async(SetParameters.Request(
                parameters=[Parameter(spec.name, value=value).to_parameter_msg()])))
            # A service keeps the last ten requests (rmw_qos_profile_services_default).
            until(lambda: sum(not future.done() for future in futures) < 8, what='an answer')
        until(lambda: all(future.done() for future in futures), what='every answer')
        results = [future.result().results[0] for future in futures]
        assert 20 < sum(result.successful for result in results) < 250
        assert all(result.reason for result in results if not result.successful)
        for spec in live:
            assert probe.set_parameter(spec.name, spec.default)[0], spec.name
        until(lambda: frames_of(labels, 'storm') > before)
        images.send(signal.SIGKILL)


def test_a_subscriber_that_never_reads(
        probe: Probe, camera: Any, node: Process, start: Callable[..., Process]) -> None:
    """It asks for everything, reliably, and takes nothing; the others are served as before."""
    large = faulty_model.image(100, (512, 1024))
    with probe.collect('segmentation/labels') as labels:
        probe.send_and_wait(camera, large, labels)
        for frozen in (False, True):
            deaf = peer(start, 'deaf', '/segmentation/labels', '/segmentation/overlay')
            until(lambda: probe.node.count_subscribers('/segmentation/overlay') > 0)
            if frozen:
                deaf.send(signal.SIGSTOP)
            before, begun = len(labels), time.monotonic()
            while time.monotonic() - begun < 2.0 or len(labels) - before <= 10:
                assert time.monotonic() - begun < 60.0, 'masks go on while it does not read'
                probe.send(camera, large)
                time.sleep(0.03)
            serves(probe, camera, labels)
            deaf.send(signal.SIGKILL)
            deaf.wait()
        serves(probe, camera, labels)


def test_a_storm_of_transitions(probe: Probe, camera: Any, node: Process) -> None:
    """Any order, any pace, amid images: the state stays one of the four, and work goes on."""
    rng = random.Random(7)
    client = probe.client(ChangeState, '/segment/change_state')
    futures = []
    for _ in range(60):
        request = ChangeState.Request()
        request.transition.id = rng.choice((1, 2, 3, 4, 3, 4, 0, 99, 255))
        until(lambda: sum(not future.done() for future in futures) < 8, what='an answer')
        futures.append(client.call_async(request))
        probe.send(camera, faulty_model.image(100))
        time.sleep(rng.choice((0.0, 0.01, 0.05)))
    until(lambda: all(future.done() for future in futures), 120, 'every answer')
    assert any(future.result().success for future in futures)
    state = probe.state()
    assert state in ('unconfigured', 'inactive', 'active')
    if state == 'unconfigured':
        assert probe.change(CONFIGURE)
    if state != 'active':
        assert probe.change(ACTIVATE)
    until(camera.get_subscription_count)
    with probe.collect('segmentation/labels') as labels:
        serves(probe, camera, labels)
    assert probe.change(DEACTIVATE) and probe.change(ACTIVATE)


def test_all_at_once(
        probe: Probe, node: Process, start: Callable[..., Process]) -> None:
    """Two cameras, one of them reliable, beside garbage and a runtime that fails."""
    cameras = [peer(start, 'camera', '--reliability', reliability, '--frame-id', reliability)
               for reliability in ('reliable', 'best_effort')]
    publisher = probe.publisher()
    until(publisher.get_subscription_count)
    good = probe.image(faulty_model.image(0))
    with probe.collect('segmentation/labels') as labels:
        for message in garbage.images(good, 200, seed=8):
            publisher.publish(message)
            probe.send(publisher, faulty_model.image(50, command=RAISE))
            time.sleep(0.005)
        for camera in cameras:
            seen = frames_of(labels, camera.command[-1])
            until(lambda name=camera.command[-1], seen=seen: frames_of(labels, name) > seen + 3)
            camera.send(signal.SIGKILL)
    probe.node.destroy_publisher(publisher)


def test_the_latest_fault_is_not_the_last_word(
        probe: Probe, camera: Any, node: Process) -> None:
    """Some seconds of good images, and the diagnostics are OK again."""
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        serves(probe, camera, labels)
        begun = time.monotonic()
        while fresh(diagnostics).level != DiagnosticStatus.OK:
            for _ in range(10):
                probe.send(camera, faulty_model.image(100))
                time.sleep(0.02)
            assert time.monotonic() - begun < 90.0, statuses(diagnostics)[-1].message
    assert np.isfinite(float(facts(statuses(diagnostics)[-1])['memory (MB)']))
    assert memory(node) < 600 << 20

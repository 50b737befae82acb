# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The segment node from outside: images in over DDS from this process, masks out of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import time
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float32, Header

from probe import Collector, facts, Probe, statuses, until
from processes import Process
from segnode.ros.health import REPLACED, UNDECODABLE, UNWANTED
from segnode.ros.topics import LATENCY_STAGES
from segnode.ros.worker import THROTTLE
from segnode.segmenter import Segmenter


@pytest.fixture(scope='module')
def segmenter() -> Iterator[Segmenter]:
    """Return what the node has inside, in this process."""
    segmenter = Segmenter.load('fsffnet', threads=1, allow_random_weights=True)
    yield segmenter
    segmenter.close()


@pytest.fixture(scope='module')
def node(probe: Probe, segmenter: Segmenter, start_module_segment: Callable[..., Process]
         ) -> Iterator[Process]:
    """Start one node for the module; its end is checked too."""
    process = start_module_segment()
    process.wait_for('active:', 90)
    yield process
    assert process.stop() == 0
    assert 'Traceback' not in process.output


@pytest.fixture(scope='module')
def camera(probe: Probe, node: Process) -> Iterator[Any]:
    """Return a reliable publisher that the node is subscribed to."""
    publisher = probe.publisher()
    until(publisher.get_subscription_count, what='the subscription of the node')
    yield publisher
    probe.node.destroy_publisher(publisher)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a smooth random image, uint8 (H, W, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def latest(diagnostics: Collector) -> dict[str, str]:
    """Return what the newest diagnostics say."""
    return facts(until(lambda: statuses(diagnostics))[-1])


def fresh(diagnostics: Collector) -> dict[str, str]:
    """Return what diagnostics say that were made after this call."""
    seen = len(statuses(diagnostics))
    until(lambda: len(statuses(diagnostics)) > seen + 1)
    return latest(diagnostics)


def quiet(probe: Probe, camera: Any, labels: Collector) -> None:
    """Wait until nothing is left of what was sent; the first exchange has been made before.

    One image at a time: once the second has its mask, all else that the same process had sent
    before has come here, too.
    """
    for _ in range(2):
        labels.answer_to(probe.send(camera, picture(60, 80)))
    labels.settle()


def test_masks_have_header_size_and_values_of_their_image(
        probe: Probe, camera: Any, segmenter: Segmenter) -> None:
    """Labels are those of the Segmenter, colours those of the table, at any size."""
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/color') as colors, \
            probe.collect('segmentation/overlay') as overlays:
        for seed, (height, width) in enumerate([(360, 480), (97, 131), (1024, 2048), (360, 480)]):
            image = picture(height, width, seed)
            sent, label, color, overlay = probe.send_and_wait(
                camera, image, labels, colors, overlays)
            for msg, encoding, channels in ((label, 'mono8', 1), (color, 'rgb8', 3),
                                            (overlay, 'rgb8', 3)):
                assert msg.header == sent.header
                assert (msg.height, msg.width, msg.encoding) == (height, width, encoding)
                assert (msg.step, msg.is_bigendian) == (width * channels, 0)
                assert len(msg.data) == height * width * channels
            got = np.frombuffer(label.data, np.uint8).reshape(height, width)
            np.testing.assert_array_equal(got, segmenter.segment(image).labels)
            rgb = np.frombuffer(color.data, np.uint8).reshape(height, width, 3)
            np.testing.assert_array_equal(rgb, segmenter.label_set.palette[got])
            blend = np.frombuffer(overlay.data, np.uint8).reshape(height, width, 3)
            expected = 0.5 * rgb + 0.5 * image[..., ::-1]
            assert np.abs(blend - expected).max() <= 1.0


def test_compressed_outputs(probe: Probe, camera: Any, segmenter: Segmenter) -> None:
    """The PNG holds the labels exactly, the JPEG looks like the overlay."""
    image = picture(240, 320, 5)
    with probe.collect('segmentation/labels/compressed', CompressedImage) as pngs, \
            probe.collect('segmentation/overlay/compressed', CompressedImage) as jpegs, \
            probe.collect('segmentation/overlay') as overlays:
        sent, png, jpeg, overlay = probe.send_and_wait(camera, image, pngs, jpegs, overlays)
    assert png.header == sent.header == jpeg.header
    assert png.format.startswith('mono8; png') and jpeg.format.startswith('rgb8; jpeg')
    decoded = cv2.imdecode(np.frombuffer(png.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, segmenter.segment(image).labels)
    seen = np.asarray(cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR))
    rgb = np.frombuffer(overlay.data, np.uint8).reshape(240, 320, 3)
    assert np.abs(seen[..., ::-1].astype(float) - rgb).mean() < 10


def test_camera_info_goes_out_with_the_header_of_the_mask(probe: Probe, camera: Any) -> None:
    """The calibration is passed on unchanged but for the header."""
    info = CameraInfo(height=60, width=80, distortion_model='plumb_bob', d=[0.1, 0, 0, 0, 0],
                      k=[50.0, 0, 40, 0, 50, 30, 0, 0, 1])
    publisher = probe.publisher('camera_info', kind=CameraInfo)
    until(publisher.get_subscription_count)
    with probe.collect('segmentation/camera_info', CameraInfo) as infos:
        def image_after_info() -> Image:
            info.header = Header(stamp=Time(sec=1), frame_id='elsewhere')
            publisher.publish(info)
            time.sleep(0.5)
            return probe.image(picture(60, 80))

        sent, got = probe.exchange(camera, image_after_info, infos)
    assert got.header == sent.header
    assert (got.height, got.width, got.distortion_model) == (60, 80, 'plumb_bob')
    np.testing.assert_array_equal(got.k, info.k)
    np.testing.assert_array_equal(got.d, info.d)


def test_latency_topics_add_up(probe: Probe, camera: Any) -> None:
    """Each stage is published in ms; the stages inside the node fill its total."""
    image = picture(360, 480)
    with contextlib.ExitStack() as stack:
        labels = stack.enter_context(probe.collect('segmentation/labels'))
        collectors = {
            stage: stack.enter_context(probe.collect(f'segmentation/latency/{stage}', Float32))
            for stage in LATENCY_STAGES}
        until(lambda: probe.send_and_wait(camera, image, labels)
              and all(collector.messages for collector in collectors.values()))
        quiet(probe, camera, labels)
        before = {stage: collector.settle() for stage, collector in collectors.items()}
        begun = time.monotonic()
        probe.send(camera, image)
        ms = {stage: collector.wait(before[stage] + 1)[-1].data
              for stage, collector in collectors.items()}
        elapsed = 1e3 * (time.monotonic() - begun)
    assert all(value >= 0.0 for value in ms.values())
    inside = ms['decode'] + ms['run'] + ms['publish']
    assert inside <= ms['total'] + 0.1 and ms['run'] > 1.0
    assert ms['transport'] + ms['total'] < elapsed + 1


def test_work_nobody_asks_for_is_not_done(probe: Probe, camera: Any) -> None:
    """With one subscriber one topic is served; without any, no image is segmented at all."""
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        def published(values: dict[str, str]) -> dict[str, int]:
            prefix = 'published: '
            return {key[len(prefix):]: int(value) for key, value in values.items()
                    if key.startswith(prefix)}

        with probe.collect('segmentation/labels') as labels:
            probe.send_and_wait(camera, picture(60, 80), labels)
            quiet(probe, camera, labels)
            before = fresh(diagnostics)
            for seed in range(3):
                labels.answer_to(probe.send(camera, picture(60, 80, seed)))
            served = fresh(diagnostics)

        unwanted = f'dropped: {UNWANTED}'
        # The node learns a moment later that its subscriber has gone.
        until(lambda: probe.send(camera, picture(60, 80))
              and int(fresh(diagnostics)[unwanted]) > int(served[unwanted]), 60)
        left = fresh(diagnostics)
        for count in (1, 2, 3):
            probe.send(camera, picture(60, 80))
            until(lambda wanted=int(left[unwanted]) + count:
                  int(latest(diagnostics)[unwanted]) == wanted)
        unserved = fresh(diagnostics)
    gained = {topic: count - published(before).get(topic, 0)
              for topic, count in published(served).items()}
    assert {topic: count for topic, count in gained.items() if count} == {
        'segmentation/labels': 3}
    assert int(unserved[unwanted]) - int(left[unwanted]) == 3
    assert unserved['frames segmented'] == left['frames segmented']


def test_newest_image_wins_and_every_image_is_accounted_for(probe: Probe, camera: Any) -> None:
    """A camera faster than the network costs old images only; none is lost from the books."""
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics, \
            probe.collect('segmentation/labels') as labels:
        image = picture(360, 480)
        probe.send_and_wait(camera, image, labels)
        replaced = f'dropped: {REPLACED}'
        before = int(latest(diagnostics)[replaced])

        def flood() -> bool:
            for _ in range(10):
                probe.send(camera, image)
            return int(latest(diagnostics)[replaced]) > before

        until(flood)
        labels.answer_to(probe.send(camera, image))
        labels.settle()
        values = fresh(diagnostics)
    stamps = list(labels.by_stamp())
    assert stamps == sorted(stamps), 'masks come in the order of their images'
    dropped = sum(int(value) for key, value in values.items() if key.startswith('dropped: '))
    assert int(values['frames received']) == int(values['frames segmented']) + dropped


def malformed(probe: Probe) -> dict[str, Image]:
    """Return messages that no camera should send."""
    good = picture(60, 80)

    def changed(**fields: Any) -> Image:
        msg = probe.image(good)
        for name, value in fields.items():
            setattr(msg, name, value)
        return msg

    return {
        'short data': changed(data=b'\x00' * 100),
        'no data': changed(data=b''),
        'unknown encoding': changed(encoding='bgr9'),
        'empty encoding': changed(encoding=''),
        'zero height': changed(height=0),
        'zero width': changed(width=0),
        'step below a row': changed(step=10),
        'zero step': changed(step=0),
        'absurd size': changed(height=2**32 - 1, width=2**32 - 1, step=2**32 - 1),
        'no image at all': Image(),
    }


def test_malformed_images_are_counted_named_and_survived(
        probe: Probe, camera: Any, node: Process) -> None:
    """Each is counted as undecodable, the diagnostics warn, and the next good image is served."""
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics, \
            probe.collect('segmentation/labels') as labels:
        probe.send_and_wait(camera, picture(60, 80), labels)
        quiet(probe, camera, labels)
        before = fresh(diagnostics)
        sent = undecodable = 0
        begun = time.monotonic()
        # On a busy machine one may be replaced before it is looked at, or not even arrive.
        while undecodable <= len(bad := malformed(probe)) // 2:
            assert time.monotonic() - begun < 60.0, undecodable
            for msg in bad.values():
                camera.publish(msg)
                time.sleep(0.15)
            sent += len(bad)
            probe.send_and_wait(camera, picture(60, 80), labels)
            fresh(diagnostics)
            status = statuses(diagnostics)[-1]
            undecodable, replaced = (
                int(facts(status)[f'dropped: {cause}']) - int(before[f'dropped: {cause}'])
                for cause in (UNDECODABLE, REPLACED))
    assert undecodable <= undecodable + replaced <= sent
    assert facts(status)['last error'] != 'none'
    assert status.level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
    assert 'an image was skipped' in node.output
    warnings = 1 + (time.monotonic() - begun) // THROTTLE
    assert node.output.count('an image was skipped') <= warnings, 'the warning is throttled'
    assert node.running


def test_diagnostics_tell_how_it_runs(
    probe: Probe, camera: Any, segmenter: Segmenter
) -> None:
    """Rates, latency per stage, model, runtime, topic and its QoS, once a second."""
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics, \
            probe.collect('segmentation/labels') as labels:
        while len(statuses(diagnostics)) < 6:
            probe.send_and_wait(camera, picture(60, 80), labels)
            time.sleep(0.1)
        values = latest(diagnostics)
        stamps = [message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
                  for message in diagnostics.messages]
    # Later ones come with a busy machine, but they are made up for.
    assert 0.5 < np.diff(stamps).mean() < 10.0
    assert 0.0 < float(values['rate in (Hz)']) < 11.0
    assert float(values['rate out (Hz)']) == pytest.approx(float(values['rate in (Hz)']), abs=1.0)
    for stage in ('transport', 'decode', 'run', 'publish', 'total'):
        assert values[f'latency {stage} (ms)'].startswith('median ')
    assert values['state'] == 'active'
    assert values['image topic'] == '/image'
    assert values['image reliability'] == 'reliable'
    height, width = segmenter.input_size
    assert values['network input'] == f'{width} x {height}'
    assert values['runtime'] in ('onnx', 'pytorch')
    assert values['image transport'] == 'raw' and values['QoS mismatches'] == 'none'
    assert values['runtime details'] and values['cache']
    assert 20.0 < float(values['memory (MB)']) < 4000.0
    assert 0.0 <= float(values['age of the newest image (s)']) < 60.0
    assert 0.0 <= float(values['drop share']) <= 1.0
    assert 0.0 < float(values['window (s)']) <= 5.0
    end_to_end, total = (float(values[f'latency {name} (ms)'].split()[1].rstrip(','))
                         for name in ('end to end', 'total'))
    assert end_to_end >= total


def test_limits_move_the_level_while_the_node_runs(probe: Probe, camera: Any) -> None:
    """A limit set is a limit at once; what stopped long ago is STALE."""
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics, \
            probe.collect('segmentation/labels') as labels:
        def level_is(level: bytes, words: str, silent: bool = False) -> None:
            until(lambda: (silent or probe.send_and_wait(camera, picture(60, 80), labels))
                  and any(status.level == level and words in status.message
                          for status in statuses(diagnostics)[-1:]), what=words)

        assert probe.set_parameter('error_latency', 0.01) == (True, '')
        level_is(DiagnosticStatus.ERROR, 'latency ')
        assert probe.set_parameter('error_latency', 0.0) == (True, '')
        assert probe.set_parameter('stale_age', 1.0) == (True, '')
        level_is(DiagnosticStatus.STALE, 'the newest image is ', silent=True)
        assert probe.set_parameter('stale_age', 10.0) == (True, '')
        assert probe.set_parameter('warn_rate', 900.0) == (True, '')
        level_is(DiagnosticStatus.WARN, 'Hz out, less than 900')
        assert probe.set_parameter('warn_rate', 0.0) == (True, '')
        level_is(DiagnosticStatus.OK, 'Hz in')


def test_stream_of_another_clock_has_no_transport_latency(probe: Probe, camera: Any) -> None:
    """A stamp of the year 1970, as bags and simulators have it, gives no nonsense."""
    with probe.collect('segmentation/latency/transport', Float32) as transport, \
            probe.collect('segmentation/labels') as labels:
        until(lambda: probe.send_and_wait(camera, picture(60, 80), labels) and transport.messages)
        quiet(probe, camera, labels)
        count = transport.settle()

        def old() -> Image:
            msg = probe.image(picture(60, 80))
            msg.header.stamp = Time(sec=12)
            return msg

        probe.exchange(camera, old, labels)
        assert transport.settle() == count

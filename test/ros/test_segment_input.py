# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the segment node subscribes to: topic, transport, and reliability after the publishers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import time
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import rclpy
from rclpy.qos import qos_profile_sensor_data, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage

from probe import facts, Probe, statuses, until
from processes import Process
from segnode.ros.diagnostics import TIMELESS
from segnode.ros.inputs import RETRY

IMAGE = np.full((60, 80, 3), 100, np.uint8)


def reliability_of_subscription(probe: Probe, topic: str = '/image') -> str:
    """Return what the node's subscription asks for; empty while there is none."""
    infos = probe.node.get_subscriptions_info_by_topic(topic)
    return infos[0].qos_profile.reliability.name.lower() if len(infos) == 1 else ''


def flows(probe: Probe, publisher: Any) -> None:
    """Fail unless an image of this publisher becomes a mask."""
    until(publisher.get_subscription_count, what='a match of publisher and subscription')
    with probe.collect('segmentation/labels') as labels:
        sent: set[tuple[int, int]] = set()

        def sent_and_seen() -> bool:
            stamp = probe.send(publisher, IMAGE).header.stamp  # best effort may lose one
            sent.add((stamp.sec, stamp.nanosec))
            time.sleep(0.2)
            return bool(sent & set(labels.by_stamp()))

        until(sent_and_seen, what='a mask')


def test_reliability_follows_the_publishers(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """Reliable with reliable ones, best effort as soon as one is not, and back again."""
    node = start_segment()
    node.wait_for('active:', 90)
    assert not probe.node.get_subscriptions_info_by_topic('/image')  # nothing to go by yet
    reliable = probe.publisher()
    until(lambda: reliability_of_subscription(probe) == 'reliable')
    flows(probe, reliable)
    best_effort = probe.publisher(reliable=False)
    until(lambda: reliability_of_subscription(probe) == 'best_effort')
    flows(probe, reliable)
    flows(probe, best_effort)
    probe.node.destroy_publisher(best_effort)
    until(lambda: reliability_of_subscription(probe) == 'reliable')
    flows(probe, reliable)
    probe.node.destroy_publisher(reliable)
    again = probe.publisher(reliable=False)
    until(lambda: reliability_of_subscription(probe) == 'best_effort')
    flows(probe, again)
    probe.node.destroy_publisher(again)
    assert node.stop() == 0


@pytest.mark.parametrize('parameters', [
    {'image_reliability': 'best_effort'},
    {'qos_overrides./image.subscription.reliability': 'best_effort'},
], ids=['parameter', 'qos_overrides'])
def test_reliability_can_be_overridden(
        probe: Probe, start_segment: Callable[..., Process], parameters: dict[str, str]) -> None:
    """What the user says holds, whatever the publishers offer."""
    node = start_segment(**parameters)
    node.wait_for('active:', 90)
    reliable = probe.publisher()
    until(lambda: reliability_of_subscription(probe) == 'best_effort')
    time.sleep(0.5)
    assert reliability_of_subscription(probe) == 'best_effort'
    probe.node.destroy_publisher(reliable)
    assert node.stop() == 0


def test_qos_of_outputs_can_be_overridden(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """A publisher takes reliability and depth from the standard parameters."""
    name = 'qos_overrides./segmentation/labels.publisher'
    node = start_segment(**{f'{name}.reliability': 'best_effort', f'{name}.depth': 2})
    node.wait_for('active:', 90)
    info, = until(lambda: probe.node.get_publishers_info_by_topic('/segmentation/labels'))
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert probe.get_parameter(f'{name}.depth') == 2
    assert probe.get_parameter('qos_overrides./image.subscription.reliability') == 'auto'
    assert node.stop() == 0


def test_compressed_input_and_remapping(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """'/compressed' follows the remapped name; a truncated JPEG is survived; outputs remap too."""
    node = start_segment('-r', 'image:=/front/image_raw',
                         '-r', 'segmentation/labels:=/front/labels', input_transport='compressed')
    node.wait_for('active: /front/image_raw/compressed -> /front/labels', 90)
    camera = probe.publisher('/front/image_raw/compressed', kind=CompressedImage)
    until(camera.get_subscription_count)
    png = cv2.imencode('.png', IMAGE)[1].tobytes()
    jpeg = cv2.imencode('.jpg', IMAGE)[1].tobytes()
    with probe.collect('/front/labels') as labels, \
            probe.collect('/front/labels/compressed', CompressedImage) as pngs, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        def message(form: str, data: bytes) -> CompressedImage:
            return CompressedImage(header=probe.header(), format=form, data=data)

        for form, data in (('rgb8; jpeg compressed bgr8', jpeg), ('png', png)):
            msg, mask, _ = probe.exchange(camera, partial(message, form, data), labels, pngs)
            assert mask.header == msg.header
            assert (mask.height, mask.width, mask.encoding) == (60, 80, 'mono8')
        for count, data in enumerate((jpeg[:50], b'', b'nonsense'), 1):
            camera.publish(message('jpeg', data))
            until(lambda wanted=str(count): any(
                facts(status)['dropped: undecodable'] == wanted
                for status in statuses(diagnostics)[-1:]))
        probe.exchange(camera, partial(message, 'jpeg', jpeg), labels)
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0


def test_auto_takes_what_is_published(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """Compressed where only that is there, raw as soon as it is, and back when it has gone."""
    node = start_segment()
    node.wait_for('active: /image ->', 90)
    png = cv2.imencode('.png', IMAGE)[1].tobytes()
    compressed = probe.publisher('image/compressed', kind=CompressedImage)
    until(compressed.get_subscription_count)
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        def message() -> CompressedImage:
            return CompressedImage(header=probe.header(), format='png', data=png)

        def transport() -> str:
            return ' '.join(
                f'{facts(status)["image topic"]} {facts(status)["image transport"]}'
                for status in statuses(diagnostics)[-1:])

        probe.exchange(compressed, message, labels)
        until(lambda: transport() == '/image/compressed compressed')
        raw = probe.publisher(reliable=False)
        until(raw.get_subscription_count)
        until(lambda: compressed.get_subscription_count() == 0)
        until(lambda: transport() == '/image raw')
        flows(probe, raw)
        probe.node.destroy_publisher(raw)
        until(compressed.get_subscription_count)
        probe.exchange(compressed, message, labels)
        until(lambda: transport() == '/image/compressed compressed')
    probe.node.destroy_publisher(compressed)
    assert node.stop() == 0


def test_auto_takes_the_type_of_the_topic_that_is_named(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """`image:=` may name a topic of compressed images itself; other types count for nothing."""
    context = rclpy.Context()  # one process has one type for a topic, as far as DDS goes
    rclpy.init(context=context)
    stranger = rclpy.create_node('stranger', context=context)
    stranger.create_publisher(CameraInfo, '/front/jpeg', qos_profile_sensor_data)
    node = start_segment('-r', 'image:=/front/jpeg', image_timeout=1.0)
    line = node.wait_for('no image on /front/jpeg', 90)
    if 'CameraInfo' not in line:
        line = node.wait_for('of type sensor_msgs/msg/CameraInfo')
    assert 'sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage is expected' in line
    camera = probe.publisher('/front/jpeg', kind=CompressedImage)
    until(camera.get_subscription_count)
    until(lambda: reliability_of_subscription(probe, '/front/jpeg') == 'reliable')
    jpeg = cv2.imencode('.jpg', IMAGE)[1].tobytes()
    with probe.collect('segmentation/labels') as labels:
        probe.exchange(camera, lambda: CompressedImage(
            header=probe.header(), format='jpeg', data=jpeg), labels)
    stranger.destroy_node()
    context.try_shutdown()
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0


def test_qos_that_does_not_fit_is_told(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """Of either end: who, which topic, why; as long as it lasts, and once in the log."""
    name = 'qos_overrides./segmentation/labels.publisher.reliability'
    node = start_segment(image_reliability='reliable', **{name: 'best_effort'})
    node.wait_for('active:', 90)
    camera = probe.publisher(reliable=False)
    with probe.collect('segmentation/labels'), \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        why = 'best effort publisher and reliable subscription'
        gets = f'/probe gets nothing from /segmentation/labels: {why}'
        gives = f'nothing can come from /probe on /image: {why}'
        for sentence in (gets, gives):
            node.wait_for(f'QoS does not fit: {sentence}')
            until(lambda wanted=sentence: any(
                wanted in status.message and wanted in facts(status)['QoS mismatches']
                and status.level == DiagnosticStatus.WARN
                for status in statuses(diagnostics)[-1:]))
        time.sleep(2.5)
        assert node.output.count('QoS does not fit') == 2
        probe.node.destroy_publisher(camera)
        until(lambda: gives not in facts(statuses(diagnostics)[-1])['QoS mismatches'])
        assert gets in facts(statuses(diagnostics)[-1])['QoS mismatches']
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        until(lambda: any(facts(status)['QoS mismatches'] == 'none'
                          for status in statuses(diagnostics)[-1:]))
    assert node.stop() == 0


def test_silence_is_explained(probe: Probe, start_segment: Callable[..., Process]) -> None:
    """The warning names topic, publishers and their QoS, or where images are instead."""
    elsewhere = probe.publisher('/front/image_raw')
    node = start_segment(image_timeout=1.0)
    node.wait_for('active:', 90)
    assert 'it has no publisher' in node.wait_for('no image on /image for')
    node.wait_for('Images are on /front/image_raw; remap with image:=/front/image_raw')
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        status = until(lambda: statuses(diagnostics))[-1]
        assert status.level == DiagnosticStatus.WARN and 'no image for' in status.message
    silent = probe.publisher(reliable=False)
    # At first perhaps 'subscribed as nothing yet': said anew once that has changed.
    node.wait_for('it has 1 publisher(s): /probe (best_effort); subscribed as best_effort')
    for publisher in (elsewhere, silent):
        probe.node.destroy_publisher(publisher)
    assert node.stop() == 0


def test_a_lazy_node_rests_while_nobody_subscribes(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """It subscribes to the images when somebody wants masks, and is well without."""
    node = start_segment(lazy=True, image_timeout=3.0, stale_age=3.0)
    node.wait_for('active:', 90)
    camera, info = probe.publisher(), probe.publisher('camera_info', kind=CameraInfo)
    publishers = (camera, info)

    def is_subscribed() -> list[bool]:
        return [publisher.get_subscription_count() > 0 for publisher in publishers]

    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        def latest() -> DiagnosticStatus | None:
            return next(iter(statuses(diagnostics)[-1:]), None)

        def rests() -> bool:
            status = latest()
            return (status is not None and status.level == DiagnosticStatus.OK
                    and status.message == 'nobody subscribes: not subscribed to the images')

        until(rests)
        diagnostics.wait(len(diagnostics) + 5)  # longer than silence and age may take
        assert rests() and is_subscribed() == [False, False]
        assert facts(latest())['image transport'] == 'not subscribed'
        with probe.collect('segmentation/labels') as labels:
            until(lambda: all(is_subscribed()), what='the subscriptions of the node')
            flows(probe, camera)
            until(lambda: probe.send(camera, IMAGE) and 'Hz in' in latest().message)
            assert labels
        node.wait_for('nobody subscribes: no longer subscribed to /image')
        until(lambda: is_subscribed() == [False, False])
        until(rests)
        assert int(facts(latest())['frames received']) > 0
        # What is switched off is not wanted.
        assert probe.set_parameter('publish_color', False)[0]
        with probe.collect('segmentation/color'):
            time.sleep(1.0)
            assert is_subscribed() == [False, False]
        assert probe.set_parameter('lazy', False)[0]
        until(lambda: all(is_subscribed()), what='the subscriptions of the node')
        until(lambda: not rests())
    for publisher in publishers:
        probe.node.destroy_publisher(publisher)
    assert node.stop() == 0


def test_reliability_that_cannot_match_is_explained(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """A reliable subscription gets nothing from a best-effort publisher; the node says so."""
    node = start_segment(image_reliability='reliable', image_timeout=1.0)
    node.wait_for('active:', 90)
    camera = probe.publisher(reliable=False)
    node.wait_for("nothing can come: see the parameter 'image_reliability'")
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0


def test_a_subscription_that_cannot_be_made(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """One name for two types: said once in the log, and in every diagnostic; the node lives."""
    node = start_segment('-r', 'camera_info:=image')
    node.wait_for('active:', 90)
    begun = time.monotonic()
    camera = probe.publisher()
    node.wait_for('cannot subscribe to /image as sensor_msgs/msg/Image: ')
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        def latest() -> DiagnosticStatus | None:
            return next(iter(statuses(diagnostics)[-1:]), None)

        until(lambda: latest() and latest().level == DiagnosticStatus.ERROR)
        assert 'cannot subscribe to /image' in latest().message
        assert 'remapping' in latest().message
        time.sleep(1.0)
        assert node.output.count('cannot subscribe to') == 1
        # What rcl itself writes for each try.
        tries = 2 + (time.monotonic() - begun) // RETRY
        assert node.output.count('This error state is being overwritten') <= tries
        probe.node.destroy_publisher(camera)  # nothing to subscribe to, nothing wrong
        until(lambda: latest().level != DiagnosticStatus.ERROR)
    assert 'Traceback' not in node.output
    assert node.stop() == 0


def test_namespace_and_simulated_time(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """Relative names follow the namespace; without a /clock masks come, and that is said."""
    node = start_segment('-r', '__ns:=/front', use_sim_time=True)
    node.wait_for('active: /front/image -> /front/segmentation/labels', 90)
    camera = probe.publisher('/front/image')
    until(camera.get_subscription_count)
    with probe.collect('/front/segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        sent, mask = probe.send_and_wait(camera, IMAGE, labels)
        assert mask.header == sent.header
        def said() -> str:
            return ''.join(status.message for array in diagnostics.messages[-1:]
                           for status in array.status
                           if status.name == '/front/segment: segmentation')

        until(lambda: TIMELESS in said())
        node.wait_for(TIMELESS, 60)
        clock = probe.publisher('/clock', kind=Clock)

        def time_has_come() -> bool:
            clock.publish(Clock(clock=Time(sec=5)))
            return bool(said()) and TIMELESS not in said()

        until(time_has_come)
    probe.node.destroy_publisher(clock)
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0

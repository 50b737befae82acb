# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The uncertainty topic: player, node and subscriber as processes of their own, over DDS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('torch')

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image

from collecting import collecting
from probe import facts, Probe, statuses, until
from processes import Process
from segnode.ros.outputs import Outputs, Result
from segnode.segmenter import Segmenter
from segnode.uncertainty import MEASURES, Uncertainty
import small_bayesian

SIZE = (60, 80)
SAMPLES = 3


def pixels(message: Image) -> np.ndarray:
    """Return uint8 (H, W) of a mono8 message."""
    assert message.encoding == 'mono8' and message.step == message.width
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


@pytest.mark.parametrize('measure', MEASURES)
def test_the_message_is_the_measure_that_was_chosen(measure: str) -> None:
    rng = np.random.default_rng(0)
    found = Uncertainty(*(rng.random((3, 4, 5), np.float32) * 0.08), 11)
    image, labels = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)
    result = Result(image, labels, None, None, {'uncertainty': measure}, found)  # type: ignore
    header = Image().header
    message = Outputs._message('segmentation/uncertainty', header, result, None)
    assert (pixels(message) == found.scaled(measure)).all()
    assert Outputs._message('segmentation/uncertainty', header, Result(
        image, labels, None, None, {}), None) is None  # type: ignore


@pytest.mark.parametrize('measure, runtime', [
    ('entropy', 'pytorch'), pytest.param('variance', 'onnx', marks=pytest.mark.slow)])
def test_player_to_subscriber(
        start: Any, start_segment: Callable[..., Process], tmp_path: Path, measure: str,
        runtime: str) -> None:
    """Each image is answered with its header and size, and with what the Segmenter gives."""
    for index, frame in enumerate(small_bayesian.frames(4, SIZE)):
        cv2.imwrite(str(tmp_path / f'{index}.png'), frame)
    topics = ('image_raw', 'segmentation/labels', 'segmentation/uncertainty')
    with collecting(dict.fromkeys(topics, Image)) as collector:
        node = start_segment(
            '-r', 'image:=image_raw', model=small_bayesian.stem(), runtime=runtime,
            uncertainty=measure, samples=SAMPLES, allow_random_weights=False,
            env={'XDG_CACHE_HOME': str(tmp_path / 'cache')})
        node.wait_for('active', 90)
        player = start('-m', 'segnode.ros.player_node', '--ros-args',
                       '-p', f'source:={tmp_path}', '-p', 'rate:=5.0', '-p', 'loop:=true',
                       '-p', 'wait_for_subscribers:=2')

        def answered() -> list[tuple[Image, ...]]:
            by_stamp = [{(m.header.stamp.sec, m.header.stamp.nanosec): m for m in of_topic}
                        for of_topic in map(collector.messages.__getitem__, topics)]
            return [tuple(messages[stamp] for messages in by_stamp) for stamp in by_stamp[0]
                    if all(stamp in messages for messages in by_stamp)]

        assert collector.spin(lambda: len(answered()) >= 4, 90), player.output + node.output
        assert player.stop() == 0, player.output
        assert node.stop() == 0, node.output
    segmenter = Segmenter.load(
        small_bayesian.stem(), runtime='pytorch', samples=SAMPLES, threads=1)
    found, expected = [], []
    for image, labels, uncertainty in answered()[:4]:
        assert image.header == labels.header == uncertainty.header
        assert (image.height, image.width) == (uncertainty.height, uncertainty.width) == SIZE
        values = pixels(uncertainty)
        assert len(np.unique(values)) > 3
        found.append(values.mean())
        bgr = np.frombuffer(image.data, np.uint8).reshape(*SIZE, 3)
        for _ in range(10):
            of_image = segmenter.segment(bgr).uncertainty
            assert of_image is not None
            expected.append(of_image.scaled(measure).mean())
    # Of other samples: alike on the whole, not equal. By chance the mean of four images varies by
    # 1 % (entropy) or 5 % (variance).
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.35)
    segmenter.close()


def test_a_network_without_it_is_one_sentence(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """The node stays, unconfigured, and says why; without uncertainty there is no topic."""
    node = start_segment(uncertainty='entropy')
    node.wait_for('not configured: uncertainty needs a network with Monte Carlo dropout, which '
                  'fsffnet has not; bayesian_segnet has', 60)
    probe.until_state('unconfigured')
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        until(lambda: statuses(diagnostics))
    assert 'which fsffnet has not' in statuses(diagnostics)[-1].message
    assert node.stop() == 0
    node = start_segment(model=small_bayesian.stem(), runtime='pytorch')
    probe.until_state('active', 90)
    def names() -> set[str]:
        return {name for name, _ in probe.node.get_topic_names_and_types()}

    until(lambda: '/segmentation/labels' in names())
    assert '/segmentation/uncertainty' not in names()
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        until(lambda: statuses(diagnostics))
    assert 'samples per image' not in facts(statuses(diagnostics)[-1])
    assert node.stop() == 0


@pytest.mark.parametrize('given, words', [
    ({'uncertainty': 'doubt'}, "'uncertainty' must be one of none, variance, entropy, mutual_in"),
    ({'samples': 1}, "'samples' must be 2 to 100, not 1"),
])
def test_bad_values_at_start(
        start_segment: Callable[..., Process], given: dict[str, Any], words: str) -> None:
    node = start_segment(**given)
    assert node.wait() == 1
    assert node.output.startswith('error: ') and words in node.output

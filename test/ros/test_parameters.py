# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter table, what is derived from it, and the parameters of a running node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import time
from typing import Any

import numpy as np
import pytest
import yaml

import faulty_model
from processes import Process
from segnode.ros import launch_arguments, topics
from segnode.ros.parameters import BY_NAME, markdown_table, PARAMETERS, spec_of
from segnode.runtimes import RUNTIMES


def test_the_table_holds_together() -> None:
    """Every default is allowed, every parameter is described once."""
    assert len(BY_NAME) == len(PARAMETERS)
    for spec in PARAMETERS:
        assert spec.refusal(spec.default) is None, spec.name
        assert spec.description.endswith('.') and len(spec.description) > 10, spec.name
        assert (spec.minimum is None) == (spec.maximum is None)
    assert set(BY_NAME['runtime'].choices) == set(RUNTIMES)


def test_config_file_holds_every_parameter_at_its_default(project: Path) -> None:
    """config/segment.yaml is the table, written out."""
    content = yaml.safe_load((project / 'config' / 'segment.yaml').read_text())
    assert content == {'/**': {'ros__parameters': {spec.name: spec.default
                                                   for spec in PARAMETERS}}}
    for name, value in content['/**']['ros__parameters'].items():
        assert type(value) is type(BY_NAME[name].default), name


def test_tables_for_the_readme() -> None:
    """One row per entry, and no cell breaks the table."""
    for table, names in (
            (markdown_table(), [spec.name for spec in PARAMETERS]),
            (topics.markdown_table(), [topic.name for topic in topics.OUTPUT_TOPICS]),
            (launch_arguments.markdown_table(), [a.name for a in launch_arguments.OWN_ARGUMENTS])):
        rows = table.splitlines()
        assert len({row.count('|') for row in rows}) == 1
        assert [name for name in names if not any(f'| `{name}` |' in row for row in rows)] == []


@pytest.mark.parametrize('name, value, words', [
    ('overlay_alpha', 1.5, '0 to 1'),
    ('overlay_alpha', float('nan'), '0 to 1'),
    ('max_rate', -1.0, '0 to 1000'),
    ('max_rate', float('inf'), '0 to 1000'),
    ('runtime', 'tensorflow', 'one of auto'),
    ('input_size', [384], 'height, width'),
    ('input_size', [384, -1], 'height, width'),
    ('input_size', [0, 512], 'height, width'),
    ('model', ' ', 'a name or a path'),
    ('jpeg_quality', 0, '1 to 100'),
    ('rotation', 45, 'one of 0, 90, 180, 270'),
    ('roi', [0.0, 0.5, 0.5, 0.6], '[top, left, height, width]'),
    ('roi', [10.0], '[top, left, height, width]'),
    ('cameras', ['front', 'front'], 'different names'),
    ('cameras', ['front', ''], 'different names'),
    ('cameras', ['front/left'], 'letters, digits'),
    ('cameras', ['a__b'], 'single underscores'),
    ('cameras', ['2nd'], 'a letter first'),
    ('cameras', ['überholt'], 'letters, digits'),
    ('cameras', ['max_rate'], 'letters, digits'),
    ('cameras', [], 'different names'),
    ('cameras', [f'camera{number}' for number in range(17)], '16 cameras at most'),
    ('cameras', ['x' * 65], '64 characters at most'),
    ('cameras', ['segmentation'], 'none that of a parameter or segmentation'),
])
def test_refusals_name_parameter_and_allowed_values(name: str, value: Any, words: str) -> None:
    """A sentence says which parameter, what it may be and what it was."""
    sentence = BY_NAME[name].refusal(value)
    assert sentence is not None and name in sentence and words in sentence


def test_cameras_and_what_is_their_own() -> None:
    """Names as topics have them; a camera's own value is held to what the common one is."""
    for names in ([''], ['front'], ['front', 'rear_left', 'Camera2']):
        assert BY_NAME['cameras'].refusal(names) is None
    spec = spec_of('front.rotation')
    assert spec is not None and spec.refusal(90) is None
    assert "'front.rotation' must be one of 0, 90" in str(spec.refusal(45))
    assert spec_of('max_rate') is BY_NAME['max_rate']
    for name in ('front.max_rate', 'front.cameras', 'front', 'qos_overrides./image.reliability'):
        assert spec_of(name) is None


@pytest.mark.parametrize('given, words', [
    ({'overlay_alpha': 2.0}, "'overlay_alpha' must be 0 to 1"),
    ({'runtime': 'magic'}, "'runtime' must be one of auto"),
    ({'threads': 'many'}, "'threads' must be of type integer"),
    ({'input_size': '[3]'}, "'input_size' must be [height, width]"),
    ({'roi': '[0, 0, 5]'}, "'roi' must be [top, left, height, width]"),
    ({'qos_overrides./image.subscription.reliability': 'some'}, 'one of reliable, best_effort'),
])
def test_bad_values_at_start_end_in_one_sentence(
        start_segment: Callable[..., Process], given: dict[str, Any], words: str) -> None:
    """Exit code 1 and one line, no traceback."""
    pytest.importorskip('rclpy')
    node = start_segment(**given)
    assert node.wait() == 1
    assert node.output.startswith('error: ') and len(node.output.splitlines()) == 1
    assert words in node.output


def test_parameters_of_a_running_node(
        probe: Any, start_segment: Callable[..., Process]) -> None:
    """Descriptors are the table's; good values act, bad and read-only ones are refused."""
    from probe import stamp_of, until
    # An integer is taken for the double; the last is rclpy's, and part of every ros2 param dump.
    node = start_segment(max_rate=100, modle='x', start_type_description_service=True)
    node.wait_for("there is no parameter 'modle', it is ignored; did you mean 'model'?", 60)
    probe.until_state('active', 90)
    assert probe.get_parameter('max_rate') == 100.0

    declared = probe.parameters()
    assert not [name for name in declared if f"no parameter '{name}'" in node.output]
    for spec in PARAMETERS:
        ros = declared[spec.name]
        assert ros.description == spec.description and ros.read_only == spec.read_only
        ranges = [*ros.integer_range, *ros.floating_point_range]
        assert [(r.from_value, r.to_value) for r in ranges] == (
            [] if spec.minimum is None else [(spec.minimum, spec.maximum)])
        for choice in spec.choices:
            assert choice in ros.additional_constraints

    for name, value in (('overlay_alpha', 1.01), ('overlay_alpha', 'red'), ('png_level', 10),
                        ('max_rate', float('nan')), ('publish_color', 3),
                        ('model', 'other'), ('input_transport', 'raw'), ('autostart', False)):
        done, reason = probe.set_parameter(name, value)
        assert not done and len(reason) > 10, (name, value, reason)
    assert probe.get_parameter('overlay_alpha') == 0.5
    assert probe.set_parameter('max_rate', 0)[0]  # whole numbers at run time too

    camera = probe.publisher()
    until(camera.get_subscription_count)
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    with probe.collect('segmentation/color') as colors, \
            probe.collect('segmentation/overlay') as overlays:
        for alpha, expected in ((0.0, 'image'), (1, 'colors')):
            assert probe.set_parameter('overlay_alpha', alpha)[0]
            _, overlay, color = probe.send_and_wait(camera, image, overlays, colors)
            rgb = np.frombuffer(overlay.data, np.uint8).reshape(60, 80, 3)
            if expected == 'image':
                np.testing.assert_array_equal(rgb, image[..., ::-1])
            else:
                assert overlay.data == color.data
        assert probe.set_parameter('publish_color', False)[0]
        without, _ = probe.send_and_wait(camera, image, overlays)
        assert probe.set_parameter('publish_color', True)[0]
        probe.send_and_wait(camera, image, colors)
        assert stamp_of(without) not in colors.by_stamp()
    assert node.stop() == 0


def test_max_rate_limits_the_node(
        probe: Any, start_segment: Callable[..., Process], tmp_path: Path) -> None:
    """A camera of about 40 Hz through max_rate 5; test_rate_limit.py looks at mean and gaps."""
    pytest.importorskip('onnxruntime')
    from diagnostic_msgs.msg import DiagnosticArray

    from probe import facts, stamp_of, statuses, until
    # A network that is always faster than the period.
    node = start_segment(model=faulty_model.write(tmp_path), runtime='onnx', max_rate=5.0)
    probe.until_state('active', 90)
    camera = probe.publisher()
    until(camera.get_subscription_count)
    image = np.zeros((60, 80, 3), np.uint8)
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        probe.send_and_wait(camera, image, labels)
        begun = time.monotonic()
        sent: set[tuple[int, int]] = set()

        def through() -> list[tuple[int, int]]:
            return sorted(sent & set(labels.by_stamp()))

        def over() -> int:
            last = facts(until(lambda: statuses(diagnostics))[-1])
            return int(last['dropped: over max_rate'])

        while time.monotonic() - begun < 2.0 or len(through()) < 10 or not over():
            assert time.monotonic() - begun < 60.0, f'{len(through())} of {len(sent)}'
            sent.add(stamp_of(probe.send(camera, image)))
            time.sleep(0.025)
        labels.settle()
        elapsed = time.monotonic() - begun
        assert len(through()) <= 5.0 * elapsed + 2
    assert node.stop() == 0

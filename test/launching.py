# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch tests (test/launch) share: this tree as an installed package, and checks."""

from __future__ import annotations

import ast
import atexit
import os
from pathlib import Path
import shlex
import shutil
import sys
import tempfile
from typing import Any

import cv2
import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
FRAMES = 3
RATE = 5.0  # Hz; the player waits for its subscriber, and a frame that is dropped comes again
WAIT = 90.0  # s, for a model to load on a busy machine


class Prefix:
    """A folder that ament takes for an installation: this tree's segnode, and stand-ins.

    Launch looks packages up there, and the tests need no `colcon build` of what they test.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix='segnode_launch_test_'))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.package('segnode')
        for name, module in executables().items():
            self.executable('segnode', name, ['-m', module])
        (self.folder / 'bin').mkdir()
        for variable, added in (('AMENT_PREFIX_PATH', self.folder), ('PATH', self.folder / 'bin'),
                                ('PYTHONPATH', PROJECT)):
            os.environ[variable] = os.pathsep.join(
                [str(added), *filter(None, [os.environ.get(variable)])])
        self.frames = self.folder / 'frames'
        write_frames(self.frames)

    def package(self, name: str) -> None:
        """Make a package known."""
        index = self.folder / 'share' / 'ament_index' / 'resource_index' / 'packages'
        index.mkdir(parents=True, exist_ok=True)
        (index / name).touch()
        (self.folder / 'share' / name).mkdir()

    def executable(self, package: str, name: str, arguments: list[str],
                   more: list[str] | None = None) -> Path:
        """Make an executable of a package: Python, with arguments before and behind its own."""
        return write_script(self.folder / 'lib' / package / name, (
            f'exec {shlex.quote(sys.executable)} {shlex.join(arguments)} "$@" '
            f'{shlex.join(more or [])}'))


def write_script(path: Path, body: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(0o755)
    return path


def executables() -> dict[str, str]:
    """Return the module of each executable of the package, as setup.py has them."""
    tree = ast.parse((PROJECT / 'setup.py').read_text())
    (scripts,) = [ast.literal_eval(value) for node in ast.walk(tree) if isinstance(node, ast.Dict)
                  for key, value in zip(node.keys, node.values)
                  if isinstance(key, ast.Constant) and key.value == 'console_scripts']
    split = [script.split(' = ') for script in scripts]
    return {name: target.partition(':')[0] for name, target in split}


def write_frames(folder: Path) -> None:
    """Write rendered frames that differ, as PNG."""
    from segnode.road_scene import RoadScene
    folder.mkdir()
    scene = RoadScene(180, 240)
    for index in range(FRAMES):
        assert cv2.imwrite(str(folder / f'{index}.png'), scene.frame(20 * index)[0])


def included(file: str, **arguments: object) -> Any:
    """Return the action that includes one of this tree's launch files."""
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    given = {'model': 'fsffnet', 'runtime': 'onnx', 'threads': 1, **arguments}
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(PROJECT / 'launch' / file)),
        launch_arguments=[(name, str(value)) for name, value in given.items()])


def check_masks(image: str, masks: str = 'segmentation') -> None:
    """Wait for masks of two different images and compare them with the Segmenter's own.

    Args:
        image: topic of the images, raw.
        masks: what the topics of the masks begin with.
    """
    from sensor_msgs.msg import Image

    from collecting import collecting
    from segnode.segmenter import Segmenter

    segmenter = Segmenter.load('fsffnet', runtime='onnx', threads=1)
    topics = (image, f'{masks}/labels', f'{masks}/color')
    with collecting(dict.fromkeys(topics, Image)) as collector:
        def complete() -> dict[bytes, tuple[Any, ...]]:
            """Messages of one stamp on all topics, one set for each different image."""
            by_stamp = [{(m.header.stamp.sec, m.header.stamp.nanosec): m
                         for m in collector.messages[topic]} for topic in topics]
            common = set.intersection(*map(set, by_stamp))
            return {bytes(by_stamp[0][stamp].data): tuple(part[stamp] for part in by_stamp)
                    for stamp in common}

        assert collector.spin(lambda: len(complete()) >= 2, WAIT), {
            topic: collector.count(topic) for topic in topics}
        found = complete()
    for picture, labels, color in found.values():
        assert picture.encoding == 'bgr8'
        assert picture.header == labels.header == color.header
        expected = segmenter.segment(pixels(picture, 3)).labels
        assert len(np.unique(expected)) > 3
        np.testing.assert_array_equal(pixels(labels, 1), expected)
        np.testing.assert_array_equal(
            pixels(color, 3), segmenter.label_set.colorize(expected))


def pixels(message: Any, channels: int) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) of a message without padding."""
    shape = (message.height, message.width, channels)[:2 if channels == 1 else 3]
    return np.frombuffer(message.data, np.uint8).reshape(shape)

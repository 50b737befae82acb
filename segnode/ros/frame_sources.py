# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Where the player's frames come from: a folder, a video, a bag, or the built-in road scene.

Every source is an iterable of ``Frame`` and has a ``rate`` (Hz) at which it was recorded, ``None``
where it has none of its own, and a ``name`` for the log. Iterating twice starts again.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import logging
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from segnode.errors import SegnodeError
from segnode.image_files import IMAGE_SUFFIXES
from segnode.image_reading import read_image
from segnode.ros.image_codec import decode_compressed, decode_image, DecodeError

LOG = logging.getLogger('segnode')
VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm')
BAG_SUFFIXES = ('.db3', '.mcap')
IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
BUILT_IN_FRAMES = 75
BUILT_IN_RATE = 15.0  # Hz; segnode.road_scene moves its camera for this
DEFAULT_RATE = 5.0  # Hz, for what has no rate of its own: slow enough for two cores


class Frame(NamedTuple):
    """One picture: uint8 (H, W, 3) BGR, and seconds since the source's first frame."""

    image: np.ndarray
    seconds: float


class FrameSource(Protocol):
    """What the player plays."""

    name: str
    rate: float | None

    def __iter__(self) -> Iterator[Frame]:
        """Start again at the first frame."""
        ...


class RoadSceneSource:
    """The built-in sequence: rendered, so that it may be shipped and its truth is known."""

    def __init__(self, frames: int = BUILT_IN_FRAMES, height: int = 360, width: int = 480) -> None:
        self.name = f'built-in road scene, {width}x{height}'
        self.rate: float | None = BUILT_IN_RATE
        self._frames = frames
        self._size = (height, width)
        self._rendered: list[Frame] = []  # kept (75 frames of 360x480: 39 MB), for loops

    def __iter__(self) -> Iterator[Frame]:
        from segnode.road_scene import RoadScene
        scene = RoadScene(*self._size)
        for index in range(self._frames):
            if index == len(self._rendered):
                self._rendered.append(Frame(scene.frame(index)[0], index / BUILT_IN_RATE))
            yield self._rendered[index]


class FolderSource:
    """The image files of a folder, by name; pictures have no rate of their own."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(path for path in folder.iterdir()
                             if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
        if not self._paths:
            raise SegnodeError(f'no images in {folder}: a folder source holds files that end in '
                               f'{", ".join(IMAGE_SUFFIXES)}')
        self.name = f'{len(self._paths)} images of {folder}'
        self.rate: float | None = None

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            image = read_image(path)
            if image is None:
                raise SegnodeError(f'{path} is not an image that OpenCV can read: '
                                   'repair it or take it out of the folder')
            yield Frame(image, index / DEFAULT_RATE)


class VideoSource:
    """A video file, read by OpenCV."""

    def __init__(self, path: Path) -> None:
        self._path = path
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS)
        readable = capture.read()[0]
        capture.release()
        if not readable:
            raise SegnodeError(f'no frame of {path} can be decoded: '
                               'convert it, for example to H.264 in .mp4')
        self.rate: float | None = float(rate) if 0 < rate < 1000 else None
        self.name = f'video {path}'

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise SegnodeError(f'{self._path} is not a video that OpenCV can read: '
                               'convert it, for example to H.264 in .mp4')
        return capture

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        try:
            index = 0
            while True:
                readable, image = capture.read()
                if not readable:
                    return
                yield Frame(image, index / (self.rate or DEFAULT_RATE))
                index += 1
        finally:
            capture.release()


class BagSource:
    """One raw or compressed image topic of a ROS 2 bag, by ``rosbags``; needs no ROS installation.

    A message that cannot be decoded is skipped with a warning (logger 'segnode').

    Args:
        path: a bag's folder (with metadata.yaml) or one .mcap or .db3 file.
        topic: the image topic; '' takes the only one.
    """

    def __init__(self, path: Path, topic: str = '') -> None:
        self._path = path
        with self._reader() as reader:
            found = {connection.topic: connection.msgtype for connection in reader.connections
                     if connection.msgtype in (IMAGE_TYPE, COMPRESSED_TYPE)}
            stamps = reader.duration * 1e-9
            counts = {connection.topic: connection.msgcount for connection in reader.connections}
        listed = ', '.join(sorted(found)) or 'none'
        if topic and topic not in found:
            raise SegnodeError(f'{path} has no image topic {topic}: its image topics are {listed}')
        if not found:
            raise SegnodeError(f'{path} has no image topic: segnode plays {IMAGE_TYPE} and '
                               f'{COMPRESSED_TYPE}')
        if not topic and len(found) > 1:
            raise SegnodeError(f'{path} has several image topics: choose one of {listed}')
        self.topic = topic or next(iter(found))
        count = counts[self.topic]
        self.rate: float | None = (count - 1) / stamps if count > 1 and stamps > 0 else None
        self.name = f'topic {self.topic} of bag {path}'

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Any]:
        """Open the bag, and turn the many ways in which that fails into one sentence."""
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import get_typestore, Stores
        except ImportError as error:
            raise SegnodeError('reading a bag needs rosbags: pip install rosbags') from error
        try:
            reader = AnyReader([self._path],
                               default_typestore=get_typestore(Stores.ROS2_JAZZY))
            reader.open()
        except Exception as error:  # rosbags lets errors of sqlite, zstd, yaml and its own through
            raise SegnodeError(f'{self._path} cannot be read as a ROS 2 bag ({error}): '
                               'give a bag folder with metadata.yaml, or a .mcap or .db3 file'
                               ) from error
        try:
            yield reader
        finally:
            reader.close()

    def __iter__(self) -> Iterator[Frame]:
        first, index, good = None, -1, 0
        with self._reader() as reader:
            connections = [connection for connection in reader.connections
                           if connection.topic == self.topic]
            messages = iter(reader.messages(connections))
            while True:
                try:
                    item = next(messages, None)
                except Exception as error:  # as above; what comes after it cannot be found
                    LOG.warning('%s breaks off: it is damaged behind message %d (%s)',
                                self.name, index, error)
                    item = None
                if item is None:
                    break
                index += 1
                connection, nanoseconds, data = item
                first = nanoseconds if first is None else first
                try:
                    image = _image_of(reader, connection.msgtype, data)
                except DecodeError as error:
                    LOG.warning('%s: message %d is skipped: %s', self.name, index, error)
                    continue
                good += 1
                yield Frame(image, (nanoseconds - first) * 1e-9)
        if index >= 0 and not good:
            raise SegnodeError(f'no message of {self.name} can be played: all are damaged, or in '
                               'an encoding that is not supported (see the warnings)')


def _image_of(reader: Any, kind: str, data: bytes) -> np.ndarray:
    """Return uint8 (H, W, 3) BGR; whatever is wrong with a message is a DecodeError."""
    try:
        message = reader.deserialize(data, kind)
    except Exception as error:  # of struct, of NumPy, of Unicode, ...
        raise DecodeError(f'it is damaged ({type(error).__name__}: {error})') from error
    return decode_image(message) if kind == IMAGE_TYPE else decode_compressed(message)


def open_source(source: str, topic: str = '') -> FrameSource:
    """Open what the user named.

    Args:
        source: '' for the built-in road scene, or the path of a folder of images, of a video file,
            or of a ROS 2 bag (its folder, or a .mcap or .db3 file).
        topic: which image topic of a bag; '' takes the only one.

    Raises:
        SegnodeError: nothing there, or nothing that can be played.
    """
    if not source:
        return RoadSceneSource()
    path = Path(source).expanduser()
    if not path.exists():
        raise SegnodeError(f'there is nothing at {path}: give a folder of images, a video file, '
                           'or a ROS 2 bag')
    if path.is_dir():
        is_bag = (path / 'metadata.yaml').exists() or any(
            file.suffix in BAG_SUFFIXES for file in path.iterdir())
        return BagSource(path, topic) if is_bag else FolderSource(path)
    suffix = path.suffix.lower()
    if suffix in BAG_SUFFIXES:
        return BagSource(path, topic)
    if suffix in VIDEO_SUFFIXES:
        return VideoSource(path)
    raise SegnodeError(f'{path} is neither a folder of images, nor a video '
                       f'({", ".join(VIDEO_SUFFIXES)}), nor a bag ({", ".join(BAG_SUFFIXES)})')

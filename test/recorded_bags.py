# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Bags for tests, written by rosbags: two cameras in several encodings, and much that is no image.

Reading back is rosbags' work, too: what the tests compare does not come from the code under test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools
from pathlib import Path
import struct
from typing import Any, NamedTuple

import cv2
import numpy as np

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
STRING = 'std_msgs/msg/String'
IMU = 'sensor_msgs/msg/Imu'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
ODD = 'odd_msgs/msg/Odd'
ODD_DEFINITION = 'int32 answer\nstring[] words\nodd_msgs/Inner inner\n'
INNER_DEFINITION = 'float64[3] vector\n'
START = 1_700_000_000_123_456_789  # ns
PERIOD = 100_000_000  # ns
SIZE = (64, 96)
ENCODINGS = ('rgb8', 'bgr8', 'mono8', 'bayer_rggb8', 'uyvy')


class Message(NamedTuple):
    """One message as rosbags reads it."""

    topic: str
    time: int
    data: bytes


@functools.cache
def types() -> Any:
    """Return ROS 2 Jazzy's message types and two that nobody else knows."""
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    store = get_typestore(Stores.ROS2_JAZZY)
    store.register({**get_types_from_msg(INNER_DEFINITION, 'odd_msgs/msg/Inner'),
                    **get_types_from_msg(ODD_DEFINITION, ODD)})
    return store


@functools.cache
def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return uint8 (*size, 3) BGR: a rendered road scene, turned further with each index."""
    turned = np.roll(_scene(), 11 * index, axis=1)
    return np.asarray(cv2.resize(turned, size[::-1], interpolation=cv2.INTER_AREA))


@functools.cache
def _scene() -> np.ndarray:
    from segnode.road_scene import RoadScene

    return RoadScene(240, 320).frame(0)[0]


def header(store: Any, index: int) -> Any:
    """Return a header whose stamp is 7 ms before the log time."""
    stamp = START + index * PERIOD - 7_000_000
    time = store.types['builtin_interfaces/msg/Time'](stamp // 10**9, stamp % 10**9)
    return store.types['std_msgs/msg/Header'](time, f'camera_{index}')


def image(store: Any, index: int, encoding: str, size: tuple[int, int] = SIZE) -> bytes:
    """Return a serialised Image; its rows are padded by three bytes."""
    bgr = picture(index, size)
    packed = {
        'rgb8': lambda: bgr[..., ::-1], 'bgr8': lambda: bgr,
        'mono8': lambda: cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY),
        'bayer_rggb8': lambda: bgr[..., 1],  # any grey picture is a mosaic of something
        'uyvy': lambda: np.dstack([np.full(size, 128, np.uint8), bgr[..., 1]]),
        '32FC1': lambda: np.zeros((*size, 4), np.uint8),
    }[encoding]()
    rows = np.ascontiguousarray(packed).reshape(size[0], -1)
    rows = np.pad(rows, ((0, 0), (0, 3)))
    message = store.types[IMAGE](header(store, index), *size, encoding, 0, rows.shape[1],
                                 rows.reshape(-1))
    return bytes(store.serialize_cdr(message, IMAGE))


def camera_info(store: Any, index: int, focal: float, size: tuple[int, int] = SIZE) -> bytes:
    """Return a serialised CameraInfo with the principal point in the middle."""
    y, x = (size[0] - 1) / 2, (size[1] - 1) / 2
    message = store.types[CAMERA_INFO](
        header(store, index), *size, 'plumb_bob', np.array([0.1, 0.0, 0.0, 0.0, 0.0]),
        np.array([focal, 0, x, 0, focal, y, 0, 0, 1.0]), np.eye(3).reshape(-1),
        np.array([focal, 0, x, 0, 0, focal, y, 0, 0, 0, 1.0, 0]), 0, 0,
        store.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False))
    return bytes(store.serialize_cdr(message, CAMERA_INFO))


def compressed(store: Any, index: int, size: tuple[int, int] = SIZE) -> bytes:
    """Return a serialised CompressedImage, JPEG."""
    jpeg = cv2.imencode('.jpg', picture(index, size))[1].reshape(-1)
    message = store.types[COMPRESSED](header(store, index), 'bgr8; jpeg compressed bgr8', jpeg)
    return bytes(store.serialize_cdr(message, COMPRESSED))


def qos(**changes: Any) -> list[Any]:
    """Return one offered profile, best effort, depth 7."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    forever = QosTime(2147483647, 4294967295)
    profile = Qos(QosHistory.KEEP_LAST, 7, QosReliability.BEST_EFFORT, QosDurability.VOLATILE,
                  forever, forever, QosLiveliness.AUTOMATIC, forever, False)
    return [profile._replace(**changes)]


def write_bag(
    path: Path, storage: str = 'mcap', *, frames: int = 6, version: int = 9,
    compression: str = '', cameras: dict[str, str] | None = None, others: bool = True,
    broken: tuple[int, ...] = (), size: tuple[int, int] = SIZE, odd_first: bool = False,
    first: int = 0, calibrated: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Write a bag.

    Args:
        path: folder to make.
        storage: 'mcap' or 'sqlite3'.
        frames: of each camera, PERIOD apart.
        version: of the metadata.
        compression: '', 'storage' (MCAP chunks), 'message' or 'file'.
        cameras: image topics and their encodings; 'jpeg' is a CompressedImage, 'all' takes turns
            through ENCODINGS.
        others: also topics that are no images, a type that nobody knows among them.
        broken: frames of each camera that are garbage: every other one cut short in the CDR,
            the rest with too little data.
        size: of the images.
        odd_first: message 0 of every topic comes twice with the same log time.
        first: number of the first frame.
        calibrated: topics of CameraInfo and their focal length at each frame, pixels; written a
            microsecond behind the images.
    """
    from rosbags.interfaces import QosDurability, QosReliability
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    store = types()
    writer = Writer(path, version=version, storage_plugin=StoragePlugin[storage.upper()])
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    writer.set_custom_data('vehicle', 'no: 7')
    cameras = {'/camera/image_raw': 'rgb8'} if cameras is None else cameras
    with writer:
        made = {}
        for topic, encoding in cameras.items():
            made[topic] = writer.add_connection(
                topic, COMPRESSED if encoding == 'jpeg' else IMAGE, typestore=store,
                offered_qos_profiles=qos())
        if others:
            latched = qos(durability=QosDurability.TRANSIENT_LOCAL,
                          reliability=QosReliability.RELIABLE)
            made['/chatter'] = writer.add_connection(
                '/chatter', STRING, typestore=store, offered_qos_profiles=latched)
            made['/imu'] = writer.add_connection('/imu', IMU, typestore=store)
            made['/odd'] = writer.add_connection(
                '/odd', ODD, typestore=store, offered_qos_profiles=qos() + qos(depth=1))
            made['/silent'] = writer.add_connection('/silent', STRING, typestore=store)
        for topic in calibrated or {}:
            made[topic] = writer.add_connection(topic, CAMERA_INFO, typestore=store)
        for index in range(first, first + frames):
            time = START + index * PERIOD
            for repeat in range(1 + (odd_first and not index)):
                for topic, encoding in cameras.items():
                    data = (compressed(store, index, size) if encoding == 'jpeg' else image(
                        store, index,
                        ENCODINGS[index % len(ENCODINGS)] if encoding == 'all' else encoding,
                        size))
                    if index in broken:
                        data = data[:21] if index % 2 else data[:60] + bytes(4) + data[64:-50]
                    writer.write(made[topic], time, data)
                for topic, focal in (calibrated or {}).items():
                    data = camera_info(store, index, focal[index - first], size)
                    writer.write(made[topic], time + 1000, data)
                if others:
                    _write_others(writer, store, made, index, time + repeat)
    return path


def _write_others(writer: Any, store: Any, made: dict[str, Any], index: int, time: int) -> None:
    """Write what is no image, at the image's time and a little later."""
    text = store.types[STRING](f'frame {index} ü')
    writer.write(made['/chatter'], time, bytes(store.serialize_cdr(text, STRING)))
    inner = store.types['odd_msgs/msg/Inner'](np.arange(3.0) + index)
    odd = store.types[ODD](index, ['a', 'b' * index], inner)
    writer.write(made['/odd'], time + 11, bytes(store.serialize_cdr(odd, ODD)))
    # Not a message that anyone could read: it must arrive all the same.
    writer.write(made['/imu'], time + 12, struct.pack('<I', index) * 5)


def read_bag(path: Path) -> list[Message]:
    """Return all messages of a bag in the order in which rosbags reads them."""
    from rosbags.rosbag2 import Reader

    with Reader(path) as reader:
        return [Message(connection.topic, time, bytes(data))
                for connection, time, data in reader.messages()]


def described(path: Path) -> dict[str, tuple[Any, ...]]:
    """Return type, definition, hash, QoS and count of each topic of a bag."""
    from rosbags.rosbag2 import Reader

    with Reader(path) as reader:
        return {c.topic: (c.msgtype, c.msgdef, c.digest, c.ext, c.msgcount)
                for c in reader.connections}


def deserialised(message: Message, kind: str = IMAGE) -> Any:
    """Return the fields of a message."""
    return types().deserialize_cdr(message.data, kind)


def pixels(message: Message) -> np.ndarray:
    """Return the array of a mono8 or rgb8 Image."""
    fields = deserialised(message)
    channels = {'mono8': 1, 'rgb8': 3}[fields.encoding]
    assert fields.step == channels * fields.width and not fields.is_bigendian
    shape = (fields.height, fields.width) + ((3,) if channels == 3 else ())
    return fields.data.reshape(shape)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The node segment_points in a process of its own: made masks and depth in, points out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from probe import stamp_of, until
from processes import Process
from segnode.labels import load_label_set
from small_custom import describe, frames, write_network

SIZE = (24, 32)
K = [40.0, 0.0, 15.5, 0.0, 50.0, 11.5, 0.0, 0.0, 1.0]
CAMVID = load_label_set('camvid')
LABELS = np.repeat(np.arange(24, dtype=np.uint8) % 11, 32).reshape(SIZE)
READ = np.dtype({'names': ['x', 'y', 'z', 'rgb', 'label'],
                 'formats': ['<f4', '<f4', '<f4', '<u4', '<u4'],
                 'offsets': [0, 4, 8, 12, 16], 'itemsize': 20})


def run_points(start: Callable[..., Process], *arguments: str, **parameters: Any) -> Process:
    """Start the node for CamVid's labels."""
    options = [part for name, value in {'model': 'camvid', **parameters}.items()
               for part in ('-p', f'{name}:={value}')]
    return start('-m', 'segnode.ros.points_node', '--ros-args', *arguments, *options)


def millimetres() -> np.ndarray:
    """Return uint16 (H, W): every pixel has a depth of its own, some none."""
    depth = 1000 + np.arange(24 * 32, dtype=np.uint16).reshape(SIZE)
    depth[3, 5:9] = 0
    return depth


def depth_image(probe: Any, like: Any, depth: np.ndarray, late: float = 0.0) -> Image:
    """Return the depth image that belongs to a mask."""
    msg = Image(height=depth.shape[0], width=depth.shape[1], step=depth.strides[0],
                encoding='16UC1' if depth.dtype == np.uint16 else '32FC1')
    msg.data.frombytes(depth.tobytes())
    nanoseconds = like.stamp.sec * 10**9 + like.stamp.nanosec + round(late * 1e9)
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(nanoseconds, 10**9)
    msg.header.frame_id = 'depth_optical_frame'
    return msg


def calibration(like: Any, **changes: Any) -> CameraInfo:
    """Return the calibration of the depth camera."""
    return CameraInfo(header=like.header, height=SIZE[0], width=SIZE[1], k=K, **changes)


class Feed:
    """Publishers of masks, depth and calibration."""

    def __init__(self, probe: Any, reliable: bool = True) -> None:
        self.probe = probe
        self.labels = probe.publisher('segmentation/labels', reliable=reliable)
        self.depth = probe.publisher('depth', reliable=reliable)
        self.info = probe.publisher('camera_info', kind=CameraInfo)

    def connected(self) -> None:
        """Wait for the node."""
        for publisher in (self.labels, self.depth, self.info):
            until(publisher.get_subscription_count, 60, publisher.topic_name)
        time.sleep(0.3)

    def exchange(self, collector: Any, depth: np.ndarray, labels: np.ndarray = LABELS,
                 late: float = 0.0) -> tuple[Image, Image, PointCloud2]:
        """Send mask and depth image until a cloud answers; return all three."""
        sent: dict[tuple[int, int], tuple[Image, Image]] = {}

        def make() -> Image:
            mask = self.probe.image(labels, 'mono8')
            msg = depth_image(self.probe, mask.header, depth, late)
            sent[msg.header.stamp.sec, msg.header.stamp.nanosec] = mask, msg
            self.info.publish(calibration(msg))
            time.sleep(0.05)
            self.labels.publish(mask)
            return msg
        msg, cloud = self.probe.exchange(self.depth, make, collector)
        return (*sent[msg.header.stamp.sec, msg.header.stamp.nanosec], cloud)

    def pair(self, depth: np.ndarray, labels: np.ndarray = LABELS, late: float = 0.0,
             **changes: Any) -> Image:
        """Send a mask and a depth image, once; return the latter."""
        mask = self.probe.image(labels, 'mono8')
        msg = depth_image(self.probe, mask.header, depth, late)
        for name, value in changes.items():
            setattr(msg, name, value)
        self.labels.publish(mask)
        self.depth.publish(msg)
        return msg

    def close(self) -> None:
        """Take the publishers away."""
        for publisher in (self.labels, self.depth, self.info):
            self.probe.node.destroy_publisher(publisher)


@pytest.fixture
def feed(probe: Any) -> Any:
    made = Feed(probe)
    yield made
    made.close()


def until_said(node: Process, words: str, send: Callable[[], Image]) -> list[Image]:
    """Send until the node says something; return what was sent."""
    sent: list[Image] = []
    end = time.monotonic() + 60
    while words not in node.output:
        assert time.monotonic() < end, node.output
        sent.append(send())
        time.sleep(0.1)
    return sent


def points_of(cloud: PointCloud2) -> np.ndarray:
    """Return the points of fields that pcl::PointXYZRGBL takes: it asks for these very types."""
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ('x', 0, PointField.FLOAT32, 1), ('y', 4, PointField.FLOAT32, 1),
        ('z', 8, PointField.FLOAT32, 1), ('rgb', 12, PointField.FLOAT32, 1),
        ('label', 16, PointField.UINT32, 1)]
    assert (cloud.point_step, cloud.row_step, cloud.is_bigendian) == (20, 20 * cloud.width, False)
    assert len(cloud.data) == cloud.row_step * cloud.height
    return np.frombuffer(cloud.data, READ).reshape(cloud.height, cloud.width)


def expected(depth: np.ndarray, labels: np.ndarray = LABELS) -> dict[str, np.ndarray]:
    """Return what a pinhole camera of K saw, per pixel."""
    v, u = np.indices(SIZE)
    z = depth / 1000 if depth.dtype == np.uint16 else depth
    rgb = CAMVID.palette[labels].astype(np.uint32)
    return {'x': (u - 15.5) / 40 * z, 'y': (v - 11.5) / 50 * z, 'z': z,
            'rgb': rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2], 'label': labels}


def check(points: np.ndarray, wanted: dict[str, np.ndarray], kept: np.ndarray) -> None:
    for name, values in wanted.items():
        np.testing.assert_allclose(points[name], values[kept], rtol=2e-6, atol=1e-6, err_msg=name)


def test_sensor_msgs_py_makes_and_reads_the_same() -> None:
    """The library that comes with a ROS installation, whose work is done by hand here."""
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2')
    from std_msgs.msg import Header

    from segnode.ros.points import CloudMaker, Intrinsics
    from segnode.ros.points_node import FIELDS, message_of

    seen = millimetres() > 0
    for organized in (False, True):
        points = CloudMaker(CAMVID, organized=organized).make(
            LABELS, millimetres(), Intrinsics(40, 50, 15.5, 11.5))
        made = message_of(points, Header(frame_id='depth'), dense=not organized)
        # Given in a row, for create_cloud takes rows for columns (common_interfaces c0c0bc5).
        told = point_cloud2.create_cloud(
            made.header, FIELDS, points.ravel().view(point_cloud2.dtype_from_fields(FIELDS)))
        for name in ('fields', 'point_step', 'is_bigendian', 'data'):
            assert getattr(made, name) == getattr(told, name), name
        assert (made.height, made.width) == (SIZE if organized else (1, seen.sum()))
        read = point_cloud2.read_points(made, ('x', 'z'), skip_nans=True)
        for name in ('x', 'z'):
            np.testing.assert_allclose(
                read[name], expected(millimetres())[name][seen], rtol=2e-6, atol=1e-6)
        label = point_cloud2.read_points(made, ('label',))['label']
        assert label.dtype == np.uint32
        assert (label == (LABELS.ravel() if organized else LABELS[seen])).all()


def test_dense_and_from_best_effort_publishers(
        probe: Any, start: Callable[..., Process]) -> None:
    """The points that there are, in the depth camera's frame, at its stamp."""
    feed = Feed(probe, reliable=False)
    node = run_points(start)
    feed.connected()
    node.wait_for('subscribed to /depth as best_effort')
    depth = millimetres()
    with probe.collect('segmentation/points', PointCloud2) as clouds:
        _, msg, cloud = feed.exchange(clouds, depth)
        assert cloud.header == msg.header and cloud.header.frame_id == 'depth_optical_frame'
        assert cloud.is_dense and (cloud.height, cloud.width) == (1, 24 * 32 - 4)
        check(points_of(cloud)[0], expected(depth), depth > 0)
        # Metres, and a mask of half the size.
        real = np.where(depth > 0, depth / 1000, np.nan).astype(np.float32)
        _, _, cloud = feed.exchange(clouds, real, LABELS[1::2, 1::2].copy())
        whole = LABELS[1::2, 1::2].repeat(2, 0).repeat(2, 1)
        check(points_of(cloud)[0], expected(real, whole), np.isfinite(real))
    feed.close()
    assert node.stop() == 0, node.output


def test_a_lazy_node_rests_while_nobody_wants_clouds(
        probe: Any, feed: Feed, start: Callable[..., Process]) -> None:
    """The segment node that makes the masks rests then, too."""
    node = run_points(start, lazy='true')
    node.wait_for('-> /segmentation/points')
    inputs = (feed.labels, feed.depth)
    until(feed.info.get_subscription_count)  # it has begun
    time.sleep(0.5)
    assert not any(publisher.get_subscription_count() for publisher in inputs)
    with probe.collect('segmentation/points', PointCloud2) as clouds:
        feed.connected()
        feed.exchange(clouds, millimetres())
    until(lambda: not any(publisher.get_subscription_count() for publisher in inputs))
    assert node.stop() == 0


def test_organized_classes_and_stride(
        probe: Any, feed: Feed, start: Callable[..., Process]) -> None:
    node = run_points(start, organized='true', classes="'sky, road'", stride=2, max_depth=1.7)
    feed.connected()
    depth = millimetres()
    with probe.collect('segmentation/points', PointCloud2) as clouds:
        _, _, cloud = feed.exchange(clouds, depth)
    assert not cloud.is_dense and (cloud.height, cloud.width) == (12, 16)
    kept = np.isin(LABELS, [0, 3]) & (depth > 0) & (depth <= 1700)
    assert (np.isfinite(points_of(cloud)['z']) == kept[::2, ::2]).all()
    wanted = {name: values[::2, ::2] for name, values in expected(depth).items()}
    check(points_of(cloud)[kept[::2, ::2]], wanted, kept[::2, ::2])
    assert node.stop() == 0, node.output


def test_stamps_that_differ(
        probe: Any, feed: Feed, start: Callable[..., Process], project: Path) -> None:
    """Within the slop they are a pair; the groups' names and colours are those of the grouping."""
    # With the segment node's file, as the launch file does it.
    node = run_points(start, '--params-file', str(project / 'config' / 'segment.yaml'),
                      slop=0.02, label_grouping='driving', classes='human')
    feed.connected()
    with probe.collect('segmentation/points', PointCloud2) as clouds:
        groups = (LABELS % 6).astype(np.uint8)
        mask, msg, cloud = feed.exchange(clouds, millimetres(), groups, late=0.015)
        assert cloud.header.stamp == msg.header.stamp != mask.header.stamp
        points = points_of(cloud)[0]
        assert (points['label'] == 4).all() and points.size == (groups == 4).sum()
        assert (points['rgb'] == (220 << 16 | 20 << 8 | 60)).all()
        # Further apart they are none, which the node says; it goes on afterwards.
        apart = until_said(
            node, 'had a depth image within 0.02 s of its own',
            lambda: feed.pair(millimetres(), groups, late=0.05))
        feed.exchange(clouds, millimetres(), groups)
        clouds.settle()
        assert not {stamp_of(msg) for msg in apart} & set(clouds.by_stamp())
    assert node.stop() == 0, node.output


def test_behind_the_segment_node(
        probe: Any, start: Callable[..., Process], start_segment: Callable[..., Process],
        tmp_path: Path) -> None:
    """A camera's image and the depth image of its stamp become points with the node's labels."""
    pytest.importorskip('onnxruntime')
    from segnode.segmenter import Segmenter
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    model = describe(tmp_path / 'mine.yaml', 'net.onnx')
    (picture,) = frames(1, SIZE)
    nodes = [start_segment(model=model, label_grouping='driving', roi=[0.5, 0.0, 0.5, 1.0]),
             run_points(start, model=model, label_grouping='driving')]
    labels = Segmenter.load(model, label_grouping='driving', roi=(0.5, 0, 0.5, 1)).segment(
        picture).labels
    assert (labels[:12] == 255).all() and len(np.unique(labels)) > 3
    image, depth = probe.publisher('image'), probe.publisher('depth')
    info = probe.publisher('camera_info', kind=CameraInfo)
    millis = millimetres()

    def make() -> Image:
        msg = probe.image(picture)
        pair = depth_image(probe, msg.header, millis)
        info.publish(calibration(pair))
        depth.publish(pair)
        return msg
    with probe.collect('segmentation/points', PointCloud2) as clouds:
        until(lambda: image.get_subscription_count() and depth.get_subscription_count(), 90)
        _, cloud = probe.exchange(image, make, clouds)
    points = points_of(cloud)[0]
    assert (points['label'] == labels[millis > 0]).all()
    np.testing.assert_allclose(points['z'], millis[millis > 0] / 1000, rtol=2e-6)
    assert [node.stop() for node in nodes] == [0, 0]
    for publisher in (image, depth, info):
        probe.node.destroy_publisher(publisher)


def test_damaged_messages_and_what_is_missing(
        probe: Any, feed: Feed, start: Callable[..., Process]) -> None:
    """Each is named; the next good frame is served."""
    node = run_points(start)
    feed.connected()
    with probe.collect('segmentation/points', PointCloud2) as clouds:
        until_said(node, 'a cloud was left out: no calibration came on /camera_info yet',
                   lambda: feed.pair(millimetres()))
        feed.exchange(clouds, millimetres())
        # Warnings of one kind are throttled.
        until_said(node, 'the depth image: 1536 bytes are no 32x4294967295 16UC1',
                   lambda: feed.pair(millimetres(), height=2**32 - 1))
        feed.exchange(clouds, millimetres())
        node.wait_for('nothing came on /segmentation/labels, which has 1 publisher(s)')
    assert node.stop() == 0, node.output


@pytest.mark.parametrize('given, words', [
    ({'classes': 'person'}, 'parameter classes: "camvid" has no class \'person\''),
    ({'stride': 0}, 'parameter stride must be 1 or more, not 0'),
    ({'queue_size': 0}, 'parameter queue_size must be 1 or more'),
    ({'slop': '.inf'}, 'parameter slop must be a number of seconds'),
    ({'reliability': 'some'}, 'parameter reliability must be one of auto'),
    ({'model': 'gone'}, "'gone' is no label set"),
    ({'label_grouping': 'gone'}, "no label grouping 'gone'"),
])
def test_bad_parameters_end_in_one_sentence(
        start: Callable[..., Process], given: dict[str, Any], words: str) -> None:
    node = run_points(start, **given)
    assert node.wait() == 1
    assert node.output.startswith('error: ') and words in node.output
    assert len(node.output.splitlines()) == 1

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Frame sources: every frame in order, and one sentence for what cannot be played."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.ros.frame_sources import BUILT_IN_RATE, COMPRESSED_TYPE, IMAGE_TYPE, open_source


def picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 (H, W, 3) BGR of one colour that tells the index."""
    return np.full((height, width, 3), (10 * index, 255 - 10 * index, 128), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures whose names sort by number only when padded, and a file that is none."""
    for index in range(12):
        cv2.imwrite(str(tmp_path / f'frame_{index:03}.png'), picture(index))
    (tmp_path / 'notes.txt').write_text('not a picture')
    return tmp_path


def test_built_in_scene_is_deterministic():
    from segnode.road_scene import RoadScene
    source = open_source('')
    frames = [frame for _, frame in zip(range(3), source)]
    assert source.rate == BUILT_IN_RATE
    for index, frame in enumerate(frames):
        assert frame.image.shape == (360, 480, 3) and frame.image.dtype == np.uint8
        assert frame.seconds == pytest.approx(index / BUILT_IN_RATE)
        np.testing.assert_array_equal(frame.image, RoadScene(360, 480).frame(index)[0])


def test_folder_by_name_and_twice(folder):
    source = open_source(str(folder))
    for _ in range(2):
        frames = list(source)
        assert len(frames) == 12
        for index, frame in enumerate(frames):
            np.testing.assert_array_equal(frame.image, picture(index))
    assert source.rate is None


def test_damaged_picture_is_named(folder):
    (folder / 'frame_005.png').write_bytes(b'\x89PNG but no more')
    with pytest.raises(SegnodeError, match='frame_005.png is not an image'):
        list(open_source(str(folder)))


def test_video(tmp_path):
    path = tmp_path / 'drive.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 25.0, (64, 48))
    for index in range(7):
        writer.write(picture(index))
    writer.release()
    source = open_source(str(path))
    frames = list(source)
    assert source.rate == pytest.approx(25.0)
    assert len(frames) == 7
    for index, frame in enumerate(frames):
        assert np.abs(frame.image.astype(int) - picture(index)).mean() < 4  # JPEG
        assert frame.seconds == pytest.approx(index / 25)


@pytest.mark.parametrize('make, message', [
    (lambda folder: folder / 'nowhere', 'there is nothing at .*nowhere'),
    (lambda folder: folder / 'empty', 'no images in .*empty'),
    (lambda folder: folder / 'text.xyz', 'neither a folder of images'),
    (lambda folder: folder / 'false.mp4', 'not a video that OpenCV can read|can be decoded'),
    (lambda folder: folder / 'false.mcap', 'cannot be read as a ROS 2 bag'),
    (lambda folder: folder / 'false.db3', 'cannot be read as a ROS 2 bag'),
    (lambda folder: folder / 'false_bag', 'cannot be read as a ROS 2 bag'),
])
def test_what_cannot_be_played_gets_one_sentence(tmp_path, make, message):
    pytest.importorskip('rosbags')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'false_bag').mkdir()
    for name in ('text.xyz', 'false.mp4', 'false.mcap', 'false.db3', 'false_bag/metadata.yaml'):
        (tmp_path / name).write_text('this is not what the name says\n')
    with pytest.raises(SegnodeError, match=message):
        open_source(str(make(tmp_path)))


def written_bag(path: Path, topics: dict[str, str]) -> None:
    """Write a bag with two frames on each topic; the value is 'raw', 'compressed' or 'text'."""
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import get_typestore, Stores
    store = get_typestore(Stores.ROS2_JAZZY)
    time = store.types['builtin_interfaces/msg/Time']
    header = store.types['std_msgs/msg/Header'](time(0, 0), 'camera')
    with Writer(path, version=9) as writer:
        for topic, kind in topics.items():
            name = {'raw': IMAGE_TYPE, 'compressed': COMPRESSED_TYPE,
                    'text': 'std_msgs/msg/String'}[kind]
            connection = writer.add_connection(topic, name, typestore=store)
            for index in range(2):
                image = picture(index)
                if kind == 'raw':
                    message = store.types[name](header, 48, 64, 'rgb8', 0, 192,
                                                np.ascontiguousarray(image[..., ::-1]).ravel())
                elif kind == 'compressed':
                    message = store.types[name](header, 'png', cv2.imencode('.png', image)[1])
                else:
                    message = store.types[name]('hello')
                writer.write(connection, index * 500_000_000, store.serialize_cdr(message, name))


@pytest.mark.parametrize('kind', ['raw', 'compressed'])
def test_bag_of_raw_or_compressed_images(tmp_path, kind):
    pytest.importorskip('rosbags')
    written_bag(tmp_path / 'bag', {'/camera': kind, '/chatter': 'text'})
    for path in (tmp_path / 'bag', next((tmp_path / 'bag').glob('*.db3'))):
        source = open_source(str(path))
        frames = list(source)
        assert source.rate == pytest.approx(2.0)
        assert [frame.seconds for frame in frames] == [0.0, 0.5]
        for index, frame in enumerate(frames):
            np.testing.assert_array_equal(frame.image, picture(index))


def damaged_bag(path: Path, damage: dict[int, str]) -> None:
    """Write a bag of five frames on /camera, some of them damaged: by index, 'size' or 'cdr'."""
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import get_typestore, Stores
    store = get_typestore(Stores.ROS2_JAZZY)
    time = store.types['builtin_interfaces/msg/Time']
    header = store.types['std_msgs/msg/Header'](time(0, 0), 'camera')
    with Writer(path, version=9) as writer:
        connection = writer.add_connection('/camera', IMAGE_TYPE, typestore=store)
        for index in range(5):
            data = picture(index).ravel()[:100 if damage.get(index) == 'size' else None]
            message = store.types[IMAGE_TYPE](header, 48, 64, 'bgr8', 0, 192, data)
            content = bytes(store.serialize_cdr(message, IMAGE_TYPE))
            if damage.get(index) == 'cdr':
                content = content[:30]
            writer.write(connection, index * 100_000_000, content)


def test_damaged_messages_of_a_bag_are_named_and_skipped(tmp_path, caplog):
    pytest.importorskip('rosbags')
    damaged_bag(tmp_path / 'bag', {0: 'cdr', 2: 'size', 4: 'cdr'})
    frames = list(open_source(str(tmp_path / 'bag')))
    assert [round(frame.seconds, 3) for frame in frames] == [0.1, 0.3]
    for index, frame in zip((1, 3), frames):
        np.testing.assert_array_equal(frame.image, picture(index))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    for index, text in zip((0, 2, 4), said):
        assert f'topic /camera of bag {tmp_path}/bag: message {index} is skipped: ' in text
    assert 'the data hold 100 bytes' in said[1]


def test_bag_of_nothing_but_damage(tmp_path):
    pytest.importorskip('rosbags')
    damaged_bag(tmp_path / 'bag', dict.fromkeys(range(5), 'size'))
    with pytest.raises(SegnodeError, match='no message of topic /camera of bag .* can be played'):
        list(open_source(str(tmp_path / 'bag')))


def test_bag_that_breaks_off(tmp_path, caplog):
    """What comes before the damage of the file itself is played."""
    pytest.importorskip('rosbags')
    damaged_bag(tmp_path / 'bag', {})
    (path,) = (tmp_path / 'bag').glob('*.db3')
    content = bytearray(path.read_bytes())
    source = open_source(str(path))
    page = 4096  # SQLite's: damage the pages of the last frames, not the tables
    content[-2 * page:] = b'\xff' * (2 * page)
    path.write_bytes(content)
    frames = list(source)
    assert len(frames) < 5
    assert 'breaks off: it is damaged behind message' in caplog.text


def test_which_topic_of_a_bag(tmp_path):
    pytest.importorskip('rosbags')
    written_bag(tmp_path / 'two', {'/left': 'raw', '/right': 'compressed'})
    with pytest.raises(SegnodeError, match='several image topics: choose one of /left, /right'):
        open_source(str(tmp_path / 'two'))
    with pytest.raises(SegnodeError, match='no image topic /middle: its image topics are /left'):
        open_source(str(tmp_path / 'two'), '/middle')
    assert len(list(open_source(str(tmp_path / 'two'), '/right'))) == 2
    written_bag(tmp_path / 'none', {'/chatter': 'text'})
    with pytest.raises(SegnodeError, match='has no image topic'):
        open_source(str(tmp_path / 'none'))


def test_real_bags(bags, camvid):
    """The bags hold CamVid's val sequence: the same pictures as the folder."""
    pytest.importorskip('rosbags')
    images = sorted((camvid / 'val' / 'images').iterdir())
    compressed = open_source(str(bags / 'camvid_0016E5_15hz_compressed_mcap'))
    assert compressed.rate == pytest.approx(15.0, rel=0.01)
    frames = list(compressed)
    assert len(frames) == len(images) == 101
    np.testing.assert_array_equal(frames[50].image, cv2.imread(str(images[50])))
    raw = list(open_source(str(bags / 'camvid_0016E5_15hz_raw40_db3')))
    assert len(raw) == 40
    np.testing.assert_array_equal(raw[-1].image, cv2.imread(str(images[39])))

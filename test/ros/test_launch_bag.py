# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How the launch file plays a bag; this needs no part of ROS but rclpy for one check."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from launch_values import values
from segnode.errors import SegnodeError
from segnode.ros.launch_bag import image_topics, play_command, qos_overrides, with_image_of_bag
from segnode.ros.transport import SUBSCRIPTION_DEPTH

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'


def bag_with(folder: Path, **topics: str) -> Path:
    """Write the metadata of a bag with topics; in the names __ stands for a slash."""
    entries = [{'topic_metadata': {'name': name.replace('__', '/'), 'type': kind},
                'message_count': 1} for name, kind in topics.items()]
    folder.mkdir(exist_ok=True)
    (folder / 'metadata.yaml').write_text(yaml.safe_dump(
        {'rosbag2_bagfile_information': {'version': 9, 'topics_with_message_count': entries}}))
    return folder


def test_image_topics_of_a_bag(tmp_path: Path) -> None:
    """Raw and compressed images of one camera are one topic; the rest is no image."""
    bag = bag_with(tmp_path / 'bag', __b__image=IMAGE, __a__image__compressed=COMPRESSED,
                   __a__image=IMAGE, __imu='sensor_msgs/msg/Imu')
    assert image_topics(bag) == ['/a/image', '/b/image']


def test_a_lone_file_does_not_tell(tmp_path: Path) -> None:
    """Then the argument image counts as it is."""
    lone = tmp_path / 'drive.mcap'
    lone.write_bytes(b'')
    assert image_topics(lone) is None
    given = values(bag=str(lone))
    assert with_image_of_bag(given) == given


def test_real_bags(bags: Path) -> None:
    """What rosbags wrote, as rosbag2 does."""
    for name in ('camvid_0016E5_15hz_compressed_mcap', 'camvid_0016E5_15hz_raw40_db3'):
        assert image_topics(bags / name) == ['/camera/image_raw']


def test_the_only_image_topic_is_taken(tmp_path: Path) -> None:
    """Unless the user named one, which then has to be there."""
    bag = str(bag_with(tmp_path / 'bag', __camera__image_raw__compressed=COMPRESSED))
    assert with_image_of_bag(values(bag=bag))['image'] == '/camera/image_raw'
    named = values(bag=bag, image='/camera/image_raw')
    assert with_image_of_bag(named) == named
    as_bag_info_lists_it = values(bag=bag, image='/camera/image_raw/compressed')
    assert with_image_of_bag(as_bag_info_lists_it) == as_bag_info_lists_it
    relative = values(bag=bag, image='image_raw', namespace='camera')
    assert with_image_of_bag(relative) == relative
    with pytest.raises(SegnodeError, match='no images on /front: its image topics are /camera/im'):
        with_image_of_bag(values(bag=bag, image='/front'))


def test_remapped_bags_are_not_second_guessed(tmp_path: Path) -> None:
    """What the topics are called then is for the user to say."""
    bag = str(bag_with(tmp_path / 'bag', __a__image=IMAGE))
    given = values(bag=bag, image='/front', bag_arguments='--remap /a/image:=/front')
    assert with_image_of_bag(given) == given


def test_several_image_topics_need_a_choice(tmp_path: Path) -> None:
    """The sentence lists them; with cameras nothing is chosen for the user."""
    bag = str(bag_with(tmp_path / 'bag', __a__image=IMAGE, __b__image=IMAGE))
    with pytest.raises(SegnodeError, match='several image topics.* /a/image, /b/image'):
        with_image_of_bag(values(bag=bag))
    chosen = values(bag=bag, image='/b/image')
    assert with_image_of_bag(chosen) == chosen
    both = values(bag=bag, cameras='[a,b]', image='/{camera}/image')
    assert with_image_of_bag(both) == both


@pytest.mark.parametrize('text, words', [
    ('', 'is not the metadata of a bag'),
    ('rosbag2_bagfile_information: 3', 'is not the metadata of a bag'),
    ('{', 'is not the metadata of a bag'),
])
def test_damaged_metadata(tmp_path: Path, text: str, words: str) -> None:
    """One sentence, with the file."""
    (tmp_path / 'metadata.yaml').write_text(text)
    with pytest.raises(SegnodeError, match=words) as error:
        image_topics(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_bags_without_images_and_bags_that_are_not(tmp_path: Path) -> None:
    """One sentence each."""
    with pytest.raises(SegnodeError, match='there is no bag'):
        with_image_of_bag(values(bag=str(tmp_path / 'missing')))
    bag = str(bag_with(tmp_path / 'bag', __imu='sensor_msgs/msg/Imu'))
    with pytest.raises(SegnodeError, match='has no image topic'):
        with_image_of_bag(values(bag=bag))


def test_images_are_offered_as_reliable() -> None:
    """Under their full names, raw and compressed, as deep as the node subscribes."""
    profile = {'reliability': 'reliable', 'history': 'keep_last',
               'depth': SUBSCRIPTION_DEPTH['reliable']}
    found = yaml.safe_load(qos_overrides(values(image='image_raw', namespace='/car/')))
    assert found == {'/car/image_raw': profile, '/car/image_raw/compressed': profile}
    found = yaml.safe_load(qos_overrides(values(image='/{camera}/image', cameras='[a,b]')))
    assert set(found) == {'/a/image', '/a/image/compressed', '/b/image', '/b/image/compressed'}


def test_overrides_are_what_rclpy_understands() -> None:
    """rosbag2 hands the short names to these two (ros2bag/api, interpret_dict_as_qos_profile)."""
    qos = pytest.importorskip('rclpy.qos')
    (profile, _) = yaml.safe_load(qos_overrides(values())).values()
    assert set(profile) == {'reliability', 'history', 'depth'}
    reliability = qos.QoSReliabilityPolicy.get_from_short_key(profile['reliability'])
    history = qos.QoSHistoryPolicy.get_from_short_key(profile['history'])
    made = qos.QoSProfile(reliability=reliability, history=history, depth=profile['depth'])
    assert made.reliability == qos.ReliabilityPolicy.RELIABLE


def test_command_line() -> None:
    """With --clock unless the machine's time is wanted; what the user adds comes last."""
    file = Path('/run/qos.yaml')
    assert play_command(values(bag='/data/my drive', bag_arguments='--loop -r 0.5'), file) == [
        'ros2', 'bag', 'play', '/data/my drive', '--clock', '--disable-keyboard-controls',
        '--qos-profile-overrides-path', '/run/qos.yaml', '--loop', '-r', '0.5']
    assert '--clock' not in play_command(values(bag='b', use_sim_time='false'), file)
    faster = play_command(values(bag='b', bag_arguments='--clock 100'), file)
    assert [part for part in faster if part == '--clock'] == ['--clock']
    assert faster[-2:] == ['--clock', '100']
    with pytest.raises(SegnodeError, match='bag_arguments cannot be read as a command line'):
        play_command(values(bag='b', bag_arguments="--remap 'a"), file)

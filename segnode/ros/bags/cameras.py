# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are segmented, and what the topics of their masks are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import functools
import re

from segnode.errors import SegnodeError
from segnode.ros.bags.metadata import NewTopic
from segnode.ros.bags.options import BagOptions
from segnode.ros.bags.recording import LABEL_INFO_TYPE, Topic, typestore
from segnode.ros.calibration import CAMERA_INFO_TYPE
from segnode.ros.frame_sources import COMPRESSED_TYPE, IMAGE_TYPE
from segnode.ros.input_choice import calibration_beside
from segnode.ros.topics import OUTPUT_TOPICS

IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_TYPE)
STRING_TYPE = 'std_msgs/msg/String'
NAMING = (
    'Masks of one image topic: /segmentation/labels, .../color and so on. Of several, each in '
    'a namespace of its own: NAMESPACE/segmentation/labels, so /left/image_raw gives '
    '/left/segmentation/labels. Where two share a namespace, for every topic: '
    'TOPIC/segmentation/labels, so /camera/image_raw gives /camera/image_raw/segmentation/labels. '
    '--compressed-labels adds /compressed to labels. Beside them, label_info '
    '(vision_msgs/LabelInfo, latched) names the classes; with --labels-at other than image and a '
    'recorded camera_info beside the images, camera_info is that for the size of the labels.'
)
_MASKS = {topic.name.partition('/')[2] for topic in OUTPUT_TOPICS
          if topic.type_name in IMAGE_TYPES}
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')


@dataclass(frozen=True)
class Camera:
    """An image topic that is segmented.

    Args:
        topic, msgtype: of the images.
        masks: by output ('labels', 'color', ...), its topic.
        label_info: where the names of the classes are said, beside the masks.
        calibration: recorded topic of the camera_info that is to be made to fit the masks; empty
            where there is none, or masks have the images' size.
        camera_info: where it goes then.
    """

    topic: str
    msgtype: str
    masks: dict[str, NewTopic]
    label_info: NewTopic
    calibration: str = ''
    camera_info: NewTopic | None = None

    @property
    def names(self) -> dict[str, str]:
        """Return the names of these topics, by output."""
        made = {output: topic.name for output, topic in self.masks.items()}
        if self.camera_info is not None:
            made['camera_info'] = self.camera_info.name
        return made

    @property
    def topics(self) -> tuple[NewTopic, ...]:
        """Return those with a message for each image."""
        more = () if self.camera_info is None else (self.camera_info,)
        return (*self.masks.values(), *more)


class NoImages(SegnodeError):
    """The bag has no image topic."""


def choose(topics: Mapping[str, Topic], options: BagOptions, first_channel: int) -> list[Camera]:
    """Return the image topics to segment, by name, with their new topics.

    Args:
        topics: of the bag.
        options: what was asked for.
        first_channel: the first id that is free for new topics.

    Raises:
        NoImages: there is none.
        SegnodeError: one that was asked for is none, or a new topic is there already.
    """
    if not _NAME.fullmatch(options.name):
        raise SegnodeError(f'{options.name!r} is not a name for topics, such as segmentation')
    images = {name: topic for name, topic in topics.items() if topic.msgtype in IMAGE_TYPES}
    if not images:
        raise NoImages(f'there is no image topic: segment_bag takes {" and ".join(IMAGE_TYPES)}')
    chosen = sorted(set(options.topics)) or sorted(
        name for name in images if not is_mask(name, options.name))
    wrong = [name for name in chosen if name not in images]
    if wrong:
        listed = ', '.join(sorted(images))
        raise SegnodeError(f'there is no image topic {wrong[0]}: the image topics are {listed}')
    unseen = sorted({view.topic for view in options.views} - set(chosen))
    if unseen:
        raise SegnodeError(f'--view is of {unseen[0]}, but what is segmented is '
                           f'{", ".join(chosen) or "nothing"}')
    if not chosen:
        raise NoImages('there is no image topic but masks of an earlier segmentation')
    bases = mask_bases(chosen, options.name)
    cameras = []
    channel = first_channel
    for name in chosen:
        masks = {}
        for output in options.masks:
            packed = output == 'labels' and options.compressed_labels
            topic = f'{bases[name]}/{output}' + '/compressed' * packed
            masks[output] = new_topic(topic, COMPRESSED_TYPE if packed else IMAGE_TYPE, channel)
            channel += 1
        info = new_topic(f'{bases[name]}/label_info', LABEL_INFO_TYPE, channel, latched=True)
        channel += 1
        beside = calibration_beside(name)
        calibration, camera_info = '', None
        if options.labels_at != 'image' and _is_calibration(topics.get(beside)):
            calibration = beside
            camera_info = new_topic(f'{bases[name]}/camera_info', CAMERA_INFO_TYPE, channel)
            channel += 1
        camera = Camera(
            name, images[name].msgtype, masks, info, calibration, camera_info)
        there = [topic.name for topic in (*camera.topics, info) if topic.name in topics]
        if there:
            raise SegnodeError(
                f'there already is a topic {there[0]}: give --name another name than '
                f'{options.name}')
        cameras.append(camera)
    return cameras


def mask_bases(topics: Sequence[str], name: str) -> dict[str, str]:
    """Return what the names of each image topic's masks begin with; see NAMING.

    Args:
        topics: image topics, each once.
        name: last part, such as 'segmentation'.
    """
    if len(topics) == 1:
        return {topics[0]: f'/{name}'}
    spaces = {topic: _namespace(topic) for topic in topics}
    if len(set(spaces.values())) < len(topics):
        spaces = {topic: topic for topic in topics}
    return {topic: f'{space}/{name}' for topic, space in spaces.items()}


def _is_calibration(topic: Topic | None) -> bool:
    return topic is not None and topic.msgtype == CAMERA_INFO_TYPE and topic.count > 0


def _namespace(topic: str) -> str:
    """Return '/left' of '/left/image_raw' and of '/left/image_raw/compressed'; '' of '/image'."""
    if topic.endswith('/compressed'):
        topic = topic[:-len('/compressed')]
    return topic.rpartition('/')[0]


def is_mask(topic: str, name: str) -> bool:
    """Tell whether a topic is called like one that the node or this tool makes."""
    return any(topic.endswith(f'/{space}/{mask}')
               for space in {name, 'segmentation'} for mask in _MASKS)


def new_topic(name: str, msgtype: str, channel: int, *, latched: bool = False) -> NewTopic:
    """Return a topic of one of the types that are known here."""
    return NewTopic(name, msgtype, channel, *_definition(msgtype), latched)


@functools.cache
def _definition(msgtype: str) -> tuple[str, str]:
    """Return the definition and the hash of a message type."""
    store = typestore()
    text, _ = store.generate_msgdef(msgtype, ros_version=2)
    return str(text), str(store.hash_rihs01(msgtype))

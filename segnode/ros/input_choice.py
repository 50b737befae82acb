# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Where the images may come from, raw or compressed, and which of it to take. No ROS here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

TRANSPORTS = ('auto', 'raw', 'compressed')
RAW, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
SUFFIX = '/compressed'


@dataclass(frozen=True)
class Source:
    """A topic and the type of its messages."""

    topic: str
    type_name: str

    @property
    def compressed(self) -> bool:
        """Return whether its images are compressed."""
        return self.type_name == COMPRESSED


def sources(base: str, transport: str) -> tuple[Source, ...]:
    """Return where images may come from, the preferred first.

    '/compressed' goes behind the remapped name, as image_transport does it, so that
    `image:=/camera/image_raw` means /camera/image_raw/compressed. Raw is preferred with 'auto':
    it needs no decoding, and a driver that publishes both has it anyway.

    Args:
        base: full name of the topic 'image', remapping done.
        transport: one of TRANSPORTS.
    """
    beside = Source(base if base.endswith(SUFFIX) else base + SUFFIX, COMPRESSED)
    if transport == 'raw':
        return (Source(base, RAW),)
    if transport == 'compressed':
        return (beside,)
    return tuple(dict.fromkeys((Source(base, RAW), Source(base, COMPRESSED), beside)))


def calibration_beside(image: str) -> str:
    """Return the topic of the calibration of an image topic, by the convention of ROS drivers."""
    space, slash, _ = image.removesuffix(SUFFIX).rpartition('/')
    return f'{space}{slash}camera_info'


def choose(candidates: Sequence[Source], publishers: Callable[[str], Sequence[Any]]
           ) -> tuple[Source, list[Any]] | None:
    """Return the first source that is published, with its publishers; None where none is.

    Args:
        candidates: as `sources` gives them.
        publishers: gives the publishers of a topic, each with its `topic_type`; one of another
            type is none of the source's.
    """
    found = {topic: publishers(topic) for topic in dict.fromkeys(s.topic for s in candidates)}
    for source in candidates:
        own = [info for info in found[source.topic] if info.topic_type == source.type_name]
        if own:
            return source, own
    return None

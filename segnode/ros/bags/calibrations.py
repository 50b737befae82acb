# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which recorded camera_info goes with an image."""

from __future__ import annotations

from collections import OrderedDict

from segnode.ros.bags.recording import RawMessage, Recording

KEPT = 1024  # of a topic, half a kilobyte each: they may come oftener than images
_STAMP = slice(4, 12)  # of a serialised message that begins with a header


class Calibrations:
    """The newest camera_info messages of some topics.

    Args:
        recording: where the first of each topic is looked up: images before it have nothing else.
        topics: their names.
    """

    def __init__(self, recording: Recording, topics: set[str]) -> None:
        self._newest: dict[str, OrderedDict[bytes, bytes]] = {
            topic: OrderedDict() for topic in topics}
        for message in _first_of(recording, topics):
            self.add(message)

    @property
    def topics(self) -> set[str]:
        """Return the names of the topics."""
        return set(self._newest)

    def add(self, message: RawMessage) -> bool:
        """Remember a message; tell whether it was of these topics."""
        known = self._newest.get(message.topic)
        if known is None:
            return False
        stamp = bytes(message.data[_STAMP])
        known[stamp] = message.data
        known.move_to_end(stamp)
        if len(known) > KEPT:
            known.popitem(last=False)
        return True

    def beside(self, topic: str, image: RawMessage) -> bytes | None:
        """Return the serialised CameraInfo of the image's stamp, else the newest, or None."""
        known = self._newest.get(topic)
        if not known:
            return None
        found = known.get(bytes(image.data[_STAMP]))
        return known[next(reversed(known))] if found is None else found


def _first_of(recording: Recording, topics: set[str]) -> list[RawMessage]:
    found: dict[str, RawMessage] = {}
    for file in range(len(recording.files)):
        missing = topics - found.keys()
        for message in recording.messages(file, missing) if missing else ():
            found.setdefault(message.topic, message)
            if len(found) == len(topics):
                return [*found.values()]
    return [*found.values()]

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""metadata.yaml of a bag: read, made up for a lone file, and brought up to date.

What its version means is stated in rosbag2_storage (bag_metadata.hpp, yaml.hpp): 4 brought QoS
profiles, 5 the list of files, 6 custom data, 7 type hashes, 9 names in place of numbers in QoS
profiles. Whatever is not ours to change stays as it was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import io
from pathlib import Path
from typing import Any

from segnode.errors import SegnodeError

KEY = 'rosbag2_bagfile_information'
CUSTOM_DATA_SINCE = 6
QOS_NAMES_SINCE = 9
_NEEDED = ('version', 'storage_identifier', 'relative_file_paths', 'topics_with_message_count')
# rmw's "no limit", as seconds and nanoseconds.
_FOREVER = {'sec': 9223372036, 'nsec': 854775807}


@dataclass(frozen=True)
class NewTopic:
    """A topic that is added to a bag.

    Args:
        name, msgtype: of the topic.
        channel: its id in MCAP files and in the journal.
        definition: of the message type, as `ros2msg` text.
        type_hash: of the message type, 'RIHS01_...'.
        latched: transient local, depth 1; otherwise volatile, depth 5. Both are reliable.
    """

    name: str
    msgtype: str
    channel: int
    definition: str
    type_hash: str
    latched: bool = False

    def qos(self, version: int) -> list[dict[str, Any]]:
        """Return the profile as metadata of that version states it."""
        named = version >= QOS_NAMES_SINCE
        return [{
            'history': 'keep_last' if named else 1,
            'depth': 1 if self.latched else 5,
            'reliability': 'reliable' if named else 1,
            'durability': (('transient_local' if self.latched else 'volatile') if named
                           else (1 if self.latched else 2)),
            'deadline': dict(_FOREVER),
            'lifespan': dict(_FOREVER),
            'liveliness': 'automatic' if named else 1,
            'liveliness_lease_duration': dict(_FOREVER),
            'avoid_ros_namespace_conventions': False,
        }]

    def qos_text(self, version: int) -> str:
        """Return the profile as storage files keep it."""
        return to_text(self.qos(version)).strip()


@dataclass(frozen=True)
class KnownTopic:
    """A topic of a lone storage file, for metadata that nobody wrote."""

    name: str
    msgtype: str
    serialization_format: str
    qos_text: str
    type_hash: str
    count: int


def _yaml() -> Any:
    from ruamel.yaml import YAML  # rosbags needs it, too

    yaml = YAML()
    yaml.width = 4096  # no line is broken
    return yaml


def from_text(text: str) -> Any:
    """Return what YAML text holds, None where it is none."""
    try:
        return _yaml().load(text)
    except Exception:  # of the scanner, of the constructor, of Unicode
        return None


def to_text(value: Any) -> str:
    """Return a value as YAML text."""
    stream = io.StringIO()
    _yaml().dump(value, stream)
    return stream.getvalue()


def read(path: Path) -> Any:
    """Return the bag information of a metadata.yaml.

    Raises:
        SegnodeError: it is missing or no such file.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise SegnodeError(f'{path} cannot be read: {reason}') from error
    loaded = from_text(text)
    information = loaded.get(KEY) if isinstance(loaded, Mapping) else None
    if not isinstance(information, Mapping) or any(key not in information for key in _NEEDED):
        raise SegnodeError(f'{path} is not the metadata of a ROS 2 bag: ros2 bag reindex makes it')
    version = information['version']
    if not isinstance(version, int) or not 1 <= version <= QOS_NAMES_SINCE:
        raise SegnodeError(f'{path} has version {version!r}: segment_bag knows 1 to 9')
    return information


def made_up(
    storage: str, file: str, version: int, topics: list[KnownTopic], start: int, end: int,
    ros_distro: str,
) -> dict[str, Any]:
    """Return the bag information of a lone storage file.

    Args:
        storage, file: storage plug-in and name of the file.
        version: of the metadata.
        topics: of the file.
        start, end: log times of the first and last message, ns.
        ros_distro: where it was recorded, '' where that is not known.
    """
    count = sum(topic.count for topic in topics)
    span = {
        'starting_time': {'nanoseconds_since_epoch': start},
        'duration': {'nanoseconds': end - start},
        'message_count': count,
    }
    entries = []
    for topic in topics:
        qos: Any = topic.qos_text
        if version >= QOS_NAMES_SINCE:
            qos = from_text(qos) or []
        entry = {
            'name': topic.name, 'type': topic.msgtype,
            'serialization_format': topic.serialization_format, 'offered_qos_profiles': qos,
        }
        if version >= 7:
            entry['type_description_hash'] = topic.type_hash
        entries.append({'topic_metadata': entry, 'message_count': topic.count})
    information: dict[str, Any] = {
        'version': version, 'storage_identifier': storage, 'relative_file_paths': [file],
        **span, 'topics_with_message_count': entries, 'compression_format': '',
        'compression_mode': '', 'files': [{'path': file, **span}],
    }
    if version >= CUSTOM_DATA_SINCE:
        information['custom_data'] = None
    if version >= 8:
        information['ros_distro'] = ros_distro
    return information


def extend(
    information: Any, topics: list[tuple[NewTopic, int]], per_file: list[int],
    custom_data: dict[str, str], folder: str,
) -> None:
    """Add topics, counts and custom data, in place.

    Args:
        information: of the input.
        topics: each new topic and its number of messages.
        per_file: new messages in each storage file.
        custom_data: entries to add, where the version has any.
        folder: name of the output's folder.
    """
    version = information['version']
    for topic, count in topics:
        entry: dict[str, Any] = {
            'name': topic.name, 'type': topic.msgtype, 'serialization_format': 'cdr',
        }
        if version >= 4:
            entry['offered_qos_profiles'] = (
                topic.qos(version) if version >= QOS_NAMES_SINCE else topic.qos_text(version))
        if version >= 7:
            entry['type_description_hash'] = topic.type_hash
        information['topics_with_message_count'].append(
            {'topic_metadata': entry, 'message_count': count})
    if 'message_count' in information:
        information['message_count'] += sum(per_file)
    for file, count in zip(information.get('files') or (), per_file):
        file['message_count'] += count
    if version < 4:  # then they begin with the name of the folder
        information['relative_file_paths'] = [
            f'{folder}/{Path(name).name}' for name in information['relative_file_paths']]
    if version >= CUSTOM_DATA_SINCE:
        known = information.get('custom_data')
        information['custom_data'] = {
            **(known if isinstance(known, Mapping) else {}), **custom_data}

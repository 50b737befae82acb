# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Bags that must be brought into another form before masks can be put into them.

That is so for ROS 1 bags, for another storage format, for files that are compressed as a whole,
and for MCAP files without a complete index. Everywhere else the input's own bytes are copied.
"""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import shutil
from typing import Any

from segnode.errors import SegnodeError
from segnode.ros.bags import mcap_file, metadata
from segnode.ros.bags.compression import open_compressed
from segnode.ros.bags.recording import METADATA, opened, read_recording, Recording, typestore

ROS1_SUFFIX = '.bag'
_BLOCK = 8 << 20


def prepared(
    source: Path, storage: str, folder: Path, pause: Callable[[], None]
) -> Recording:
    """Return a bag that masks can be put into: the input itself, or a copy in another form.

    Args:
        source: a bag's folder, or a lone .mcap, .db3 or (ROS 1) .bag file.
        storage: 'mcap', 'sqlite3', or '' for that of the input.
        folder: for copies; one that an earlier run completed is taken as it is.
        pause: called between two messages or blocks; may raise.

    Raises:
        SegnodeError: the bag cannot be read, or not be converted.
    """
    if source.suffix == ROS1_SUFFIX and source.is_file():
        return _made_once(folder / 'from_ros1', source.stem, lambda draft: _from_ros1(
            source, draft, storage or 'mcap'))
    recording = read_recording(source)
    if recording.compression == 'file':
        packed = recording
        recording = _made_once(folder / 'unpacked', source.name, lambda draft: _unpack(
            packed, draft, pause))
    wanted = storage or recording.storage
    if wanted != recording.storage or not _indexed(recording):
        other = recording
        name = source.stem if source.is_file() else source.name
        recording = _made_once(folder / 'converted', name, lambda draft: _rewrite(
            other, draft, wanted, pause))
    return recording


def _made_once(place: Path, name: str, make: Callable[[Path], None]) -> Recording:
    """Return a bag ``place/name`` that ``make`` writes; the place is there once it is complete."""
    if not place.is_dir():
        draft = place.with_name(place.name + '.part')
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        make(draft / name)
        os.replace(draft, place)
    recording = read_recording(place / name)
    if not _indexed(recording):
        raise SegnodeError(f'{recording.path} has no index: this version of rosbags wrote none')
    return recording


def _indexed(recording: Recording) -> bool:
    """Tell whether chunks can be put into the files, or rows."""
    if recording.storage != 'mcap':
        return True
    try:
        for path in recording.files:
            mcap_file.read_summary(path)
    except mcap_file.NotIndexed:
        return False
    return True


def _unpack(recording: Recording, draft: Path, pause: Callable[[], None]) -> None:
    """Undo the compression of whole files."""
    draft.mkdir()
    information = recording.information
    names = []
    for path in recording.files:
        names.append(path.stem if path.suffix == '.zstd' else path.name)
        with open_compressed(path) as packed, open(draft / names[-1], 'xb') as plain:
            while True:
                pause()
                try:
                    block = packed.read(_BLOCK)
                except OSError:
                    raise
                except Exception as error:  # each of the libraries has a class of its own
                    raise SegnodeError(f'{path} is damaged: {error}') from error
                if not block:
                    break
                plain.write(block)
    information['relative_file_paths'] = names
    for file, name in zip(information.get('files') or (), names):
        file['path'] = name
    information['compression_mode'] = information['compression_format'] = ''
    (draft / METADATA).write_text(metadata.to_text({metadata.KEY: information}))


def _from_ros1(source: Path, draft: Path, storage: str) -> None:
    """Convert a ROS 1 bag; what ROS 2 has no place for (Header.seq, caller ids) is left out."""
    try:
        from rosbags.convert import convert
    except ImportError as error:
        raise SegnodeError('converting a ROS 1 bag needs rosbags: pip install rosbags') from error
    try:
        convert(
            srcs=[source], dst=draft, dst_storage=storage, dst_version=metadata.QOS_NAMES_SINCE,
            compress=None, compress_mode='file', default_typestore=None, typestore=None,
            exclude_topics=(), include_topics=(), exclude_msgtypes=(), include_msgtypes=())
    except Exception as error:
        raise SegnodeError(f'{source} cannot be converted to ROS 2: {error}') from error
    if not (draft / METADATA).is_file():
        raise SegnodeError(f'{source} holds no messages')


def _rewrite(
    recording: Recording, draft: Path, storage: str, pause: Callable[[], None]
) -> None:
    """Write all messages of a bag into one of another storage format.

    Raises:
        SegnodeError: a type's definition is not known, or not every message arrives.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer

    version = recording.information['version'] if recording.information is not None else 8
    writer = Writer(
        draft, version=9 if version >= metadata.QOS_NAMES_SINCE else 8,
        storage_plugin=StoragePlugin[storage.upper()])
    expected = sum(survey.count for survey in recording.surveys())
    written = 0
    with opened(recording.path) as reader, writer:
        custom_data = (recording.information or {}).get('custom_data')
        for key, value in dict(custom_data or {}).items():
            writer.set_custom_data(str(key), str(value))
        hashes = _hashes(recording)
        connections: dict[Any, Any] = {}
        by_topic: dict[Any, Any] = {}
        for old in reader.connections:
            same = (old.topic, old.msgtype, str(old.ext))
            if same not in by_topic:
                text, digest = _definition(recording, old, hashes.get(old.topic, ''))
                by_topic[same] = writer.add_connection(
                    old.topic, old.msgtype, msgdef=text, rihs01=digest,
                    serialization_format=old.ext.serialization_format,
                    offered_qos_profiles=old.ext.offered_qos_profiles)
            connections[old.id] = by_topic[same]
        messages = iter(reader.messages())
        while True:
            pause()
            try:
                item = next(messages, None)
            except Exception as error:
                raise SegnodeError(
                    f'{recording.path} cannot be converted: behind message {written} it is '
                    f'damaged, or not in order of time and without an index ({error})'
                ) from error
            if item is None:
                break
            writer.write(connections[item[0].id], item[1], item[2])
            written += 1
    if written != expected:
        raise SegnodeError(
            f'{recording.path} cannot be converted without loss: only {written} of {expected} '
            'messages can be found by its index')


def _hashes(recording: Recording) -> dict[str, str]:
    """Return the type hash of each topic, as far as lone MCAP files state it."""
    try:
        return {topic.name: topic.type_hash
                for path in recording.files if recording.storage == 'mcap'
                for topic in mcap_file.known_topics(path)[0]}
    except mcap_file.NotIndexed:
        return {}


def _definition(recording: Recording, connection: Any, known_hash: str) -> tuple[str, str]:
    """Return the definition and the hash of a connection's type."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    name = connection.msgtype
    digest = connection.digest or known_hash
    try:
        if connection.msgdef.format == MessageDefinitionFormat.NONE:
            text, _ = typestore().generate_msgdef(name, ros_version=2)
            return str(text), digest or str(typestore().hash_rihs01(name))
        if not digest:
            own = get_typestore(Stores.EMPTY)
            own.register(get_types_from_msg(connection.msgdef.data, name))
            digest = str(own.hash_rihs01(name))
        return str(connection.msgdef.data), digest
    except Exception as error:
        raise SegnodeError(
            f'{recording.path} has no usable definition of the type {name}, which a bag in '
            'another format needs: leave --format out'
        ) from error

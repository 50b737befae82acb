# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Puts an output together: copies of the storage files with the masks in them, and metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import copy
import json
import os
from pathlib import Path
import shutil
from typing import Any

from segnode.errors import SegnodeError
from segnode.ros.bags import mcap_file, metadata, sqlite_file
from segnode.ros.bags.cameras import Camera, new_topic, STRING_TYPE
from segnode.ros.bags.compression import compress
from segnode.ros.bags.engine import Engine
from segnode.ros.bags.journal import Journal, MaskMessage, Part, PartMaker
from segnode.ros.bags.metadata import NewTopic
from segnode.ros.bags.options import BagOptions
from segnode.ros.bags.recording import (
    LABEL_INFO_TYPE,
    METADATA,
    Recording,
    Survey,
    survey,
    typestore,
)

REPORT = 'segment_bag.json'
LABEL_SET = 'segnode_label_set'
SEGMENTATION = 'segnode_segmentation'


def put_together(
    draft: Path, name: str, recording: Recording, surveys: list[Survey], cameras: list[Camera],
    journal: Journal, options: BagOptions, engine: Engine, pause: Callable[[], None],
) -> Path:
    """Make the output under a temporary name.

    Args:
        draft: folder to make; one that is there is of a run that was killed.
        name: that the output will have.
        recording, surveys: the input.
        cameras: its image topics and their masks.
        journal: all masks.
        options, engine: of the run.
        pause: called between two blocks; may raise.

    Returns:
        The draft, complete but for the report.

    Raises:
        SegnodeError: a storage file cannot be written, or is not what it should be.
    """
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    information = _information(recording, surveys)
    version = information['version']
    label_set = json.dumps(engine.label_set.to_dict())
    custom_data = {LABEL_SET: label_set, SEGMENTATION: _segmentation(cameras, options, engine)}
    masks = [topic for camera in cameras for topic in camera.topics]
    # The names are said at the beginning: of the first file that has one.
    opening = next((index for index, found in enumerate(surveys) if found.count), 0)
    start = surveys[opening].start
    latched = [(camera.label_info, _label_info(start, options, engine)) for camera in cameras]
    if version < metadata.CUSTOM_DATA_SINCE:
        channel = 1 + max(topic.channel for topic in (*masks, *(topic for topic, _ in latched)))
        topic = new_topic(f'/{options.name}/label_set', STRING_TYPE, channel, latched=True)
        latched.append((topic, _string(label_set)))
    if not surveys[opening].count:  # there are topics and no messages: nothing has a beginning
        latched.clear()
    counts = dict.fromkeys((topic.channel for topic in masks), 0)
    per_file = []
    for index in range(len(recording.files)):
        own = [part for part in journal.parts if part.file == index]
        for part in own:
            for channel, entries in part.index.items():
                counts[channel] += len(entries)
        first = latched if index == opening else []
        per_file.append(sum(part.messages for part in own) + len(first))
    added = [(topic, counts[topic.channel]) for topic in masks]
    added += [(topic, 1) for topic, _ in latched]
    metadata.extend(information, added, per_file, custom_data, name)
    for index, path in enumerate(recording.files):
        first = latched if index == opening else []
        parts = _parts(journal, index, first, start, recording)
        topics = [*masks, *(topic for topic, _ in first)]
        target = draft / path.name
        if recording.storage == 'mcap':
            mcap_file.insert(path, target, topics, version, parts,
                             {'segnode': custom_data}, pause)
        else:
            sqlite_file.insert(path, target, topics, version, parts,
                               metadata.to_text(information), pause)
        _verify(target, surveys[index], per_file[index])
    (draft / METADATA).write_text(metadata.to_text({metadata.KEY: information}))
    return draft


def _information(recording: Recording, surveys: list[Survey]) -> Any:
    """Return the input's information, made up where it is a lone file."""
    if recording.information is not None:
        return copy.deepcopy(recording.information)
    (path,), (found,) = recording.files, surveys
    storage = mcap_file if recording.storage == 'mcap' else sqlite_file
    topics, version, distro = storage.known_topics(path)
    return metadata.made_up(
        recording.storage, path.name, version, topics, found.start, found.end, distro)


def _segmentation(cameras: list[Camera], options: BagOptions, engine: Engine) -> str:
    """Return which topic was made from which, by what and how, as JSON."""
    return json.dumps({
        'model': engine.model.name, 'weights_sha256': engine.model.weights_sha256,
        'runtime': engine.runtime, 'label_set': engine.label_set.name,
        'classes_of': engine.model.record.label_set.name, 'labels_at': options.labels_at,
        'roi': options.roi, 'rotation': options.rotation,
        'views': {view.topic: {'roi': view.roi, 'rotation': view.rotation}
                  for view in options.views},
        'min_confidence': options.min_confidence, 'uncertainty': options.uncertainty,
        'topics': {camera.topic: camera.names for camera in cameras},
    })


def _label_info(start: int, options: BagOptions, engine: Engine) -> bytes:
    """Return the serialised LabelInfo: the names of the classes, of log time ``start`` (ns)."""
    types = typestore().types
    stamp = types['builtin_interfaces/msg/Time'](start // 10**9, start % 10**9)
    message = types[LABEL_INFO_TYPE](
        types['std_msgs/msg/Header'](stamp, ''),
        [types['vision_msgs/msg/VisionClass'](index, name)
         for index, name in enumerate(engine.label_set.names)],  # 255 needs none
        options.min_confidence)
    return bytes(typestore().serialize_cdr(message, LABEL_INFO_TYPE))


def _string(text: str) -> bytes:
    """Return the serialised String."""
    return bytes(typestore().serialize_cdr(typestore().types[STRING_TYPE](text), STRING_TYPE))


def _parts(
    journal: Journal, file: int, latched: list[tuple[NewTopic, bytes]], start: int,
    recording: Recording,
) -> Iterator[tuple[Part, bytes]]:
    """Yield the parts of a file, before them what is latched, at log time ``start`` (ns)."""
    if latched:
        maker = PartMaker(file)
        maker.frame(start, [
            MaskMessage(topic.channel, start,
                        compress(data) if recording.compression == 'message' else data)
            for topic, data in latched])
        yield maker.finish()
    yield from journal.bodies(file)


def _verify(target: Path, before: Survey, added: int) -> None:
    """Read a new storage file's own count of its messages, by topic.

    Raises:
        SegnodeError: it is not what was there and what was added.
    """
    after = survey(target)
    wrong = [name for name, topic in before.topics.items()
             if after.topics.get(name) != topic]
    if wrong or after.count != before.count + added:
        raise SegnodeError(
            f'{target.name} came out with {after.count} messages in place of '
            f'{before.count + added}: please report this')


def publish(draft: Path, out: Path, aside: Path, *, force: bool) -> None:
    """Give the draft its name, once all of it is on the disk.

    Args:
        draft: the complete output, on the same file system.
        out: the name.
        aside: where an output that is replaced goes until then.
        force: replace one that is there.

    Raises:
        SegnodeError: something is there that is not to be replaced.
    """
    for path in [*draft.iterdir(), draft]:
        _to_disk(path)
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
    if out.exists():
        if not force:
            raise SegnodeError(f'{out} exists: --force replaces it')
        check_replaceable(out)
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(out, aside)
    os.rename(draft, out)
    _to_disk(out.parent)


def check_replaceable(out: Path) -> None:
    """Make sure that what is to be replaced is a bag, and not a folder of other things.

    Raises:
        SegnodeError: it is not.
    """
    if not out.is_dir() or not (out / METADATA).is_file() or any(
            path.is_dir() for path in out.iterdir()):
        raise SegnodeError(f'{out} is not a bag, and is not replaced')


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 bag on disk: its storage files, its topics and its messages, by rosbags."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
import contextlib
from dataclasses import dataclass
import functools
from pathlib import Path
from typing import Any, NamedTuple

from segnode.errors import SegnodeError
from segnode.ros.bags import metadata
from segnode.ros.bags.compression import decompress

STORAGE_OF = {'.mcap': 'mcap', '.db3': 'sqlite3'}
SUFFIX_OF = {storage: suffix for suffix, storage in STORAGE_OF.items()}
METADATA = 'metadata.yaml'
LABEL_INFO_TYPE = 'vision_msgs/msg/LabelInfo'
_VISION_MSGS = {
    'vision_msgs/msg/VisionClass': 'uint16 class_id\nstring class_name\n',
    LABEL_INFO_TYPE: 'std_msgs/Header header\nvision_msgs/VisionClass[] class_map\n'
                     'float32 threshold\n',
}
_LEAST_ROSBAGS = '0.11'  # the first that reads a storage file without its folder


class RawMessage(NamedTuple):
    """One message as recorded."""

    topic: str
    msgtype: str
    time: int  # ns, log time
    data: bytes  # CDR


@dataclass(frozen=True)
class Topic:
    """A topic of a storage file or bag."""

    msgtype: str
    count: int


@dataclass(frozen=True)
class Survey:
    """What one storage file holds.

    Args:
        topics: by name.
        start: log time of the first message, ns; 0 without any.
        end: log time of the last, ns.
        count: messages in all.
    """

    topics: dict[str, Topic]
    start: int
    end: int
    count: int


@dataclass(frozen=True)
class Recording:
    """A bag.

    Args:
        path: its folder, or the lone storage file.
        storage: 'mcap' or 'sqlite3'.
        files: storage files in their order.
        information: 'rosbag2_bagfile_information' of metadata.yaml; None of a lone file.
        compression: '', 'message' or 'file', as rosbag2 compresses.
    """

    path: Path
    storage: str
    files: tuple[Path, ...]
    information: Any
    compression: str = ''

    @property
    def size(self) -> int:
        """Return the bytes of the storage files."""
        return sum(path.stat().st_size for path in self.files)

    def surveys(self) -> list[Survey]:
        """Return what each storage file holds.

        Raises:
            SegnodeError: one cannot be read.
        """
        return [survey(path) for path in self.files]

    def messages(
        self, file: int, topics: Collection[str], start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[RawMessage]:
        """Yield the messages of some topics of one storage file, by log time.

        Args:
            file: index of the storage file.
            topics: names.
            start: log time of the first that is wanted, ns.
            stop: log time behind the last that is wanted, ns.

        Raises:
            SegnodeError: the file is damaged.
        """
        with opened(self.files[file]) as reader:
            wanted = [c for c in reader.connections if c.topic in topics]
            if not wanted:
                return
            messages = iter(reader.messages(wanted, start, stop))
            number = 0
            while True:
                try:
                    item = next(messages, None)
                    if item is None:
                        return
                    connection, time, data = item
                    if self.compression == 'message':
                        data = decompress(data)
                except Exception as error:  # of sqlite, zstd, lz4, struct, ...
                    raise SegnodeError(
                        f'{self.files[file]} is damaged behind message {number} of '
                        f'{", ".join(sorted(topics))} ({_one_line(error)}): repair it, for '
                        'example with ros2 bag convert, mcap recover or sqlite3 .recover'
                    ) from error
                number += 1
                yield RawMessage(connection.topic, connection.msgtype, time, data)


def read_recording(path: Path) -> Recording:
    """Return what bag lies there.

    Args:
        path: a folder with metadata.yaml, or one .mcap or .db3 file.

    Raises:
        SegnodeError: it is none, or parts of it are missing.
    """
    if path.is_file():
        storage = STORAGE_OF.get(path.suffix)
        if storage is None:
            raise SegnodeError(f'{path} is not a bag: give its folder, or a .mcap or .db3 file')
        return Recording(path, storage, (path,), None)
    information = metadata.read(path / METADATA)
    storage = information['storage_identifier']
    if storage not in SUFFIX_OF:
        raise SegnodeError(
            f'{path} is stored by the plug-in {storage!r}: segment_bag reads '
            f'{" and ".join(SUFFIX_OF)}'
        )
    compression = str(information.get('compression_mode') or '').lower()
    compression = '' if compression == 'none' else compression
    method = str(information.get('compression_format') or '')
    if compression not in ('', 'message', 'file') or (compression and method != 'zstd'):
        raise SegnodeError(
            f'{path} is compressed by {method!r} in the mode {compression!r}: segment_bag reads '
            'zstd in the modes message and file'
        )
    files = tuple(path / Path(name).name for name in information['relative_file_paths'])
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise SegnodeError(f'{path} lacks its storage file {", ".join(missing) or "altogether"}')
    return Recording(path, storage, files, information, compression)


def survey(path: Path) -> Survey:
    """Return what a storage file holds."""
    with opened(path) as reader:
        topics: dict[str, Topic] = {}
        for connection in reader.connections:
            known = topics.get(connection.topic)
            count = connection.msgcount + (known.count if known else 0)
            topics[connection.topic] = Topic(connection.msgtype, count)
        count = reader.message_count
        return Survey(
            topics, reader.start_time if count else 0, reader.end_time - 1 if count else 0, count)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a bag or storage file by rosbags; the many ways in which that fails are one sentence.

    Raises:
        SegnodeError: rosbags is missing, too old, or refuses the file.
    """
    reader_class = rosbags_reader()
    left = [name for name in ('-wal', '-journal')
            if path.suffix == '.db3' and _size(path.with_name(path.name + name))]
    if left:
        raise SegnodeError(
            f'{path} was not closed: messages are still in {path.name}{left[0]}; open it once '
            f"with sqlite3 {path.name} 'PRAGMA wal_checkpoint(TRUNCATE)'"
        )
    try:
        reader = reader_class(path)
        reader.open()
    except Exception as error:  # of sqlite, zstd, yaml, and of its own
        hint = ('; the recording broke off: mcap recover makes it whole'
                if path.suffix == '.mcap' and 'magic' in str(error) else '')
        raise SegnodeError(
            f'{path} cannot be read as a ROS 2 bag ({_one_line(error)}){hint}') from error
    try:
        yield reader
    finally:
        reader.close()


def rosbags_reader() -> Callable[[Path], Any]:
    """Return the class that reads bag folders and lone storage files.

    Raises:
        SegnodeError: rosbags is not installed or too old.
    """
    try:
        from rosbags.rosbag2 import Reader
    except ImportError as error:
        raise SegnodeError('segmenting bags needs rosbags: pip install rosbags') from error
    if not hasattr(Reader, 'STORAGE_PLUGINS') or 'dir' not in Reader.STORAGE_PLUGINS:
        raise SegnodeError(
            f'segmenting bags needs rosbags {_LEAST_ROSBAGS} or newer: pip install -U rosbags')
    return Reader


@functools.cache
def typestore() -> Any:
    """Return the message types of ROS 2 Jazzy; those that are used here are alike in all."""
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    store = get_typestore(Stores.ROS2_JAZZY)
    for name, fields in _VISION_MSGS.items():  # which rosbags does not know
        store.register(get_types_from_msg(fields, name))
    return store


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:200] or type(error).__name__

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A copy of an SQLite bag file with topics and messages put in; all rows that were there stay.

The tables are those of rosbag2_storage_sqlite3: schema version 1 has topics and messages, 2
brought QoS profiles, 3 the tables schema and metadata, 4 message definitions and type hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import contextlib
import os
from pathlib import Path
import sqlite3

from segnode.errors import SegnodeError
from segnode.ros.bags.copying import copy_range
from segnode.ros.bags.journal import messages_of, Part
from segnode.ros.bags.metadata import KnownTopic, NewTopic


def known_topics(path: Path) -> tuple[list[KnownTopic], int, str]:
    """Return the topics of a file, the version of its metadata and its ROS distribution.

    Raises:
        SegnodeError: it is no such file.
    """
    try:
        with contextlib.closing(_read_only(path)) as database:
            columns = _columns(database, 'topics')
            chosen = ', '.join(
                name if name in columns else "''"
                for name in ('id', 'name', 'type', 'serialization_format',
                             'offered_qos_profiles', 'type_description_hash'))
            counts = dict(database.execute(
                'SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id'))
            rows = database.execute(f'SELECT {chosen} FROM topics ORDER BY id')
            topics = [KnownTopic(name, msgtype, encoding, qos, type_hash, counts.get(key, 0))
                      for key, name, msgtype, encoding, qos, type_hash in rows]
            version = (8 if 'type_description_hash' in columns
                       else 5 if 'offered_qos_profiles' in columns else 3)
            distro = ''
            if _columns(database, 'metadata'):
                rows = database.execute('SELECT metadata_version FROM metadata ORDER BY id')
                version = ([int(row[0]) for row in rows] or [version])[-1]
            if 'ros_distro' in _columns(database, 'schema'):
                rows = database.execute('SELECT ros_distro FROM schema')
                distro = ([str(row[0]) for row in rows] or [''])[-1]
    except (sqlite3.Error, ValueError) as error:
        raise SegnodeError(f'{path} cannot be read as an SQLite bag: {error}') from error
    return topics, version, distro


def insert(
    source: Path, target: Path, topics: list[NewTopic], version: int,
    parts: Iterable[tuple[Part, bytes]], information: str, pause: Callable[[], None],
) -> None:
    """Write ``source`` with new topics to ``target``.

    Args:
        source: the file of the input.
        target: the file to make.
        topics: whose channel ids the parts use; the database gives ids of its own.
        version: of the metadata, which decides how QoS profiles are written.
        parts: messages of those topics, with their compressed bodies.
        information: the bag's information as YAML text, for files that keep it.
        pause: called between two blocks; may raise.

    Raises:
        SegnodeError: the database refuses.
    """
    with open(source, 'rb') as old, open(target, 'xb') as new:
        copy_range(old, new, 0, os.fstat(old.fileno()).st_size, pause)
    try:
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as database:
            # The copy has no value until it is complete, so there is no need to undo anything.
            database.execute('PRAGMA journal_mode=DELETE')  # out of a write-ahead log, if any
            database.execute('PRAGMA journal_mode=OFF')
            database.execute('PRAGMA synchronous=OFF')
            database.execute('BEGIN')
            ids = {topic.channel: _add_topic(database, topic, version) for topic in topics}
            for part, body in parts:
                pause()
                database.executemany(
                    'INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)',
                    ((ids[message.channel], message.time, message.data)
                     for message in messages_of(part, body)))
            if _columns(database, 'metadata'):
                database.execute(
                    'INSERT INTO metadata (metadata_version, metadata) VALUES (?, ?)',
                    (version, information))
            database.execute('COMMIT')
    except sqlite3.Error as error:
        raise SegnodeError(f'{target} cannot be written: {error}') from error


def _add_topic(database: sqlite3.Connection, topic: NewTopic, version: int) -> int:
    """Add a topic, and its type where that is kept and not there; return the topic's id."""
    row = {'name': topic.name, 'type': topic.msgtype, 'serialization_format': 'cdr',
           'offered_qos_profiles': topic.qos_text(version),
           'type_description_hash': topic.type_hash}
    columns = [name for name in row if name in _columns(database, 'topics')]
    marks = ', '.join('?' * len(columns))
    added = database.execute(
        f'INSERT INTO topics ({", ".join(columns)}) VALUES ({marks})',
        [row[name] for name in columns])
    if _columns(database, 'message_definitions'):
        known = database.execute(
            'SELECT COUNT(*) FROM message_definitions WHERE topic_type = ?', (topic.msgtype,))
        if not known.fetchone()[0]:
            database.execute(
                'INSERT INTO message_definitions (topic_type, encoding, '
                'encoded_message_definition, type_description_hash) VALUES (?, ?, ?, ?)',
                (topic.msgtype, 'ros2msg', topic.definition, topic.type_hash))
    assert added.lastrowid is not None
    return added.lastrowid


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns; none where there is no such table."""
    return {row[1] for row in database.execute(f'PRAGMA table_info({table})')}


def _read_only(path: Path) -> sqlite3.Connection:
    """Open a file that nobody writes; nothing is made beside it."""
    return sqlite3.connect(f'{path.absolute().as_uri()}?mode=ro&immutable=1', uri=True)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A copy of an MCAP file with chunks put in between; what was there is copied byte for byte.

Chunks, attachments and all else in the data section keep their bytes; a chunk of masks follows the
chunk that holds the images it belongs to. Only the summary at the end, which says where things
are, is made anew. So nothing is lost that a reader and a writer of messages would not carry over:
publication times, sequence numbers, attachments, compression.

Source: the MCAP format specification, version 0 (mcap.dev/spec).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
import struct
from typing import Any, BinaryIO, NamedTuple
import zlib

from segnode.errors import SegnodeError
from segnode.ros.bags import metadata
from segnode.ros.bags.copying import copy_range
from segnode.ros.bags.journal import Part
from segnode.ros.bags.metadata import KnownTopic, NewTopic

_MAGIC = b'\x89MCAP0\r\n'
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _CHUNK, _MESSAGE_INDEX = 0x01, 0x02, 0x03, 0x04, 0x06, 0x07
_CHUNK_INDEX, _ATTACHMENT_INDEX, _STATISTICS, _METADATA = 0x08, 0x0A, 0x0B, 0x0C
_METADATA_INDEX, _SUMMARY_OFFSET, _DATA_END = 0x0D, 0x0E, 0x0F
_PREFIX = struct.Struct('<BQ')  # opcode and length of every record
_FOOTER_BODY = struct.Struct('<QQI')  # summary start, summary offset start, summary CRC
_STATISTICS_BODY = struct.Struct('<QHIIIIQQ')
_INDEX_ENTRY = 16  # bytes of log time and offset in a message index
_INDEX_HEAD = 15  # bytes of such a record before its entries


class NotIndexed(Exception):
    """The file has no complete summary: masks cannot simply be put in."""


class Channel(NamedTuple):
    """A topic of the file."""

    schema: int
    topic: str
    encoding: str
    metadata: dict[str, str]


@dataclass
class ChunkIndex:
    """Where a chunk lies; as in the specification."""

    start: int
    end: int
    offset: int
    length: int
    index_offsets: dict[int, int]
    index_length: int
    compression: str
    compressed_size: int
    size: int

    @property
    def after(self) -> int:
        """Return the offset behind the chunk and its message indexes."""
        return self.offset + self.length + self.index_length

    @property
    def messages(self) -> int:
        """Return the number of messages, from the lengths of the indexes."""
        return (self.index_length - _INDEX_HEAD * len(self.index_offsets)) // _INDEX_ENTRY

    def pack(self) -> bytes:
        """Return the record."""
        offsets = b''.join(struct.pack('<HQ', *pair) for pair in self.index_offsets.items())
        return _record(_CHUNK_INDEX, b''.join((
            struct.pack('<QQQQ', self.start, self.end, self.offset, self.length),
            struct.pack('<I', len(offsets)), offsets, struct.pack('<Q', self.index_length),
            _string(self.compression), struct.pack('<QQ', self.compressed_size, self.size))))


@dataclass
class Summary:
    """The summary section of a file.

    Args:
        data_end: offset behind the data section, where the DataEnd record stands.
        schemas: by id, name, encoding and the record's body.
        channels: by id, with the record's body.
        chunks: by offset.
        attachments, metadata: bodies of the index records.
        statistics: messages, schemas, channels, attachments, metadata, chunks, start, end.
        counts: messages by channel.
    """

    data_end: int
    schemas: dict[int, tuple[str, str, bytes]] = field(default_factory=dict)
    channels: dict[int, tuple[Channel, bytes]] = field(default_factory=dict)
    chunks: list[ChunkIndex] = field(default_factory=list)
    attachments: list[bytes] = field(default_factory=list)
    metadata: list[bytes] = field(default_factory=list)
    statistics: tuple[int, ...] = ()
    counts: dict[int, int] = field(default_factory=dict)


def read_summary(path: Path) -> Summary:
    """Return the summary of a file.

    Raises:
        NotIndexed: it has none, or one that does not cover every message by chunk and index.
    """
    try:
        with open(path, 'rb') as file:
            return _read_summary(file)
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise NotIndexed(f'{path}: {error}') from error


def _read_summary(file: BinaryIO) -> Summary:
    footer_size = _PREFIX.size + _FOOTER_BODY.size
    file.seek(0, 2)
    footer_start = file.tell() - footer_size - len(_MAGIC)
    file.seek(max(0, footer_start))
    footer = file.read()
    if footer_start < 0 or not footer.endswith(_MAGIC) or footer[0] != _FOOTER:
        raise ValueError('no footer')
    start, offsets, _ = _FOOTER_BODY.unpack_from(footer, _PREFIX.size)
    data_end = start - _PREFIX.size - 4
    if not len(_MAGIC) <= data_end < start < footer_start:
        raise ValueError('no summary')
    file.seek(data_end)
    if _PREFIX.unpack(file.read(_PREFIX.size)) != (_DATA_END, 4):
        raise ValueError('no end of data before the summary')
    file.seek(start)
    content = file.read((offsets or footer_start) - start)
    summary = Summary(data_end)
    for opcode, body in _records(content):
        _take(summary, opcode, body)
    _check(summary)
    return summary


def _take(summary: Summary, opcode: int, body: bytes) -> None:
    """Put a record of the summary section into its place."""
    fields = _Fields(body)
    if opcode == _SCHEMA:
        key = fields.number('<H')
        summary.schemas[key] = (fields.text(), fields.text(), body)
    elif opcode == _CHANNEL:
        key = fields.number('<H')
        channel = Channel(fields.number('<H'), fields.text(), fields.text(), fields.texts())
        summary.channels[key] = (channel, body)
    elif opcode == _CHUNK_INDEX:
        start, end, offset, length = fields.numbers('<QQQQ')
        summary.chunks.append(ChunkIndex(
            start, end, offset, length, fields.pairs('<HQ'), fields.number('<Q'), fields.text(),
            fields.number('<Q'), fields.number('<Q')))
    elif opcode == _ATTACHMENT_INDEX:
        summary.attachments.append(body)
    elif opcode == _METADATA_INDEX:
        summary.metadata.append(body)
    elif opcode == _STATISTICS:
        summary.statistics = fields.numbers(_STATISTICS_BODY.format)
        summary.counts = fields.pairs('<HQ')


def _check(summary: Summary) -> None:
    """Make sure that every message can be found through the summary."""
    if not summary.statistics:
        raise ValueError('no statistics')
    messages, schemas, channels, _, _, chunks = summary.statistics[:6]
    summary.chunks.sort(key=lambda chunk: chunk.offset)
    indexed = sum(chunk.messages for chunk in summary.chunks)
    if (indexed, len(summary.chunks)) != (messages, chunks):
        raise ValueError(f'{indexed} of {messages} messages are indexed')
    if (len(summary.schemas), len(summary.channels)) != (schemas, channels):
        raise ValueError('schemas or channels are not in the summary')
    used = {channel.schema for channel, _ in summary.channels.values()} - {0}  # 0: needs none
    if used - summary.schemas.keys():
        raise ValueError('a channel has no schema')
    if summary.chunks and summary.chunks[-1].after > summary.data_end:
        raise ValueError('a chunk is not in the data section')


def known_topics(path: Path) -> tuple[list[KnownTopic], int, str]:
    """Return the topics of a file, the version of its metadata and its ROS distribution.

    Where rosbag2 wrote no metadata into the file, the version is 8, as rosbag2 takes it, too.

    Raises:
        NotIndexed: see read_summary.
    """
    summary = read_summary(path)
    topics = [
        KnownTopic(
            channel.topic, summary.schemas[channel.schema][0] if channel.schema else '',
            channel.encoding, channel.metadata.get('offered_qos_profiles', ''),
            channel.metadata.get('topic_type_hash', ''), summary.counts.get(key, 0))
        for key, (channel, _) in sorted(summary.channels.items())]
    version, distro = 8, ''
    for entries in _metadata(path, summary, 'rosbag2'):
        distro = entries.get('ROS_DISTRO', distro)
        loaded = metadata.from_text(entries.get('serialized_metadata', ''))
        if isinstance(loaded, dict) and isinstance(loaded.get('version'), int):
            version = loaded['version']
            distro = str(loaded.get('ros_distro') or distro)
    return topics, version, distro


def _metadata(path: Path, summary: Summary, name: str) -> Iterator[dict[str, str]]:
    """Yield the metadata records of that name."""
    with open(path, 'rb') as file:
        for body in summary.metadata:
            fields = _Fields(body)
            offset, length = fields.numbers('<QQ')
            if fields.text() != name or offset + length > summary.data_end:
                continue
            file.seek(offset + _PREFIX.size)
            content = _Fields(file.read(length - _PREFIX.size))
            content.text()
            yield content.texts()


def insert(
    source: Path, target: Path, topics: list[NewTopic], version: int,
    parts: Iterable[tuple[Part, bytes]], records: dict[str, dict[str, str]],
    pause: Callable[[], None],
) -> None:
    """Write ``source`` with new topics to ``target``.

    Args:
        source: a file with a summary.
        target: the file to make.
        topics: with channel ids that the source has not.
        version: of the metadata, which decides how QoS profiles are written.
        parts: messages of those topics, by time, with their compressed bodies.
        records: metadata records to add, by name.
        pause: called between two blocks; may raise.

    Raises:
        NotIndexed: see read_summary.
        SegnodeError: an id is taken, or there is none left.
    """
    summary = read_summary(source)
    with open(source, 'rb') as old, open(target, 'xb') as new:
        _Inserter(old, new, summary, pause).run(topics, version, parts, records)


class _Inserter:
    """The state of one `insert`."""

    def __init__(
        self, old: BinaryIO, new: BinaryIO, summary: Summary, pause: Callable[[], None]
    ) -> None:
        self._old = old
        self._new = new
        self._summary = summary
        self._pause = pause
        self._copied = 0
        # Places in the old file where something was put in, and the bytes put in up to there.
        self._places: list[int] = []
        self._shifts: list[int] = [0]
        self._chunks: list[ChunkIndex] = []
        self._counts: dict[int, int] = {}
        self._schemas: list[bytes] = []
        self._channels: list[bytes] = []
        self._metadata: list[bytes] = []

    def run(
        self, topics: list[NewTopic], version: int, parts: Iterable[tuple[Part, bytes]],
        records: dict[str, dict[str, str]],
    ) -> None:
        summary = self._summary
        first = summary.chunks[0].offset if summary.chunks else summary.data_end
        self._copy(first)
        with _Put(self):
            self._declare(topics, version)
            for name, entries in records.items():
                self._put_metadata(name, entries)
        waiting = iter(parts)
        part = next(waiting, None)
        seen = 0
        for chunk in summary.chunks:
            seen = max(seen, chunk.end)
            if part is None or part[0].times[1] > seen:
                continue
            self._copy(chunk.after)
            while part is not None and part[0].times[1] <= seen:
                self._put_chunk(*part)
                part = next(waiting, None)
        self._copy(summary.data_end)
        while part is not None:
            self._put_chunk(*part)
            part = next(waiting, None)
        self._finish()

    def _copy(self, end: int) -> None:
        """Copy the old file up to an offset."""
        copy_range(self._old, self._new, self._copied, end, self._pause)
        self._copied = end

    def put(self, record: bytes) -> tuple[int, int]:
        """Write a record; return its offset and length."""
        offset = self._new.tell()
        self._new.write(record)
        return offset, len(record)

    def note(self, size: int) -> None:
        """Remember that so many bytes were put in at the place reached."""
        self._places.append(self._copied)
        self._shifts.append(self._shifts[-1] + size)

    def _shifted(self, offset: int) -> int:
        """Return where something of the old file lies in the new one."""
        return offset + self._shifts[bisect_right(self._places, offset)]

    def _declare(self, topics: list[NewTopic], version: int) -> None:
        """Write the schemas and channels of the new topics."""
        ids = {name: key for key, (name, _, _) in self._summary.schemas.items()}
        # A channel's schema comes before it, and the file's own may come only with its chunks.
        for name in sorted({topic.msgtype for topic in topics} & ids.keys()):
            self.put(_record(_SCHEMA, self._summary.schemas[ids[name]][2]))
        next_id = max(self._summary.schemas, default=0) + 1
        for topic in topics:
            if topic.channel in self._summary.channels or not 0 < topic.channel < 1 << 16:
                raise SegnodeError(f'{self._old.name} has no channel id {topic.channel} to give')
            if topic.msgtype not in ids:
                if next_id >= 1 << 16:
                    raise SegnodeError(f'{self._old.name} has no schema id left to give')
                ids[topic.msgtype] = next_id
                next_id += 1
                self._schemas.append(struct.pack('<H', ids[topic.msgtype]) + b''.join(
                    map(_string, (topic.msgtype, 'ros2msg', topic.definition))))
                self.put(_record(_SCHEMA, self._schemas[-1]))
            self._channels.append(
                struct.pack('<HH', topic.channel, ids[topic.msgtype]) + _string(topic.name)
                + _string('cdr') + _string_map({
                    'offered_qos_profiles': topic.qos_text(version),
                    'topic_type_hash': topic.type_hash}))
            self.put(_record(_CHANNEL, self._channels[-1]))
            self._counts[topic.channel] = 0

    def _put_metadata(self, name: str, entries: dict[str, str]) -> None:
        place = self.put(_record(_METADATA, _string(name) + _string_map(entries)))
        self._metadata.append(struct.pack('<QQ', *place) + _string(name))

    def _put_chunk(self, part: Part, body: bytes) -> None:
        """Write a part as a chunk and its message indexes."""
        if not part.messages:
            return
        self._pause()
        with _Put(self):
            start, end = part.times
            offset, length = self.put(_record(_CHUNK, b''.join((
                struct.pack('<QQQI', start, end, part.raw_size, part.raw_crc),
                _string('zstd'), struct.pack('<Q', len(body)), body))))
            index_offsets, index_length = {}, 0
            for channel, entries in part.index.items():
                rows = b''.join(struct.pack('<QQ', *entry) for entry in entries)
                index_offsets[channel], size = self.put(_record(
                    _MESSAGE_INDEX, struct.pack('<HI', channel, len(rows)) + rows))
                index_length += size
                self._counts[channel] += len(entries)
            self._chunks.append(ChunkIndex(
                start, end, offset, length, index_offsets, index_length, 'zstd', len(body),
                part.raw_size))

    def _finish(self) -> None:
        """Write the end of the data section, the summary and the footer."""
        self.put(_record(_DATA_END, struct.pack('<I', 0)))  # 0: no check sum over all
        summary_start = self._new.tell()
        crc, offsets = 0, []
        for opcode, bodies in self._summary_groups():
            group_start = self._new.tell()
            for body in bodies:
                record = body if opcode == _CHUNK_INDEX else _record(opcode, body)
                crc = zlib.crc32(record, crc)
                self.put(record)
            if bodies:
                offsets.append(_record(_SUMMARY_OFFSET, struct.pack(
                    '<BQQ', opcode, group_start, self._new.tell() - group_start)))
        offset_start = self._new.tell()
        for record in offsets:
            crc = zlib.crc32(record, crc)
            self.put(record)
        footer = _PREFIX.pack(_FOOTER, _FOOTER_BODY.size) + struct.pack(
            '<QQ', summary_start, offset_start)
        crc = zlib.crc32(footer, crc)
        self._new.write(footer + struct.pack('<I', crc) + _MAGIC)

    def _summary_groups(self) -> list[tuple[int, list[bytes]]]:
        """Return the bodies of the summary's records, old and new; chunk indexes whole."""
        old = self._summary
        chunks = [
            ChunkIndex(
                c.start, c.end, self._shifted(c.offset), c.length,
                {key: self._shifted(offset) for key, offset in c.index_offsets.items()},
                c.index_length, c.compression, c.compressed_size, c.size)
            for c in old.chunks] + self._chunks
        chunks.sort(key=lambda chunk: chunk.offset)
        metadata_records = [self._moved(body) for body in old.metadata] + self._metadata
        messages, schemas, channels, attachments, records, _, start, end = old.statistics
        if self._chunks:
            start = min([start] * bool(messages) + [chunk.start for chunk in self._chunks])
            end = max(end, *(chunk.end for chunk in self._chunks))
        counts = {**old.counts, **self._counts}
        rows = b''.join(struct.pack('<HQ', *pair) for pair in counts.items())
        statistics = _STATISTICS_BODY.pack(
            messages + sum(self._counts.values()), schemas + len(self._schemas),
            channels + len(self._channels), attachments, records + len(self._metadata),
            len(chunks), start, end) + struct.pack('<I', len(rows)) + rows
        return [
            (_SCHEMA, [body for _, _, body in old.schemas.values()] + self._schemas),
            (_CHANNEL, [body for _, body in old.channels.values()] + self._channels),
            (_STATISTICS, [statistics]),
            (_CHUNK_INDEX, [chunk.pack() for chunk in chunks]),
            (_ATTACHMENT_INDEX, [self._moved(body) for body in old.attachments]),
            (_METADATA_INDEX, metadata_records),
        ]

    def _moved(self, body: bytes) -> bytes:
        """Return an index record's body whose first field, an offset, is brought up to date."""
        return struct.pack('<Q', self._shifted(struct.unpack_from('<Q', body)[0])) + body[8:]


class _Put:
    """Notes how many bytes were written in its block."""

    def __init__(self, inserter: _Inserter) -> None:
        self._inserter = inserter

    def __enter__(self) -> None:
        self._start = self._inserter._new.tell()

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self._inserter.note(self._inserter._new.tell() - self._start)


class _Fields:
    """Reads the fields of a record's body one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self._body, self._position)
        self._position += struct.calcsize(layout)
        return values

    def number(self, layout: str) -> int:
        return self.numbers(layout)[0]

    def raw(self) -> bytes:
        size = self.number('<I')
        end = self._position + size
        if end > len(self._body):
            raise ValueError('a record is cut short')
        content, self._position = self._body[self._position:end], end
        return content

    def text(self) -> str:
        return self.raw().decode()

    def pairs(self, layout: str) -> dict[int, int]:
        return dict(struct.iter_unpack(layout, self.raw()))

    def texts(self) -> dict[str, str]:
        inner = _Fields(self.raw())
        found = {}
        while inner._position < len(inner._body):
            key = inner.text()
            found[key] = inner.text()
        return found


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield opcode and body of the records in a piece of a file."""
    position = 0
    while position < len(content):
        opcode, length = _PREFIX.unpack_from(content, position)
        position += _PREFIX.size
        if position + length > len(content):
            raise ValueError('a record is cut short')
        yield opcode, content[position:position + length]
        position += length


def _record(opcode: int, body: bytes) -> bytes:
    return _PREFIX.pack(opcode, len(body)) + body


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack('<I', len(raw)) + raw


def _string_map(entries: dict[str, str]) -> bytes:
    raw = b''.join(_string(part) for pair in entries.items() for part in pair)
    return struct.pack('<I', len(raw)) + raw

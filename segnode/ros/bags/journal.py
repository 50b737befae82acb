# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The journal of a bag: finished masks, appended part by part, so that a killed run can go on.

A part is a run of consecutive image messages that are done with. Its body is the content of an
MCAP chunk: Message records, compressed by Zstandard; so an MCAP output takes it as it is. Nothing
that a kill leaves half-written is believed: each part carries a check sum, and what follows the
last good one is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
import json
import os
from pathlib import Path
import struct
from typing import Any, NamedTuple
import zlib

from segnode.errors import SegnodeError
from segnode.ros.bags.compression import compress, decompress

_MAGIC = b'segnode bag journal 1\n'
_ENTRY = struct.Struct('<4sIQI')  # mark, bytes of header and body, CRC-32 of both
_MARK = b'PART'
# An MCAP Message record: opcode, length of what follows, channel, sequence, log and publish time.
_MESSAGE = struct.Struct('<BQHIQQ')
_MESSAGE_OPCODE = 0x05
_LENGTH_END = 9  # bytes of opcode and length


class MaskMessage(NamedTuple):
    """One serialised message."""

    channel: int
    time: int  # ns, log time
    data: bytes


@dataclass
class Part:
    """What is known of a part without its body.

    Args:
        file: index of the storage file that the images came from.
        frames: image messages that are done with, the skipped ones included.
        last_time: log time of the last of them, ns.
        index: by channel, (log time, offset in the raw body) of each message.
        skipped: [topic, number of the message in its topic from 0 on, log time, reason].
        raw_size: bytes of the body, not compressed.
        raw_crc: CRC-32 of that.
    """

    file: int
    frames: int
    last_time: int
    index: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    skipped: list[tuple[str, int, int, str]] = field(default_factory=list)
    raw_size: int = 0
    raw_crc: int = 0

    @property
    def times(self) -> tuple[int, int]:
        """Return first and last log time of the messages, ns; (0, 0) without any."""
        times = [time for entries in self.index.values() for time, _ in entries]
        return (min(times), max(times)) if times else (0, 0)

    @property
    def messages(self) -> int:
        """Return the number of messages."""
        return sum(map(len, self.index.values()))


class PartMaker:
    """Collects the messages of one part.

    Args:
        file: see Part.
    """

    def __init__(self, file: int) -> None:
        self.part = Part(file, 0, 0)
        self._body = bytearray()

    @property
    def size(self) -> int:
        """Return the bytes of messages so far."""
        return len(self._body)

    def frame(self, time: int, messages: list[MaskMessage]) -> None:
        """Count an image message and add its masks."""
        self.part.frames += 1
        self.part.last_time = time
        for message in messages:
            entries = self.part.index.setdefault(message.channel, [])
            entries.append((message.time, len(self._body)))
            self._body += _MESSAGE.pack(
                _MESSAGE_OPCODE, _MESSAGE.size - _LENGTH_END + len(message.data),
                message.channel, 0, message.time, message.time)
            self._body += message.data

    def skip(self, topic: str, number: int, time: int, reason: str) -> None:
        """Count an image message that has no masks."""
        self.frame(time, [])
        self.part.skipped.append((topic, number, time, reason))

    def finish(self) -> tuple[Part, bytes]:
        """Return the part and its compressed body."""
        self.part.raw_size = len(self._body)
        self.part.raw_crc = zlib.crc32(self._body)
        return self.part, compress(bytes(self._body)) if self._body else b''


def messages_of(part: Part, body: bytes) -> Iterator[MaskMessage]:
    """Yield the messages of a part's compressed body."""
    if not body:
        return
    raw = decompress(body)
    if zlib.crc32(raw) != part.raw_crc:
        raise ValueError('the check sum of a part is wrong')
    view, position = memoryview(raw), 0
    while position < len(raw):
        _, length, channel, _, time, _ = _MESSAGE.unpack_from(raw, position)
        end = position + _LENGTH_END + length
        yield MaskMessage(channel, time, bytes(view[position + _MESSAGE.size:end]))
        position = end


class Journal:
    """The file of parts; opened, it is at the end of the last good one.

    Args:
        path: of the file, made where there is none.

    Raises:
        SegnodeError: the file is no journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, 'a+b')
        self._places: list[tuple[int, int]] = []  # offset and length of each body
        self.parts: list[Part] = []
        self._scan()

    def _scan(self) -> None:
        self._file.seek(0)
        magic = self._file.read(len(_MAGIC))
        if not _MAGIC.startswith(magic):
            raise SegnodeError(f'{self._path} is not a journal of segment_bag: delete it')
        good = len(_MAGIC) if magic == _MAGIC else 0
        while good:
            entry = self._file.read(_ENTRY.size)
            if len(entry) < _ENTRY.size:
                break
            mark, header_size, body_size, crc = _ENTRY.unpack(entry)
            left = os.fstat(self._file.fileno()).st_size - self._file.tell()
            if mark != _MARK or header_size + body_size > left:
                break
            header = self._file.read(header_size)
            place = self._file.tell()
            body = self._file.read(body_size)
            if zlib.crc32(body, zlib.crc32(header)) != crc:
                break
            self.parts.append(_part_of(json.loads(header)))
            self._places.append((place, body_size))
            good = self._file.tell()
        self._file.truncate(good)
        if not good:
            self._file.write(_MAGIC)
            self._file.flush()

    def append(self, part: Part, body: bytes) -> None:
        """Write a part; once this returns, a kill of the process cannot undo it."""
        header = json.dumps(asdict(part)).encode()
        self._file.seek(0, os.SEEK_END)
        self._file.write(
            _ENTRY.pack(_MARK, len(header), len(body), zlib.crc32(body, zlib.crc32(header))))
        self._file.write(header)
        place = self._file.tell()
        self._file.write(body)
        self._file.flush()
        self.parts.append(part)
        self._places.append((place, len(body)))

    def bodies(self, file: int) -> Iterator[tuple[Part, bytes]]:
        """Yield the parts of one storage file, in order, with their compressed bodies."""
        for part, (place, size) in zip(self.parts, self._places):
            if part.file == file:
                self._file.seek(place)
                yield part, self._file.read(size)

    @property
    def size(self) -> int:
        """Return the bytes of the file."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _part_of(entries: dict[str, Any]) -> Part:
    index = {int(channel): [(time, offset) for time, offset in rows]
             for channel, rows in entries.pop('index').items()}
    skipped = [(topic, number, time, reason)
               for topic, number, time, reason in entries.pop('skipped')]
    return Part(index=index, skipped=skipped, **entries)

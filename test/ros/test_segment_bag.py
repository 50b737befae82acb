# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""segment_bag: what was recorded arrives byte for byte, and every mask is the Segmenter's."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import json
from pathlib import Path
import shutil
import sqlite3
import struct
from typing import Any

import cv2
import numpy as np
import pytest
import recorded_bags
from recorded_bags import (
    COMPRESSED,
    described,
    deserialised,
    Message,
    PERIOD,
    pixels,
    read_bag,
    START,
    STRING,
    write_bag,
)

pytest.importorskip('rosbags')
pytest.importorskip('onnxruntime')

from segnode.errors import SegnodeError
from segnode.labels import LabelSet
from segnode.pictures import blend
from segnode.ros.bags import mcap_file
from segnode.ros.bags.cameras import mask_bases, NoImages
from segnode.ros.bags.discovery import find_bags
from segnode.ros.bags.engine import Engine
from segnode.ros.bags.job import Job
from segnode.ros.bags.options import BagOptions
from segnode.ros.bags.recording import typestore
from segnode.ros.image_codec import decode_compressed, decode_image
from segnode.segmenter import Segmenter

TWO_CAMERAS = {'/front/image_raw': 'all', '/rear/image_raw/compressed': 'jpeg'}
NEW = '/segmentation/'


@pytest.fixture(scope='module')
def engine() -> Iterator[Engine]:
    """Return two workers with the released model."""
    with contextlib.closing(Engine(BagOptions(runtime='onnx', workers=2))) as made:
        yield made


class Truth:
    """What the masks are compared with: the Segmenter's own labels, each image's made once."""

    def __init__(self) -> None:
        self._segmenter = Segmenter.load('fsffnet', runtime='onnx', threads=1)
        self._known: dict[tuple[Any, ...], np.ndarray] = {}
        self.label_set = self._segmenter.label_set

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Return uint8 (H, W)."""
        key = (image.shape, image.tobytes())
        if key not in self._known:
            self._known[key] = self._segmenter.segment(image).labels
        return self._known[key]


@pytest.fixture(scope='module')
def truth() -> Truth:
    """Return what the masks are compared with."""
    return Truth()


def run(source: Path, out: Path, engine: Engine, **options: Any) -> dict[str, Any]:
    """Segment a bag and return the report; nothing but the output is left."""
    report = Job(source, out, BagOptions(**options)).run(engine)
    assert not list(out.parent.glob('.*')), 'the work folder is still there'
    assert json.loads((out / 'segment_bag.json').read_text()) == report
    return report


def decoded(message: Message, kind: str) -> np.ndarray | None:
    """Return the picture of an image message, None where there is none."""
    try:
        fields = deserialised(message, kind)
        return decode_compressed(fields) if kind == COMPRESSED else decode_image(fields)
    except Exception:  # of rosbags, of NumPy, of ours; the tests count how many
        return None


def assert_same_recording(source: Path, out: Path) -> list[Message]:
    """All messages of the source are in the output, in their order; return the new ones.

    Beside the masks of each camera its classes are named, once; that is not returned.
    """
    before, after = read_bag(source), read_bag(out)
    known = {message.topic for message in before}
    assert [message for message in after if message.topic in known] == before
    was, now = described(source), described(out)
    assert {topic: now[topic] for topic in was} == was
    times = [message.time for message in after]
    assert times == sorted(times)
    new = [message for message in after if message.topic not in known]
    masks = [message for message in new if not message.topic.endswith('/label_info')]
    named = [message.topic for message in new if message not in masks]
    spaces = {topic.partition('/labels')[0] for topic in now.keys() - was.keys()
              if '/labels' in topic}
    assert sorted(named) == sorted(f'{space}/label_info' for space in spaces)
    return masks


def assert_masks(
    source: Path, masks: list[Message], truth: Truth, topics: dict[str, str]
) -> int:
    """Each decodable image has a mask, equal to the Segmenter's; returns how many were not."""
    broken = 0
    kinds = {topic: entry[0] for topic, entry in described(source).items()}
    waiting = {mask: [m for m in masks if m.topic == mask] for mask in topics.values()}
    assert {m.topic for m in masks} <= set(waiting)
    values = set()
    for message in read_bag(source):
        if message.topic not in topics:
            continue
        image = decoded(message, kinds[message.topic])
        if image is None:
            broken += 1
            continue
        mask = waiting[topics[message.topic]].pop(0)
        assert mask.time == message.time
        fields = deserialised(mask)
        original = deserialised(message, kinds[message.topic])
        assert fields.header == original.header
        labels = pixels(mask)
        np.testing.assert_array_equal(labels, truth.labels(image))
        values |= set(np.unique(labels))
    assert not any(waiting.values())
    assert len(values) > 3  # masks of one class each would compare nothing
    return broken


@pytest.mark.parametrize('storage, compression, version', [
    ('mcap', '', 9), ('mcap', 'storage', 9), ('mcap', '', 8), ('mcap', 'file', 9),
    ('sqlite3', '', 9), ('sqlite3', '', 8), ('sqlite3', 'message', 9), ('sqlite3', 'file', 9),
])
def test_every_message_and_every_mask(
    tmp_path, engine, truth, caplog, storage, compression, version
):
    """Two cameras, five encodings, garbage images, types that nobody knows, equal log times."""
    source = write_bag(tmp_path / 'drive', storage, compression=compression, version=version,
                       cameras=TWO_CAMERAS, broken=(2, 3), odd_first=True, frames=6)
    content = {path.name: path.read_bytes() for path in source.iterdir()}
    report = run(source, tmp_path / 'out', engine)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == content

    new = assert_same_recording(source, tmp_path / 'out')
    topics = {'/front/image_raw': '/front/segmentation/labels',
              '/rear/image_raw/compressed': '/rear/segmentation/labels'}
    assert assert_masks(source, new, truth, topics) == 4
    assert (report['frames'], report['skipped']) == (10, 4)
    assert report['topics']['/front/image_raw'] == {
        'frames': 5, 'skipped': 2, 'masks': {'labels': '/front/segmentation/labels'}}
    skips = [(skip['topic'], skip['message'], skip['log_time'] - START)
             for skip in report['skipped_messages']]
    # Message 0 came twice, so frames 2 and 3 are messages 3 and 4 of their topics.
    assert sorted(skips) == [(topic, 1 + index, index * PERIOD)
                             for topic in sorted(topics) for index in (2, 3)]
    assert 'message 4 of /rear/image_raw/compressed is skipped: it is damaged' in caplog.text
    for topic in topics.values():
        profile = described(tmp_path / 'out')[topic][3].offered_qos_profiles[0]
        assert (profile.reliability.name, profile.durability.name, profile.depth) == (
            'RELIABLE', 'VOLATILE', 5)


def test_label_set_and_custom_data_are_in_the_metadata(tmp_path, engine):
    from rosbags.rosbag2 import Reader

    for storage in ('mcap', 'sqlite3'):
        source = write_bag(tmp_path / storage, storage, frames=1)
        run(source, tmp_path / f'{storage}_out', engine)
        with Reader(tmp_path / f'{storage}_out') as reader:
            custom = reader.storage.metadata.custom
        assert custom['vehicle'] == 'no: 7'  # the recording's own
        named = LabelSet.from_dict(json.loads(custom['segnode_label_set']))
        assert named == engine.model.record.label_set
        made = json.loads(custom['segnode_segmentation'])
        assert made['topics'] == {'/camera/image_raw': {'labels': NEW + 'labels'}}
        assert made['weights_sha256'] == engine.model.weights_sha256


@pytest.mark.parametrize('storage, compression', [('mcap', ''), ('sqlite3', 'message')])
def test_classes_are_named_as_the_node_does(tmp_path, engine, storage, compression):
    """One latched LabelInfo for each camera, before its first mask; its type is ROS 2's own."""
    source = write_bag(
        tmp_path / 'drive', storage, compression=compression, frames=2, cameras=TWO_CAMERAS)
    Job(source, tmp_path / 'out', BagOptions(min_confidence=0.25)).run(engine)
    found = [m for m in read_bag(tmp_path / 'out') if m.topic.endswith('/label_info')]
    assert [m.topic for m in found] == [f'/{side}/segmentation/label_info'
                                        for side in ('front', 'rear')]
    for message in found:
        info = typestore().deserialize_cdr(message.data, 'vision_msgs/msg/LabelInfo')
        assert {c.class_id: c.class_name for c in info.class_map} == dict(
            enumerate(engine.model.record.label_set.names))
        assert info.threshold == 0.25 and message.time == START
        assert info.header.stamp.sec * 10**9 + info.header.stamp.nanosec == START
        kind, _, type_hash, details, count = described(tmp_path / 'out')[message.topic]
        assert (kind, count) == ('vision_msgs/msg/LabelInfo', 1)
        # As rosidl writes it into the package (label_info__description.c).
        assert type_hash == (
            'RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783')
        (profile,) = details.offered_qos_profiles
        assert (profile.durability.name, profile.reliability.name, profile.depth) == (
            'TRANSIENT_LOCAL', 'RELIABLE', 1)


def test_colours_overlay_and_packed_labels(tmp_path, engine, truth):
    source = write_bag(tmp_path / 'drive', frames=3)
    run(source, tmp_path / 'out', engine, outputs=('labels', 'color', 'overlay'), alpha=0.3,
        compressed_labels=True)
    new = assert_same_recording(source, tmp_path / 'out')
    originals = [m for m in read_bag(source) if m.topic == '/camera/image_raw']
    assert len(new) == 9
    for index, original in enumerate(originals):
        image = decoded(original, recorded_bags.IMAGE)
        labels = truth.labels(image)
        colors = truth.label_set.colorize(labels)
        png, color, overlay = sorted((m for m in new if m.time == original.time),
                                     key=lambda m: ['l', 'c', 'o'].index(m.topic[14]))
        assert [m.topic for m in (png, color, overlay)] == [
            NEW + 'labels/compressed', NEW + 'color', NEW + 'overlay']
        fields = deserialised(png, COMPRESSED)
        assert fields.format == 'mono8; png compressed mono8'
        assert fields.header.frame_id == f'camera_{index}'
        np.testing.assert_array_equal(cv2.imdecode(fields.data, cv2.IMREAD_UNCHANGED), labels)
        np.testing.assert_array_equal(pixels(color), colors)
        np.testing.assert_array_equal(
            pixels(overlay), blend(np.ascontiguousarray(image[..., ::-1]), colors, labels, 0.3))


def chunks_of(path: Path) -> list[bytes]:
    """Return the bytes of each chunk with its indexes, in the order of the file."""
    content = path.read_bytes()
    return [content[chunk.offset:chunk.after] for chunk in mcap_file.read_summary(path).chunks]


def test_mcap_chunks_attachments_and_publication_times_stay(tmp_path, engine):
    """What rosbags does not read is kept, too: the data section is copied, not written anew."""
    source = write_bag(tmp_path / 'drive', frames=40, size=(240, 320), others=False)
    (file,) = source.glob('*.mcap')
    # Publication times and sequence numbers of their own, and an attachment before the indexes.
    content = bytearray(file.read_bytes())
    position = 0
    for index in range(40):
        stamp = struct.pack('<QQ', *[START + index * PERIOD] * 2)
        position = content.index(stamp, position)
        content[position - 4:position] = struct.pack('<I', index)
        content[position + 8:position + 16] = struct.pack('<Q', START + index * PERIOD - 999)
    file.write_bytes(content)
    attach(file, b'calibration of 2026')
    assert len(chunks_of(file)) > 5

    run(source, tmp_path / 'out', engine)
    (made,) = (tmp_path / 'out').glob('*.mcap')
    before, after = chunks_of(file), chunks_of(made)
    assert [chunk for chunk in after if chunk in before] == before
    assert len(after) == len(before) + 6  # the names; 40 frames, 8 at a stretch
    # Masks lie among their images, not at the end: a reader in file order meets them in time.
    new = [place for place, chunk in enumerate(after) if chunk not in before]
    assert new[0] < 2 and new[1] < 0.5 * len(after)
    summary = mcap_file.read_summary(made)
    (offset, length) = struct.unpack_from('<QQ', summary.attachments[0])
    assert made.read_bytes()[offset:offset + length].count(b'calibration of 2026') == 1


def attach(path: Path, data: bytes) -> None:
    """Put an attachment behind the last chunk of a file that rosbags wrote, and index it."""
    content = path.read_bytes()
    summary = mcap_file.read_summary(path)

    def text(value: str) -> bytes:
        return struct.pack('<I', len(value)) + value.encode()

    def record(opcode: int, body: bytes) -> bytes:
        return struct.pack('<BQ', opcode, len(body)) + body

    place = summary.chunks[-1].after
    attachment = record(0x09, struct.pack('<QQ', 1, 2) + text('calibration.yaml')
                        + text('text/plain') + struct.pack('<Q', len(data)) + data + bytes(4))
    index = record(0x0A, struct.pack('<QQQQQ', place, len(attachment), 1, 2, len(data))
                   + text('calibration.yaml') + text('text/plain'))
    start, _, _ = struct.unpack_from('<QQI', content, len(content) - 28)
    data_end = summary.data_end
    rest = content[data_end + 13:]
    # The metadata record of rosbags moves, and its index with it.
    moved = bytearray(rest)
    for body in summary.metadata:
        at = moved.index(body)
        offset = struct.unpack_from('<Q', body)[0]
        moved[at:at + 8] = struct.pack('<Q', offset + len(attachment))
    statistics = moved.index(struct.pack('<BQ', 0x0B, 46 + 10 * len(summary.counts)))
    moved[statistics + 9 + 14:statistics + 9 + 18] = struct.pack('<I', 1)
    kept = moved[:-37]
    end = content[place:data_end] + content[data_end:data_end + 13]
    shift = len(attachment)
    # Without summary offsets: readers do without.
    offsets_at = struct.unpack_from('<Q', content, len(content) - 20)[0] - start
    footer = record(0x02, struct.pack('<QQI', start + shift, 0, 0)) + b'\x89MCAP0\r\n'
    path.write_bytes(content[:place] + attachment + end + bytes(kept[:offsets_at]) + index
                     + footer)


def test_mcap_output_is_read_by_the_official_reader(tmp_path, engine):
    """By index and from front to back, with every check sum checked."""
    reader = pytest.importorskip('mcap.reader')
    from mcap.stream_reader import StreamReader

    source = write_bag(tmp_path / 'drive', frames=20, cameras=TWO_CAMERAS, compression='storage')
    run(source, tmp_path / 'out', engine)
    (made,) = (tmp_path / 'out').glob('*.mcap')
    expected = [(m.topic, m.time, m.data) for m in read_bag(tmp_path / 'out')]
    for make in (reader.SeekingReader, reader.NonSeekingReader):
        with open(made, 'rb') as stream:
            opened = make(stream, validate_crcs=True)
            found = [(channel.topic, message.log_time, message.data)
                     for _, channel, message in opened.iter_messages()]
            assert sorted(found) == sorted(expected)
            assert [time for _, time, _ in found] == [time for _, time, _ in expected]
    with open(made, 'rb') as stream:
        summary = reader.make_reader(stream).get_summary()
        assert summary.statistics.message_count == len(expected)
        assert summary.statistics.chunk_count == len(summary.chunk_indexes)
    with open(made, 'rb') as stream:
        names = [type(record).__name__ for record in StreamReader(
            stream, validate_crcs=True).records]
    assert names[0] == 'Header' and names[-1] == 'Footer'


@pytest.mark.parametrize('how', ['no summary', 'no chunks'])
def test_mcap_without_an_index_is_indexed(tmp_path, engine, truth, how):
    """As recorders write them that save time; then masks cannot simply be put in between."""
    source = write_bag(tmp_path / 'drive', frames=5)
    (file,) = source.glob('*.mcap')
    summary, content = mcap_file.read_summary(file), file.read_bytes()
    end = content[summary.data_end:summary.data_end + 13]
    footer = struct.pack('<BQQQI', 2, 20, 0, 0, 0) + b'\x89MCAP0\r\n'
    data = content[:summary.data_end]
    if how == 'no chunks':
        inner = b''
        for chunk in summary.chunks:
            start = chunk.offset + 9 + 40 + len(chunk.compression)
            inner += content[start:start + chunk.compressed_size]
        data = content[:summary.chunks[0].offset] + inner
    file.write_bytes(data + end + footer)
    with pytest.raises(mcap_file.NotIndexed):
        mcap_file.read_summary(file)
    run(source, tmp_path / 'out', engine)
    new = assert_same_recording(source, tmp_path / 'out')
    assert assert_masks(source, new, truth, {'/camera/image_raw': NEW + 'labels'}) == 0
    assert len(mcap_file.read_summary(next((tmp_path / 'out').glob('*.mcap'))).chunks) > 1


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_lone_storage_file(tmp_path, engine, truth, storage):
    """What metadata.yaml would say is found in the file: version, QoS, type hashes."""
    source = write_bag(tmp_path / 'drive', storage, frames=3)
    (file,) = (path for path in source.iterdir() if path.suffix != '.yaml')
    lone = shutil.copy(file, tmp_path / f'lone{file.suffix}')
    run(Path(lone), tmp_path / 'out', engine)
    assert_same_recording(Path(lone), tmp_path / 'out' / Path(lone).name)
    new = [m for m in read_bag(tmp_path / 'out') if m.topic == NEW + 'labels']
    assert_masks(source, new, truth, {'/camera/image_raw': NEW + 'labels'})
    was, now = described(Path(lone)), described(tmp_path / 'out')
    assert {topic: now[topic] for topic in was} == was
    metadata = (tmp_path / 'out' / 'metadata.yaml').read_text()
    assert 'version: 9' in metadata
    assert 'depth: 7\n' in metadata or not was['/camera/image_raw'][3].offered_qos_profiles


def old_bag(folder: Path, frames: int = 2) -> Path:
    """Write a bag as Humble's recorder does: SQLite schema 3, metadata version 5, no types."""
    folder.mkdir()
    store = recorded_bags.types()
    profile = ('- history: 1\n  depth: 7\n  reliability: 2\n  durability: 2\n  deadline:\n'
               '    sec: 9223372036\n    nsec: 854775807\n  lifespan:\n    sec: 9223372036\n'
               '    nsec: 854775807\n  liveliness: 1\n  liveliness_lease_duration:\n'
               '    sec: 9223372036\n    nsec: 854775807\n'
               '  avoid_ros_namespace_conventions: false')
    with contextlib.closing(sqlite3.connect(folder / 'drive_0.db3')) as database:
        database.execute('PRAGMA journal_mode=WAL')
        database.executescript("""
            CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
            CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
                                  metadata TEXT NOT NULL);
            CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
                                serialization_format TEXT NOT NULL,
                                offered_qos_profiles TEXT NOT NULL);
            CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
                                  timestamp INTEGER NOT NULL, data BLOB NOT NULL);
            CREATE INDEX timestamp_idx ON messages (timestamp ASC);
            INSERT INTO schema VALUES (3, 'humble');""")
        for key, name, kind in ((1, '/camera', recorded_bags.IMAGE),
                                (2, '/odd', recorded_bags.ODD)):
            database.execute('INSERT INTO topics VALUES (?, ?, ?, ?, ?)',
                             (key, name, kind, 'cdr', profile))
        for index in range(frames):
            time = START + index * PERIOD
            data = recorded_bags.image(store, index, 'bgr8')
            database.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)',
                             (time, data))
            database.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (2, ?, ?)',
                             (time + 5, bytes([0, 1, 0, 0, index])))
        database.commit()
    quoted = profile.replace('\n', '\\n')
    topics = ''.join(f"""
    - topic_metadata:
        name: {name}
        type: {kind}
        serialization_format: cdr
        offered_qos_profiles: "{quoted}"
      message_count: {frames}""" for name, kind in (
        ('/camera', recorded_bags.IMAGE), ('/odd', recorded_bags.ODD)))
    (folder / 'metadata.yaml').write_text(f"""rosbag2_bagfile_information:
  version: 5
  storage_identifier: sqlite3
  duration:
    nanoseconds: {(frames - 1) * PERIOD + 5}
  starting_time:
    nanoseconds_since_epoch: {START}
  message_count: {2 * frames}
  topics_with_message_count:{topics}
  compression_format: ""
  compression_mode: ""
  relative_file_paths:
    - drive_0.db3
  files:
    - path: drive_0.db3
      starting_time:
        nanoseconds_since_epoch: {START}
      duration:
        nanoseconds: {(frames - 1) * PERIOD + 5}
      message_count: {2 * frames}
""")
    return folder


def test_bag_of_an_old_recorder(tmp_path, engine, truth):
    """No custom data there: the label set is a latched topic; numbers stand for QoS."""
    source = old_bag(tmp_path / 'drive')
    run(source, tmp_path / 'out', engine)
    new = assert_same_recording(source, tmp_path / 'out')
    (label_set,) = (m for m in new if m.topic == '/segmentation/label_set')
    assert label_set.time == START
    text = deserialised(label_set, STRING).data
    assert LabelSet.from_dict(json.loads(text)) == engine.model.record.label_set
    assert_masks(source, [m for m in new if m != label_set], truth,
                 {'/camera': NEW + 'labels'})
    profile = described(tmp_path / 'out')['/segmentation/label_set'][3].offered_qos_profiles[0]
    assert (profile.durability.name, profile.depth) == ('TRANSIENT_LOCAL', 1)
    metadata = (tmp_path / 'out' / 'metadata.yaml').read_text()
    assert 'custom_data' not in metadata and 'type_description_hash' not in metadata
    assert 'reliable' not in metadata
    # Its own type is not known to anybody: another format cannot say what it is.
    with pytest.raises(SegnodeError, match='no usable definition of the type odd_msgs/msg/Odd'):
        run(source, tmp_path / 'other', engine, storage='mcap')


def test_calibration_in_a_bag_of_an_old_recorder(tmp_path):
    """The label set is a topic of its own there, beside that of the masks' calibration."""
    source = old_bag(tmp_path / 'drive')
    info = recorded_bags.camera_info(recorded_bags.types(), 0, 50.0)
    with contextlib.closing(sqlite3.connect(source / 'drive_0.db3')) as database:
        database.execute("INSERT INTO topics SELECT 3, '/camera_info', ?, 'cdr', "
                         'offered_qos_profiles FROM topics WHERE id = 1',
                         (recorded_bags.CAMERA_INFO,))
        database.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (3, ?, ?)',
                         (START + 1, info))
        database.commit()
    metadata = (source / 'metadata.yaml').read_text()
    entry = metadata[metadata.index('    - topic_metadata:\n        name: /camera\n'):
                     metadata.index('    - topic_metadata:\n        name: /odd\n')]
    added = entry.replace('/camera\n', '/camera_info\n')
    added = added.replace('message_count: 2', 'message_count: 1')
    added = added.replace(recorded_bags.IMAGE, recorded_bags.CAMERA_INFO)
    (source / 'metadata.yaml').write_text(
        metadata.replace(entry, entry + added).replace('message_count: 4', 'message_count: 5'))
    options = BagOptions(runtime='onnx', workers=1, labels_at='1/4')
    with contextlib.closing(Engine(options)) as own:
        Job(source, tmp_path / 'out', options).run(own)
    made = {message.topic: message for message in read_bag(tmp_path / 'out')}
    assert 'pedestrian' in deserialised(made[NEW + 'label_set'], STRING).data
    fitted = deserialised(made[NEW + 'camera_info'], recorded_bags.CAMERA_INFO)
    mask = deserialised(made[NEW + 'labels'])
    assert (fitted.height, fitted.width) == (mask.height, mask.width) == (128, 160)
    assert fitted.header == mask.header and fitted.k[0] == pytest.approx(50.0 * 160 / 96)
    counts = {topic: found[-1] for topic, found in described(tmp_path / 'out').items()}
    assert counts[NEW + 'camera_info'] == 2 and counts[NEW + 'label_set'] == 1


@pytest.mark.parametrize('storage, suffix', [('mcap', '.mcap'), ('sqlite3', '.db3')])
def test_several_storage_files(tmp_path, engine, truth, storage, suffix):
    """A bag that was split while it was recorded stays split, each mask with its image."""
    source = write_bag(tmp_path / 'drive', storage, frames=3)
    later = write_bag(tmp_path / 'later', storage, first=3, frames=2, cameras={
        '/camera/image_raw': 'jpeg'}, others=False)
    shutil.move(later / f'later{suffix}', source)
    text = (source / 'metadata.yaml').read_text()
    text = text.replace(f'  - drive{suffix}\n', f'  - drive{suffix}\n  - later{suffix}\n')
    (source / 'metadata.yaml').write_text(text)
    run(source, tmp_path / 'out', engine)
    for name, count in ((f'drive{suffix}', 3), (f'later{suffix}', 2)):
        before, after = read_bag(source / name), read_bag(tmp_path / 'out' / name)
        assert [m for m in after if not m.topic.startswith(NEW)] == before
        assert (NEW + 'label_info' in {m.topic for m in after}) == name.startswith('drive')
        own = [m for m in after if m.topic == NEW + 'labels']
        assert [m.time for m in own] == [
            m.time for m in before if m.topic == '/camera/image_raw']
        assert len(own) == count
        kind = COMPRESSED if name.startswith('later') else recorded_bags.IMAGE
        images = [decoded(m, kind) for m in before if m.topic == '/camera/image_raw']
        for image, mask in zip(images, own):
            np.testing.assert_array_equal(pixels(mask), truth.labels(image))


@pytest.mark.parametrize('storage, wanted', [('mcap', 'sqlite3'), ('sqlite3', 'mcap')])
def test_other_storage_format(tmp_path, engine, truth, storage, wanted):
    source = write_bag(tmp_path / 'drive', storage, frames=3, compression=(
        'message' if storage == 'sqlite3' else 'storage'))
    report = run(source, tmp_path / 'out', engine, storage=wanted)
    assert report['storage'] == wanted
    assert [path.name for path in (tmp_path / 'out').glob('drive.*')] == [
        'drive.db3' if wanted == 'sqlite3' else 'drive.mcap']
    new = assert_same_recording(source, tmp_path / 'out')
    assert_masks(source, new, truth, {'/camera/image_raw': NEW + 'labels'})


def test_ros1_bag(tmp_path, engine, truth):
    """Converted first; Header.seq has no place in ROS 2."""
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import get_typestore, Stores

    store = get_typestore(Stores.ROS1_NOETIC)
    time = store.types['builtin_interfaces/msg/Time']
    images = [recorded_bags.picture(index) for index in range(3)]
    with Writer(tmp_path / 'drive.bag') as writer:
        connection = writer.add_connection('/camera', recorded_bags.IMAGE, typestore=store)
        for index, image in enumerate(images):
            header = store.types['std_msgs/msg/Header'](index, time(5, index), 'front')
            message = store.types[recorded_bags.IMAGE](
                header, *image.shape[:2], 'bgr8', 0, image.shape[1] * 3, image.reshape(-1))
            writer.write(connection, START + index, store.serialize_ros1(
                message, recorded_bags.IMAGE))
    run(tmp_path / 'drive.bag', tmp_path / 'out', engine)
    found = read_bag(tmp_path / 'out')
    named = [m for m in found if m.topic == NEW + 'label_info']
    found = [m for m in found if m not in named]
    assert len(named) == 1
    assert [m.topic for m in found] == ['/camera', NEW + 'labels'] * 3
    for index, image in enumerate(images):
        np.testing.assert_array_equal(
            decoded(found[2 * index], recorded_bags.IMAGE), image)
        mask = found[2 * index + 1]
        assert mask.time == START + index and deserialised(mask).header.stamp.nanosec == index
        np.testing.assert_array_equal(pixels(mask), truth.labels(image))


@pytest.mark.parametrize('topics, bases', [
    (['/camera/image_raw'], ['/segmentation']),
    (['/left/image_raw', '/right/image_raw/compressed'],
     ['/left/segmentation', '/right/segmentation']),
    (['/image', '/rear/image'], ['/segmentation', '/rear/segmentation']),
    (['/camera/image_raw', '/camera/image_raw/compressed'],
     ['/camera/image_raw/segmentation', '/camera/image_raw/compressed/segmentation']),
    (['/a', '/b', '/rear/image'],
     ['/a/segmentation', '/b/segmentation', '/rear/image/segmentation']),
])
def test_names_of_masks(topics, bases):
    assert list(mask_bases(topics, 'segmentation').values()) == bases


def test_which_images(tmp_path, engine):
    cameras = {'/left/image': 'bgr8', '/right/image': 'jpeg', '/segmentation/labels': 'mono8',
               '/depth/image': '32FC1'}
    source = write_bag(tmp_path / 'drive', frames=4, cameras=cameras)
    report = run(source, tmp_path / 'all', engine)  # but the masks
    assert sorted(report['topics']) == ['/depth/image', '/left/image', '/right/image']
    assert report['topics']['/depth/image']['frames'] == 0
    assert report['topics']['/depth/image']['skipped'] == 4
    with pytest.raises(SegnodeError, match='already is a topic /segmentation/labels: give --name'):
        run(source, tmp_path / 'one', engine, topics=('/right/image',))
    assert not list(tmp_path.glob('.*')), 'the work folder of a refused job is still there'
    report = run(source, tmp_path / 'one', engine, topics=('/right/image',), name='offline')
    assert report['topics']['/right/image']['masks'] == {'labels': '/offline/labels'}
    with pytest.raises(SegnodeError, match='no image topic /up: the image topics are /depth/im'):
        run(source, tmp_path / 'up', engine, topics=('/up',))
    none = write_bag(tmp_path / 'none', frames=2, cameras={})
    with pytest.raises(NoImages, match='there is no image topic'):
        run(none, tmp_path / 'none_out', engine)


def test_a_part_of_the_images(tmp_path, engine):
    """All messages are kept, whatever is segmented."""
    source = write_bag(tmp_path / 'drive', frames=20)
    for options, expected in (
        ({'start': 0.3, 'duration': 0.5}, range(3, 8)), ({'max_frames': 11}, range(11)),
        ({'start': 1.75}, range(18, 20)), ({'start': 0.3, 'max_frames': 1}, range(3, 4)),
        ({'start': 60.0}, range(0)),
    ):
        out = tmp_path / f'out_{len(list(tmp_path.iterdir()))}'
        run(source, out, engine, **options)
        new = assert_same_recording(source, out)
        assert [m.time for m in new] == [START + index * PERIOD for index in expected]


def test_batches(tmp_path, engine, truth, monkeypatch):
    """Batches, and a runtime that takes a fixed number of images, give the same masks."""
    sizes: list[int] = []

    def counted(self: Segmenter, images: list[np.ndarray]) -> Any:
        sizes.append(len(images))
        return whole(self, images)

    whole = Segmenter.run
    monkeypatch.setattr(Segmenter, 'run', counted)
    source = write_bag(tmp_path / 'drive', frames=7, cameras=TWO_CAMERAS, broken=(1,))
    with contextlib.closing(Engine(BagOptions(runtime='onnx', workers=1, batch=9))) as other:
        for fixed, expected in ((None, [7, 5]), (9, [9, 9])):
            sizes.clear()
            other.fixed_batch = fixed
            out = tmp_path / f'out_{fixed}'
            run(source, out, other)
            topics = {'/front/image_raw': '/front/segmentation/labels',
                      '/rear/image_raw/compressed': '/rear/segmentation/labels'}
            new = assert_same_recording(source, out)
            assert assert_masks(source, new, truth, topics) == 2
            assert sizes[:2] == expected


def test_failing_runtime_is_one_sentence_and_can_be_gone_on_with(tmp_path, engine, monkeypatch):
    source = write_bag(tmp_path / 'drive', frames=30)
    calls = []

    def breaks(self: Segmenter, images: Any) -> Any:
        calls.append(1)
        if len(calls) > 20:
            raise RuntimeError('out of memory\nand more')
        return whole(self, images)

    whole = Segmenter.run
    monkeypatch.setattr(Segmenter, 'run', breaks)
    with pytest.raises(SegnodeError, match='onnx runtime failed at message .* of /camera/image'):
        run(source, tmp_path / 'out', engine)
    assert not (tmp_path / 'out').exists()
    monkeypatch.undo()
    report = Job(source, tmp_path / 'out', BagOptions(), resume=True).run(engine)
    # Whole chunks of 8 are kept, if any were on disk when the runtime failed.
    assert report['frames'] == 30 and report['frames_of_earlier_runs'] in (0, 8, 16)
    assert len(assert_same_recording(source, tmp_path / 'out')) == 30


def test_places_that_are_refused(tmp_path, engine):
    source = write_bag(tmp_path / 'drive', frames=1)
    (tmp_path / 'link').symlink_to(source)
    (tmp_path / 'files').mkdir()
    (tmp_path / 'files' / 'thesis.txt').write_text('not to be lost')
    (tmp_path / 'empty').mkdir()
    for out, message in (
        (source, 'is the input'), (tmp_path / 'link', 'is the input'),
        (source / 'out', 'lie in one another'), (tmp_path, 'lie in one another'),
        (tmp_path / 'files', 'exists: --force replaces it'),
    ):
        with pytest.raises(SegnodeError, match=message):
            Job(source, out, BagOptions()).run(engine)
    for out in (tmp_path / 'files', tmp_path):
        with pytest.raises(SegnodeError, match='is not a bag, and is not replaced|one another'):
            Job(source, out, BagOptions(), force=True).run(engine)
    assert (tmp_path / 'files' / 'thesis.txt').read_text() == 'not to be lost'
    assert len(read_bag(source)) == 4
    shutil.rmtree(tmp_path / 'files')
    for hidden in tmp_path.glob('.*'):
        shutil.rmtree(hidden)
    run(source, tmp_path / 'empty', engine)
    with pytest.raises(SegnodeError, match='exists: --force'):
        Job(source, tmp_path / 'empty', BagOptions()).run(engine)
    report = Job(source, tmp_path / 'empty', BagOptions(), resume=True).run(engine)
    assert report['status'] == 'complete'
    with pytest.raises(SegnodeError, match='made with another fit: --force makes it again'):
        Job(source, tmp_path / 'empty', BagOptions(fit='crop'), resume=True).run(engine)
    report = Job(source, tmp_path / 'empty', BagOptions(fit='crop'), force=True).run(engine)
    assert report['status'] == 'written'
    assert not list(tmp_path.glob('.*'))


@pytest.mark.parametrize('damage, message', [
    ('cut', 'cannot be read as a ROS 2 bag .* mcap recover'),
    ('metadata', 'is not the metadata of a ROS 2 bag'),
    ('missing', 'lacks its storage file drive.mcap'),
    ('plugin', "stored by the plug-in 'bag_v2'"),
    ('version', 'has version 12'),
    ('chunk', 'is damaged behind message'),
])
def test_bags_that_cannot_be_read(tmp_path, engine, damage, message):
    source = write_bag(tmp_path / 'drive', frames=40, compression='storage')
    file, metadata = source / 'drive.mcap', source / 'metadata.yaml'
    text = metadata.read_text()
    if damage == 'cut':
        file.write_bytes(file.read_bytes()[:-500])
    elif damage == 'missing':
        file.unlink()
    elif damage == 'chunk':
        chunk = mcap_file.read_summary(file).chunks[0]
        content = bytearray(file.read_bytes())
        content[chunk.offset + 53:chunk.offset + 63] = bytes(10)  # where Zstandard begins
        file.write_bytes(content)
    else:
        metadata.write_text({
            'metadata': 'rosbag2: []', 'plugin': text.replace(': mcap', ': bag_v2'),
            'version': text.replace('version: 9', 'version: 12')}[damage])
    with pytest.raises(SegnodeError, match=message):
        run(source, tmp_path / 'out', engine)
    assert not (tmp_path / 'out').exists()


def test_sqlite_bag_that_was_not_closed(tmp_path, engine):
    """Rows that are only in the write-ahead log would be lost in a copy: refused."""
    source = old_bag(tmp_path / 'drive')
    with contextlib.closing(sqlite3.connect(source / 'drive_0.db3')) as database:
        database.execute('PRAGMA wal_autocheckpoint=0')
        database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (2, 1, 'x')")
        database.commit()
        with pytest.raises(SegnodeError, match='was not closed: messages are still in .*-wal'):
            run(source, tmp_path / 'out', engine)


def test_folder_of_bags(tmp_path):
    day = tmp_path / 'in' / 'monday'
    write_bag(day / 'first', frames=1)
    write_bag(day / 'second', 'sqlite3', frames=1)
    shutil.copy(day / 'first' / 'first.mcap', tmp_path / 'in' / 'lone.mcap')
    shutil.copy(day / 'second' / 'second.db3', tmp_path / 'in' / 'lone.db3')
    shutil.copy(day / 'first' / 'first.mcap', tmp_path / 'in' / 'single.v2.mcap')
    (tmp_path / 'in' / '.trash').mkdir()
    shutil.copy(day / 'first' / 'first.mcap', tmp_path / 'in' / '.trash')
    (tmp_path / 'in' / 'notes.txt').write_text('no bag')
    found = find_bags(tmp_path / 'in', tmp_path / 'out')
    assert [(str(source.relative_to(tmp_path / 'in')), str(out.relative_to(tmp_path / 'out')))
            for source, out in found] == [
        ('lone.db3', 'lone_db3'), ('lone.mcap', 'lone_mcap'), ('monday/first', 'monday/first'),
        ('monday/second', 'monday/second'), ('single.v2.mcap', 'single.v2')]
    with pytest.raises(SegnodeError, match='holds no bag'):
        find_bags(tmp_path / 'in' / '.trash' / '..' / 'monday' / 'first' / '..' / '..' / '..'
                  / 'out_of_here', tmp_path / 'out')


def test_real_bags(bags, tmp_path, engine, truth):
    """The val sequence of CamVid, as JPEG in MCAP and raw in SQLite; 16 frames of each."""
    for name, topic in (('camvid_0016E5_15hz_compressed_mcap', '/camera/image_raw/compressed'),
                        ('camvid_0016E5_15hz_raw40_db3', '/camera/image_raw')):
        report = run(bags / name, tmp_path / name, engine, max_frames=16)
        assert report['frames'] == 16 and not report['skipped']
        new = assert_same_recording(bags / name, tmp_path / name)
        assert len(new) == 16
        kind = described(bags / name)[topic][0]
        for original, mask in zip(read_bag(bags / name), new):
            image = decoded(original, kind)
            np.testing.assert_array_equal(pixels(mask), truth.labels(image))
            assert deserialised(mask).header == deserialised(original, kind).header

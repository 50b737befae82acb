# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""segment_bag with what the Segmenter offers: view, grouping, sizes, confidence, uncertainty."""

from __future__ import annotations

import contextlib
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import recorded_bags
from recorded_bags import deserialised, Message, pixels, read_bag, SIZE, write_bag

pytest.importorskip('rosbags')
pytest.importorskip('onnxruntime')

from segnode.errors import SegnodeError
from segnode.fitting import at_size
from segnode.labels import LabelSet
from segnode.pictures import blend
from segnode.ros.bags import fleet
from segnode.ros.bags.engine import Engine
from segnode.ros.bags.job import Job, Stopped
from segnode.ros.bags.options import BagOptions, TopicView
from segnode.ros.bags.recording import typestore
from segnode.ros.image_codec import decode_compressed, decode_image
from segnode.ros.segment_bag import main
from segnode.runtimes import UNSET
from segnode.segmenter import Segmenter
import small_bayesian

TOPIC = '/camera/image_raw'
ALPHA = 0.3
FAST: dict[str, Any] = {'runtime': 'onnx', 'workers': 2}
GROUPING = """
name: crossing
groups:
  - {name: drivable, color: [128, 64, 128], classes: {camvid: [road]}}
  - {name: walkable, color: [244, 35, 232], classes: {camvid: [sidewalk]}}
  - {name: rest, color: [1, 2, 3], classes: {camvid: [building, tree, fence, pole, car]}}
"""


@pytest.fixture
def ego(tmp_path: Path) -> Path:
    """Return the picture of a bonnet: the lower left, in another size than the images'."""
    picture = np.zeros((32, 48), np.uint8)
    picture[24:, :30] = 200
    cv2.imwrite(str(tmp_path / 'ego.png'), picture)
    return tmp_path / 'ego.png'


@pytest.fixture
def grouping(tmp_path: Path) -> Path:
    """Return a grouping that leaves classes out."""
    (tmp_path / 'crossing.yaml').write_text(GROUPING)
    return tmp_path / 'crossing.yaml'


def images_of(source: Path) -> list[tuple[Message, np.ndarray]]:
    """Return the image messages of a bag with their pictures."""
    found = []
    for message in read_bag(source):
        if message.topic == TOPIC:
            found.append((message, decode_image(deserialised(message))))
    return found


def custom_data(bag: Path) -> dict[str, Any]:
    """Return what the metadata says of the masks."""
    from rosbags.rosbag2 import Reader

    with Reader(bag) as reader:
        custom = reader.storage.metadata.custom
    return {name: json.loads(custom[name])
            for name in ('segnode_label_set', 'segnode_segmentation')}


def classes_of(bag: Path) -> list[str]:
    """Return the names that the bag's LabelInfo gives."""
    (message,) = (m for m in read_bag(bag) if m.topic == '/segmentation/label_info')
    info = typestore().deserialize_cdr(message.data, 'vision_msgs/msg/LabelInfo')
    assert [one.class_id for one in info.class_map] == list(range(len(info.class_map)))
    return [one.class_name for one in info.class_map]


def masks_of(bag: Path) -> dict[int, dict[str, np.ndarray]]:
    """Return by log time the masks of an image, by the last part of their topics."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for message in read_bag(bag):
        name = message.topic.rpartition('/')[2]
        if message.topic.startswith('/segmentation/') and name != 'label_info':
            found.setdefault(message.time, {})[name] = pixels(message)
    return found


def assert_pictures(
    masks: dict[str, np.ndarray], image: np.ndarray, labels: np.ndarray, label_set: LabelSet
) -> None:
    """Labels, colours and overlay are those of these labels."""
    labels = labels.astype(np.uint8)
    np.testing.assert_array_equal(masks['labels'], labels)
    np.testing.assert_array_equal(masks['color'], label_set.colorize(labels))
    labels = at_size(labels, image.shape[:2])
    rgb = np.ascontiguousarray(image[..., ::-1])
    np.testing.assert_array_equal(
        masks['overlay'], blend(rgb, label_set.colorize(labels), labels, ALPHA))


@pytest.mark.parametrize('given, values', [
    ({'roi': (10.0, 20.0, 40.0, 60.0), 'rotation': 90, 'fit': 'letterbox'}, 3),
    ({'rotation': 180, 'ego_mask': 'ego', 'label_grouping': 'grouping'}, 3),
    ({'labels_at': 'network', 'roi': (0.25, 0.0, 0.75, 1.0), 'input_size': (384, 512)}, 4),
    ({'labels_at': '1/4', 'fit': 'crop', 'label_grouping': 'driving', 'confidence': True}, 3),
    ({'min_confidence': 0.6}, 4),
])
def test_masks_are_those_of_the_segmenter(tmp_path, request, given, values):
    """Every mask of every option, image by image; several workers share what they can."""
    if {'confidence', 'min_confidence'} & given.keys():  # another graph than the released one
        pytest.importorskip('torch')
    for name in ('ego_mask', 'label_grouping'):
        if given.get(name) in ('ego', 'grouping'):
            given = {**given, name: str(request.getfixturevalue(given[name]))}
    given = dict(given)
    source = write_bag(tmp_path / 'drive', frames=10, others=False)
    options = BagOptions(outputs=('labels', 'color', 'overlay'), alpha=ALPHA, **given, **FAST)
    with contextlib.closing(Engine(options)) as engine:
        report = Job(source, tmp_path / 'out', options).run(engine)
    assert report['frames'] == 10
    least = given.pop('min_confidence', 0.0)
    if least:
        given['confidence'] = True  # which the labels need, and is not written for that
    segmenter = Segmenter.load('fsffnet', runtime='onnx', threads=1, **given)
    names = {'labels', 'color', 'overlay', *(['confidence'] * options.confidence)}
    seen = set()
    made_of = masks_of(tmp_path / 'out')
    for message, image in images_of(source):
        masks = made_of[message.time]
        assert masks.keys() == names
        found = segmenter.segment(image)
        labels = found.labels
        if least:
            labels = np.where(found.confidence < 255 * least, 255, labels)
            assert 0 < (labels != found.labels).mean() < 0.9
        assert_pictures(masks, image, labels, segmenter.label_set)
        if options.confidence:
            np.testing.assert_array_equal(masks['confidence'], found.confidence)
            assert 0 < masks['confidence'].max() <= 255
        seen |= set(np.unique(masks['labels']))
    assert len(seen) >= values
    assert masks['overlay'].shape[:2] == SIZE
    assert (masks['labels'].shape == SIZE) == ('labels_at' not in given)
    assert classes_of(tmp_path / 'out') == list(segmenter.label_set.names)
    told = custom_data(tmp_path / 'out')
    assert LabelSet.from_dict(told['segnode_label_set']) == segmenter.label_set
    made = told['segnode_segmentation']
    assert (made['label_set'], made['classes_of']) == (segmenter.label_set.name, 'camvid')
    assert made['roi'] == list(given.get('roi', (0, 0, 1, 1)))
    assert made['rotation'] == given.get('rotation', 0)
    assert made['topics'] == {TOPIC: {name: f'/segmentation/{name}' for name in names}}


def test_uncertainty(tmp_path):
    """One measure, on the scale of the node's topic; the passes are drawn anew in each run."""
    pytest.importorskip('torch')
    source = write_bag(tmp_path / 'drive', frames=2, others=False)
    options = BagOptions(
        model=str(small_bayesian.stem()) + '.safetensors', uncertainty='entropy', samples=4,
        runtime='pytorch', workers=1)
    with contextlib.closing(Engine(options)) as engine:
        Job(source, tmp_path / 'out', options).run(engine)
    for message, _ in images_of(source):
        masks = masks_of(tmp_path / 'out')[message.time]
        assert masks.keys() == {'labels', 'uncertainty'}
        assert masks['uncertainty'].shape == SIZE
        assert 0 <= masks['uncertainty'].min() < masks['uncertainty'].max() <= 255
    made = custom_data(tmp_path / 'out')['segnode_segmentation']
    assert made['uncertainty'] == 'entropy'
    with pytest.raises(SegnodeError, match='needs a network with Monte Carlo dropout'):
        Engine(BagOptions(uncertainty='variance'))


def write_grey(path: Path, picture: np.ndarray) -> Path:
    """Write a bag of one mono16 image."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    store = recorded_bags.types()
    data = np.frombuffer(picture.astype('<u2').tobytes(), np.uint8)
    message = store.types[recorded_bags.IMAGE](
        recorded_bags.header(store, 0), *picture.shape, 'mono16', 0, 2 * picture.shape[1], data)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, recorded_bags.IMAGE, typestore=store)
        writer.write(connection, recorded_bags.START, bytes(
            store.serialize_cdr(message, recorded_bags.IMAGE)))
    return path


def test_bits_of_a_sensor(tmp_path):
    """12 bits unshifted: the mask is that of the image as it is meant, not of a black one."""
    grey = cv2.cvtColor(recorded_bags.picture(0), cv2.COLOR_BGR2GRAY)
    source = write_grey(tmp_path / 'drive', grey.astype(np.uint16) << 4)
    segmenter = Segmenter.load('fsffnet', runtime='onnx', threads=1)
    expected = {bits: segmenter.segment(cv2.merge([grey if bits == 12 else grey >> 4] * 3)).labels
                for bits in (12, 16)}
    assert (expected[12] != expected[16]).mean() > 0.05
    with contextlib.closing(Engine(BagOptions(**FAST))) as engine:
        for bits, labels in expected.items():
            out = tmp_path / str(bits)
            Job(source, out, BagOptions(image_bits=bits)).run(engine)
            np.testing.assert_array_equal(
                masks_of(out)[recorded_bags.START]['labels'], labels)


def test_region_beyond_an_image(tmp_path):
    """What was asked for does not fit a camera: said at once, with its topic; nothing is left."""
    source = write_bag(tmp_path / 'drive', frames=3)
    options = BagOptions(roi=(0.0, 0.0, 100.0, 96.0), **FAST)
    with contextlib.closing(Engine(options)) as engine:
        with pytest.raises(SegnodeError, match=f'message 0 of {TOPIC}: the region of interest, '
                           '100x96 at row 0, column 0, reaches beyond an image of 64x96'):
            Job(source, tmp_path / 'out', options).run(engine)
    assert [path.name for path in tmp_path.iterdir()] == ['drive']


def test_a_changed_file_is_another_job(tmp_path, ego, grouping):
    """Half-done work is gone on with for the same contents alone, whatever the files' names."""
    source = write_bag(tmp_path / 'drive', frames=30, others=False)
    out = tmp_path / 'out'

    def done(*, resume: bool, stopped: Any = lambda: False, **given: Any) -> dict[str, Any]:
        options = BagOptions(**{
            'ego_mask': str(ego), 'label_grouping': str(grouping), **FAST, **given})
        with contextlib.closing(Engine(options)) as engine:
            return Job(source, out, options, resume=resume, stopped=stopped).run(engine)

    def amid_the_work() -> bool:
        journal = tmp_path / '.out.segment_bag' / 'masks'
        return journal.exists() and journal.stat().st_size > 1000

    with pytest.raises(Stopped):
        done(resume=False, stopped=amid_the_work)
    other = tmp_path / 'other.yaml'
    other.write_text(GROUPING.replace('[sidewalk]', '[sidewalk, sky]'))
    picture = cv2.imread(str(ego), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(tmp_path / 'turned.png'), cv2.flip(picture, 1))
    for given, name in (
        ({'label_grouping': str(other)}, 'label_grouping'),
        ({'ego_mask': str(tmp_path / 'turned.png')}, 'ego_mask'),
        ({'ego_mask': ''}, 'ego_mask'), ({'roi': (0.0, 0.0, 0.5, 1.0)}, 'roi'),
        ({'rotation': 90, 'image_bits': 12}, 'image_bits, rotation'),
    ):
        with pytest.raises(SegnodeError, match=f'an unfinished run for .*out had another {name}: '
                           'go on with the same, or begin anew with --force'):
            done(resume=True, **given)
    report = done(resume=True, ego_mask=str(ego.rename(tmp_path / 'moved.png')))
    assert 0 < report['frames_of_earlier_runs'] < 30 and report['frames'] == 30
    segmenter = Segmenter.load('fsffnet', runtime='onnx', threads=1, label_grouping=grouping,
                               ego_mask=tmp_path / 'moved.png')
    made_of = masks_of(out)
    for message, image in images_of(source):
        np.testing.assert_array_equal(
            made_of[message.time]['labels'], segmenter.segment(image).labels)
    for given, name in (({'label_grouping': str(other)}, 'label_grouping'),
                        ({'labels_at': 'network', 'samples': 3}, 'labels_at, samples')):
        with pytest.raises(SegnodeError, match=f'made with another {name}: --force makes it'):
            done(resume=True, **{'ego_mask': str(tmp_path / 'moved.png'), **given})


def test_every_option_of_the_runtimes_reaches_them(monkeypatch):
    """What the command line offers and the node has, too; nothing where nothing is set."""
    asked = []
    monkeypatch.setattr(Segmenter, 'load', lambda *_, **given: asked.append(given) or 1 / 0)
    other = {'device': 'cpu', 'precision': 'fp32', 'compile': True, 'dla_core': 1, 'workspace': 64}
    assert other.keys() == UNSET.keys()
    for options in (BagOptions(), BagOptions(batch=4, **other)):
        with pytest.raises(ZeroDivisionError):
            Engine(options)
    assert not other.keys() & asked[0].keys() and asked[0]['at_once'] == 1
    assert {name: asked[1][name] for name in other} == other and asked[1]['at_once'] == 4


def test_a_view_of_one_camera(tmp_path, ego, capsys):
    """The left one is mounted upside down and sees the bonnet; the front one is as the rest."""
    cameras = {'/front/image': 'bgr8', '/left/image': 'bgr8'}
    source = write_bag(tmp_path / 'drive', frames=6, cameras=cameras, others=False)
    common = [
        str(source), '--runtime', 'onnx', '--workers', '2', '--roi', '0.25,0,0.75,1', '--out']
    own = ['--view', '/left/image', 'rotation=180', f'ego_mask={ego}']
    assert main([*common, str(tmp_path / 'out'), *own]) == 0
    plain = {'runtime': 'onnx', 'threads': 1, 'roi': (0.25, 0, 0.75, 1)}
    segmenters = {'/front/image': Segmenter.load('fsffnet', **plain),
                  '/left/image': Segmenter.load('fsffnet', **plain, rotation=180, ego_mask=ego)}
    masks = {(m.topic, m.time): pixels(m) for m in read_bag(tmp_path / 'out')
             if m.topic.endswith('/labels')}
    images = [m for m in read_bag(source) if m.topic in cameras]
    assert len(masks) == len(images) == 12
    for message in images:
        topic = message.topic.replace('/image', '/segmentation/labels')
        labels = segmenters[message.topic].segment(decode_image(deserialised(message))).labels
        np.testing.assert_array_equal(masks[topic, message.time], labels)
    assert custom_data(tmp_path / 'out')['segnode_segmentation']['views'] == {
        '/left/image': {'roi': [0.25, 0, 0.75, 1], 'rotation': 180}}
    capsys.readouterr()
    assert main([*common, str(tmp_path / 'out'), *own, '--resume']) == 0
    assert 'is complete already: 12 frames' in capsys.readouterr().out
    for other, said in (
            (own[:-2] + ['rotation=90', own[-1]], 'was made with another views: --force'),
            (own[:-1], 'was made with another ego_mask of /left/image: --force'),
            (own[:2], 'it takes a topic and what that has of its own'),
            (own * 2, 'each topic once'),
            (own[:2] + ['rotation=45'], "'rotation=45' is none of roi="),
            (own[:2] + ['roi=1'], 'roi must be'),
            (['--view', '/right/image', 'rotation=90'],
             '--view is of /right/image, but what is segmented is /front/image, /left/image')):
        new = str(tmp_path / 'new') if '/right/image' in other else str(tmp_path / 'out')
        assert main([*common, new, *other, '--resume']) == 1
        assert said in capsys.readouterr().err, other


@pytest.mark.parametrize('storage, compression', [('mcap', ''), ('sqlite3', 'message')])
def test_the_calibration_of_smaller_masks(tmp_path, capsys, storage, compression):
    """The front camera zooms at its fourth frame; the rear one has no calibration."""
    focal = [50.0, 50.0, 50.0, 80.0, 80.0, 80.0]
    source = write_bag(
        tmp_path / 'drive', storage,
        cameras={'/front/image': 'jpeg', '/left/image': 'bgr8', '/rear/image': 'bgr8'},
        others=False, compression=compression,
        calibrated={'/front/camera_info': focal, '/left/camera_info': focal[:1] * 6})
    arguments = [str(source), '--runtime', 'onnx', '--workers', '2', '--input-size', '384x512',
                 '--out', str(tmp_path / 'out')]
    assert main([*arguments, '--labels-at', '1/4', '--json']) == 0
    report = json.loads(capsys.readouterr().out)['topics']
    new = '/front/segmentation/camera_info'
    assert report['/front/image']['masks']['camera_info'] == new
    assert [*report['/rear/image']['masks']] == ['labels']
    made = read_bag(tmp_path / 'out')
    assert [m for m in made if '/segmentation/' not in m.topic] == read_bag(source)
    spaces = [m.topic.split('/')[1] for m in made if m.topic.endswith('segmentation/camera_info')]
    assert sorted(spaces) == ['front'] * 6 + ['left'] * 6
    infos = [m for m in made if m.topic == new]
    labels = [m for m in made if m.topic == '/front/segmentation/labels']
    assert [(m.topic, m.time) for m in infos] == [(new, m.time) for m in labels]
    # That of each image's stamp, though it is recorded behind its image.
    for message, mask, length in zip(infos, labels, focal):
        info, picture = deserialised(message, recorded_bags.CAMERA_INFO), deserialised(mask)
        assert info.header == picture.header
        assert (info.height, info.width) == (picture.height, picture.width) == (96, 128)
        y, x = 96 / SIZE[0], 128 / SIZE[1]
        assert info.k == pytest.approx(
            [length * x, 0, 63.5, 0, length * y, 47.5, 0, 0, 1], abs=1e-9)
        assert info.d[0] == 0.1 and info.p[0] == pytest.approx(length * x)
    # Masks of the image's size go with what was recorded.
    assert main([*arguments, '--force']) == 0
    assert not any(m.topic == new for m in read_bag(tmp_path / 'out'))


def test_a_damaged_calibration_costs_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded_bags, 'camera_info', lambda *_: b'\0\1\0\0\7')
    source = write_bag(tmp_path / 'drive', frames=2, cameras={TOPIC: 'bgr8'}, others=False,
                       calibrated={'/camera/camera_info': [50.0, 50.0]})
    assert main([str(source), '--out', str(tmp_path / 'out'), '--runtime', 'onnx',
                 '--labels-at', 'network']) == 0
    topics = [m.topic for m in read_bag(tmp_path / 'out')]
    assert topics.count('/segmentation/labels') == 2
    assert topics.count('/segmentation/camera_info') == 0


def test_files_are_found_by_the_workers_of_a_cluster(tmp_path, monkeypatch):
    """They stand in folders of their own; what is built in has no folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'driving').mkdir()
    given = BagOptions(model='net.onnx', ego_mask='ego.png', label_grouping='mine.yaml',
                       views=(TopicView('/a', ego_mask='a.png'), TopicView('/b', rotation=90)))
    assert fleet.anywhere(given) == replace(
        given, model=str(tmp_path / 'net.onnx'), ego_mask=str(tmp_path / 'ego.png'),
        label_grouping=str(tmp_path / 'mine.yaml'),
        views=(TopicView('/a', ego_mask=str(tmp_path / 'a.png')), TopicView('/b', rotation=90)))
    assert fleet.anywhere(BagOptions(label_grouping='driving')) == BagOptions(
        label_grouping='driving')


def test_command_line(tmp_path, ego, grouping, capsys):
    """As a user types it, with the names of the node's parameters; a JPEG camera."""
    source = write_bag(tmp_path / 'drive', frames=3, cameras={TOPIC + '/compressed': 'jpeg'})
    arguments = [
        str(source), '--out', str(tmp_path / 'out'), '--runtime', 'onnx', '--workers', '1',
        '--roi', '0.25,0,0.75,1', '--rotation', '270', '--ego-mask', str(ego), '--fit', 'crop',
        '--label-grouping', str(grouping), '--labels-at', 'network',
        '--precision', 'auto', '--image-bits', '12']
    assert main(arguments) == 0
    segmenter = Segmenter.load(
        'fsffnet', runtime='onnx', threads=1, roi=(0.25, 0, 0.75, 1), rotation=270, ego_mask=ego,
        fit='crop', label_grouping=grouping, labels_at='network')
    pictures = [(m, decode_compressed(deserialised(m, recorded_bags.COMPRESSED)))
                for m in read_bag(source) if m.topic == TOPIC + '/compressed']
    for message, image in pictures:
        masks = masks_of(tmp_path / 'out')[message.time]
        np.testing.assert_array_equal(masks['labels'], segmenter.segment(image).labels)
    assert len(pictures) == 3 and len(np.unique(masks['labels'])) > 2
    capsys.readouterr()
    assert main([*arguments, '--resume']) == 0
    assert 'is complete already: 3 frames' in capsys.readouterr().out
    assert main([*arguments[:-2], '--resume']) == 1
    assert 'was made with another image_bits: --force' in capsys.readouterr().err
    for wrong, said in ((('--label-grouping', 'gone'), "no label grouping 'gone'"),
                        (('--ego-mask', '/nowhere.png'), '/nowhere.png cannot be read as a'),
                        (('--device', 'cuda', '--precision', 'fp16'), '')):
        assert main([*arguments, *wrong, '--force']) == 1
        assert said in capsys.readouterr().err
    for wrong in (('--roi', '0,0,2'), ('--rotation', '45'), ('--image-bits', '17')):
        with pytest.raises(SystemExit):
            main([*arguments, *wrong])

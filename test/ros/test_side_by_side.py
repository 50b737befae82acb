# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and table of a run, without ROS."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.ros.run_report import RunReport
from segnode.ros.side_by_side import Album, side_by_side, Strip


def plain(value: int, height: int = 36, width: int = 48) -> np.ndarray:
    """uint8 (H, W, 3) of one value."""
    return np.full((height, width, 3), value, np.uint8)


def test_panels_stand_beside_each_other():
    row = side_by_side(plain(10), plain(20), plain(30))
    assert row.shape == (36, 144, 3)
    assert [int(row[0, x, 0]) for x in (0, 47, 48, 95, 96, 143)] == [10, 10, 20, 20, 30, 30]


@pytest.mark.parametrize('size, expected', [
    ((1024, 2048), (320, 1920)), ((37, 49), (36, 144)), ((1, 1), (2, 6)),
    ((640, 640), (640, 1920))])
def test_wide_images_shrink_and_sides_are_even(size, expected):
    assert side_by_side(*[plain(9, *size)] * 3).shape == (*expected, 3)


@pytest.mark.parametrize('frames', [1, 2, 4, 5, 17, 100])
def test_strip_spreads_over_the_sequence(frames):
    strip = Strip(rows=4)
    for index in range(frames):
        strip.add(plain(index, 2, 2))
    picture = strip.picture()
    assert picture is not None and picture.shape == (2 * min(4, frames), 2, 3)
    values = [int(value) for value in picture[::2, 0, 0]]
    assert values == sorted(set(values)) and values[0] == 0
    assert values[-1] >= 0.75 * (frames - 1)


def test_colors_of_a_smaller_mask(tmp_path):
    """Labels at a part of the size: each colour is repeated."""
    colors = np.zeros((9, 12, 3), np.uint8)
    colors[:, 6:] = 200
    album = Album(tmp_path)
    album.add(0.0, plain(10), colors, plain(30))
    album.close()
    strip = cv2.imread(str(tmp_path / 'segmentation.png'))
    assert strip.shape == (36, 144, 3)
    assert (strip[:, 48:72] == 0).all() and (strip[:, 72:96] == 200).all()


def test_empty_strip():
    assert Strip().picture() is None


@pytest.mark.parametrize('frames', [1, 12])
def test_album_writes_video_and_strip(tmp_path, frames):
    album = Album(tmp_path / 'new' / 'folder')
    for index in range(frames):
        album.add(100 + index / 8, plain(200), plain(100), plain(20 * index % 256))
    files = album.close()
    assert [path.name for path in files] == ['segmentation.mp4', 'segmentation.png']
    capture = cv2.VideoCapture(str(files[0]))
    if frames > 1:
        assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(8, rel=0.01)
    count = 0
    while True:
        readable, frame = capture.read()
        if not readable:
            break
        assert frame.shape == (36, 144, 3)
        assert abs(int(frame[18, 24, 0]) - 200) < 8 and abs(int(frame[18, 72, 0]) - 100) < 8
        count += 1
    assert count == frames
    strip = cv2.imread(str(files[1]))
    assert strip.shape == (36 * min(frames, 4), 144, 3)
    assert strip[0, 0, 0] == 200


def test_album_without_a_working_codec_still_has_the_strip(tmp_path, monkeypatch):
    monkeypatch.setattr('segnode.ros.side_by_side.CODEC', '!!!!')
    album = Album(tmp_path)
    for index in range(6):
        album.add(index / 10, plain(1), plain(2), plain(3))
    assert [path.name for path in album.close()] == ['segmentation.png']
    assert not (tmp_path / 'segmentation.mp4').exists()


def test_a_strip_that_cannot_be_written_is_told(tmp_path):
    album = Album(tmp_path)
    for index in range(6):
        album.add(index / 10, plain(1), plain(2), plain(3))
    (tmp_path / 'segmentation.png').mkdir()
    with pytest.raises(SegnodeError, match=r'segmentation\.png cannot be written: '):
        album.close()
    assert cv2.VideoCapture(str(tmp_path / 'segmentation.mp4')).read()[0]  # it is whole


def test_album_bears_a_camera_that_changes_its_size(tmp_path):
    album = Album(tmp_path)
    for index in range(12):
        size = (36, 48) if index < 8 else (72, 96)
        album.add(index / 10, plain(1, *size), plain(2, *size), plain(3, *size))
    assert len(album.close()) == 2


def test_report():
    report = RunReport(frames_played=10, frames_in=10)
    for _ in range(8):
        report.mask_received(480, 360)
    report.latency['run'] += [10.0, 20.0, 30.0]
    report.facts = {'model': 'fsffnet_camvid', 'runtime': 'onnx', 'state': 'active',
                    'dropped: replaced by a newer frame': '2', 'dropped: undecodable': '0'}
    table = report.table()
    assert 'model               fsffnet_camvid' in table
    assert 'frames in           10' in table and 'frames out          8' in table
    assert 'dropped             2 (2 replaced by a newer frame)' in table
    assert '  run                     20.0      29.0' in table
    numbers = json.loads(json.dumps(report.to_dict()))
    assert numbers['dropped'] == 2 and numbers['latency_ms']['run']['median'] == 20.0


def test_report_of_nothing():
    assert 'frames out          0' in RunReport().table()
    assert RunReport().to_dict()['first_mask_time'] is None

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``predict`` on videos, on odd sizes, and beside the truth; and the files it reads and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segnode.__main__ import main
from segnode.errors import SegnodeError
from segnode.label_files import read_labels
from segnode.labels import load_label_set
from segnode.pictures import color_picture, error_picture
from segnode.video import DEFAULT_RATE, VideoReader, VideoWriter
import small_model

CAMVID = load_label_set('camvid')


def write_video(path: Path, frames: np.ndarray, codec: str = 'MJPG', rate: float = 12.5) -> None:
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*codec), rate, (frames.shape[2], frames.shape[1]))
    for frame in frames:
        writer.write(frame)
    writer.release()


def ran(capsys: Any, *arguments: object, expect: int = 0) -> dict[str, Any]:
    command = ['predict', '--model', f'{small_model.stem()}.onnx', '--json']
    assert main([*command, *map(str, arguments)]) == expect
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize('name, codec', [('a.avi', 'MJPG'), ('b.mp4', 'mp4v'), ('c.mkv', 'MJPG')])
def test_a_video(name: str, codec: str, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('torch')
    from segnode.segmenter import Segmenter

    frames = small_model.frames(4, (101, 167))[:, :100, :166]
    write_video(tmp_path / name, frames, codec)
    out = tmp_path / 'out'
    told = ran(capsys, '--out', out, '--save', 'labels,overlay', '--save', 'color',
               tmp_path / name)
    (answer,) = told['images']
    assert answer['frames'] == 4 and answer['rate'] == 12.5 and answer['size'] == [100, 166]
    assert abs(sum(answer['share'].values()) - 1) < 0.01
    stem = name[0]
    assert sorted(p.name for p in out.iterdir()) == [
        f'{stem}_color.mp4', f'{stem}_labels', f'{stem}_overlay.mp4']
    segmenter = Segmenter.load(f'{small_model.stem()}.onnx')
    overlay = VideoReader(out / f'{stem}_overlay.mp4')
    assert overlay.rate == 12.5 and overlay.count == 4
    for index, (image, shown) in enumerate(zip(VideoReader(tmp_path / name), overlay)):
        labels = cv2.imread(str(out / f'{stem}_labels/{index:06}.png'), -1)
        assert (labels == segmenter.segment(image).labels).all()
        blend = (image.astype(int) + color_picture(labels, CAMVID)) / 2
        assert shown.shape == image.shape
        assert np.abs(shown - blend).mean() < 12  # the codec's loss
    assert index == 3


def test_a_video_gives_an_overlay_unless_told(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('torch')
    write_video(tmp_path / 'a.avi', small_model.frames(2, (64, 96)))
    (tmp_path / 'b.avi').write_bytes(b'no video')
    told = ran(capsys, tmp_path / 'a.avi', tmp_path / 'b.avi', '--out', tmp_path, expect=1)
    good, bad = told['images']
    assert good['written'] == [str(tmp_path / 'a_overlay.mp4')]
    assert bad['error'].endswith('b.avi cannot be read as an image or a video')


def test_an_image_of_any_name_and_odd_sizes(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('torch')
    cv2.imwrite(str(tmp_path / 'a.png'), small_model.frames(1, (77, 131))[0])
    (tmp_path / 'a.png').rename(tmp_path / 'camera0')
    for fit in ('stretch', 'letterbox', 'crop'):
        told = ran(capsys, tmp_path / 'camera0', '--out', tmp_path / fit, '--fit', fit)
        assert told['images'][0]['size'] == [77, 131]
        labels = cv2.imread(str(tmp_path / fit / 'camera0_labels.png'), -1)
        assert labels.shape == (77, 131)
    # Only a crop leaves pixels that the network does not see.
    assert (labels == 255).any()


@pytest.mark.parametrize('colors', [False, True])
def test_beside_the_truth(colors: bool, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('torch')
    images, truths, out = tmp_path / 'images', tmp_path / 'truths', tmp_path / 'out'
    images.mkdir()
    truths.mkdir()
    frames = small_model.frames(2, (64, 96))
    for index in range(2):
        cv2.imwrite(str(images / f'{index}.png'), frames[index])
    truth = np.random.default_rng(0).integers(0, 12, (64, 96)).astype(np.uint8)
    truth[truth == 11] = 255
    cv2.imwrite(str(truths / '0.png'), color_picture(truth, CAMVID) if colors else truth)
    with_truth, without = ran(capsys, images, '--truth', truths, '--out', out)['images']
    labels = cv2.imread(str(out / '0_labels.png'), -1)
    known = truth != 255
    assert with_truth['pixel_accuracy'] == pytest.approx((labels == truth)[known].mean(), abs=1e-6)
    assert 'pixel_accuracy' not in without and not (out / '1_compare.png').exists()
    found = cv2.imread(str(out / '0_compare.png'))
    expected = np.concatenate([
        frames[0], color_picture(truth, CAMVID), color_picture(labels, CAMVID),
        error_picture(frames[0], labels, truth, 11)], 1)
    assert (found == expected).all()


def test_wrong_truth(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('torch')
    cv2.imwrite(str(tmp_path / 'a.png'), small_model.frames(1, (64, 96))[0])
    truths = tmp_path / 'truths'
    truths.mkdir()
    command = ['predict', str(tmp_path / 'a.png'), '--model', f'{small_model.stem()}.onnx',
               '--truth', str(truths), '--out', str(tmp_path / 'out')]
    assert main(command) == 1
    assert 'has no label picture with the stem of any image' in capsys.readouterr().err
    for array, words in ((np.zeros((64, 95), np.uint8), 'is 64x96, but its truth'),
                         (np.full((64, 96), 11, np.uint8), 'a.png holds the label 11')):
        cv2.imwrite(str(truths / 'a.png'), array)
        assert main(command) == 1
        assert words in capsys.readouterr().err
    assert main([*command[:-4], '--truth', str(tmp_path / 'gone')]) == 1
    assert 'gone cannot be read' in capsys.readouterr().err


def test_label_pictures(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    labels = np.uint8([[0, 3, 10, 255]])
    cv2.imwrite(str(path), labels)
    assert (read_labels(path, CAMVID) == labels).all()
    colors = color_picture(labels, CAMVID)
    for picture in (colors, np.dstack([colors, np.full((1, 4), 255, np.uint8)])):
        cv2.imwrite(str(path), picture)
        assert (read_labels(path, CAMVID) == labels).all()
    for array, words in (
        (np.uint8([[[3, 2, 1]]]), r'the colour \(1, 2, 3\) \(R, G, B\), which "camvid" has not'),
        (np.uint16([[1]]), 'cannot be read as a label picture of 8 bits'),
        (np.uint8([[254]]), 'holds the label 254, but "camvid" has 0 to 10 and 255'),
    ):
        cv2.imwrite(str(path), array)
        with pytest.raises(SegnodeError, match=words):
            read_labels(path, CAMVID)
    with pytest.raises(SegnodeError, match='cannot be read'):
        read_labels(tmp_path / 'gone.png', CAMVID)


def test_videos_of_odd_sizes_and_broken_off(tmp_path: Path) -> None:
    path = tmp_path / 'a.mp4'
    frame = np.full((31, 45, 3), (40, 90, 200), np.uint8)
    with VideoWriter(path, 10.0) as writer:
        for _ in range(3):
            writer.write(frame)
        assert not path.exists()
    reader = VideoReader(path)
    frames = list(reader)
    assert len(frames) == len(list(reader)) == 3 and frames[0].shape == (32, 46, 3)
    assert np.abs(frames[0].astype(int) - (40, 90, 200)).max() < 12
    assert reader.rate == 10.0 != DEFAULT_RATE
    before = path.read_bytes()
    with pytest.raises(KeyError), VideoWriter(path, 10.0) as writer:
        writer.write(frame)
        raise KeyError
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ['a.mp4']
    with (pytest.raises(SegnodeError, match='no such folder'),
          VideoWriter(tmp_path / 'gone' / 'a.mp4', 10.0) as writer):
        writer.write(frame)


@pytest.mark.parametrize('taken', ['a_labels', 'a_overlay.mp4'])
def test_a_video_is_not_begun_where_it_cannot_be_written(
    taken: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('torch')
    write_video(tmp_path / 'a.avi', small_model.frames(2, (64, 96)))
    out = tmp_path / 'out'
    if taken == 'a_labels':
        out.mkdir()
        (out / taken).write_text('mine')
    else:
        (out / taken).mkdir(parents=True)
    monkeypatch.setattr('segnode.segmenter.Segmenter.segment',
                        lambda *_: pytest.fail('the video was begun'))
    assert main(['predict', '--model', f'{small_model.stem()}.onnx', '--out', str(out), '--save',
                 'overlay,labels', str(tmp_path / 'a.avi')]) == 1
    reason = (f'a_labels/000000.png cannot be written: {out}/a_labels is not a folder'
              if taken == 'a_labels' else 'a_overlay.mp4 cannot be written: it is a folder')
    assert capsys.readouterr().err.splitlines()[-1] == f'error: {out}/{reason}'
    assert [p.name for p in out.iterdir()] == [taken]


def test_a_video_whose_place_is_taken_meanwhile_stays_as_a_draft(tmp_path: Path) -> None:
    path, draft = tmp_path / 'a.mp4', tmp_path / '.a.draft.mp4'
    with (pytest.raises(SegnodeError, match=rf'a\.mp4 cannot be written: .*the video is {draft}'),
          VideoWriter(path, 10.0) as writer):
        writer.write(np.zeros((32, 48, 3), np.uint8))
        path.mkdir()
    assert len(list(VideoReader(draft))) == 1


def test_kinds_of_pictures(tmp_path: Path, capsys: Any) -> None:
    for given in ('depth', 'labels,', 'labels overlay'):
        with pytest.raises(SystemExit):
            main(['predict', '--save', given, str(tmp_path / 'a.png')])
        assert 'is none of labels, color, overlay, side, compare, uncertainty' in (
            capsys.readouterr().err)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``submit``: names, sizes and ids of the files, what is refused, and the official evaluator."""

import json
import re
import zipfile

import cv2
import numpy as np
from PIL import Image
import pytest

pytest.importorskip('tqdm')

from cityscapes_official import official_scores
from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from segnode.segmenter import Segmentation
import small_cityscapes
import small_model
from training.cli import main
from training.submit import check, submit

CITYSCAPES = load_label_set('cityscapes')
FULL = (1024, 2048)


class Says:
    """Says of an image the labels that its first pixel's blue asks for; 255 in a corner."""

    label_set = CITYSCAPES

    def segment(self, bgr):
        labels = np.full(bgr.shape[:2], bgr[0, 0, 0], np.uint8)
        labels[0, :19] = np.arange(19)
        labels[-1, -1] = 255
        return Segmentation(labels)


def image(root, number, size=FULL, split='test'):
    """Write an image of one colour, without labels."""
    stem = small_cityscapes.key(number)
    return small_cityscapes.write(
        root / f'leftImg8bit/{split}/{stem.partition("_")[0]}/{stem}_leftImg8bit.png',
        np.full((*size, 3), number, np.uint8))


def test_cityscapes_files(tmp_path, monkeypatch):
    for number in (3, 8):
        image(tmp_path, number)
    monkeypatch.setenv('CITYSCAPES_RESULTS', str(tmp_path / 'of the server'))
    done = submit(Says(), 'cityscapes:test', str(tmp_path), partial=True, archive=True,
                  progress=False)
    assert done.folder == tmp_path / 'of the server' and done.files == 2
    assert done.warning == 'cityscapes:test has 2 images here, but 1525 were published.'
    names = sorted(p.name for p in done.folder.iterdir())
    assert names == ['aachen_000008_000019_labelIds.png', 'ulm_000003_000019_labelIds.png']
    # The pattern that cityscapesScripts looks for.
    assert all(re.fullmatch(r'[a-z]+_\d{6}_\d{6}.*\.png', name) for name in names)
    # Train id 8 is vegetation, label id 21; what is no class is 0, unlabeled.
    with Image.open(done.folder / names[0]) as picture:
        assert picture.mode == 'L' and picture.size == (2048, 1024)
        ids = np.asarray(picture)
    assert (ids[1:, :-1] == 21).all() and ids[-1, -1] == 0
    assert ids[0, :19].tolist() == [
        7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    with zipfile.ZipFile(done.archive) as packed:
        assert done.archive.name == 'of the server.zip' and sorted(packed.namelist()) == names
        assert packed.read(names[1]) == (done.folder / names[1]).read_bytes()
    # Once more: the same files are made anew.
    again = submit(Says(), 'cityscapes:test', str(tmp_path), partial=True, progress=False)
    assert again.files == 2


def test_where_cityscapes_files_go(tmp_path, monkeypatch):
    monkeypatch.delenv('CITYSCAPES_RESULTS', raising=False)
    image(tmp_path, 1)
    done = submit(Says(), 'cityscapes:test', str(tmp_path), partial=True, progress=False)
    assert done.folder == tmp_path / 'results'
    done = submit(Says(), 'cityscapes:test', str(tmp_path), partial=True, progress=False,
                  out=tmp_path / 'mine')
    assert done.folder == tmp_path / 'mine' and done.archive is None


def test_bdd100k_files(tmp_path):
    for stem, size in (('a-1', (72, 128)), ('b-2', (128, 72))):
        small_cityscapes.write(tmp_path / f'images/10k/test/{stem}.jpg',
                               np.full((*size, 3), 5, np.uint8))
    done = submit(Says(), 'bdd100k:test', str(tmp_path), partial=True, progress=False)
    assert sorted(p.name for p in done.folder.iterdir()) == ['a-1.png', 'b-2.png']
    ids = cv2.imread(str(done.folder / 'a-1.png'), -1)
    # Train ids, at each image's own size.
    assert ids.shape == (72, 128) and ids[0, :19].tolist() == list(range(19))
    assert ids[5, 5] == 5 and ids[-1, -1] == 255
    assert cv2.imread(str(done.folder / 'b-2.png'), -1).shape == (128, 72)


def test_what_is_refused(tmp_path):
    def refuse(words, spec='cityscapes:test', says=None, **options):
        with pytest.raises(SegnodeError, match=words):
            submit(says or Says(), spec, str(tmp_path), progress=False,
                   **{'partial': True, 'out': tmp_path / 'out', **options})

    refuse('Files are made for cityscapes and bdd100k', 'camvid:test')
    refuse('such as cityscapes:test, not "cityscapes"', 'cityscapes')
    other = Says()
    other.label_set = load_label_set('camvid')
    refuse('knows the classes of "camvid", but the cityscapes server', says=other)
    refuse('No Cityscapes split "test"')
    path = image(tmp_path, 1, (512, 1024))
    refuse('1 images here, but 1525 were published.*--partial', partial=False)
    refuse('is 512x1024, but the images of cityscapes are 1024x2048')
    path.rename(path.with_name('frame_leftImg8bit.png'))
    refuse('is not named as the images of this benchmark are')
    path.with_name('frame_leftImg8bit.png').unlink()
    image(tmp_path, 1)
    # The server would find two files for one image, or one for none.
    small_cityscapes.write(tmp_path / 'out/old/ulm_000001_000019_other.png', np.zeros((2, 2)))
    refuse('holds 1 PNG files of something else, first: .*_other.png')


def test_an_archive_that_cannot_be_written(tmp_path, monkeypatch):
    image(tmp_path, 1)
    out = tmp_path / 'out'

    def refuse(says):
        with pytest.raises(SegnodeError) as caught:
            submit(says, 'cityscapes:test', str(tmp_path), partial=True, archive=True, out=out,
                   progress=False)
        return str(caught.value)

    monkeypatch.setattr(Says, 'segment', lambda *_: pytest.fail('images were segmented'))
    (tmp_path / 'out.zip').mkdir()
    assert refuse(Says()) == f'{tmp_path}/out.zip cannot be written: it is a folder'
    assert not out.exists()
    monkeypatch.undo()
    (tmp_path / 'out.zip').rmdir()

    class Taken(Says):
        """The archive's place is taken while it segments."""

        def segment(self, bgr):
            (tmp_path / 'out.zip').mkdir()
            return super().segment(bgr)

    told = refuse(Taken())
    assert told.startswith(f'{tmp_path}/out.zip cannot be written: ')
    assert told.endswith(f'; its 1 files are in {out}.')
    assert [p.name for p in out.iterdir()] == ['ulm_000001_000019_labelIds.png']


def test_the_check_finds_what_is_wrong(tmp_path):
    sizes = {tmp_path / f'{name}.png': (2, 3) for name in ('a', 'b')}
    good = np.uint8([[7, 8, 0], [33, 11, 7]])
    for path in sizes:
        cv2.imwrite(str(path), good)
    allowed = np.array([0, 7, 8, 11, 33])
    check(tmp_path, sizes, allowed, progress=False)
    for array, words in ((good[:1], r'b\.png is 1x3 instead of 2x3'),
                         (good + 1, r'b\.png holds the value 9'),
                         (np.zeros((2, 3, 3), np.uint8), 'one 8-bit channel')):
        cv2.imwrite(str(tmp_path / 'b.png'), array)
        with pytest.raises(SegnodeError, match=words):
            check(tmp_path, sizes, allowed, progress=False)
    (tmp_path / 'b.png').unlink()
    words = r'1 PNG files instead of 2; missing or strange is .*b\.png'
    with pytest.raises(SegnodeError, match=words):
        check(tmp_path, sizes, allowed, progress=False)


def test_from_the_command_line(tmp_path, capsys):
    image(tmp_path, 2)
    command = ['submit', 'cityscapes:test', '--root', str(tmp_path), '--out',
               str(tmp_path / 'out'), '--model', f'{small_cityscapes.stem()}.onnx']
    assert main(command) == 1
    assert 'but 1525 were published' in capsys.readouterr().err
    assert main([*command, '--partial', '--zip', '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['files'] == 1 and told['archive'] == str(tmp_path / 'out.zip')
    assert main([*command, '--partial']) == 0
    out = capsys.readouterr().out
    assert '1 files in' in out and 'NOT COMPLETE' in out
    assert main([*command[:-1], f'{small_model.stem()}.onnx', '--partial']) == 1
    assert 'knows the classes of "camvid"' in capsys.readouterr().err


@pytest.mark.slow
def test_real_frames_score_as_the_official_evaluator_scores_the_files(
    data_root, tmp_path, capsys
):
    """Files of ``submit``, read by the official script; figures of ``evaluate``, of the model."""
    pytest.importorskip('torch')
    root = data_root / 'cityscapes_frames'
    weights = data_root / 'weights/espnet/espnet_p2_q8_cityscapes.pth'
    for path in (root, weights):
        if not path.exists():
            pytest.skip(f'{path} is not there')
    model = str(tmp_path / 'espnet_cityscapes')
    assert main(['import-weights', str(weights), '--network', 'espnet', '--out', model]) == 0
    asked = ['--root', str(root), '--model', model, '--runtime', 'onnx', '--json']
    assert main(['submit', 'cityscapes:train', '--partial', '--out', str(tmp_path / 'out'),
                 *asked]) == 0
    capsys.readouterr()
    assert main(['evaluate', '--data', 'cityscapes:train', *asked]) == 0
    ours = json.loads(capsys.readouterr().out)
    theirs = official_scores(
        tmp_path, f'{root}/gtFine/train/*/*_gtFine_labelIds.png', tmp_path / 'out')
    compared = 0
    for kind, name in (('classScores', 'class_iou'), ('classInstScores', 'class_iiou'),
                       ('categoryScores', 'category_iou'),
                       ('categoryInstScores', 'category_iiou')):
        for label, value in ours[name].items():
            if value is None:
                assert np.isnan(theirs[kind][label]), (kind, label)
            else:
                assert value == pytest.approx(theirs[kind][label], abs=1e-9), (kind, label)
                compared += 1
    assert compared > 25

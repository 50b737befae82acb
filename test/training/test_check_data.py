# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``check-data``: every fault that data has had is found and named."""

import json
import shutil

import cv2
from damaged_pictures import oversized_png
import numpy as np
import pytest

pytest.importorskip('tqdm')

from segnode.errors import SegnodeError
from training.check_data import check_sizes
from training.cli import main
from training.datasets.source import open_pool


@pytest.fixture
def camvid(rendered_camvid, tmp_path):
    """Return a copy of the small dataset that a test may spoil."""
    return shutil.copytree(rendered_camvid, tmp_path / 'camvid')


def check(capsys, *arguments, expect):
    assert main(['check-data', *map(str, arguments), '--json']) == expect
    return json.loads(capsys.readouterr().out)


def test_good_data_and_its_pictures(camvid, tmp_path, capsys):
    out = tmp_path / 'out'
    report = check(capsys, 'camvid', '--root', camvid, '--out', out, expect=0)
    train, val = report['splits']
    assert (train['name'], train['images'], train['official']) == ('camvid:train', 8, 367)
    assert (val['images'], val['faults'], report['overlaps']) == (3, [], [])
    labels = [cv2.imread(str(p), -1) for p in (camvid / 'train' / 'labels').iterdir()]
    assert train['pixels']['road'] == sum(int((x == 3).sum()) for x in labels)
    assert train['frames']['sky'] == sum(bool((x == 0).any()) for x in labels)
    assert train['sizes'] == {'144x192': 8} and train['ignored_pixels'] == 0
    assert json.loads((out / 'report.json').read_text()) == report
    sheet = cv2.imread(str(out / 'camvid_val.jpg'))
    assert sheet.shape == (180, 4 * 320, 3)
    # Three frames and an empty place.
    assert sheet[:, :960].mean() > 20 and sheet[:, 980:].max() < 10
    histogram = cv2.imread(str(out / 'classes_camvid.png'))
    assert histogram.shape[1] > 1000 and histogram.std() > 20


def test_text_names_classes_and_files(camvid, tmp_path, capsys):
    assert main(['check-data', 'camvid:val', '--root', str(camvid), '--out',
                 str(tmp_path / 'out')]) == 0
    text = capsys.readouterr().out
    assert 'camvid:val: 3 images of 101 published, 3 label files, 0 without partner' in text
    assert 'road' in text and 'written: ' in text


def test_planted_faults(camvid, tmp_path, capsys):
    images, labels = camvid / 'train' / 'images', camvid / 'train' / 'labels'
    (images / 'train_0.png').unlink()
    (labels / 'train_1.png').unlink()
    (images / 'train_2.png').write_bytes((images / 'train_2.png').read_bytes()[:900])
    cv2.imwrite(str(labels / 'train_3.png'), np.full((144, 192), 40, np.uint8))
    cv2.imwrite(str(labels / 'train_4.png'), np.zeros((192, 144), np.uint8))
    shutil.copy(images / 'train_5.png', camvid / 'val' / 'images' / 'val_0.png')
    report = check(capsys, 'camvid:train', 'camvid:val', '--root', camvid, '--out', tmp_path / 'o',
                   expect=1)
    train = report['splits'][0]
    assert [p.rsplit('/', 2)[1:] for p in train['unmatched']] == [
        ['images', 'train_1.png'], ['labels', 'train_0.png']]
    assert len(train['faults']) == 3
    for fault, words in zip(train['faults'], (
            'train_2.png is not a readable image', 'train_3.png holds the label 40',
            'train_4.png is 144x192, but its label train_4.png is 192x144')):
        assert words in fault
    assert report['overlaps'] == [
        'camvid:train and camvid:val share 1 images under different names, first: train_5 is '
        'val_0.']


def test_a_header_that_claims_too_much(camvid, tmp_path, capsys):
    """OpenCV raises there instead of returning nothing; it is one fault among others."""
    oversized_png(camvid / 'val' / 'images' / 'val_0.png')
    oversized_png(camvid / 'val' / 'labels' / 'val_1.png')
    report = check(capsys, 'camvid:val', '--root', camvid, '--out', tmp_path / 'o', expect=1)
    faults = report['splits'][0]['faults']
    assert len(faults) == 2
    assert 'val_0.png is not a readable image' in faults[0]
    assert 'val_1.png is not a readable label image' in faults[1]


def test_frames_of_one_name_in_two_splits(camvid, tmp_path, capsys):
    for kind in ('images', 'labels'):
        shutil.copy(camvid / 'train' / kind / 'train_6.png', camvid / 'val' / kind)
    report = check(capsys, 'camvid', '--root', camvid, '--out', tmp_path / 'o', expect=1)
    assert report['overlaps'] == [
        'camvid:train and camvid:val share 1 frames, first: train_6.']


def test_quick_finds_frames_of_one_name_too(camvid, tmp_path, capsys):
    for kind in ('images', 'labels'):
        shutil.copy(camvid / 'train' / kind / 'train_6.png', camvid / 'val' / kind)
    report = check(capsys, 'camvid', '--root', camvid, '--quick', '--out', tmp_path / 'o',
                   expect=1)
    assert report['overlaps'] == [
        'camvid:train and camvid:val share 1 frames, first: train_6.']


def test_a_frame_of_another_published_split(camvid, tmp_path, capsys):
    for kind in ('images', 'labels'):
        path = camvid / 'val' / kind / 'val_1.png'
        path.rename(path.with_name('0001TP_006690.png'))
    report = check(capsys, 'camvid:val', '--root', camvid, '--out', tmp_path / 'o', expect=1)
    assert report['splits'][0]['of_other_splits'] == ['0001TP_006690']
    assert main(['check-data', 'camvid:val', '--quick', '--root', str(camvid), '--out',
                 str(tmp_path / 'o')]) == 1
    assert '  of another published split: 0001TP_006690' in capsys.readouterr().out


def test_drawn_frames_have_no_size_before_they_are_drawn(tmp_path, capsys):
    report = check(capsys, 'rendered:val-2', '--quick', '--out', tmp_path / 'o', expect=0)
    assert report['splits'][0]['sizes'] == {}


def test_coarse_labels_lie_where_the_fine_ones_do(tmp_path, capsys):
    for folder, end in (('leftImg8bit', 'leftImg8bit'), ('gtCoarse', 'gtCoarse_labelIds')):
        path = tmp_path / folder / 'train' / 'ulm' / f'ulm_000000_000019_{end}.png'
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full((4, 4, 3) if folder[0] == 'l' else (4, 4), 7, np.uint8))
    report = check(capsys, 'cityscapes_coarse:train', '--root', f'cityscapes={tmp_path}', '--out',
                   tmp_path / 'o', expect=0)
    assert report['splits'][0]['pixels']['road'] == 16


def test_a_folder_that_cannot_be_written_to(camvid, tmp_path, capsys, monkeypatch):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'taken' / 'report.json').mkdir(parents=True)
    monkeypatch.setattr('training.check_data.check_split', lambda *_, **__: pytest.fail('read'))
    for out in ('file/o', 'file', 'taken'):
        assert main(['check-data', 'camvid', '--root', str(camvid), '--out',
                     str(tmp_path / out)]) == 1
        error = capsys.readouterr().err
        assert f'{out}/report.json cannot be written: ' in error and len(error.splitlines()) == 1


@pytest.mark.parametrize('name', ['classes_camvid.png', 'camvid_val.jpg'])
def test_a_picture_that_cannot_be_written(name, camvid, tmp_path, capsys):
    """The report is there all the same."""
    out = tmp_path / 'out'
    (out / name).mkdir(parents=True)
    assert main(['check-data', 'camvid:val', '--root', str(camvid), '--out', str(out)]) == 1
    told = capsys.readouterr()
    assert f'{out / name} cannot be written: ' in told.err and len(told.err.splitlines()) == 1
    assert json.loads((out / 'report.json').read_text())['splits'][0]['images'] == 3


def test_quick_decodes_nothing(camvid, tmp_path, capsys):
    label = camvid / 'train' / 'labels' / 'train_3.png'
    cv2.imwrite(str(label), np.full((144, 192), 40, np.uint8))
    report = check(capsys, 'camvid:train', '--root', camvid, '--quick', '--out', tmp_path / 'o',
                   expect=0)
    assert sum(report['splits'][0]['pixels'].values()) == 0
    cv2.imwrite(str(label), np.zeros((100, 192), np.uint8))
    report = check(capsys, 'camvid:train', '--root', camvid, '--quick', '--out', tmp_path / 'o',
                   expect=1)
    assert 'train_3.png is 100x192' in report['splits'][0]['faults'][0]
    with pytest.raises(SegnodeError, match=r'train_3\.png is 100x192\. "python -m training check'):
        check_sizes(open_pool('camvid:train', {'camvid': str(camvid)}))


def test_wrong_command_lines(tmp_path, capsys):
    for arguments, words in (
        (['nosuch'], 'There is no dataset "nosuch"'),
        (['camvid', '--root', str(tmp_path)], 'No CamVid split "train"'),
        (['camvid', 'bdd100k', '--root', str(tmp_path)], 'Whose folder is'),
    ):
        assert main(['check-data', *arguments, '--out', str(tmp_path / 'out')]) == 1
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``predict`` at the desk is the vehicle's, with the frames of datasets as well."""

import json

import cv2
import pytest

pytest.importorskip('tqdm')

from segnode.__main__ import main as vehicle
import small_model
from training.cli import main
from training.datasets.source import open_pool


def test_frames_of_datasets(rendered_camvid, tmp_path, capsys):
    command = ['predict', '--model', f'{small_model.stem()}.onnx', '--json', '--save',
               'labels,compare', '--out', str(tmp_path)]
    assert main([*command, '--data', 'camvid:val', '--root', str(rendered_camvid)]) == 0
    told = json.loads(capsys.readouterr().out)['images']
    assert [answer['image'] for answer in told] == [f'camvid/val_{i}' for i in range(3)]
    pool = open_pool('camvid:val', {'camvid': str(rendered_camvid)})
    for index, answer in enumerate(told):
        labels = cv2.imread(str(tmp_path / f'val_{index}_labels.png'), -1)
        truth = pool.load(index)[1]
        assert answer['pixel_accuracy'] == pytest.approx((labels == truth).mean(), abs=1e-6)
        assert cv2.imread(str(tmp_path / f'val_{index}_compare.png')).shape == (144, 4 * 192, 3)
    # The vehicle's verb gives the same labels for the same file.
    image = rendered_camvid / 'val' / 'images' / 'val_1.png'
    assert vehicle([*command[:4], str(image), '--out', str(tmp_path / 'vehicle')]) == 0
    assert (tmp_path / 'vehicle/val_1_labels.png').read_bytes() == (
        tmp_path / 'val_1_labels.png').read_bytes()
    assert main([*command[:4], str(image), '--out', str(tmp_path / 'desk')]) == 0
    assert (tmp_path / 'desk/val_1_labels.png').read_bytes() == (
        tmp_path / 'val_1_labels.png').read_bytes()
    capsys.readouterr()
    assert main(['predict', '--model', str(small_model.stem()), '--json', str(image),
                 '--save', 'labels', '--out', str(tmp_path), '--runtime', 'pytorch', '--device',
                 'cpu', '--precision', 'fp32']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['runtime'] == 'pytorch' and 'CPU' in told['details']


def test_several_datasets_and_a_limit(rendered_camvid, tmp_path, capsys):
    assert main(['predict', '--model', f'{small_model.stem()}.onnx', '--save', 'labels', '--out',
                 str(tmp_path), '--data', 'camvid:val', 'rendered:val-2', '--limit', '2',
                 '--root', f'camvid={rendered_camvid}']) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'camvid_val_0_labels.png', 'rendered_val_00001_labels.png']
    assert 'camvid/val_0: ' in capsys.readouterr().out


@pytest.mark.parametrize('arguments, words', [
    ([], 'Give images or --data'),
    (['a.png', '--data', 'camvid:val'], 'one of the two'),
    (['--data', 'camvid:val', '--truth', '.'], '--data has its own truth'),
    (['--data', 'rendered:val-2', '--runtime', 'pytorch', '--precision', 'fp16', '--device', 'cpu'
      ], 'PyTorch computes in fp32 on the CPU, not in fp16'),
    (['--data', 'nosuch:val'], 'There is no dataset "nosuch"'),
])
def test_what_does_not_go(arguments, words, capsys):
    assert main(['predict', '--model', f'{small_model.stem()}.onnx', *arguments]) == 1
    assert words in capsys.readouterr().err

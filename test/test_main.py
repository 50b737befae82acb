# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m segnode``: verbs, exit codes, files."""

from __future__ import annotations

import argparse
import errno
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest

from segnode.__main__ import main, VERBS
from segnode.commands.arguments import output_file, STDOUT
from segnode.commands.predict_inputs import unique_names
import small_model


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))
    monkeypatch.delenv('SEGNODE_WEIGHTS', raising=False)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for index, frame in enumerate(small_model.frames(2, (120, 200))):
        cv2.imwrite(str(folder / f'frame{index}.png'), frame)
    return folder


def test_output_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'old').write_text('mine')
    assert output_file(str(tmp_path / 'old')) == tmp_path / 'old'
    assert output_file(str(tmp_path / 'new')) == tmp_path / 'new'
    assert output_file('-') == STDOUT and output_file('/dev/null') == Path('/dev/null')
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [('old', 'mine')]
    for wrong, words in ((tmp_path, 'is a folder'), (tmp_path / 'no' / 'a', 'there is no'),
                         (tmp_path / ('x' * 300), 'File name too long'),
                         # Short enough itself, but not with what its draft has around it.
                         (tmp_path / ('x' * 250), 'File name too long')):
        with pytest.raises(argparse.ArgumentTypeError, match=words):
            output_file(str(wrong))

    def refused(**_: object) -> None:
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr('segnode.files.tempfile.NamedTemporaryFile', refused)
    with pytest.raises(argparse.ArgumentTypeError, match='new cannot be written: Permission den'):
        output_file(str(tmp_path / 'new'))
    monkeypatch.setattr('segnode.commands.arguments.os.access', lambda *_: False)
    with pytest.raises(argparse.ArgumentTypeError, match='old cannot be written: it is read-only'):
        output_file(str(tmp_path / 'old'))


def test_usage(capsys: Any) -> None:
    assert main([]) == 2
    assert main(['--help']) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)
    assert main(['fly']) == 2
    assert 'error: there is no verb' in capsys.readouterr().err


@pytest.mark.parametrize('verb', VERBS)
def test_help(verb: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, '--help'])
    assert caught.value.code == 0
    assert '--json' in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([verb, '--nonsense'])
    assert caught.value.code == 2


def test_labels(capsys: Any) -> None:
    assert main(['labels']) == 0
    assert 'cityscapes' in capsys.readouterr().out
    assert main(['labels', 'camvid']) == 0
    assert '3   road' in capsys.readouterr().out
    assert main(['labels', 'camvid', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['labels'][3]['name'] == 'road'
    assert main(['labels', 'nowhere']) == 1
    assert 'error: ' in capsys.readouterr().err


def test_models(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('torch')
    monkeypatch.setenv('SEGNODE_WEIGHTS', str(small_model.stem().parent))
    assert main(['models']) == 0
    assert small_model.NAME in capsys.readouterr().out
    assert main(['models', '--json']) == 0
    models = {m['name']: m for m in json.loads(capsys.readouterr().out)['models']}
    assert models[small_model.NAME]['record']['input_size'] == [128, 256]


def test_labels_of_a_model(capsys: Any) -> None:
    pytest.importorskip('torch')
    assert main(['labels', str(small_model.stem())]) == 0
    assert '10  bicyclist' in capsys.readouterr().out


def test_predict(pictures: Path, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('torch')
    from segnode.segmenter import Segmenter

    out = tmp_path / 'out'
    arguments = ['predict', str(pictures), '--model', str(small_model.stem()), '--out', str(out)]
    assert main([*arguments, '--json']) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer['runtime'] == 'onnx' and len(answer['images']) == 2
    segmenter = Segmenter.load(small_model.stem())
    for index in range(2):
        image = cv2.imread(str(pictures / f'frame{index}.png'))
        expected = segmenter.segment(image).labels
        found = {kind: cv2.imread(str(out / f'frame{index}_{kind}.png'), cv2.IMREAD_UNCHANGED)
                 for kind in ('labels', 'color', 'overlay', 'side')}
        assert found['labels'].ndim == 2 and (found['labels'] == expected).all()
        colors = segmenter.label_set.colorize(expected)[..., ::-1]
        assert (found['color'] == colors).all()
        blend = (image.astype(int) + colors) / 2
        assert np.abs(found['overlay'] - blend).max() <= 1
        parts = np.concatenate([image, found['color'], found['overlay']], 1)
        assert (found['side'] == parts).all()
        shares = answer['images'][index]['share']
        assert abs(sum(shares.values()) - 1) < 0.01
        assert answer['images'][index]['size'] == [120, 200]


def test_predict_only_what_is_asked_for(pictures: Path, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('torch')
    out = tmp_path / 'out'
    assert main(['predict', str(pictures / 'frame0.png'), str(pictures / 'frame0.png'),
                 '--model', str(small_model.stem()), '--out', str(out), '--save', 'labels']) == 0
    assert sorted(p.name for p in out.iterdir()) == ['frame0-2_labels.png', 'frame0_labels.png']
    assert capsys.readouterr().out.count('frame0.png: ') == 2


def test_predict_goes_on_after_an_unreadable_image(
    pictures: Path, tmp_path: Path, capsys: Any
) -> None:
    pytest.importorskip('torch')
    (pictures / 'a.png').write_bytes(b'no image')
    assert main(['predict', str(pictures), '--model', str(small_model.stem()),
                 '--out', str(tmp_path / 'out')]) == 1
    told = capsys.readouterr()
    assert 'error: ' in told.err and 'a.png cannot be read' in told.err
    assert 'error' not in told.out
    assert (tmp_path / 'out' / 'frame1_side.png').exists()


@pytest.mark.parametrize('arguments', [
    ['nowhere.png'],
    ['.', '--input-size', '384by512'],
    ['.', '--alpha', '2'],
    ['.', '--runtime', 'warp'],
])
def test_predict_refuses(
    arguments: list[str], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(['predict', *arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status in (1, 2)
    assert 'error: ' in capsys.readouterr().err


def test_cache(capsys: Any) -> None:
    pytest.importorskip('torch')
    from segnode.runtimes import load_runtime

    load_runtime(small_model.model(), 'onnx', input_size=(128, 128))
    assert main(['cache']) == 0
    assert 'fsffnet_small-128x128' in capsys.readouterr().out
    assert main(['cache', 'list', '--json']) == 0
    (entry,) = json.loads(capsys.readouterr().out)['entries']
    assert entry['valid'] and entry['used'] >= entry['made'] - 1
    assert main(['cache', 'clear', '--older-than', '1d']) == 0
    assert 'deleted 0 files' in capsys.readouterr().out
    for wrong in (['list', '--older-than', '1d'], ['clear', '--older-than', 'long']):
        with pytest.raises(SystemExit):
            main(['cache', *wrong])
    assert main(['cache', 'clear']) == 0
    assert 'deleted 2 files' in capsys.readouterr().out
    assert main(['cache', 'clear', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['files'] == 0


def test_as_a_process(project: Path) -> None:
    result = subprocess.run(
        [sys.executable, '-m', 'segnode', 'labels', 'nowhere'], cwd=project,
        capture_output=True, text=True, timeout=120,
    )
    assert result.returncode == 1
    assert result.stderr.startswith('error: ') and 'Traceback' not in result.stderr


def test_labels_of_a_damaged_model(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / 'a.onnx').write_bytes(b'x')
    for name in ('a.onnx', 'a'):
        assert main(['labels', str(tmp_path / name)]) == 1
        assert 'a.onnx is not an ONNX file' in capsys.readouterr().err
    assert main(['labels', 'nowhere']) == 1
    err = capsys.readouterr().err
    assert 'camvid' in err and "there is no model 'nowhere'" in err
    assert main(['labels', str(tmp_path / 'none.yaml')]) == 1
    assert capsys.readouterr().err.startswith('error: cannot read ')


@pytest.mark.parametrize('paths, names', [
    (['a.png', 'a.jpg', 'a-2.png'], ['a', 'a-3', 'a-2']),
    (['x/a-2.png', 'y/a-2.png', 'a.png', 'b/a.png'], ['a-2', 'a-2-2', 'a', 'a-3']),
    (['a.png', 'a.png', 'a.png'], ['a', 'a-2', 'a-3']),
])
def test_predict_never_writes_two_images_to_one_file(paths: list[str], names: list[str]) -> None:
    assert unique_names([Path(path) for path in paths]) == names


def test_predict_closes_what_it_loaded(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('torch')
    from segnode.segmenter import Segmenter

    closed: list[Segmenter] = []
    monkeypatch.setattr(Segmenter, 'close', lambda self: closed.append(self))
    arguments = ['predict', str(pictures), '--model', str(small_model.stem())]
    assert main([*arguments, '--out', str(tmp_path / 'out')]) == 0
    (tmp_path / 'file').write_text('')
    assert main([*arguments, '--out', str(tmp_path / 'file')]) == 1
    assert len(closed) == 2


def test_predict_without_opencv() -> None:
    code = (
        "import sys; sys.modules['cv2'] = None\n"
        "from segnode.__main__ import main; sys.exit(main(['predict', 'a.png']))"
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == (
        'error: predict needs OpenCV, which is not installed: '
        'pip install opencv-python-headless\n'
    )


def test_predict_where_a_path_is_refused(capsys: Any) -> None:
    assert main(['predict', 'a' * 300]) == 1
    assert capsys.readouterr().err.startswith('error: ')

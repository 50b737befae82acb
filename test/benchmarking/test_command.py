# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m segnode benchmark`` as a user types it, and what it says of what fails."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from segnode.__main__ import main
from segnode.benchmarking import measure as module
from segnode.benchmarking.candidate import Candidate
from segnode.benchmarking.measure import measure
from segnode.dependencies import installed
import small_model
import training.cli

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def test_side_by_side(tmp_path: Path, capfd: Any) -> None:
    """Each in its own process, so that ONNX Runtime has less memory than PyTorch."""
    file, picture = tmp_path / 'result.json', tmp_path / 'picture.png'
    plot = ['--plot', str(picture)] if installed('matplotlib') else []
    assert main([
        'benchmark', '--model', str(small_model.stem()), '--runtime', 'onnx', '--eager',
        '--batch', '2', '--frames', '3', '--threads', '1', '--device', 'cpu',
        '--save', str(file), *plot,
    ]) == 0
    out = capfd.readouterr().out.splitlines()
    assert out[1].split()[:4] == ['model', 'runtime', 'precision', 'input']
    assert 'GPU MB' not in out[1], 'a column without anything'
    answer = json.loads(file.read_text())
    assert answer['machine']['processor'] in out[0] or answer['machine']['board'] in out[0]
    assert answer['runs'] == 3 and answer['images'] == 'rendered' and answer['threads'] == 1
    rows = answer['rows']
    assert [(row['runtime'], row['batch']) for row in rows] == [('eager', 2), ('onnx', 2)]
    for row in rows:
        assert row['model'] == small_model.NAME and row['network'] == 'fsffnet'
        assert row['input_size'] == [128, 256] and row['precision'] == 'fp32'
        assert row['runs'] == 3 and row['reason'] == ''
        assert 0 < row['best_ms'] <= row['median_ms'] <= row['p95_ms'] < 60_000
        assert row['images_per_second'] == pytest.approx(
            1e3 * row['batch'] / row['mean_ms'], rel=1e-3, abs=0.01)
        assert row['same_labels'] > 0.999 and row['same_labels_as'] == 'eager'
        assert row['load_seconds'] > 0 and 'CPU' in row['details']
        assert row['gpu_memory'] is None
    eager, onnx = rows
    assert eager['times_as_fast_as_eager'] == 1.0
    assert onnx['times_as_fast_as_eager'] == pytest.approx(
        eager['median_ms'] / onnx['median_ms'], abs=0.006, rel=0.01)
    assert 2e7 < onnx['peak_memory'] < 0.8 * eager['peak_memory'] < 4e9
    if plot:
        import cv2

        image = cv2.imread(str(picture))
        assert image.shape[1] == 1000
        for bgr in ((0xa5, 0x5f, 0x0b), (0x9a, 0x9a, 0x9a)):
            assert (image == bgr).all(2).sum() > 50, 'a bar of each runtime'


def test_the_training_side_has_the_same(capfd: Any) -> None:
    with pytest.raises(SystemExit):
        training.cli.main(['benchmark', '--help'])
    assert 'usage: python -m training benchmark' in capfd.readouterr().out
    assert training.cli.main([
        'benchmark', '--model', str(small_model.stem()), '--runtime', 'auto', '--frames', '1',
        '--device', 'cpu', '--json']) == 0
    (row,) = json.loads(capfd.readouterr().out)['rows']
    assert row['runtime'] == 'onnx' and row['same_labels'] == 1.0


def test_what_fails_has_a_reason(capfd: Any) -> None:
    given = ['benchmark', '--model', str(small_model.stem()), '--frames', '1']
    assert main([*given, '--runtime', 'onnx', '--precision', 'bf16']) == 1
    told = capfd.readouterr()
    assert 'onnx runtime computes in what its file is in, fp32, not in bf16' in told.out
    assert main([*given, '--runtime', 'onnx', '--input-size', '100x100', '128x256']) == 0
    told = capfd.readouterr()
    assert 'multiples of 128, not 100x100' in told.out and '128x256' in told.out
    assert main(['benchmark', '--model', 'unet', '--runtime', 'onnx', '--frames', '1']) == 1
    assert "there is no model 'unet'" in capfd.readouterr().out


def test_refusals(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured."""
    monkeypatch.setattr(module, 'measure', None)
    for wrong in (['--runtime', 'tflite'], ['--frames', '0'], ['--input-size', 'big']):
        with pytest.raises(SystemExit):
            main(['benchmark', *wrong])
    for option in ('--save', '--plot'):
        for path, why in ((tmp_path / 'nowhere' / 'a.png', 'there is no'), (tmp_path, 'a folder')):
            with pytest.raises(SystemExit):
                main(['benchmark', option, str(path)])
            assert why in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    assert main(['benchmark', '--plot', 'x.png']) == 1
    assert 'the plot needs matplotlib' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert main(['benchmark', '--limits']) == 1
    assert '--limits needs PyTorch' in capsys.readouterr().err


def _stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let other code answer in the place of the worker."""
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, 'Popen', lambda command, **more: real([sys.executable, '-c', code], **more))


ANSWER = """
import json, os, signal, sys
import numpy as np
candidate, labels = json.loads(sys.stdin.readline()), sys.stdin.readline().strip()
print(json.dumps({'name': 'x', 'details': 'CPU', 'runtime': candidate['runtime']}), flush=True)
if labels:
    np.save(labels, np.full((1, 2, 2), {'onnx': 1, 'pytorch': 2}.get(candidate['runtime'], 3)))
"""


def test_they_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once a round; times, memory and labels are each one's own."""
    log = tmp_path / 'log'
    _stand_in(monkeypatch, ANSWER + f"""
for number, line in enumerate(sys.stdin):
    with open({str(log)!r}, 'a') as file:
        file.write(candidate['runtime'][0])
    own = {{'onnx': 10.0, 'pytorch': 20.0}}[candidate['runtime']] + number
    answer = {{'clock': own, 'processor': 2 * own, 'peak_memory': own, 'gpu_memory': None}}
    print(json.dumps(answer), flush=True)
""")
    told: list[str] = []
    rows = measure([Candidate('m', name, batch=4) for name in ('onnx', 'pytorch')], 3,
                   told.append)['rows']
    assert log.read_text() == 'opopop'
    assert told == ['m onnx: CPU', 'm pytorch: CPU']
    assert [row['median_ms'] for row in rows] == [11.0, 21.0]
    assert [row['p95_ms'] for row in rows] == [11.9, 21.9]
    assert [row['processor_ms'] for row in rows] == [22.0, 42.0]
    assert [row['images_per_second'] for row in rows] == [363.64, 190.48]
    assert [row['same_labels'] for row in rows] == [1.0, 0.0]
    assert rows[0]['same_labels_as'] == 'onnx'
    assert [row['peak_memory'] for row in rows] == [12.0, 22.0]
    assert rows[0]['times_as_fast_as_eager'] is None


@pytest.mark.parametrize('code, reason', [
    ('os.kill(os.getpid(), signal.SIGKILL)', 'by signal 9, most probably for lack of memory'),
    ('os.kill(os.getpid(), signal.SIGSEGV)', 'ended by signal 11'),
    ('sys.exit(3)', 'ended with status 3'),
])
def test_a_process_that_ends(code: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of its runs; the other goes on."""
    _stand_in(monkeypatch, ANSWER + f"""
for line in sys.stdin:
    if candidate['runtime'] == 'onnx' and line:
        {code}
    print(json.dumps({{'clock': 1.0, 'processor': 1.0}}), flush=True)
""")
    first, second = measure([Candidate('m', name) for name in ('onnx', 'pytorch')], 2)['rows']
    assert reason in first['reason'] and first['median_ms'] is None
    assert first['same_labels'] is None
    assert second['reason'] == '' and second['median_ms'] == 1.0


def test_what_a_library_prints_does_not_disturb(capfd: Any) -> None:
    """Whether it writes to Python's standard output or straight to the file behind it."""
    code = (
        'import os, sys; from segnode.benchmarking import worker\n'
        'real = worker._loaded\n'
        'def loud(*args):\n'
        '    print("hello"); os.write(1, b"world\\n"); return real(*args)\n'
        'worker._loaded = loud\n'
        'sys.exit(worker.main())'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], text=True, capture_output=True,
        input=Candidate(str(small_model.stem()), 'onnx', threads=1).to_json() + '\n\n')
    assert json.loads(done.stdout)['runtime'] == 'onnx', done.stderr
    assert 'hello' in done.stderr and 'world' in done.stderr


def test_candidates_travel() -> None:
    one = Candidate('a', 'onnx', (1, 2), 3, 'bf16', 'cuda', 4, True, 'folder')
    assert Candidate.from_json(one.to_json()) == one
    assert one.options == {'precision': 'bf16', 'device': 'cuda'}
    assert Candidate('a', 'tensorrt', dla_core=0, workspace=64).options == {
        'dla_core': 0, 'workspace': 64}
    assert Candidate('a', 'pytorch', compile=True).options == {'compile': True}
    plain = Candidate('a', 'onnx')
    assert Candidate.from_json(plain.to_json()) == plain and plain.options == {}


@pytest.mark.parametrize('details, asked, converted, precision', [
    ('ONNX Runtime 1, CPU, 1 thread', '', '', 'fp32'),
    ('ONNX Runtime 1, CPU, 1 thread', '', 'fp16', 'fp16'),
    ('PyTorch 2, GPU, fp16, CUDA graph', '', '', 'fp16'),
    ('OpenVINO 1, CPU, 1 thread, bf16', 'auto', '', 'bf16'),
    ('OpenVINO 1, CPU, 1 thread, fp32', '', 'int8', 'int8'),
    ('PyTorch 2, CPU', 'bf16', '', 'bf16'),
])
def test_the_precision_is_what_ran(
    details: str, asked: str, converted: str, precision: str
) -> None:
    from segnode.benchmarking.worker import precision_in

    assert precision_in(details, asked, converted) == precision


def test_every_batch_holds_other_images(tmp_path: Path) -> None:
    from segnode.benchmarking.worker import _loaded

    file = tmp_path / 'labels.npy'
    _, run, images = _loaded(
        Candidate(str(small_model.stem()), 'onnx', batch=3, threads=1), str(file))
    assert [batch.shape for batch in images] == [(3, 128, 256, 3)] * 4
    assert all((images[0][0] != batch[0]).any() for batch in images[1:])
    assert (np.load(file) == np.concatenate([run(batch) for batch in images])).all()

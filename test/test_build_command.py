# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m segnode build``: engines ahead of time, on a GPU in Python."""

from __future__ import annotations

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

import pytest

from segnode.__main__ import main
from segnode.model import Model
from segnode.runtimes import load_runtime
from segnode.runtimes.cache import cache_folder
import small_model
from standin_gpu import Cuda, Tensorrt

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')


@pytest.fixture
def tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tensorrt:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    made = Tensorrt('10.3.0', Cuda(), real=True, dla_cores=1)
    monkeypatch.setattr('segnode.runtimes.cuda_driver._load', lambda: made.cuda)
    monkeypatch.setattr('segnode.runtimes.tensorrt.find_tensorrt', lambda: made)
    return made


def test_builds_what_a_node_then_finds(tensorrt: Tensorrt, capsys: Any) -> None:
    assert main(['build', '--model', str(small_model.stem()), '--json']) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row['precision'] == 'fp16' and row['layers'] == 7 and row['agreement'] > 0.99
    assert row['bytes'] == Path(row['file']).stat().st_size
    assert row['seconds'] >= row['build_seconds'] >= 0 and row['median_ms'] > 0
    load_runtime(small_model.model(), 'tensorrt').close()
    assert tensorrt.builds_made == 1
    assert main(['build', '--model', str(small_model.stem())]) == 0
    out = capsys.readouterr().out
    assert 'SAME LABELS' in out and row['file'] in out
    assert tensorrt.builds_made == 1 and tensorrt.cuda.leaks == []  # type: ignore[union-attr]


def test_options_reach_the_builder(tensorrt: Tensorrt, capsys: Any) -> None:
    assert main(['build', '--model', str(small_model.stem()), '--precision', 'fp32', '--batch',
                 '2', '--dla', '0', '--workspace', '64', '--labels-at', '1/4', '--confidence',
                 '--input-size', '128x128', '--json']) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row['precision'] == 'fp32' and row['batch'] == 2
    assert tensorrt.asked['pools'] == {'WORKSPACE': 64 << 20}
    assert tensorrt.asked['config'].DLA_core == 0
    assert tensorrt.asked['shapes'][1] == (2, 128, 128, 3)
    assert set(tensorrt.graph['outputs']) == {'labels', 'confidence'}
    assert tensorrt.graph['outputs']['labels'][1] == (-1, 32, 32)


def test_all_goes_on_after_one_that_fails(
    tensorrt: Tensorrt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = tmp_path / 'weights'
    folder.mkdir()
    small_model.copy_to(folder, 'good')
    (folder / 'bad.onnx').write_bytes(b'cut short')
    monkeypatch.setattr('segnode.store.folders', lambda: (folder,))
    assert main(['build', '--all']) == 1
    out, err = capsys.readouterr()
    rows = [line.split()[:2] for line in out.splitlines()[1:]]
    assert rows == [['bad', 'failed'], ['good', 'fp16']]
    assert 'error: bad: ' in err
    (folder / 'bad.onnx').unlink()
    assert main(['build', '--all', '--json']) == 0
    monkeypatch.setattr('segnode.store.folders', lambda: (tmp_path,))
    assert main(['build', '--all']) == 1
    assert 'no models to build' in capsys.readouterr().err


def test_refusals_are_one_sentence(tensorrt: Tensorrt, capsys: Any) -> None:
    for arguments, words in (
        (['--dla', '3'], 'no DLA core 3'), (['--batch', '0'], 'batch must be 1 to 16'),
        (['--precision', 'int8'], 'is not quantised'),
    ):
        assert main(['build', '--model', str(small_model.stem()), *arguments]) == 1
        error = [line for line in capsys.readouterr().err.splitlines() if 'error:' in line]
        assert len(error) == 1 and words in error[0]
    assert main(['build', '--model', 'nonsense']) == 1


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests
sys.path[:0] = sys.argv[1:2]
from standin_gpu import Cuda, Tensorrt
import segnode.runtimes.cuda_driver, segnode.runtimes.tensorrt
made = Tensorrt('8.6.1', Cuda(), real=True)
made.during_build = lambda: (print('building', flush=True), time.sleep(600))
segnode.runtimes.cuda_driver._load = lambda: made.cuda
segnode.runtimes.tensorrt.find_tensorrt = lambda: made
from segnode.__main__ import main
sys.exit(main(['build', '--model', sys.argv[2]]))
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_interrupted_leaves_nothing(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, '-c', SLOW, str(Path(__file__).parent), str(small_model.stem())],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == 'building\n'
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    if number == signal.SIGINT:
        assert process.returncode == 130 and 'nothing of this engine is kept' in err
    left = [path.name for path in cache_folder().iterdir()]
    # A lock that nobody holds does not keep anybody from building.
    assert [name for name in left if not name.endswith('.lock')] == []
    made = Tensorrt('8.6.1', Cuda(), real=True)
    monkeypatch.setattr('segnode.runtimes.cuda_driver._load', lambda: made.cuda)
    monkeypatch.setattr('segnode.runtimes.tensorrt.find_tensorrt', lambda: made)
    load_runtime(small_model.model(), 'tensorrt').close()
    assert made.builds_made == 1


WITHOUT_TORCH = """
import sys
sys.modules['torch'] = sys.modules['onnx'] = None
sys.path[:0] = sys.argv[1:2]
from standin_gpu import Cuda, Tensorrt
import segnode.runtimes.cuda_driver, segnode.runtimes.tensorrt
made = Tensorrt(sys.argv[2], Cuda(), real=True)
segnode.runtimes.cuda_driver._load = lambda: made.cuda
segnode.runtimes.tensorrt.find_tensorrt = lambda: made
from segnode.__main__ import main
sys.exit(main(['build', '--model', sys.argv[3], '--batch', '2', '--json']))
"""


@pytest.mark.parametrize('release', ['10.3.0', '11.4.0'])
def test_a_released_model_without_pytorch(
    release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float16 as well where the graph itself must be in it; and from the .onnx file alone."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    released = Model.load('fsffnet_camvid').onnx_path
    assert released is not None
    path = tmp_path / 'released.onnx'
    path.write_bytes(released.read_bytes())
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT_TORCH, str(Path(__file__).parent), release, str(path)],
        capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row['precision'] == 'fp16' and row['batch'] == 2 and row['agreement'] > 0.99

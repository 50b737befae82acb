# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of all networks, on small ones at small sizes."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import re
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')

from benchmark import networks as benchmark
from benchmark import one_network, plot_networks
from segnode.benchmarking.timing import take_turns
from segnode.networks.multiply_adds import multiply_adds
from segnode.networks.zoo import NETWORKS


def test_as_a_user_types_it(tmp_path: Path, project: Path) -> None:
    """One line per network and size; a size that the network does not take has the reason."""
    file, cache = tmp_path / 'result.json', tmp_path / 'cache'
    done = subprocess.run(
        [sys.executable, '-m', 'benchmark.networks', '--networks', 'contextnet',
         '--sizes', '64x128,70x80', '--rounds', '2', '--threads', '1', '--json', str(file)],
        cwd=project, env={**os.environ, 'XDG_CACHE_HOME': str(cache)}, timeout=300,
        capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    assert '[1/1] contextnet' in done.stderr
    assert '| `contextnet` | 858,259 | 0.02 | - |' in done.stdout
    assert not cache.exists(), 'the user has the exports in his cache'
    answer = json.loads(file.read_text())
    assert answer['processor'] and answer['cores'] >= 1 and answer['threads'] == 1
    assert all(answer['versions'].values()), answer['versions']
    rows = {(r.pop('size'), r.pop('runtime')): r for r in answer['rows']}
    assert list(rows) == [
        (size, runtime) for size in ('64x128', '70x80') for runtime in ('onnx', 'pytorch')
    ]
    for runtime in ('onnx', 'pytorch'):
        row = rows['64x128', runtime]
        assert row['network'] == 'contextnet' and row['reason'] == '' and row['rounds'] == 2
        assert 0 < row['best_ms'] <= row['median_ms'] < 10_000 and row['processor_ms'] > 0
        assert row['parameters'] == NETWORKS['contextnet'].parameters_at_19
        assert row['multiply_adds'] == multiply_adds('contextnet', (64, 128))
        assert 0.05 < row['process_peak_gb'] < 20
        row = rows['70x80', runtime]
        assert row['median_ms'] is row['best_ms'] is row['multiply_adds'] is None
        assert 'multiples of 32, not 70x80' in row['reason']


def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert benchmark.main(['--networks', 'unet']) == 1
    assert "no network 'unet'" in capsys.readouterr().err
    for file, words in ((tmp_path / 'no' / 'a', 'there is no'), (tmp_path, 'is a folder')):
        with pytest.raises(SystemExit):
            benchmark.main(['--networks', 'fanet', '--json', str(file)])
        assert words in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    # Before anything is measured.
    assert benchmark.main(['--networks', 'fanet', '--plot', 'x.png']) == 1
    assert 'the plot needs matplotlib' in capsys.readouterr().err


def test_what_fails_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that runs out of memory, and one that is too slow."""

    class Slow:
        def run(self, images: np.ndarray) -> None:
            time.sleep(0.02)

    def load(model: object, name: str, **options: object) -> Slow:
        if name == 'onnx':
            raise RuntimeError('cannot allocate\n9 GB')
        return Slow()

    monkeypatch.setattr(one_network, 'load_runtime', load)
    monkeypatch.setattr(one_network, 'labels', lambda runtime: runtime.run)
    monkeypatch.setattr(one_network, 'LIMIT', 0.01)
    onnx, pytorch = one_network.measure('fanet', (128, 128), 1, 1.0, 1)
    assert onnx['reason'] == 'RuntimeError: cannot allocate 9 GB' and onnx['median_ms'] is None
    assert re.match(r'one frame takes \d+ s', pytorch['reason']) and pytorch['rounds'] == 0


def test_a_process_that_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had measured counts, the rest says why there is nothing."""
    code = (
        'import os, signal; from benchmark.one_network import *; '
        'print(json.dumps(row("fanet", (128, 128), "onnx")), flush=True); '
        'os.kill(os.getpid(), signal.SIGKILL)'
    )
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, 'Popen', lambda command, **more: real([sys.executable, '-c', code], **more)
    )
    parser = one_network.arguments(argparse.ArgumentParser())
    given = parser.parse_args(['--sizes', '128x128'])
    onnx, pytorch = benchmark._one_network('fanet', given)
    assert onnx['reason'] == '' and 'ended by signal 9' in pytorch['reason']


def test_turns() -> None:
    """All candidates get the same image in a round; time ends the rounds, three at least."""
    seen: list[tuple[str, int]] = []
    runs = {
        name: lambda image, name=name: seen.append((name, int(image[0]))) or image
        for name in 'ab'
    }
    images = [np.array([value]) for value in (1, 2)]
    times = take_turns(runs, images, 5)
    assert [len(times[name].clock) for name in 'ab'] == [5, 5]
    assert seen[:4] == [('a', 1), ('b', 1), ('a', 2), ('b', 2)]
    assert len(take_turns(runs, images, 5, seconds=0.0)['a'].clock) == 3
    assert len(take_turns(runs, images, 2, seconds=0.0)['a'].clock) == 2


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is for the benchmark alone')
    rows = [
        {'network': name, 'size': size, 'runtime': runtime, 'parameters': info.parameters_at_19,
         'multiply_adds': info.multiply_adds, 'median_ms': info.multiply_adds / factor}
        for name, info in NETWORKS.items() for size in ('512x1024', '1024x2048')
        for runtime, factor in (('onnx', 5e7), ('pytorch', 3e7))
    ]
    rows[0]['median_ms'] = None
    answer = {'rows': rows, 'threads': 2, 'processor': 'none',
              'versions': {'torch': '2', 'onnxruntime': '1'}}
    file, picture = tmp_path / 'result.json', tmp_path / 'picture.png'
    file.write_text(json.dumps(answer))
    assert plot_networks.main([str(file), str(picture)]) == 0
    import cv2

    image = cv2.imread(str(picture))
    assert image is not None and image.shape[0] > 900 and image.shape[1] > 1000
    blue = (image == (0xa5, 0x5f, 0x0b)).all(2).sum()  # BGR of the points of onnx
    assert blue > 15 * 4 * len(NETWORKS)
    file.write_text(json.dumps({**answer, 'rows': rows[:1]}))
    assert plot_networks.main([str(file), str(picture)]) == 1

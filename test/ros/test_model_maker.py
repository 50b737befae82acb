# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Exports made in a process of their own while a node serves, and what is left when it ends."""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

import faulty_model
from segnode.errors import SegnodeError
from segnode.files import TEMPORARY_SUFFIX
from segnode.ros import model_maker
from segnode.ros.model_maker import make, needs_making
from segnode.ros.parameters import BY_NAME, MODEL_VALUES
from small_custom import describe, write_network


def values(model: object, **changes: Any) -> dict[str, Any]:
    """Return the values of a model."""
    given = {name: BY_NAME[name].default for name in MODEL_VALUES}
    given = {name: tuple(value) if isinstance(value, list) else value
             for name, value in given.items()}
    return {**given, 'model': str(model), 'threads': 1, 'runtime': 'onnx', **changes}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an empty cache."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.mark.parametrize('changes, needed', [
    ({}, False), ({'input_size': (128, 256)}, False), ({'labels_at': 'network'}, False),
    ({'input_size': (256, 256)}, True), ({'confidence': True}, True),
    ({'min_confidence': 0.1}, True), ({'labels_at': '1/4'}, True),
    ({'confidence': True, 'runtime': 'pytorch'}, False),
])
def test_when_it_is_needed(
        changes: dict[str, Any], needed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not for what a released graph gives; on an NVIDIA GPU always, for there are engines."""
    monkeypatch.setattr(model_maker, 'nvidia_driver', lambda: False)
    given = values(faulty_model.write(tmp_path), **changes)
    assert needs_making(given) is needed
    monkeypatch.setattr(model_maker, 'nvidia_driver', lambda: True)
    assert needs_making({**given, 'runtime': 'auto'}) is True


def test_a_network_of_somebody_else_is_only_put_together(tmp_path: Path, cache: Path) -> None:
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    path = describe(tmp_path / 'mine.yaml', 'net.onnx')
    assert not needs_making(values(path, confidence=True))
    with pytest.raises(SegnodeError, match='is not there'):
        needs_making(values('/none/such.onnx'))


def test_why_it_could_not_be_made_comes_back(tmp_path: Path, cache: Path) -> None:
    """One sentence, that of the other process."""
    (tmp_path / 'broken.onnx').write_bytes(b'this is no model')
    said: list[str] = []
    with pytest.raises(SegnodeError) as error:
        make(values(tmp_path / 'broken.onnx'), [''], lambda: True, said.append)
    assert 'broken.onnx' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.slow
def test_what_it_makes_is_found(cache: Path) -> None:
    """In the cache, so that nothing has to be exported here."""
    small_model = pytest.importorskip('small_model')
    given = values(small_model.stem(), input_size=(256, 256), confidence=True)
    make(given, ['front', 'left'], lambda: True, lambda text: None)
    script = (
        'import json, sys\n'
        'from segnode.ros.loaded_model import LoadedModel\n'
        'model = LoadedModel.load(json.loads(sys.argv[1]), [""])\n'
        'assert model.segmenter.input_size == (256, 256)\n'
        'print("torch" in sys.modules)\n')
    done = subprocess.run(
        [sys.executable, '-c', script, json.dumps(given)], capture_output=True, text=True,
        check=True)
    assert done.stdout.strip() == 'False', done.stdout + done.stderr


@pytest.mark.slow
def test_what_is_no_longer_wanted_ends_at_once(cache: Path) -> None:
    """And leaves nothing half-made."""
    small_model = pytest.importorskip('small_model')
    begun: list[float] = []

    def wanted() -> bool:
        if not begun and list(cache.rglob(f'*{TEMPORARY_SUFFIX}')):
            begun.append(time.monotonic())
        return not begun

    make(values(small_model.stem(), input_size=(256, 384)), [''], wanted, lambda text: None)
    assert begun and time.monotonic() - begun[0] < 60
    assert not list(cache.rglob(f'*{TEMPORARY_SUFFIX}'))


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_node(
        start_segment: Callable[..., Any], probe: Any, tmp_path: Path, number: signal.Signals
) -> None:
    """Told to stop in the middle of an export, the node ends as ever, with all that it started."""
    from probe import until
    small_model = pytest.importorskip('small_model')
    cache = tmp_path / 'cache'
    node = start_segment(model=small_model.stem(), runtime='onnx',
                         env={'XDG_CACHE_HOME': str(cache)})
    probe.until_state('active', 90)
    camera = probe.publisher()
    until(camera.get_subscription_count)
    with probe.collect('segmentation/labels') as labels:
        assert probe.set_parameter('input_size', [256, 256]) == (True, '')
        until(lambda: list(cache.rglob(f'*{TEMPORARY_SUFFIX}')), what='an export')
        (maker,) = set(processes_of(node.pid)) - {node.pid}
        os.kill(maker, signal.SIGSTOP)  # or it might be done with it by then
        probe.send_and_wait(camera, np.zeros((60, 80, 3), np.uint8), labels)
        node.send(number)
        until(lambda: not node.running)
        os.kill(maker, signal.SIGCONT)
    assert node.wait() == (0 if number == signal.SIGTERM else -number)
    until(lambda: not processes_of(node.pid), what='the end of all of it')
    until(lambda: not list(cache.rglob(f'*{TEMPORARY_SUFFIX}')))
    probe.node.destroy_publisher(camera)


def processes_of(session: int) -> list[int]:
    """Return the processes of a session that still run."""
    found = []
    for folder in Path('/proc').iterdir():
        if folder.name.isdigit():
            try:
                after_name = (folder / 'stat').read_text().rpartition(')')[2].split()
            except OSError:
                continue
            if int(after_name[3]) == session and after_name[0] != 'Z':
                found.append(int(folder.name))
    return found

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The facts of the machine, with and without a GPU's tool."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

from segnode.benchmarking import machine as module
from segnode.benchmarking.machine import gpu_memory, gpus, machine, peak_memory


def _tool(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tool = folder / 'nvidia-smi'
    tool.write_text(f'#!/bin/sh\n{script}\n')
    tool.chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')


def test_facts_are_plain_and_filled() -> None:
    facts = machine()
    assert json.loads(json.dumps(facts)) == facts
    assert facts['processor'] and 1 <= facts['usable_cores'] <= facts['cores']
    assert facts['versions']['numpy'] and facts['versions']['segnode']
    assert '' not in facts['versions'].values()
    if sys.platform == 'linux':
        assert 0 < facts['available_memory_gb'] <= facts['memory_gb']
        assert facts['load'] >= 0


def test_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tmp_path, monkeypatch, 'case "$1" in\n'
          '--query-gpu=*) echo "GPU A, 570.1, 8192, 200.00, 1980"; echo "GPU B, 9, 1, 2, 3";;\n'
          '*) printf "12, 300\\n34, 512\\n12, 20\\n56, [N/A]\\n";;\nesac')
    first, second = gpus()
    assert first['name'] == 'GPU A' and first['clocks.max.sm'] == '1980'
    assert second['power.limit'] == '2'
    assert machine()['gpus'] == [first, second]
    assert gpu_memory(34) == 512 * 2**20
    assert gpu_memory(12) == 320 * 2**20
    assert gpu_memory(56) is None and gpu_memory(78) is None


@pytest.mark.parametrize('script', ['exit 9', 'echo "NVIDIA-SMI has failed"'])
def test_a_tool_that_fails(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tmp_path, monkeypatch, script)
    assert gpus() == [] and gpu_memory(1) is None


def test_without_the_tool_or_the_systems_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', '/nowhere')
    monkeypatch.setattr(module, '_lines', lambda path: [])
    facts = machine()
    assert facts['gpus'] == [] and facts['memory_gb'] == 0 and facts['governor'] == ''
    assert facts['processor'], 'the name of the architecture'
    assert peak_memory() == 0


@pytest.mark.skipif(sys.platform != 'linux', reason='the peak is read from /proc')
def test_the_peak_is_that_of_the_program_alone() -> None:
    """Not what the process that started it had; and it stays when memory is given back."""
    ballast = bytearray(300_000_000)
    code = (
        'from segnode.benchmarking.machine import peak_memory; before = peak_memory(); '
        'x = bytearray(100_000_000); del x; print(before, peak_memory())'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 3e6 < before < 2e8 < len(ballast)
    assert 9e7 < after - before < 2e8

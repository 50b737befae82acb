# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Memory that a step frees is still the process's in the next, which then faults in nothing."""

import ctypes
import json
import subprocess
import sys

import pytest

from training import host_memory

STEPS = """
import json, resource, sys
import numpy as np
from training.host_memory import keep_freed_memory
kept = sys.argv[1] == 'kept' and keep_freed_memory()
faults = []
for step in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    maps = [np.ones(64 << 20, np.uint8) for _ in range(3)]
    del maps
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(json.dumps([kept, faults]))
"""


def faults(how):
    """Return what ``keep_freed_memory`` said, and the page faults of each step."""
    done = subprocess.run([sys.executable, '-c', STEPS, how], capture_output=True, text=True,
                          check=True, timeout=120)
    return json.loads(done.stdout)


def test_later_steps_fault_in_nothing():
    if not hasattr(ctypes.CDLL(None), 'mallopt'):
        pytest.skip('not glibc')
    kept, of_steps = faults('kept')
    _, usual = faults('given back')
    assert kept
    assert max(of_steps[1:]) < 0.01 * of_steps[0] < of_steps[0]
    assert min(usual[1:]) > 0.5 * usual[0]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: object())
    assert host_memory.keep_freed_memory() is False
    monkeypatch.setattr(sys, 'platform', 'darwin')
    assert host_memory.keep_freed_memory() is False

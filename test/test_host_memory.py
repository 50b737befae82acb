# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Memory that is kept for the next step, and such that is given back."""

import ctypes
import json
import subprocess
import sys

import pytest

from segnode import host_memory

STEPS = """
import json, resource, sys
import numpy as np
from segnode.host_memory import keep_freed_memory
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


BETWEEN = """
import json, resource
from pathlib import Path
from segnode.host_memory import give_back_freed_memory
def resident():
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()
blocks = [bytearray(b'1' * 100_000) for _ in range(1000)]
del blocks[:-1]  # all but what lies above them
before = resident()
print(json.dumps([give_back_freed_memory(), before - resident()]))
"""


def test_what_lies_below_goes_back():
    if not hasattr(ctypes.CDLL(None), 'malloc_trim'):
        pytest.skip('not glibc')
    done = subprocess.run([sys.executable, '-c', BETWEEN], capture_output=True, text=True,
                          check=True, timeout=120)
    there_were, given_back = json.loads(done.stdout)
    assert there_were and given_back > 50_000_000


THREADS = """
import json, sys, threading
from pathlib import Path
from segnode.host_memory import share_heap
shared = sys.argv[1] == 'shared' and share_heap()
kept, ready = [], threading.Barrier(9)
def work():
    kept.append(bytearray(100_000))
    ready.wait()
    ready.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
ready.wait()
mapped = sum(int(line.split()[0].split('-')[1], 16) - int(line.split()[0].split('-')[0], 16)
             for line in Path('/proc/self/maps').read_text().splitlines()
             if line.split()[1] == '---p')
ready.wait()
print(json.dumps([shared, mapped >> 20]))
"""


def test_threads_share_a_heap():
    if not hasattr(ctypes.CDLL(None), 'mallopt'):
        pytest.skip('not glibc')
    reserved = {}
    for how in ('shared', 'apart'):
        done = subprocess.run([sys.executable, '-c', THREADS, how], capture_output=True,
                              text=True, check=True, timeout=120)
        was_set, reserved[how] = json.loads(done.stdout)
        assert was_set == (how == 'shared')
    # What a heap reserves and does not use yet: almost 64 MiB for each.
    assert reserved['apart'] - reserved['shared'] > 4 * 60


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: object())
    functions = (host_memory.keep_freed_memory, host_memory.give_back_freed_memory,
                 host_memory.share_heap)
    assert not any(function() for function in functions)
    monkeypatch.setattr(sys, 'platform', 'darwin')
    assert not any(function() for function in functions)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a figure depends on beside the model: processor, GPU, their settings, other load, versions.

Read from the system's own files; what it does not tell is left out or empty.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
import platform
import subprocess
import time
from typing import Any

from segnode.available_memory import available_memory
from segnode.dependencies import versions

LIBRARIES = (
    'segnode', 'numpy', 'opencv-python-headless', 'onnx', 'onnxruntime', 'onnxruntime-gpu',
    'openvino', 'torch', 'tensorrt', 'tensorrt_rtx', 'torch2trt',
)
_GPU_FACTS = ('name', 'driver_version', 'memory.total', 'power.limit', 'clocks.max.sm')


def machine() -> dict[str, Any]:
    """Return the facts of this machine at this moment, plain values for JSON."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return {
        'processor': processor(),
        'cores': os.cpu_count(),
        'usable_cores': usable,
        'governor': _text('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'),
        'board': _text('/proc/device-tree/model').rstrip('\0'),
        'load': load(),
        'memory_gb': round(_memory('MemTotal') / 1e9, 1),
        'available_memory_gb': round(available_memory() / 1e9, 1),
        'gpus': gpus(),
        'system': f'{platform.system()} {platform.machine()}',
        'kernel': platform.release(),
        'python': platform.python_version(),
        'versions': {name: found for name, found in versions(*LIBRARIES).items() if found},
        'date': time.strftime('%Y-%m-%d'),
    }


def processor() -> str:
    """Return the processor's name."""
    for line in _lines('/proc/cpuinfo'):
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


def load() -> float | None:
    """Return how many processes wanted to run on average in the last minute; None if unknown."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def peak_memory() -> int:
    """Return the most bytes of memory that this process had at once; 0 where not known.

    That of the program that runs, unlike getrusage's, which begins with what the process that
    started it had.
    """
    for line in _lines('/proc/self/status'):
        if line.startswith('VmHWM:'):
            return 1024 * int(line.split()[1])
    return 0


def gpus() -> list[dict[str, str]]:
    """Return what nvidia-smi tells of each GPU; nothing without it."""
    rows = _nvidia_smi('--query-gpu', _GPU_FACTS)
    return [dict(zip(_GPU_FACTS, row)) for row in rows]


def gpu_memory(process: int) -> int | None:
    """Return the bytes of GPU memory that a process has; None where nvidia-smi does not say.

    In a container it may know processes by other numbers, and on a Jetson, whose GPU has the
    processor's memory, it counts none.
    """
    rows = _nvidia_smi('--query-compute-apps', ('pid', 'used_memory'))
    found = [row[1] for row in rows if row[0] == str(process)]
    with contextlib.suppress(ValueError):
        return sum(int(float(text)) for text in found) * 2**20 if found else None
    return None


def _nvidia_smi(query: str, names: tuple[str, ...]) -> list[list[str]]:
    command = ['nvidia-smi', f'{query}={",".join(names)}', '--format=csv,noheader,nounits']
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    if done.returncode:
        return []
    rows = [[cell.strip() for cell in line.split(',')] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == len(names)]


def _memory(name: str) -> int:
    for line in _lines('/proc/meminfo'):
        if line.startswith(f'{name}:'):
            return 1024 * int(line.split()[1])
    return 0


def _text(path: str) -> str:
    return '\n'.join(_lines(path)).strip()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except (OSError, ValueError):  # not Linux, or not there
        return []

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a device can do at best, measured: arithmetic by a large product, memory by a copy.

    python -m segnode.benchmarking.peaks cuda fp16

In a process of its own, since PyTorch has one pool of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

from segnode.dependencies import require
from segnode.errors import SegnodeError

PRECISIONS = {'fp32': 'float32', 'fp16': 'float16', 'bf16': 'bfloat16'}
SIDES = {'cpu': 2048, 'cuda': 8192}  # of the square matrices
BYTES = {'cpu': 2**28, 'cuda': 2**30}  # that are copied
REPEATS = 7  # the best counts


@dataclass(frozen=True)
class Peaks:
    """What a device reached.

    Args:
        device: 'cpu' or 'cuda'.
        precision: of the product.
        operations: multiplications and additions a second, 2 for one of each.
        bandwidth: bytes a second, read and written together.
    """

    device: str
    precision: str
    operations: float
    bandwidth: float


def measure_peaks(device: str, precision: str, threads: int) -> Peaks:
    """Measure in a new process.

    Args:
        device: 'cpu' or 'cuda'.
        precision: one of ``PRECISIONS``.
        threads: on the CPU.

    Raises:
        SegnodeError: no such device or precision, or PyTorch is not installed.
    """
    require('torch', 'measuring what the device can do')
    if precision not in PRECISIONS:
        raise SegnodeError(f'no peak is measured in {precision}; in {", ".join(PRECISIONS)} it is')
    root = str(Path(__file__).resolve().parent.parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run(
        [sys.executable, '-m', 'segnode.benchmarking.peaks', device, precision, str(threads)],
        capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': path},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ['no reason given'])[-1]
        raise SegnodeError(f'the peaks of {device} in {precision} were not measured: {last}')
    return Peaks(**json.loads(done.stdout.splitlines()[-1]))


def main(argv: list[str]) -> int:
    """Measure here and print a line of JSON."""
    import torch

    device, precision, threads = argv[0], argv[1], int(argv[2]) if len(argv) > 2 else 0
    if threads:
        torch.set_num_threads(threads)
    # Convolutions in float32 may use TF32 on a GPU, so the product may too.
    torch.backends.cuda.matmul.allow_tf32 = True
    kind = getattr(torch, PRECISIONS[precision])
    side = SIDES[device]
    with torch.inference_mode():
        left, right = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        out = torch.empty(side, side, device=device, dtype=kind)
        product = _best(torch, device, lambda: torch.mm(left, right, out=out))
        source = torch.ones(BYTES[device] // 4, device=device)
        target = torch.empty_like(source)
        copy = _best(torch, device, lambda: target.copy_(source))
    print(json.dumps(asdict(Peaks(
        device, precision, 2 * side**3 / product, 2 * BYTES[device] / copy))))
    return 0


def _best(torch: Any, device: str, work: Callable[[], Any]) -> float:
    """Return the seconds of the quickest of ``REPEATS`` calls, after one that is not counted."""
    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        if device == 'cuda':
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

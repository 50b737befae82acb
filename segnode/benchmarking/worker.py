# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The process that one candidate runs in: its memory is its own, and so is its end.

    python -m segnode.benchmarking.worker

Reads a candidate as a line of JSON and answers with a line of JSON when it is ready; then runs
once for each further line and answers with what that took. At the other end is
``segnode.benchmarking.measure``.
"""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
import sys
import time
from typing import Any

import numpy as np

from segnode.benchmarking.candidate import Candidate, EAGER
from segnode.benchmarking.images import load_images
from segnode.benchmarking.machine import peak_memory
from segnode.benchmarking.timing import eager, timed
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes import load_runtime
from segnode.runtimes.base import default_threads, PRECISIONS, working_size
from segnode.runtimes.choose import options_of

WARM_UP = 3  # runs that are not counted, after the one that made the labels


def main() -> int:
    """Answer until there are no more lines."""
    # What libraries print goes to standard error; the answers have the real standard output.
    out = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)

    def answer(facts: dict[str, Any]) -> None:
        out.write(json.dumps(facts) + '\n')

    candidate = Candidate.from_json(sys.stdin.readline())
    labels_file = sys.stdin.readline().strip()
    try:
        facts, run, images = _loaded(candidate, labels_file)
    except SegnodeError as error:
        answer({'error': str(error)})
        return 0
    except Exception as error:  # whatever it is, it is the answer
        text = ' '.join(str(error).split())
        answer({'error': f'{type(error).__name__}: {text}'[:300]})
        return 0
    answer(facts)
    for number, _ in enumerate(sys.stdin):
        image = images[number % len(images)]
        clock, processor = timed(lambda image=image: run(image))  # type: ignore[misc]
        answer({'clock': clock, 'processor': processor, 'peak_memory': peak_memory(),
                'gpu_memory': _gpu_memory()})
    return 0


def _loaded(
    candidate: Candidate, labels_file: str
) -> tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray], list[np.ndarray]]:
    """Return the facts of what was loaded, what runs it, and the batches that it runs.

    Args:
        candidate: what to load.
        labels_file: to write the labels of all batches to; '' when it is only to be loaded.
    """
    model = Model.load(candidate.model, allow_random_weights=candidate.allow_random_weights)
    size = working_size(model.record, candidate.input_size)
    start = time.perf_counter()
    facts: dict[str, Any] = {
        'name': model.name,
        'network': model.record.network,
        'network_args': model.record.network_args,
        'classes': model.record.label_set.num_classes,
        'random_weights': model.record.random,
        'input_size': list(size),
    }
    run: Callable[[np.ndarray], np.ndarray]
    if candidate.runtime == EAGER:
        import torch

        wanted = candidate.device or 'auto'
        cuda = wanted == 'cuda' or (wanted == 'auto' and torch.cuda.is_available())
        threads = candidate.threads or default_threads()
        run = eager(model, threads, 'cuda' if cuda else 'cpu')
        where = (torch.cuda.get_device_name() if cuda
                 else f'CPU, {threads} thread' + 's' * (threads > 1))
        facts |= {'runtime': EAGER, 'precision': 'fp32',
                  'details': f'PyTorch {torch.__version__} eager, {where}'}
    else:
        options = dict(candidate.options)
        if candidate.runtime != 'auto':
            known = options_of(candidate.runtime)
            for name in ('compile', 'dla_core', 'workspace'):
                if name not in known:  # they are for those runtimes of several that have them
                    options.pop(name, None)
            if 'batch' in known:
                options['batch'] = candidate.batch
        runtime = load_runtime(
            model, candidate.runtime, input_size=size, threads=candidate.threads, **options)
        facts |= {'runtime': runtime.name, 'details': runtime.details}

        def run(images: np.ndarray) -> np.ndarray:
            return np.asarray(runtime.run(images).labels)

    facts.setdefault('precision', precision_in(
        facts['details'], candidate.precision, model.record.conversion.get('precision', '')))
    facts['load_seconds'] = round(time.perf_counter() - start, 2)
    if not labels_file:
        return facts, run, []
    folder = Path(candidate.images) if candidate.images else None
    single = load_images(folder, size)
    images = [
        np.concatenate([single[(first + k) % len(single)] for k in range(candidate.batch)])
        for first in range(len(single))
    ]
    np.save(labels_file, np.concatenate([run(batch) for batch in images]))
    for _ in range(WARM_UP):
        run(images[0])
    return facts, run, images


def precision_in(details: str, asked: str, converted: str) -> str:
    """Return what a runtime computes in.

    Args:
        details: of the runtime; those that have a choice say in it what they chose.
        asked: of the runtime, '' for nothing.
        converted: what the model was converted to, '' where it was not.
    """
    if converted == 'int8':
        return converted  # what is not in int8 is in what the runtime says
    said = [name for name in PRECISIONS if name in details.split(', ')]
    return said[0] if said else asked or converted or 'fp32'


def _gpu_memory() -> int | None:
    """Return the bytes that PyTorch has taken of the GPU; None where it has not or is not here."""
    torch = sys.modules.get('torch')
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_reserved())


if __name__ == '__main__':
    sys.exit(main())

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``evaluate``: what a released model gets right."""

from __future__ import annotations

import argparse
from dataclasses import replace
import json
import os
from pathlib import Path
from typing import Any

from segnode.commands.arguments import output_file
from training.commands.arguments import add_inference, add_root, count, read_inference, read_roots

EPILOG = """
Figures are those of the Cityscapes benchmark: IoU of classes and categories over all pixels of
all frames together, and iIoU where every frame has its instance file. Accuracy is correct /
evaluated pixels, of a class the share of its pixels that was found. "of occurring classes" leaves
out classes that no frame has, which matters for a few frames only. Data of another label set are
mapped to the model's classes.
"""


def main(argv: list[str]) -> int:
    """Score a released model on one or several splits, as it runs on a vehicle."""
    from segnode.runtimes.base import LABELS_AT

    parser = argparse.ArgumentParser(
        prog='python -m training evaluate', description=main.__doc__, epilog=EPILOG
    )
    parser.add_argument('--data', nargs='+', default=['camvid:val'], metavar='DATASET[:SPLIT]',
                        help='what to look at; a split that is not named is val (default '
                        'camvid:val)')
    add_root(parser)
    parser.add_argument('--split', help='the split of every --data')
    parser.add_argument('--label-map', action='append', default=[], metavar='FILE',
                        help="your own YAML table from the data's classes to the model's")
    parser.add_argument('--limit', type=count, metavar='N',
                        help='N frames, evenly taken from all of them')
    parser.add_argument('--processes', type=count, default=1, metavar='N',
                        help='frames are shared out among N processes and as many GPUs as there '
                        'are; the result is the same to the last bit')
    add_inference(parser)
    parser.add_argument('--labels-at', default='image', choices=tuple(LABELS_AT),
                        help='size at which the class is chosen: faster and coarser labels, which '
                        'are enlarged and compared with the whole truth (default %(default)s)')
    out = parser.add_argument_group('results')
    out.add_argument('--json', action='store_true', help='print JSON')
    out.add_argument('--report', type=output_file, metavar='FILE.html',
                     help='write a page with all figures and the best and worst frames')
    out.add_argument('--save', type=Path, metavar='FOLDER',
                     help='write what the model says, train ids, as DATASET/KEY.png')
    given = parser.parse_args(argv)
    from training.evaluate import evenly
    from training.evaluate_parallel import evaluate_parallel, Task

    data = [_spec(text, given.split) for text in given.data]
    inference = replace(read_inference(given), labels_at=given.labels_at)
    if given.processes > 1 and not inference.threads:
        threads = max(1, (os.cpu_count() or 1) // given.processes)
        inference = replace(inference, threads=threads)
    task = Task(inference, tuple(data), read_roots(given.root, data), tuple(given.label_map),
                given.save)
    loaded = inference.load()
    try:
        pool = task.pool(loaded.label_set)
        result = evaluate_parallel(
            task, loaded, pool, evenly(len(pool), given.limit), given.processes,
            progress=not given.json,
        )
        answer: dict[str, Any] = {'inference': inference.describe(loaded), **result.to_dict()}
        if given.report:
            from training.report import write_report

            write_report(given.report, result, loaded, pool, answer['inference'])
            answer['report'] = str(given.report)
    finally:
        loaded.close()
    if given.json:
        print(json.dumps(answer))
        return 0
    print(result.table())
    for what, where in (('report', given.report), ('label pictures', given.save)):
        if where:
            print(f'{what}: {where}')
    return 0


def _spec(text: str, split: str | None) -> str:
    """Return DATASET:SPLIT."""
    name, _, own = text.partition(':')
    return f'{name}:{split or own or "val"}'

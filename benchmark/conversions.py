# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What lower precisions do to every released model: mean IoU, labels, size.

    python -m benchmark.conversions --json FILE

Each is converted as ``python -m training convert`` does it, into a folder that goes away, and
measured on all validation frames; int8 takes its ranges from training frames. A precision that
costs too much, or whose runtime is not installed, has null and the reason.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
import tempfile
from typing import Any

from benchmark.released_models import released
from segnode.benchmarking.machine import processor
from segnode.commands.arguments import output_file
from segnode.dependencies import versions
from segnode.errors import SegnodeError
from segnode.model import Model
from training.commands.arguments import add_root, count, read_roots
from training.convert.frames import Frames, open_frames
from training.convert.run import convert, Options

# Target, precision, and what int8 leaves is in.
CONVERSIONS = (
    ('onnx', 'fp16', 'fp32'), ('openvino', 'bf16', 'fp32'), ('onnx', 'int8', 'fp32'),
    ('openvino', 'int8', 'fp32'), ('onnx', 'int8', 'fp16'),
)


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table in Markdown; 1 where there is nothing to measure."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmark.conversions',
        description='What fp16, bf16 and int8 do to the released models of one label set.')
    parser.add_argument('--label-set', default='camvid', help='default: %(default)s')
    parser.add_argument('--data', nargs='+', default=['camvid:val'], metavar='DATASET:SPLIT',
                        help='to measure with (default: camvid:val)')
    parser.add_argument('--limit', type=count, metavar='N', help='N of its frames')
    parser.add_argument('--calibrate', nargs='+', default=['camvid:train'],
                        metavar='DATASET:SPLIT', help='for int8 (default: camvid:train)')
    parser.add_argument('--frames', type=count, default=64, metavar='N',
                        help='N of those (default: %(default)s)')
    parser.add_argument('--json', type=output_file, help='write the answer to this file')
    add_root(parser)
    given = parser.parse_args(argv)
    try:
        answer = measure(given)
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(table(answer))
    return 0


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Return the machine, and a row per model and conversion.

    Raises:
        SegnodeError: there is no released model of the label set, or there are no such frames.
    """
    answer: dict[str, Any] = {
        'processor': processor(), 'versions': versions('segnode', 'onnxruntime', 'openvino'),
        'data': '+'.join(given.data), 'calibration': '+'.join(given.calibrate), 'rows': [],
    }
    roots = read_roots(given.root, [*given.data, *given.calibrate])
    for model in released(given.label_set):
        if model.record.conversion:
            continue
        labels = model.record.label_set
        data = open_frames(given.data, labels, roots=roots, limit=given.limit)
        calibration = open_frames(given.calibrate, labels, roots=roots, limit=given.frames)
        answer['data_frames'], answer['calibration_frames'] = len(data), len(calibration)
        for target, precision, rest in CONVERSIONS:
            row = {'model': model.name, 'target': target, 'precision': precision, 'rest': rest,
                   **_converted(model, target, precision, rest, data, calibration)}
            answer['rows'].append(row)
            print(row, file=sys.stderr, flush=True)
            if given.json:
                given.json.write_text(json.dumps(answer, indent=1) + '\n')
    return answer


def _converted(
    model: Model, target: str, precision: str, rest: str, data: Frames, calibration: Frames
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix='segnode_benchmark_') as folder:
        try:
            report = convert(model, target, precision, Options(
                data=data, stem=Path(folder) / model.name, rest=rest, progress=False,
                calibration=calibration if precision == 'int8' else None))
        except SegnodeError as error:
            return {'miou_before': None, 'miou_after': None, 'agreement': None, 'bytes': None,
                    'reason': str(error)}
    return {
        'miou_before': report.miou_before, 'miou_after': report.miou_after,
        'agreement': report.comparison.agreement, 'compared_frames': report.comparison.frames,
        'bytes_before': report.bytes_before, 'bytes': report.bytes_after,
        'int8_layers': report.facts.get('int8_layers', 0),
        'float_layers': len(report.facts.get('float_layers', ())), 'reason': '',
    }


def table(answer: dict[str, Any]) -> str:
    """Return the answer as text and a table in Markdown."""
    lines = [
        f'{answer["data"]} ({answer["data_frames"]} frames), ranges from '
        f'{answer["calibration_frames"]} frames of {answer["calibration"]}, '
        f'{answer["processor"]}', '',
        '| model | precision | mIoU, % | fp32, % | same labels, % | MB |', '|' + '---|' * 6,
    ]
    for row in answer['rows']:
        name = f'`{row["model"]}` | {row["precision"]} (`{row["target"]}`'
        name += f', rest {row["rest"]})' if row['rest'] != 'fp32' else ')'
        if row['reason']:
            lines.append(f'| {name} | {row["reason"]} | - | - | - |')
            continue
        lines.append(
            f'| {name} | {100 * row["miou_after"]:.2f} | {100 * row["miou_before"]:.2f} | '
            f'{100 * row["agreement"]:.2f} | {row["bytes"] / 1e6:.2f} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())

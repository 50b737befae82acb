# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``convert``: another precision or size of a released model, with what that costs."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from segnode.commands.arguments import fraction, image_size, output_file
from training.commands.arguments import add_root, count, read_roots, whole_number

EPILOG = """
The file made is an .onnx that runs without PyTorch and is found by name; its record says what was
converted, how, and what was measured. Labels and logits are compared with those of the model in
float32 in the same runtime. With labelled frames the mean IoU is measured before and after. Below
--min-agreement nothing is kept. int8 leaves convolutions in float until it costs no more mean IoU
than --max-drop: first those which, alone in int8, change most labels. The first convolution and
the last ones always stay in float.
"""


def main(argv: list[str]) -> int:
    """Convert a released model to another precision or size and report what that changes."""
    from training.convert.run import MAX_DROP, MIN_AGREEMENT
    from training.convert.targets import TARGETS

    precisions = list(dict.fromkeys(p for t in TARGETS.values() for p in t.precisions))
    least = ', '.join(f'{share:g} for {name}' for name, share in MIN_AGREEMENT.items())
    parser = argparse.ArgumentParser(
        prog='python -m training convert', description=main.__doc__, epilog=EPILOG
    )
    parser.add_argument('--model', default='fsffnet',
                        help='name or path of a released model (default %(default)s)')
    parser.add_argument('--to', required=True, choices=TARGETS, dest='target',
                        help='what it is for; tensorrt: an engine is built of it, too; torch2trt: '
                        'an engine for this GPU alone, and no file')
    parser.add_argument('--precision', default='fp32', choices=precisions,
                        help='of the network (default %(default)s)')
    parser.add_argument('--input-size', type=image_size, metavar='HxW',
                        help="size that the network works at (default: the model's own)")
    parser.add_argument('--batch', type=count, default=1, metavar='N',
                        help='images at once of an engine and of the times (default %(default)s; '
                        'the batch of the .onnx stays open)')
    parser.add_argument('--out', type=Path, metavar='STEM',
                        help='the file, a path without suffix; by default MODEL_PRECISION in the '
                        "user's data folder, where it is found by name")
    data = parser.add_argument_group('frames')
    data.add_argument('--data', '--evaluate', nargs='+', default=[], metavar='DATASET:SPLIT',
                      help='frames to measure with, or a folder of images for the agreement alone '
                      '(default: rendered ones)')
    data.add_argument('--limit', type=count, metavar='N',
                      help='N of them, evenly taken from all')
    data.add_argument('--calibrate', nargs='+', default=[], metavar='DATASET:SPLIT',
                      help="frames, or a folder of images, that int8's ranges are taken from")
    data.add_argument('--frames', type=count, default=128, metavar='N',
                      help='N of those, evenly taken from all (default %(default)s)')
    add_root(data)  # type: ignore[arg-type]
    data.add_argument('--label-map', action='append', default=[], metavar='FILE',
                      help="your own YAML table from the data's classes to the model's")
    bounds = parser.add_argument_group('bounds')
    bounds.add_argument('--min-agreement', type=fraction, metavar='SHARE',
                        help=f'of equal labels below which nothing is kept (default {least})')
    bounds.add_argument('--max-drop', type=fraction, default=MAX_DROP, metavar='SHARE',
                        help='of the mean IoU that int8 may cost, 0.01 is one point (default '
                        '%(default)s)')
    bounds.add_argument('--keep-layers', nargs='+', default=[], metavar='NAME',
                        help='convolutions that int8 leaves in float whatever they cost, by name, '
                        '* for any part of one (a name that there is not lists all)')
    bounds.add_argument('--rest', choices=('fp32', 'fp16'), default='fp32',
                        help='what int8 leaves is in; fp16 for TensorRT 11 and TensorRT for RTX, '
                        'which compute in the types of the file (default %(default)s)')
    parser.add_argument('--threads', type=whole_number, default=0, metavar='N',
                        help='on the CPU; 0 = default')
    parser.add_argument('--report', type=output_file, action='append', default=[], metavar='FILE',
                        help='write the report as .json or .md; may be given several times')
    parser.add_argument('--json', action='store_true', help='print JSON')
    given = parser.parse_args(argv)

    from segnode.errors import SegnodeError
    from segnode.model import Model
    from training.convert.frames import open_frames
    from training.convert.report import SUFFIXES
    from training.convert.run import convert, Options
    from training.convert.targets import find_target

    logging.basicConfig(level=logging.INFO, format='%(message)s')
    for path in given.report:
        if path.suffix not in SUFFIXES:
            raise SegnodeError(f'a report is a {" or a ".join(SUFFIXES)} file, not {path.name}')
    find_target(given.target, given.precision)
    model = Model.load(given.model)
    labels = model.record.label_set
    roots = read_roots(given.root, [*given.data, *given.calibrate])
    calibration = None
    if given.calibrate:
        calibration = open_frames(
            given.calibrate, labels, roots=roots, label_maps=given.label_map, limit=given.frames)
    report = convert(model, given.target, given.precision, Options(
        data=open_frames(given.data, labels, roots=roots, label_maps=given.label_map,
                         limit=given.limit),
        stem=given.out, input_size=given.input_size, batch=given.batch, calibration=calibration,
        min_agreement=given.min_agreement, max_drop=given.max_drop, threads=given.threads,
        keep=tuple(given.keep_layers), rest=given.rest, progress=not given.json,
    ))
    for path in given.report:
        report.write(path)
    print(json.dumps(report.to_dict()) if given.json else report.text())
    return 0

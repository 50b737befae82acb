# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``check-data``: what there is, and what is wrong with it, before anything is trained."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, TYPE_CHECKING

from segnode.errors import SegnodeError
from segnode.files import check_writable, write_result
from training.commands.arguments import add_root, read_roots

if TYPE_CHECKING:
    from training.check_data import SplitCheck

SHOWN = 10  # files of a kind that are named on the screen; all of them are in the report


def main(argv: list[str]) -> int:
    """Look through datasets: files, pairs, sizes, label values, classes, shared frames."""
    parser = argparse.ArgumentParser(
        prog='python -m training check-data', description=main.__doc__,
        epilog='Exit status 1 where something is wrong. Without --quick every image and label is '
               'decoded.',
    )
    parser.add_argument('data', nargs='+', metavar='DATASET[:SPLIT]',
                        help='what to look at; without a split, those that are there')
    add_root(parser)
    parser.add_argument('--quick', action='store_true',
                        help='names and sizes only; decodes nothing')
    parser.add_argument('--out', type=Path, default=Path('check_data'),
                        help='folder of report.json and the pictures (default check_data)')
    parser.add_argument('--json', action='store_true', help='print the report as JSON')
    given = parser.parse_args(argv)
    from training.check_data import check_split, overlaps
    from training.datasets.registry import dataset

    roots = read_roots(given.root, given.data)
    pools = []
    for spec in given.data:
        name, _, split = spec.partition(':')
        found = dataset(name)
        folder = found.folder(roots.get(name) or roots.get(found.images_of))
        pools += [(found, folder, each) for each in ([split] if split else _splits(name, folder))]
    check_writable(given.out / 'report.json')  # before minutes of reading
    checks = [
        check_split(found, folder, split, quick=given.quick, progress=not given.json)
        for found, folder, split in pools
    ]
    shared = overlaps(checks)
    report = {'splits': [check.to_dict() for check in checks], 'overlaps': shared}
    if not given.json:
        for check in checks:
            print(_text(check))
        for sentence in shared:
            print(f'OVERLAP: {sentence}')
    write_result(given.out / 'report.json', json.dumps(report, indent=1))
    written = [given.out / 'report.json']
    if not given.quick:
        written += _pictures(checks, pools, given.out)
    if given.json:
        print(json.dumps(report))
    else:
        print('written: ' + ', '.join(map(str, written)))
    wrong = shared or any(c.faults or c.unmatched or c.strange for c in checks)
    return 1 if wrong else 0


def _splits(name: str, folder: Path) -> list[str]:
    """Return the published splits of a dataset that are in this folder.

    Raises:
        SegnodeError: none of them is.
    """
    from training.datasets.registry import dataset

    found: list[tuple[str, Any]] = []
    reasons = []
    for split in dataset(name).counts:
        try:
            images, labels = dataset(name).files(folder, split)
        except SegnodeError as error:
            reasons.append(str(error))
            continue
        # A name for a split that was seen under another one ("train" is "training") is skipped.
        if images and labels and images not in [files for _, files in found]:
            found.append((split, images))
    if not found:
        raise SegnodeError(reasons[0] if reasons else f'{folder} has no split of {name}.')
    return [split for split, _ in found]


def _text(check: SplitCheck) -> str:
    official = f' of {check.official} published' if check.official else ''
    lines = [
        f'{check.name}: {check.images} images{official}, {check.labels} label files, '
        f'{len(check.unmatched)} without partner, {len(check.faults)} with faults'
    ]
    sizes = ', '.join(f'{h}x{w} ({n})' for (h, w), n in check.sizes.most_common(5))
    if sizes:
        lines.append(f'  sizes: {sizes}' + (' ...' if len(check.sizes) > 5 else ''))
    for title, entries in (('no partner', check.unmatched), ('fault', check.faults),
                           ('of another published split', check.strange)):
        lines += [f'  {title}: {entry}' for entry in entries[:SHOWN]]
        if len(entries) > SHOWN:
            lines.append(f'  ... and {len(entries) - SHOWN} more, all in report.json')
    total = int(check.pixels.sum())
    if total:
        frames = max(1, sum(check.sizes.values()))
        lines.append(f'  {"class":24} {"% of pixels":>12} {"% of frames":>12}')
        lines += [
            f'  {name:24} {100 * pixels / total:12.3f} {100 * seen / frames:12.1f}'
            for name, pixels, seen in zip(check.classes.names, check.pixels, check.frames)
        ]
        ignored = 100 * check.ignored / (total + check.ignored)
        lines.append(f'  {"unlabelled":24} {ignored:12.3f}   (of all pixels)')
        if check.never:
            lines.append(f'  never: {", ".join(check.never)}')
    return '\n'.join(lines)


def _pictures(checks: list[SplitCheck], pools: list[Any], out: Path) -> list[Path]:
    from training.data_pictures import class_histogram, contact_sheet
    from training.datasets.base import Sample
    from training.datasets.source import Source

    written = []
    groups: dict[tuple[str, ...], list[SplitCheck]] = {}
    for check in checks:
        groups.setdefault(check.classes.names, []).append(check)
    for group in groups.values():
        path = out / f'classes_{group[0].classes.name}.png'
        class_histogram(group, path)
        written.append(path)
    for check, (found, folder, split) in zip(checks, pools):
        images, labels = found.files(folder, split)
        samples = [Sample(k, images[k], labels[k]) for k in sorted(check.contents)]
        if samples:
            path = out / f'{check.name.replace(":", "_")}.jpg'
            contact_sheet(Source(found, split, samples, check.classes, None), path)
            written.append(path)
    return written

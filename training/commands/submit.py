# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``submit``: the files that a benchmark's server takes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training.commands.arguments import add_inference, add_root, read_inference, read_roots

EPILOG = """
Cityscapes: one PNG of label ids for every image, 1024x2048, CITY_SEQUENCE_FRAME_labelIds.png, in
CITYSCAPES_RESULTS or else in results below the dataset, where cityscapesScripts looks for them.
BDD100K: one PNG of train ids for every image, 720x1280, with the image's stem. Every file is read
back and checked.
"""


def main(argv: list[str]) -> int:
    """Segment a benchmark's test images (or another split) and write what its server takes."""
    parser = argparse.ArgumentParser(
        prog='python -m training submit', description=main.__doc__, epilog=EPILOG
    )
    parser.add_argument('data', metavar='DATASET:SPLIT',
                        help='cityscapes or bdd100k, such as cityscapes:test')
    add_root(parser)
    parser.add_argument('--out', type=Path, metavar='FOLDER', help='where the files go')
    parser.add_argument('--zip', action='store_true', help='pack them into FOLDER.zip, too')
    parser.add_argument('--partial', action='store_true',
                        help='go on where the split is not complete')
    parser.add_argument('--json', action='store_true', help='print JSON')
    add_inference(parser)
    given = parser.parse_args(argv)
    from training.submit import submit as run

    roots = read_roots(given.root, [given.data])
    loaded = read_inference(given).load()
    try:
        done = run(
            loaded, given.data, roots.get(given.data.partition(':')[0]), out=given.out,
            archive=given.zip, partial=given.partial, progress=not given.json,
        )
    finally:
        loaded.close()
    answer = {'folder': str(done.folder), 'files': done.files,
              'archive': done.archive and str(done.archive), 'warning': done.warning}
    if given.json:
        print(json.dumps(answer))
        return 0
    print(f'{done.files} files in {done.folder}, checked')
    if done.archive:
        print(f'packed: {done.archive}')
    if done.warning:
        print(f'NOT COMPLETE: {done.warning}')
    return 0

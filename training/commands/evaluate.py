# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``evaluate``: the mean IoU of a released model."""

from __future__ import annotations

import argparse
import json


def main(argv: list[str]) -> int:
    """Mean IoU of a released model on a split."""
    from segnode.runtimes import RUNTIMES

    parser = argparse.ArgumentParser(
        prog='python -m training evaluate', description=main.__doc__
    )
    parser.add_argument('--model', default='fsffnet', help='name or path of a released model')
    parser.add_argument('--runtime', default='auto', choices=RUNTIMES)
    parser.add_argument('--data', default='camvid', help='dataset (default camvid)')
    parser.add_argument('--root', help='its folder; by default the variable CAMVID_DATASET')
    parser.add_argument('--split', default='val', help='split (default val)')
    parser.add_argument('--fit', default='stretch', choices=('stretch', 'letterbox', 'crop'))
    parser.add_argument('--json', action='store_true', help='print JSON')
    given = parser.parse_args(argv)
    from segnode.labels import load_label_set
    from segnode.segmenter import Segmenter
    from training.datasets.registry import dataset, dataset_root
    from training.evaluate import evaluate as run

    reader = dataset(given.data)
    samples = reader.find_samples(dataset_root(given.data, given.root, '--root'), given.split)
    segmenter = Segmenter.load(given.model, runtime=given.runtime, fit=given.fit)
    result = run(segmenter, reader, samples, load_label_set(reader.LABEL_SET))
    print(json.dumps(result.to_dict()) if given.json else result.table())
    return 0

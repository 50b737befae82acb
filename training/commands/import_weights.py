# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``import-weights``: from a file of somebody else's weights to a released model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from segnode.commands.arguments import image_size
from segnode.networks.zoo import NETWORKS

EPILOG = """
The file is read without running anything in it. Its names are mapped to ours by the layout that
knows them; a file that fits only in part is refused. A layout also knows how the images of these
weights are prepared: --mean, --std and --color-order are for files whose training differs.
"""


def main(argv: list[str]) -> int:
    """Turn a file of weights from elsewhere into a released model (.safetensors and .onnx)."""
    parser = argparse.ArgumentParser(
        prog='python -m training import-weights', description=main.__doc__, epilog=EPILOG
    )
    parser.add_argument('file', type=Path, metavar='FILE', help='.pth, .pt, .ckpt, .safetensors')
    parser.add_argument('--network', required=True, metavar='NAME',
                        help=f'the network that it holds: {", ".join(NETWORKS)}')
    parser.add_argument('--out', type=Path, metavar='STEM',
                        help='the model, a path without suffix; by default NETWORK_LABELSET in '
                        "the user's data folder, where the node finds it by name")
    parser.add_argument('--labels', metavar='SET',
                        help='cityscapes, camvid, mapillary or FILE.yaml; by default told from '
                        'the number of outputs')
    parser.add_argument('--input-size', type=image_size, metavar='HxW', help='such as 512x1024')
    parser.add_argument('--layout', metavar='NAME', help='where the file is not to be asked')
    parser.add_argument('--mean', type=float, nargs=3, metavar=('R', 'G', 'B'),
                        help='of pixels scaled to 0..1')
    parser.add_argument('--std', type=float, nargs=3, metavar=('R', 'G', 'B'), help='likewise')
    parser.add_argument('--color-order', choices=('rgb', 'bgr'), help="of the network's input")
    parser.add_argument('--licence', default='', metavar='TEXT',
                        help='of data and weights, for the record')
    parser.add_argument('--dry-run', action='store_true', help='check all, write nothing')
    parser.add_argument('--json', action='store_true', help='print JSON')
    given = parser.parse_args(argv)
    from training.import_weights.run import import_weights

    result = import_weights(
        given.file,
        given.network,
        stem=given.out,
        labels=given.labels,
        input_size=given.input_size,
        layout=given.layout,
        mean=given.mean and tuple(given.mean),
        std=given.std and tuple(given.std),
        color_order=given.color_order,
        licence=given.licence,
        dry_run=given.dry_run,
    )
    print(json.dumps(result.to_dict()) if given.json else result.table())
    return 0

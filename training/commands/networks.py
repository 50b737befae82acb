# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``networks``: what can be trained, and what is known of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
import json
from typing import Any

from segnode.commands.arguments import image_size, table
from segnode.errors import SegnodeError
from segnode.network_table import cells, FULL_SIZE, header, Released, released
from segnode.networks.zoo import network_info, NetworkInfo, NETWORKS
from segnode.store import entries

NOTES = """
Parameters and multiply-adds are those of inference with 19 classes; multiply-adds are those of
convolutions and fully connected layers ("-": the network does not take this size). "released" are
the models found here with their recorded mean IoU, "published" is what others state of theirs,
in percent:
"""


def main(argv: list[str]) -> int:
    """List the networks that can be trained, what they cost and what others published of them."""
    parser = argparse.ArgumentParser(
        prog='python -m training networks', description=main.__doc__
    )
    parser.add_argument('names', nargs='*', metavar='NAME', help='these alone (default: all)')
    parser.add_argument(
        '--size', type=image_size, metavar='HxW',
        help='count multiply-adds of images of this size, which needs PyTorch (default: '
        '{}x{}, from the table of networks)'.format(*FULL_SIZE),
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    given = parser.parse_args(argv)
    infos = [network_info(name) for name in given.names or NETWORKS]
    models = released(entries())
    counts = {info.name: _multiply_adds(info, given.size) for info in infos}
    size = given.size or FULL_SIZE
    if given.json:
        facts = [_facts(i, size, counts[i.name], models.get(i.name, ())) for i in infos]
        print(json.dumps(facts))
        return 0
    rows = [cells(info, counts[info.name], models.get(info.name, ())) for info in infos]
    print(table([header(size), *rows]))
    print(NOTES)
    figures: list[tuple[str, ...]] = [
        (info.name, str(figure)) for info in infos for figure in info.published
    ]
    if figures:
        print(table(figures))
    return 0


def _multiply_adds(info: NetworkInfo, size: tuple[int, int] | None) -> int | None:
    """Return the count at ``size``; None where the network does not take that size."""
    if size is None:
        return info.multiply_adds
    try:
        info.check_input_size(size)
    except SegnodeError:
        return None
    from segnode.networks.multiply_adds import multiply_adds

    return multiply_adds(info.name, size)


def _facts(
    info: NetworkInfo, size: tuple[int, int], count: int | None, models: Sequence[Released]
) -> dict[str, Any]:
    return {
        'name': info.name,
        'parameters_at_19': info.parameters_at_19,
        'input_size': size,
        'multiply_adds': count,
        'output_stride': info.output_stride,
        'size_multiple': info.size_multiple,
        'released': [asdict(model) for model in models],
        'published': [asdict(figure) for figure in info.published],
        'source': info.source,
    }

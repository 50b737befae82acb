# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``networks``: what can be trained."""

from __future__ import annotations

import argparse
import json

from segnode.errors import SegnodeError


def main(argv: list[str]) -> int:
    """List the networks that can be trained."""
    parser = argparse.ArgumentParser(
        prog='python -m training networks', description=main.__doc__
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    given = parser.parse_args(argv)
    from segnode.networks.zoo import NETWORKS

    if not NETWORKS:
        raise SegnodeError('The zoo is empty.')
    if given.json:
        keys = ('name', 'parameters_at_19', 'output_stride', 'size_multiple', 'source')
        print(json.dumps([{k: getattr(info, k) for k in keys} for info in NETWORKS.values()]))
        return 0
    print(f'{"network":28} {"parameters (19 classes)":>24} {"stride":>7} {"sides x":>8}  source')
    for info in NETWORKS.values():
        print(
            f'{info.name:28} {info.parameters_at_19:>24,} {info.output_stride:>7} '
            f'{info.size_multiple:>8}  {info.source}'
        )
    return 0

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``cache``: what was exported and built for this machine."""

from __future__ import annotations

import argparse
import re
import time

from segnode.commands.arguments import parser, print_json, table
from segnode.runtimes.cache import cache_folder, clear, entries
from segnode.runtimes.cache_size import size_limit

_UNITS = {'m': 60.0, 'h': 3600.0, 'd': 86400.0, 'w': 604800.0}


def main(argv: list[str]) -> int:
    """List the cache or clear it."""
    arguments = parser(
        'cache', 'List or clear the graphs that were exported and the engines that were built.'
    )
    arguments.add_argument('action', choices=('list', 'clear'), nargs='?', default='list')
    arguments.add_argument(
        '--older-than', type=_age, default=0.0, metavar='AGE',
        help='of clear: only what was not used for so long, such as 12h, 30d or 8w')
    options = arguments.parse_args(argv)
    if options.action == 'clear':
        count, size = clear(options.older_than)
        if options.json:
            print_json({'folder': str(cache_folder()), 'files': count, 'bytes': size})
        else:
            print(f'deleted {count} files, {size / 1e6:.1f} MB, from {cache_folder()}')
        return 0
    if options.older_than:
        arguments.error('--older-than is an option of clear')
    found = entries()
    if options.json:
        print_json({
            'folder': str(cache_folder()),
            'limit': size_limit(),
            'entries': [
                {'name': e.path.name, 'bytes': e.size, 'made': e.made, 'used': e.used,
                 'valid': e.valid, 'made_from': e.made_from, 'facts': e.facts}
                for e in found
            ],
        })
        return 0
    total = sum(entry.size for entry in found)
    print(f'{cache_folder()}: {len(found)} entries, {total / 1e6:.1f} of '
          f'{size_limit() / 1e6:.0f} MB (SEGNODE_CACHE_SIZE)')
    if found:
        print(table([
            ('NAME', 'SIZE', 'MADE', 'USED', ''),
            *((e.path.name, f'{e.size / 1e6:.1f} MB', _date(e.made), _date(e.used),
               '' if e.valid else 'damaged: will be made again') for e in found),
        ]))
    return 0


def _date(seconds: float) -> str:
    return time.strftime('%Y-%m-%d %H:%M', time.localtime(seconds))


def _age(text: str) -> float:
    """Read a number and a unit as seconds."""
    match = re.fullmatch(r'(\d+(?:\.\d+)?)([mhdw])', text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f'{text!r} is not an age such as 12h, 30d or 8w')
    return float(match[1]) * _UNITS[match[2]]

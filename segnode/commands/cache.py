# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``cache``: what was exported for this machine."""

from __future__ import annotations

import time

from segnode.commands.arguments import parser, print_json, table
from segnode.runtimes.cache import cache_folder, clear, entries


def main(argv: list[str]) -> int:
    """List the cache or clear it."""
    arguments = parser(
        'cache', 'List or clear the graphs that were exported for other input sizes.'
    )
    arguments.add_argument('action', choices=('list', 'clear'), nargs='?', default='list')
    options = arguments.parse_args(argv)
    if options.action == 'clear':
        count, size = clear()
        if options.json:
            print_json({'folder': str(cache_folder()), 'files': count, 'bytes': size})
        else:
            print(f'deleted {count} files, {size / 1e6:.1f} MB, from {cache_folder()}')
        return 0
    found = entries()
    if options.json:
        print_json({
            'folder': str(cache_folder()),
            'entries': [
                {'name': e.path.name, 'bytes': e.size, 'made': e.made, 'valid': e.valid,
                 'made_from': e.made_from}
                for e in found
            ],
        })
        return 0
    print(f'{cache_folder()}: {len(found)} entries')
    if found:
        print(table([
            (e.path.name, f'{e.size / 1e6:.1f} MB',
             time.strftime('%Y-%m-%d %H:%M', time.localtime(e.made)),
             '' if e.valid else 'damaged: will be made again')
            for e in found
        ]))
    return 0

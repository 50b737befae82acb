# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Fills the tables of README.md and docs/*.md from the code's own declarations.

    python -m segnode.ros.describe README.md docs/*.md            write the tables anew
    python -m segnode.ros.describe --check README.md docs/*.md    exit 1 when one is out of date

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``. Needs no ROS.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
import re
import sys

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from segnode.network_table import cells, header, released
from segnode.networks.zoo import NETWORKS
from segnode.ros import camera_drivers, launch_arguments, own_parameters, parameters, topics
from segnode.store import entries, folders

BUILT_IN_SETS = ('cityscapes', 'camvid', 'mapillary')
REGION = re.compile(r'(<!-- table: (?P<name>[\w ]+) -->\n)(?P<body>.*?)(<!-- end of table -->)',
                    re.DOTALL)


def label_set_table() -> str:
    """Return the table of the built-in label sets."""
    lines = ['| name | classes | names |', '|---|---|---|']
    for name in BUILT_IN_SETS:
        names = load_label_set(name).names
        shown = ', '.join(names) if len(names) < 20 else ', '.join(names[:4]) + ', ...'
        lines.append(f'| `{name}` | {len(names)} | {shown} |')
    return '\n'.join(lines) + '\n'


def network_table() -> str:
    """Return the table of the networks, with the models that this package itself releases."""
    own = folders()[0]
    models = released(entry for entry in entries() if entry.folder == own)
    columns = header()
    lines = [f'| {" | ".join(columns)} |', '|' + '---|' * len(columns)]
    for info in NETWORKS.values():
        name, *others = cells(info, info.multiply_adds, models.get(info.name, ()))
        lines.append(f'| `{name}` | {" | ".join(others)} |')
    return '\n'.join(lines) + '\n'


TABLES: dict[str, Callable[[], str]] = {
    'topics': topics.markdown_table,
    'parameters': parameters.markdown_table,
    'launch arguments': launch_arguments.markdown_table,
    'camera launch arguments': lambda: launch_arguments.markdown_table(
        camera_drivers.CAMERA_ARGUMENTS),
    'camera drivers': camera_drivers.markdown_table,
    'player parameters': lambda: own_parameters.markdown_table(own_parameters.PLAYER),
    'recorder parameters': lambda: own_parameters.markdown_table(own_parameters.RECORDER),
    'points parameters': lambda: own_parameters.markdown_table(own_parameters.POINTS),
    'label sets': label_set_table,
    'networks': network_table,
}


def filled(text: str) -> str:
    """Return the text with every table made anew.

    Raises:
        SegnodeError: a region names a table that there is not.
    """
    def table(match: re.Match[str]) -> str:
        name = match['name']
        if name not in TABLES:
            raise SegnodeError(f'there is no table {name!r}: the tables are {", ".join(TABLES)}')
        return match[1] + TABLES[name]() + match[4]
    return REGION.sub(table, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill or check the files; return the exit code."""
    parser = argparse.ArgumentParser(prog='python -m segnode.ros.describe',
                                     description='Fill the tables of Markdown files.')
    parser.add_argument('files', type=Path, nargs='+', metavar='FILE')
    parser.add_argument('--check', action='store_true', help='change nothing; 1 when out of date')
    options = parser.parse_args(arguments)
    outdated = 0
    try:
        for file in options.files:
            old = file.read_text()
            new = filled(old)
            if new == old:
                continue
            if options.check:
                print(f'error: the tables of {file} are out of date: run '
                      f'python -m segnode.ros.describe {file}', file=sys.stderr)
                outdated = 1
            else:
                file.write_text(new)
    except (OSError, SegnodeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return outdated


if __name__ == '__main__':
    sys.exit(main())

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs' command lines have in common."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import re
from typing import Any

from segnode.errors import SegnodeError


def parser(verb: str, description: str) -> argparse.ArgumentParser:
    """Return a parser that has ``--json``."""
    made = argparse.ArgumentParser(prog=f'python -m segnode {verb}', description=description)
    made.add_argument('--json', action='store_true', help='answer in JSON, for programs')
    return made


def image_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH."""
    match = re.fullmatch(r'(\d+)[x,](\d+)', text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f'{text!r} is not HEIGHTxWIDTH, such as 384x512')
    return int(match[1]), int(match[2])


def output_file(text: str) -> Path:
    """Read the path of a file to write, which is better refused before the work than behind it."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f'{text} is a folder, not a file to write')
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f'{text} cannot be written: there is no {path.parent}')
    return path


def fraction(text: str) -> float:
    """Read a number of 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of 0 to 1')
    return value


def region(text: str) -> tuple[float, float, float, float]:
    """Read TOP,LEFT,HEIGHT,WIDTH, in pixels or as fractions."""
    from segnode.view import checked_roi

    try:
        return checked_roi(text.split(','))
    except SegnodeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def print_json(answer: Any) -> None:
    """Print an answer for programs."""
    print(json.dumps(answer, indent=2))


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows as text in columns; the last column is not padded."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    )

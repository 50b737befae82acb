# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The command line of the modules that draw a benchmark's JSON file anew."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import sys
from typing import Any

from segnode.errors import SegnodeError


def run(name: str, plot: Callable[[dict[str, Any], Path], None], argv: list[str] | None) -> int:
    """Draw RESULT.json into PICTURE.png; 1 where that fails, 2 for other arguments.

    Args:
        name: of the module, below ``benchmark``.
        plot: takes the file's content and where to draw it.
        argv: the two paths; by default those of the command line.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 2:
        print(f'usage: python -m benchmark.{name} RESULT.json PICTURE.png', file=sys.stderr)
        return 2
    try:
        plot(json.loads(Path(arguments[0]).read_text()), Path(arguments[1]))
    except (OSError, ValueError, SegnodeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0

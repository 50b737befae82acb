# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``benchmark``: that of ``python -m segnode``."""

from __future__ import annotations

from segnode.commands import benchmark


def main(argv: list[str]) -> int:
    """Measure how fast models run on this machine."""
    return benchmark.main(argv, program='training')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a row while the next one is measured."""

from __future__ import annotations

from typing import Any


def outcome(row: dict[str, Any]) -> str:
    """Return the median of a row, or the reason for which it has none."""
    return f'{row["median_ms"]:.0f} ms' if row['median_ms'] is not None else f'- ({row["reason"]})'

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Bounds of a recipe's numbers; NaN and infinity are within none of them."""

from __future__ import annotations

from collections.abc import Mapping
import math

from segnode.errors import SegnodeError


def check_above(values: Mapping[str, float | None], bound: float = 0) -> None:
    """Refuse the bound, what is below, NaN and infinity; None is a value that is not used.

    Raises:
        SegnodeError: names the key and what it may be.
    """
    for name, value in values.items():
        if value is not None and not bound < value < math.inf:
            raise SegnodeError(f'{name} must be {_finite(value)}above {bound}, not {value}.')


def check_from_zero(values: Mapping[str, float]) -> None:
    """Refuse what is below 0, NaN and infinity.

    Raises:
        SegnodeError: names the key and what it may be.
    """
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise SegnodeError(f'{name} must be {_finite(value)}0 or above, not {value}.')


def _finite(value: float) -> str:
    """Say it where the bound alone would not tell what is wrong."""
    return 'finite and ' if value == math.inf else ''

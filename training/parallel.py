# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Looking at many files at once, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
import os
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar('Item')
Result = TypeVar('Result')


def in_order(
    look: Callable[[Item], Result],
    items: Sequence[Item],
    description: str,
    *,
    progress: bool = True,
    threads: int = 0,
) -> Iterator[Result]:
    """Yield what ``look`` gives for each item, in order.

    Args:
        look: called in threads, since decoding releases the interpreter.
        items: what to look at.
        description: of the progress bar, which appears on a terminal where it takes longer than a
            second.
        progress: false shows no bar.
        threads: how many; 0 is one for each core, at most 8.
    """
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        yield from tqdm(
            pool.map(look, items), total=len(items), desc=description, unit='frame',
            disable=None if progress else True, leave=False, delay=1.0,
        )

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How far each measured candidate is from what its device could do at best."""

from __future__ import annotations

import functools
from typing import Any

from segnode.benchmarking.costs import BYTES, least_milliseconds, operations
from segnode.benchmarking.peaks import measure_peaks, Peaks
from segnode.errors import SegnodeError
from segnode.networks.zoo import NETWORKS
from segnode.runtimes.base import default_threads


def add_limits(answer: dict[str, Any], threads: int) -> None:
    """Add to each row the least time its operations and bytes need, and the ratio to it.

    Args:
        answer: of ``measure``; also gets 'peaks'.
        threads: that the runtimes had on the CPU; 0 = default.

    Raises:
        SegnodeError: PyTorch is not installed.
    """
    threads = threads or default_threads()

    @functools.cache
    def peaks(device: str, precision: str) -> Peaks:
        return measure_peaks(device, precision, threads)

    measured: dict[tuple[str, str], Peaks] = {}
    for row in answer['rows']:
        if row['reason']:
            continue
        # Every runtime says in its details where it runs.
        device, precision = 'cpu' if 'CPU' in row['details'] else 'cuda', row['precision']
        try:
            _check(row)
            found = measured.setdefault((device, precision), peaks(device, precision))
        except SegnodeError as error:
            row['no_limit'] = str(error)
            continue
        height, width = row['input_size']
        costs = operations(
            row['network'], (height, width), row['classes'], row['batch'], row['network_args'])
        least = least_milliseconds(costs, precision, found)
        row.update({name: round(value, 4) for name, value in least.items()})
        row['times_the_limit'] = round(row['median_ms'] / least['limit_ms'], 2)
        row['multiply_adds'] = sum(one.multiply_adds for one in costs)
        row['traffic_bytes'] = sum(BYTES[precision] * one.values + one.bytes for one in costs)
    answer['peaks'] = [vars(found) for found in measured.values()]


def _check(row: dict[str, Any]) -> None:
    if row['network'] not in NETWORKS:
        raise SegnodeError(f'{row["network"]} is no network of segnode, so nothing is counted')
    if row['precision'] == 'int8':
        raise SegnodeError('no peak is measured in int8')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What ``benchmark.node`` has measured, as text with tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark import transport


def text(answer: dict[str, Any]) -> str:
    """Return all parts that were measured."""
    parts = [_head(answer)]
    if answer['rows']:
        parts += [_peaks(answer['rows']), _rates(answer['rows'])]
    if answer['raw']:
        parts.append(_raw(answer['raw'], answer['rows']))
    if answer['overhead']:
        parts.append(_overhead(answer['overhead']))
    if answer['transport']:
        found = answer['transport']
        parts.append(
            f'{size_text(found["size"])} bgr8 at {found["rate"]:g} Hz from process to process, '
            f'without the node:\n\n{transport.table(found["rows"])}')
    return '\n\n'.join(parts)


def size_text(size: list[int]) -> str:
    """Return HEIGHTxWIDTH."""
    return f'{size[0]}x{size[1]}'


def _head(answer: dict[str, Any]) -> str:
    facts = answer['machine']
    height, width = answer['network_input']
    return (
        f'{answer["model"]} at {height}x{width}, runtime {answer["runtime"]}, '
        f'{answer["threads"] or "its own choice of"} threads, {answer["reliability"]} camera; '
        f'{facts["processor"]}, {facts["usable_cores"]} cores; load {facts["load"]} before, '
        f'{answer["load_after"]} after; {answer["seconds"]:.0f} s'
        + ('; a quick run, whose figures are nothing to keep' if answer['quick'] else ''))


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ['| ' + ' | '.join(line) + ' |' for line in (header, *rows)]
    return '\n'.join([lines[0], '|---' * len(header) + '|', *lines[1:]])


def _number(value: float | None, digits: int = 1) -> str:
    return '-' if value is None else f'{value:.{digits}f}'


def _of(spread: dict[str, float] | None, name: str) -> str:
    return _number(spread[name] if spread else None)


def _peaks(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        best = row['peak']
        if best is None:
            lines.append((size_text(row['size']), row['network'], 'none kept', *'-----'))
            continue
        # Beyond what the camera gave, nothing is known of the node.
        rate = ('at least ' if best['camera_limited'] else '') + f'{best["sent_rate"]:.1f}'
        lines.append((
            size_text(row['size']), row['network'], rate, f'{best["drop_share"]:.1%}',
            _of(best['latency_ms'], 'median'), _of(best['latency_ms'], 'p95'),
            _number(best['cpu_ms_per_mask']), f'{row["megabytes"]:.0f}'))
    return 'Peak, the highest rate with less than 5 % of the images dropped:\n\n' + _table(
        ('images', 'network', 'peak Hz', 'dropped', 'median ms', 'p95 ms', 'CPU ms per mask',
         'memory MB'), lines)


def _rates(rows: list[dict[str, Any]]) -> str:
    lines = [
        (size_text(row['size']), row['network'], f'{found["rate"]:g}',
         f'{found["masks"]} of {found["sent"]}', _of(found['receipt_ms'], 'median'),
         _of(found['latency_ms'], 'median'), _of(found['latency_ms'], 'p95'),
         _of(found['latency_ms'], 'max'), _of(found['jitter_ms'], 'median'),
         _of(found['jitter_ms'], 'p95'), _number(found['cpu_ms_per_mask']))
        for row in rows for found in row['rates']]
    return ("At fixed rates; ms from the image's stamp to its receipt by the node and to its mask "
            'at a subscriber:\n\n' + _table(
                ('images', 'network', 'Hz', 'masks', 'receipt', 'median', 'p95', 'max',
                 'jitter median', 'jitter p95', 'CPU ms per mask'), lines))


def _raw(raw: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    lines = []
    for found in raw:
        # The node's processor time with a network that works, where that was measured.
        whole = [row['rates'][0]['cpu_ms_per_mask'] for row in rows
                 if row['size'] == found['size'] and row['network'] != 'null' and row['rates']]
        message, serialised = found['message'], found['raw']
        saved = message['cpu_ms_per_mask'] * (1.0 - found['cpu_ratio'])
        share = f'{saved / whole[0]:+.1%}' if whole and whole[0] else '-'
        lines.append((
            size_text(found['size']), _number(message['cpu_ms_per_mask'], 2),
            _number(serialised['cpu_ms_per_mask'], 2), f'{found["cpu_ratio"]:.3f}', share,
            _of(message['receipt_ms'], 'median'), _of(serialised['receipt_ms'], 'median'),
            _of(message['latency_ms'], 'median'), _of(serialised['latency_ms'], 'median')))
    return (f'Images taken as messages and serialised, null network at {raw[0]["rate"]:g} Hz, by '
            'turns; "saved" is the share of the processor time of the node with the model:\n\n'
            + _table(('images', 'CPU ms, message', 'CPU ms, serialised', 'ratio', 'saved',
                      'receipt ms, message', 'serialised', 'mask ms, message', 'serialised'),
                     lines))


def _overhead(found: dict[str, Any]) -> str:
    return (
        f'Node over bare Segmenter, {size_text(found["frame"])} images: '
        f'{found["ratio_node"]:.3f} ({found["node_ms"]["median"]:.1f} ms from receipt to mask '
        f'published, {found["bare_ms"]["median"]:.1f} ms; the bar is {found["bar"]:.2f}), with '
        f'the way to a subscriber {found["ratio_round_trip"]:.3f}')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The result of a measurement as text."""

from __future__ import annotations

from typing import Any

from segnode.commands.arguments import table

Row = dict[str, Any]

# Title -> what stands in the column; a column without anything is left out.
_COLUMNS: dict[str, Any] = {
    'model': lambda r: r['model'],
    'runtime': lambda r: r['runtime'],
    'precision': lambda r: r['precision'],
    'input': lambda r: 'x'.join(map(str, r['input_size'] or ())),
    'batch': lambda r: str(r['batch']),
    'median ms': lambda r: _number(r['median_ms'], 2),
    'p95 ms': lambda r: _number(r['p95_ms'], 2),
    'best ms': lambda r: _number(r['best_ms'], 2),
    'images/s': lambda r: _number(r['images_per_second'], 1),
    'CPU ms': lambda r: _number(r['processor_ms'], 1),
    'memory MB': lambda r: _megabytes(r['peak_memory']),
    'GPU MB': lambda r: _megabytes(r['gpu_memory']),
    'x eager': lambda r: _number(r['times_as_fast_as_eager'], 2),
    'same labels': lambda r: '' if r['same_labels'] is None else f'{r["same_labels"]:.3%}',
    'limit ms': lambda r: _number(r.get('limit_ms'), 2),
    'x limit': lambda r: _number(r.get('times_the_limit'), 1),
}


def text(answer: dict[str, Any]) -> str:
    """Return the machine in one line, the table, and why what is missing is missing."""
    rows = [row for row in answer['rows'] if not row['reason']]
    lines = [_machine(answer)]
    if rows:
        cells = {title: [cell(row) for row in rows] for title, cell in _COLUMNS.items()}
        shown = {title: column for title, column in cells.items() if any(column)}
        lines.append(table([tuple(shown), *zip(*shown.values())]))
    for peak in answer.get('peaks', []):
        lines.append(
            f'{peak["device"]} in {peak["precision"]}: {peak["operations"] / 1e9:.0f} GFLOP/s, '
            f'{peak["bandwidth"] / 1e9:.1f} GB/s'
        )
    for row in answer['rows']:
        why = row['reason'] or row.get('no_limit')
        if why:
            what = ' '.join(filter(None, (row['model'], row['runtime'], row['precision'])))
            lines.append(f'{what}: {why}')
    return '\n'.join(lines)


def _machine(answer: dict[str, Any]) -> str:
    facts = answer['machine']
    found = [facts['board'] or facts['processor'], f'{facts["usable_cores"]} cores']
    found += [gpu['name'] for gpu in facts['gpus']]
    if facts['governor']:
        found.append(f'governor {facts["governor"]}')
    if facts['load'] is not None:
        found.append(f'load {facts["load"]:.1f} before, {answer["load_after"]:.1f} after')
    return f'{", ".join(found)}; {answer["runs"]} runs each'


def _number(value: float | None, digits: int) -> str:
    return '' if value is None else f'{value:.{digits}f}'


def _megabytes(value: int | None) -> str:
    return f'{value / 1e6:.0f}' if value else ''

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a conversion: as JSON, as Markdown, and for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

from segnode.commands.arguments import table
from segnode.errors import SegnodeError
from segnode.files import write_bytes
from training.convert.compare import Comparison

SUFFIXES = ('.json', '.md')


@dataclass(frozen=True)
class Report:
    """All figures of one conversion.

    Args:
        model: what was converted.
        target, precision: to what.
        input_size: (H, W).
        batch: images at once of an engine and of the times.
        file: what was written.
        bytes_before, bytes_after: of the ``.onnx`` files.
        convert_seconds: that the making took, for int8 with its search and its measuring.
        data: what it was measured with.
        data_frames: how many frames of it.
        comparison: logits and labels against those before.
        miou_before, miou_after: mean IoU, 0..1; None without labelled frames.
        milliseconds: 'before' and 'after', the median of a run of ``batch`` images.
        details: what ran, 'before' and 'after'.
        facts: whatever else is known of the making.
        machine: where it was measured.
    """

    model: str
    target: str
    precision: str
    input_size: tuple[int, int]
    batch: int
    file: Path
    bytes_before: int
    bytes_after: int
    convert_seconds: float
    data: str
    data_frames: int
    comparison: Comparison
    miou_before: float | None
    miou_after: float | None
    milliseconds: dict[str, float]
    details: dict[str, str]
    facts: dict[str, Any]
    machine: dict[str, Any]

    @property
    def miou_drop(self) -> float | None:
        """What it costs of the mean IoU, 0..1; below 0 where it gains."""
        if self.miou_before is None or self.miou_after is None:
            return None
        return self.miou_before - self.miou_after

    def to_dict(self) -> dict[str, Any]:
        """Plain figures."""
        return {
            'model': self.model, 'target': self.target, 'precision': self.precision,
            'input_size': list(self.input_size), 'batch': self.batch, 'file': str(self.file),
            'bytes_before': self.bytes_before, 'bytes_after': self.bytes_after,
            'convert_seconds': self.convert_seconds, 'data': self.data,
            'data_frames': self.data_frames, 'comparison': self.comparison.to_dict(),
            'miou_before': self.miou_before, 'miou_after': self.miou_after,
            'miou_drop': self.miou_drop, 'milliseconds': self.milliseconds,
            'details': self.details, **self.facts, 'machine': self.machine,
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return the figures side by side: what, before, after."""
        seen = self.comparison
        rows = [
            ('', 'before', 'after'),
            ('file', f'{self.bytes_before / 1e6:.2f} MB', f'{self.bytes_after / 1e6:.2f} MB'),
            ('median of a run', *(
                f'{self.milliseconds[when]:.1f} ms' for when in ('before', 'after'))),
            ('same labels', '', f'{seen.agreement:.3%} of {seen.frames} frames, '
                                f'{seen.worst_agreement:.3%} of the worst'),
        ]
        if seen.max_difference is not None:
            rows.append((
                'logits off by', '',
                f'{seen.mean_difference:.4g} on average, {seen.max_difference:.4g} at most '
                f'(they spread by {seen.spread:.4g})',
            ))
        drop = self.miou_drop
        if drop is not None:
            rows.append(('mean IoU', f'{self.miou_before:.2%}',
                         f'{self.miou_after:.2%}, {100 * abs(drop):.2f} points '
                         f'{"gained" if drop < 0 else "lost"}, on {self.data_frames} frames of '
                         f'{self.data}'))
        if 'int8_layers' in self.facts:
            left, kept = len(self.facts['float_layers']), len(self.facts['kept_layers'])
            rows.append(('convolutions', '', f'{self.facts["int8_layers"]} in int8, {left} more '
                         'could be and are not' + f', {kept} were kept out' * bool(kept)
                         + f'; the rest is in {self.facts["rest"]}'))
        if 'engine' in self.facts:
            engine = self.facts['engine']
            rows.append((
                'engine', '',
                f'{engine["layers"]} layers, {engine["bytes"] / 1e6:.1f} MB, built in '
                f'{engine["build_seconds"]:.1f} s by {engine["builder"]}',
            ))
        rows.append(('made in', '', f'{self.convert_seconds:.1f} s'))
        rows.append(('measured in', '', self.facts['measured_in']))
        return rows

    def text(self) -> str:
        """Return it for a terminal."""
        title = (
            f'{self.model} to {self.target} in {self.precision} at '
            f'{self.input_size[0]}x{self.input_size[1]} ({self.details["after"]})'
        )
        return f'{title}\n{table(self.rows())}\n{self.file}'

    def markdown(self) -> str:
        """Return it as a page in Markdown."""
        head, *rows = self.rows()
        lines = [
            f'# {self.model} in {self.precision}', '',
            f'Converted to {self.target} at {self.input_size[0]}x{self.input_size[1]}; '
            f'{self.details["after"]}, {self.machine["processor"]}; measured with {self.data}.',
            '', f'| {" | ".join(head)} |', '|' + '---|' * len(head),
            *(f'| {" | ".join(row)} |' for row in rows), '',
        ]
        for key, title in (('float_layers', 'Left in float, the most costly first:'),
                           ('kept_layers', 'Kept in float, as was asked for:')):
            if self.facts.get(key):
                lines += [title, '', *(f'- `{name}`' for name in self.facts[key]), '']
        return '\n'.join(lines)

    def write(self, path: Path) -> None:
        """Write it to a .json or .md file.

        Raises:
            SegnodeError: another suffix, or the file cannot be written.
        """
        content = self.markdown() if path.suffix == '.md' else json.dumps(self.to_dict(), indent=1)
        try:
            write_bytes(path, content.encode() + b'\n')
        except OSError as error:
            raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The table of the networks, for a terminal and for README.md. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segnode.networks.published import short
from segnode.networks.zoo import NetworkInfo
from segnode.store import Entry

FULL_SIZE = (1024, 2048)  # at which the zoo states the multiply-adds


@dataclass(frozen=True)
class Released:
    """A released model of a network.

    Args:
        name: what it is found by.
        label_set: name of its label set.
        miou: recorded mean IoU in percent, of the val split where it is known; None without.
    """

    name: str
    label_set: str
    miou: float | None

    def __str__(self) -> str:
        """Return the name, and the mean IoU where it is known."""
        return self.name if self.miou is None else f'{self.name} ({self.miou:.2f})'


def released(entries: Iterable[Entry]) -> dict[str, list[Released]]:
    """Sort models by their network, best first; damaged ones and repeated names are left out."""
    found: dict[str, dict[str, Released]] = {}
    for entry in entries:
        if entry.model is None:
            continue
        record = entry.model.record
        miou = round(100 * record.miou, 2) if record.miou >= 0 else None
        models = found.setdefault(record.network, {})
        models.setdefault(entry.name, Released(entry.name, record.label_set.name, miou))
    return {
        network: sorted(models.values(), key=lambda model: -(model.miou or 0.0))
        for network, models in found.items()
    }


def header(size: tuple[int, int] = FULL_SIZE) -> tuple[str, ...]:
    """Return the names of the columns of ``cells``."""
    return (
        'name', 'parameters', f'GMAC at {size[0]}x{size[1]}', 'logits at', 'multiples of',
        'released (mIoU)', 'published mIoU', 'from',
    )


def cells(
    info: NetworkInfo, multiply_adds: int | None, models: Iterable[Released]
) -> tuple[str, ...]:
    """Return the row of one network.

    Args:
        info: the network's.
        multiply_adds: at the size that the header names; None where it does not take that size.
        models: released ones.
    """
    return (
        info.name,
        f'{info.parameters_at_19:,}',
        '-' if multiply_adds is None else f'{multiply_adds / 1e9:.2f}',
        '1' if info.output_stride == 1 else f'1/{info.output_stride}',
        str(info.size_multiple),
        ', '.join(map(str, models)) or '-',
        short(info.published),
        info.source,
    )

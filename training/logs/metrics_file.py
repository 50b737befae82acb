# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``metrics.csv``: one row per epoch of a run, however often it was stopped and resumed."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segnode.files import write_bytes

_LOG = logging.getLogger('segnode')


class MetricsFile(Callback):
    """Writes epoch, step, minutes, lr, the loss and its parts, and what validation gave.

    The file is written anew after every epoch, whole or not at all. Cells of epochs without a
    validation are empty; IoUs are 0..1.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        # What a sitting wrote after its last checkpoint is done again.
        done = trainer.current_epoch
        self.rows = [row for row in read_metrics(self.path) if int(row['epoch']) <= done]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        values = trainer.callback_metrics
        row: dict[str, Any] = {
            'epoch': trainer.current_epoch + 1,
            'step': trainer.global_step,
            'minutes': round(pl_module.minutes, 3),
            'lr': trainer.optimizers[0].param_groups[0]['lr'],
        }
        losses = [name for name in values if name.partition('/')[0] == 'loss']
        row.update({name: float(values[name]) for name in losses})
        last = pl_module.history[-1] if pl_module.history else {'epoch': 0}
        # From the module, whose figures have not been rounded to float32.
        names = [name for name in values if name.startswith(('val_', 'iou/'))]
        if last['epoch'] == row['epoch']:
            row.update({name: last[name] for name in names if name in last})
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, restval='', lineterminator='\n')
        table.writeheader()
        table.writerows(self.rows)
        try:
            write_bytes(self.path, text.getvalue().encode())
        except OSError as error:  # a run of days does not end for that
            _LOG.warning('%s cannot be written: %s', self.path, error.strerror or error)


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Return the rows of a run's metrics.csv, without the empty cells; none without a file."""
    if not path.is_file():
        return []
    with open(path, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name and value} for row in rows]

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a run shows while it goes: a bar over all of it, and a line per validation."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
import torch
from tqdm import tqdm


class RunProgress(ProgressBar):
    """One bar over all steps of the run, so that its remaining time is that of the run.

    Where stderr is no terminal there is no bar, but a line for every epoch instead of one for
    every validation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._enabled = True
        self._begun = (0.0, 0)
        self.best = (-math.inf, 0)

    def enable(self) -> None:
        """Called by the trainer in the process that speaks."""
        self._enabled = True

    def disable(self) -> None:
        """Called by the trainer in all others."""
        self._enabled = False

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Write a line above the bar."""
        if self._enabled:
            tqdm.write(' '.join(map(str, args)), file=sys.stdout)
            sys.stdout.flush()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        total = int(trainer.estimated_stepping_batches)
        if pl_module.config.max_steps is not None:
            total = min(total, pl_module.config.max_steps)
        self._begun = (time.monotonic(), trainer.global_step)
        self.total = total
        for entry in pl_module.history:
            self._note(entry)
        if self._enabled:
            self._bar = tqdm(
                total=total, initial=trainer.global_step, unit='step', dynamic_ncols=True,
                disable=None, file=sys.stderr, smoothing=0.1,
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is None or self._bar.disable or trainer.global_step == self._bar.n:
            return
        self._bar.update(trainer.global_step - self._bar.n)
        if trainer.global_step % 5 == 0:  # to look at a loss waits for the GPU
            loss = outputs['loss'] if isinstance(outputs, dict) else outputs
            scale = pl_module.config.accumulate  # the trainer has divided it for the sum
            self._bar.set_postfix_str(self._state(float(loss.detach()) * scale), refresh=False)

    def _state(self, loss: float) -> str:
        miou, _ = self.best
        return f'loss {loss:.3f}' + (f', best mIoU {100 * miou:.2f} %' if miou >= 0 else '')

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._bar is not None:
            epochs = trainer.max_epochs
            self._bar.set_description_str(f'epoch {trainer.current_epoch + 1}/{epochs}')

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._bar is not None and not self._bar.disable:
            total = sum(map(int, trainer.num_val_batches))
            self._bar.set_description_str(f'validating {batch_idx + 1}/{total}')

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        history = pl_module.history
        validated = bool(history) and history[-1]['epoch'] == trainer.current_epoch + 1
        if validated:
            self._note(history[-1])
        if self._bar is None or not (validated or self._bar.disable):
            return
        loss = trainer.callback_metrics.get('loss', torch.tensor(math.nan))
        text = f'epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: loss {float(loss):.4f}'
        if validated:
            miou, epoch = self.best
            text += f', mIoU {100 * history[-1]["val_miou"]:.2f} %'
            text += ' (best)' if epoch == history[-1]['epoch'] else (
                f' (best {100 * miou:.2f} % after epoch {epoch})')
        self.print(f'{text}, {duration(60 * pl_module.minutes)}{self._left(trainer)}')

    def _note(self, entry: dict[str, Any]) -> None:
        if entry['val_miou'] > self.best[0]:
            self.best = entry['val_miou'], entry['epoch']

    def _left(self, trainer: pl.Trainer) -> str:
        since, first = self._begun
        done, left = trainer.global_step - first, self.total - trainer.global_step
        if done <= 0 or left <= 0:
            return ''
        return f', {duration((time.monotonic() - since) / done * left)} to go'

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f'{seconds:.0f} s'
    hours, minutes = divmod(round(seconds / 60), 60)
    return f'{hours} h {minutes:02} min' if hours else f'{minutes} min'

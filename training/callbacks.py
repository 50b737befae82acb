# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""When a run ends before its last epoch, and which checkpoints it keeps."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import threading
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint

MONITOR = 'val_miou'


class _Checkpoint(ModelCheckpoint):
    """One that knows what it has written when the run's folder lies elsewhere by now."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what an earlier sitting has written."""
        moved = {**state_dict, 'dirpath': self.dirpath}
        for name in ('best_model_path', 'kth_best_model_path', 'last_model_path'):
            moved[name] = self._here(str(state_dict.get(name, '')))
        best = state_dict.get('best_k_models', {})
        moved['best_k_models'] = {self._here(path): score for path, score in best.items()}
        super().load_state_dict(moved)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / Path(path).name) if path else path


# Classes of their own, since a checkpoint keeps the state of callbacks by class and options.
class BestCheckpoint(_Checkpoint):
    """``best.ckpt``: the highest validation mean IoU of all sittings."""


class TopCheckpoints(_Checkpoint):
    """The N best checkpoints, named by epoch and mean IoU."""


class LastCheckpoint(_Checkpoint):
    """``last.ckpt``, after every epoch: what --resume goes on from."""


def checkpoints(folder: Path, keep: int) -> list[Callback]:
    """Return the callbacks that write a run's checkpoints.

    Args:
        folder: of the run: best.ckpt and last.ckpt.
        keep: beyond one, so many of the best in ``best/``, too.
    """
    best: dict[str, Any] = {
        'monitor': MONITOR, 'mode': 'max', 'save_on_train_epoch_end': False,
        'enable_version_counter': False,
    }
    made: list[Callback] = [BestCheckpoint(folder, filename='best', **best)]
    if keep > 1:
        made.append(TopCheckpoints(
            folder / 'best', filename='epoch{epoch:04}_miou{val_miou:.4f}', save_top_k=keep,
            auto_insert_metric_name=False, **best,
        ))
    # A callback of its own, since save_last of one writes last.ckpt only when the best improves.
    made.append(LastCheckpoint(
        folder, filename='last', every_n_epochs=1, save_on_train_epoch_end=True,
        enable_version_counter=False,
    ))
    return made


def early_stopping(patience: int) -> EarlyStopping:
    """Return what ends a run after so many validations in a row without a better mean IoU."""
    # A mean IoU is not finite where no validation frame has a label; that is no reason to stop.
    return EarlyStopping(MONITOR, mode='max', patience=patience, check_finite=False)


class LastStep(Callback):
    """Ends the run at a step of the optimiser, in the midst of an epoch or not.

    Args:
        steps: of the whole run.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # The trainer then validates and ends the epoch as if it were over.
        if trainer.global_step >= self.steps:
            trainer.should_stop = True


class EndOnSignal(Callback):
    """Ctrl-C and SIGTERM end the run after the batch at hand; said twice, at once.

    An exception out of a signal can come up anywhere, also where somebody swallows it; and the
    trainer's own handler of SIGTERM talks to the other processes from within the signal, which
    may be in the midst of something else: both would then wait for ever.

    Attributes:
        asked: whether there was one.
    """

    def __init__(self) -> None:
        self.asked = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        # The trainer has set its handlers by now, and sets back what was before at the end.
        if threading.current_thread() is not threading.main_thread():
            return
        own = os.getpid()

        def stop(number: int, frame: Any) -> None:
            if os.getpid() != own:  # a loader process that has just been forked
                os._exit(128 + number)
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        first = trainer.is_global_zero  # it ends the others, which a terminal tells as well
        signal.signal(signal.SIGINT, stop if first else signal.SIG_IGN)
        signal.signal(signal.SIGTERM, stop if first else signal.SIG_DFL)

    def _end(self, *arguments: Any, **options: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt

    on_train_batch_start = on_train_batch_end = on_validation_batch_end = _end


class TimeLimit(Callback):
    """Ends the sitting after an epoch when the next one would not be done in time.

    Args:
        minutes: of this sitting, from the first step on.

    Attributes:
        stopped: whether it has ended it.
    """

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.stopped = False
        self._begun = self._epoch_begun = 0.0
        self._longest = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._begun = self._epoch_begun = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        now = time.monotonic()
        # Validation and the last writing of checkpoints included.
        self._longest = max(self._longest, now - self._epoch_begun)
        self._epoch_begun = now
        over = now - self._begun + self._longest > 60 * self.minutes
        # The processes' clocks must not disagree.
        over = trainer.strategy.reduce_boolean_decision(over, all=False)
        if over and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            self.stopped = trainer.should_stop = True

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``lr-range``: sweep the learning rate exponentially and watch the loss.

Reference:
    Smith: "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186), whose range
    test raises the rate linearly; here it rises exponentially, over decades.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
import torch
from torch import Tensor
from tqdm import tqdm

from segnode.errors import SegnodeError
from segnode.files import check_writable, write_result
from training.config import check, FitConfig
from training.fit import build, make_trainer, placed, run
from training.module import SegmentationModule
from training.optimizers import optimizer, real_rate

TABLE, PICTURE = 'lr_range.csv', 'lr_range.png'
# Deviation of the Gaussian that smooths the losses: this part of the sweep, one step at least.
SMOOTHING = 1 / 40
# The smoothed loss has run away when it is so many times what it was at first ...
RUNAWAY = 2.0
# ... or has lost this share of what it had gained, once it had gained a tenth.
LOST, GAINED = 0.5, 0.1


@dataclass(frozen=True)
class Sweep:
    """The result of one sweep.

    Args:
        rates: real learning rates, one per step.
        losses: of those steps; the last may be infinite.
        scale: real rate / ``optim.lr``, where the rate is tied to the effective batch.
    """

    rates: np.ndarray
    losses: np.ndarray
    scale: float

    @property
    def smooth(self) -> np.ndarray:
        """The losses, averaged over their neighbourhood."""
        return smoothed(self.losses)

    @property
    def diverged(self) -> float | None:
        """The real rate at which the loss ran away; None where it never did."""
        smooth = self.smooth
        if not smooth.size:
            return None
        floor = np.minimum.accumulate(smooth)
        gained = smooth[0] - floor
        lost = (gained > GAINED * smooth[0]) & (smooth > floor + LOST * gained)
        away = np.flatnonzero(~np.isfinite(smooth) | (smooth > RUNAWAY * smooth[0]) | lost)
        return float(self.rates[away[0]]) if away.size else None

    @property
    def steepest(self) -> float | None:
        """The real rate at which the smoothed loss falls fastest per decade; None if nowhere."""
        smooth = self.smooth
        finite = np.isfinite(smooth)
        rates, smooth = np.log10(self.rates[finite]), smooth[finite]
        if len(smooth) < 3:
            return None
        slope = np.gradient(smooth, rates)
        best = int(np.argmin(slope))
        return float(10 ** rates[best]) if slope[best] < 0 else None

    @property
    def suggested(self) -> float | None:
        """A peak for ``optim.lr``: the steepest descent, but at most a tenth of divergence."""
        rates = [self.steepest, self.diverged and self.diverged / 10]
        known = [rate for rate in rates if rate is not None]
        return min(known) / self.scale if known else None

    def to_dict(self) -> dict[str, Any]:
        """The findings, in real rates, and the suggestion as ``optim.lr`` takes it."""
        return {'steepest': self.steepest, 'diverged': self.diverged, 'scale': self.scale,
                'suggested_lr': self.suggested, 'steps': len(self.rates)}

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``lr_range.csv`` and ``lr_range.png``.

        Raises:
            SegnodeError: a file cannot be written.
        """
        check_folder(folder)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator='\n')
        rows.writerow(('lr', 'loss', 'smoothed'))
        rows.writerows(zip(self.rates.tolist(), self.losses.tolist(), self.smooth.tolist()))
        write_result(folder / TABLE, text.getvalue())
        write_result(folder / PICTURE, self.drawn())
        return folder / TABLE, folder / PICTURE

    def drawn(self) -> bytes:
        """Return loss over rate, with the findings, as a PNG."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 5), layout='constrained')
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color='0.75', linewidth=0.8, label='of each step')
        axes.plot(self.rates, self.smooth, color='tab:blue', label='smoothed')
        before = self.losses[self.rates < (self.diverged or np.inf)]
        if before.size:
            low, high = before.min(), before.max()
            axes.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.5 * (high - low) + 1e-3)
        suggested = self.suggested
        for rate, color, text in (
            (self.steepest, 'tab:green', 'steepest descent'),
            (self.diverged, 'tab:red', 'loss runs away'),
            (suggested and suggested * self.scale, 'black', 'suggested peak'),
        ):
            if rate is not None:
                axes.axvline(rate, color=color, linestyle='--', label=f'{text} {rate:.2g}')
        axes.set_xscale('log')
        axes.set_xlabel('learning rate')
        axes.set_ylabel('loss')
        axes.grid(alpha=0.3)
        axes.legend(loc='upper left')
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=110, format='png')
        return drawn.getvalue()


def check_folder(folder: Path) -> None:
    """Make sure, before a sweep, that it can be written to a folder, which is made.

    Raises:
        SegnodeError: it cannot.
    """
    for name in (TABLE, PICTURE):
        check_writable(folder / name)


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Average float64 (N,) losses over their neighbourhood; what is not finite stays so."""
    finite = np.isfinite(losses)
    values = losses[finite].astype(np.float64)
    places = np.arange(len(values))
    width = max(1.0, SMOOTHING * len(values))
    weights = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    result = np.full(len(losses), np.inf)
    result[finite] = (weights @ values) / weights.sum(1) if len(values) else values
    return result


class _RanAway(Exception):
    """The loss is of no use any more: the sweep is done."""


class _SweepModule(SegmentationModule):
    """A run whose rate rises exponentially from ``start`` to ``end``."""

    start = end = 0.0
    steps = 0

    def configure_optimizers(self) -> Any:
        super().configure_optimizers()  # for its checks, and the number of epochs
        growth = math.log(self.end / self.start) / max(1, self.steps - 1)
        made = optimizer(self.graph.network, self.info, self.config.optim, self.start)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            made, lambda step: math.exp(growth * min(step, self.steps - 1))
        )
        return {'optimizer': made, 'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}

    def not_finite(
        self, loss: Tensor, parts: dict[str, Tensor], batch_idx: int, names: list[Any]
    ) -> None:
        raise _RanAway


class _Recorder(Callback):
    """Keeps rate and loss of each step; ends the sweep when the loss runs away."""

    def __init__(self, accumulate: int) -> None:
        self.accumulate = accumulate
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._parts: list[float] = []
        self._rate = 0.0
        self._bar: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            self._bar = tqdm(total=pl_module.steps, desc='lr-range', unit='step', leave=False,
                             disable=None)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self._rate = trainer.optimizers[0].param_groups[0]['lr']

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # The trainer has divided each by their number, so that their sum is the step's loss.
        loss = outputs['loss'].detach()
        if trainer.world_size > 1:
            loss = trainer.strategy.reduce(loss, reduce_op='mean')
        self._parts.append(float(loss))
        if trainer.global_step == len(self.rates):
            return
        self.rates.append(self._rate)
        self.losses.append(sum(self._parts))
        self._parts = []
        if self._bar is not None:
            self._bar.set_postfix_str(f'lr {self._rate:.2g}, loss {self.losses[-1]:.3f}')
            self._bar.update()
        if np.mean(self.losses[-3:]) > 1.5 * RUNAWAY * np.mean(self.losses[:3]):
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def lr_range(config: FitConfig, start: float, end: float, steps: int) -> Sweep:
    """Train ``config``'s network for some steps with a rising rate; writes nothing.

    Args:
        config: the run that a rate is wanted for: its data, batch, loss, optimiser, precision.
        start: the first real learning rate.
        end: the last one; the sweep ends before where the loss runs away.
        steps: of the optimiser.

    Raises:
        SegnodeError: see ``fit``; or start, end or steps make no sweep.
    """
    if not 0 < start < end < math.inf:
        raise SegnodeError(f'A sweep goes from a rate above 0 to a higher one, not from {start:g} '
                           f'to {end:g}.')
    if steps < 10:
        raise SegnodeError(f'A sweep needs 10 steps or more, not {steps}.')
    config = replace(config, max_steps=steps, early_stop=None, max_minutes=None)
    check(config)
    place = placed(config)
    module, data = build(config, place, kind=_SweepModule)
    assert isinstance(module, _SweepModule)
    module.start, module.end, module.steps = start, end, steps
    recorder = _Recorder(config.accumulate)
    trainer = make_trainer(
        config, place, Path(config.out), [recorder], enable_checkpointing=False,
        limit_val_batches=0, enable_progress_bar=False,
    )
    try:
        run(trainer, module, data, place)
    except _RanAway:
        recorder.rates.append(recorder._rate)
        recorder.losses.append(math.inf)
    finally:
        recorder.close()
    images = config.batch_size * place.count * config.accumulate
    scale = real_rate(config.optim, images) / config.optim.lr
    return Sweep(np.array(recorder.rates), np.array(recorder.losses), scale)

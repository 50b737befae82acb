# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Forward and backward pass of the convolutions that training computes in its own way on a CPU.

    python -m benchmark.training_convolutions [--json FILE]

Each stands beside ``nn.Conv2d`` with the same weights and input, in bfloat16 under autocast and in
channels-last order as in training. The two take turns, and the median of the rounds counts. The
shapes are those of FSFFNet at 512x640 and SDBNetV2 at 384x512, batches of eight.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
import json
import os
import statistics
import time
from typing import Any

import torch
from torch import nn

from segnode.benchmarking.machine import processor
from segnode.commands.arguments import output_file
from segnode.dependencies import versions
from segnode.host_memory import keep_freed_memory
from training.depthwise import repair_dilated_depthwise
from training.strided_depthwise import speed_up_strided_depthwise


@dataclass(frozen=True)
class Case:
    """A depthwise convolution.

    Args:
        channels, size: of its input.
        kernel, stride, dilation: of it; the padding keeps the size, over the stride.
        change: lets training's own way take its place.
    """

    channels: int
    size: tuple[int, int]
    kernel: int
    stride: int
    dilation: int
    change: Callable[[nn.Module], int]

    def convolution(self) -> nn.Conv2d:
        """Return PyTorch's own."""
        torch.manual_seed(0)
        return nn.Conv2d(
            self.channels, self.channels, self.kernel, self.stride,
            self.kernel // 2 * self.dilation, self.dilation, self.channels, bias=False)


CASES = (
    Case(32, (256, 320), 3, 2, 1, speed_up_strided_depthwise),
    Case(192, (128, 160), 3, 2, 1, speed_up_strided_depthwise),
    Case(384, (64, 80), 3, 2, 1, speed_up_strided_depthwise),
    Case(768, (32, 40), 3, 2, 1, speed_up_strided_depthwise),
    Case(32, (192, 256), 5, 2, 1, speed_up_strided_depthwise),
    Case(48, (96, 128), 5, 2, 1, speed_up_strided_depthwise),
    Case(48, (256, 320), 3, 1, 2, repair_dilated_depthwise),
)


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmark.training_convolutions',
        description="Time training's own convolutions beside PyTorch's on a CPU.")
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--threads', type=int, default=0, help='of PyTorch; 0 = its own choice')
    parser.add_argument('--json', type=output_file, help='write the answer to this file too')
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    answer = {
        'processor': processor(), 'cores': os.cpu_count(), 'threads': torch.get_num_threads(),
        'batch': options.batch, 'rounds': options.rounds, 'versions': versions('segnode', 'torch'),
        'rows': [measure(case, options.batch, options.rounds) for case in CASES],
    }
    print(table(answer['rows']))
    if options.json:
        options.json.write_text(json.dumps(answer, indent=1) + '\n')
    return 0


def measure(case: Case, batch: int, rounds: int) -> dict[str, Any]:
    """Return the medians of one convolution, milliseconds, and the median of their ratios."""
    own = case.convolution()
    changed = case.change(own)
    assert changed == 1
    torch.manual_seed(1)
    x = torch.randn(batch, case.channels, *case.size, dtype=torch.bfloat16)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    found: list[tuple[float, float]] = []
    for number in range(rounds + 1):  # the first one warms up
        pair = (pass_ms(case.convolution(), x), pass_ms(own, x))
        if number:
            found.append(pair)
    plain_ms, own_ms = (statistics.median(times) for times in zip(*found))
    return {
        'input': [batch, case.channels, *case.size], 'kernel': case.kernel, 'stride': case.stride,
        'dilation': case.dilation, 'pytorch_ms': round(plain_ms, 2), 'own_ms': round(own_ms, 2),
        'times_as_fast': round(statistics.median(a / b for a, b in found), 2),
    }


def pass_ms(layer: nn.Module, x: torch.Tensor) -> float:
    """Return the milliseconds of one forward and backward pass."""
    layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    begin = time.perf_counter()
    with torch.autocast('cpu', torch.bfloat16):
        out = layer(x)
    torch.autograd.grad(out, (x, *layer.parameters()), torch.ones_like(out))
    return 1e3 * (time.perf_counter() - begin)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ['| input | kernel | stride | dilation | PyTorch, ms | training, ms | times as fast |',
             '|---|---|---|---|---|---|---|']
    for row in rows:
        height, width = row['input'][2:]
        lines.append(
            f'| {row["input"][0]} x {row["input"][1]} channels, {height}x{width} | '
            f'{row["kernel"]}x{row["kernel"]} | {row["stride"]} | {row["dilation"]} | '
            f'{row["pytorch_ms"]:.1f} | {row["own_ms"]:.1f} | {row["times_as_fast"]:.1f} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    raise SystemExit(main())

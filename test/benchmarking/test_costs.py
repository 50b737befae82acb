# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a network cannot do without, against counts by hand; and the time that it would take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segnode.benchmarking import costs, limits, peaks
from segnode.benchmarking.costs import least_milliseconds, Operation, operations
from segnode.benchmarking.peaks import measure_peaks, Peaks
from segnode.benchmarking.table import text
from segnode.errors import SegnodeError
from segnode.networks.multiply_adds import multiply_adds

torch = pytest.importorskip('torch')


@pytest.mark.parametrize('network', ['fsffnet', 'fast_scnn', 'bisenetv2', 'espnet', 'pidnet_s'])
def test_multiply_adds_are_those_of_the_table(network: str) -> None:
    """Matrix products that only pool or enlarge are counted here and not there."""
    for batch in (1, 3):
        found = operations(network, (256, 512), 19, batch)
        counted = sum(one.multiply_adds for one in found if one.name in ('convolution', 'addmm'))
        assert counted == batch * multiply_adds(network, (256, 512))


def test_counts_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    class Network(torch.nn.Module):  # type: ignore[misc,name-defined]

        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
            self.up = torch.nn.ConvTranspose2d(8, 5, 2, stride=2, bias=False)

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.first(x))
            x = x + self.depthwise(x)
            x = torch.nn.functional.max_pool2d(x, 2)
            return self.up(x) * 2.0 + 1.0

    monkeypatch.setattr(costs, 'create', lambda name, classes, **args: Network())
    found = operations('any', (8, 16), 5, batch=2)
    small = 2 * 8 * 4 * 8  # values of the map at half size
    pooled = small // 4
    logits = 2 * 5 * 4 * 8
    pixels = 2 * 8 * 16
    assert found == [
        Operation('convolution', small * 27, 3 * pixels + 8 * 27 + 8 + small),
        Operation('convolution', small * 9, small + 8 * 9 + small),
        Operation('add', 0, small),
        Operation('max_pool2d_with_indices', 0, small + pooled),
        Operation('convolution', pooled * 5 * 4, pooled + 8 * 5 * 4 + logits),
        Operation('image', 0, 3 * pixels, 3 * pixels),
        Operation('labels', 0, logits, pixels),
    ]


def test_the_least_time() -> None:
    """Each operation takes the longer of its two times."""
    found = [Operation('a', 1000, 10), Operation('b', 0, 1000, 500)]
    peaks = Peaks('cpu', 'fp32', operations=1e6, bandwidth=1e6)
    least = least_milliseconds(found, 'fp32', peaks)
    assert least['limit_arithmetic_ms'] == pytest.approx(2.0)
    assert least['limit_traffic_ms'] == pytest.approx(0.04 + 4.5)
    assert least['limit_ms'] == pytest.approx(2.0 + 4.5)
    half = least_milliseconds(found, 'fp16', peaks)
    assert half['limit_traffic_ms'] == pytest.approx(0.02 + 2.5)


def test_peaks_of_this_processor() -> None:
    """Between a slow core and a fast server."""
    pytest.importorskip('numpy')
    found = measure_peaks('cpu', 'fp32', 1)
    assert (found.device, found.precision) == ('cpu', 'fp32')
    assert 5e8 < found.operations < 1e13
    assert 2e8 < found.bandwidth < 1e12
    with pytest.raises(SegnodeError, match='no peak is measured in int8; in fp32, fp16, bf16'):
        measure_peaks('cpu', 'int8', 1)
    if not torch.cuda.is_available():
        with pytest.raises(SegnodeError, match='peaks of cuda in fp16 were not measured: .+'):
            measure_peaks('cuda', 'fp16', 1)


def test_a_gpu_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its work is measured to the end; here the CPU does it."""
    asked: list[str] = []
    waits: list[None] = []
    monkeypatch.setattr(peaks, 'SIDES', {'cuda': 64})
    monkeypatch.setattr(peaks, 'BYTES', {'cuda': 4096})

    def on_the_cpu(make: Any) -> Any:
        def made(*sizes: int, device: str, **options: Any) -> Any:
            asked.append(device)
            return make(*sizes, **options)
        return made

    for name in ('randn', 'empty', 'ones'):
        monkeypatch.setattr(torch, name, on_the_cpu(getattr(torch, name)))
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: waits.append(None))
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        assert peaks.main(['cuda', 'fp16']) == 0
        assert torch.backends.cuda.matmul.allow_tf32, 'as convolutions have it'
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    found = Peaks(**json.loads(capsys.readouterr().out))
    assert (found.device, found.precision) == ('cuda', 'fp16')
    assert found.operations > 0 and found.bandwidth > 0
    assert asked == ['cuda'] * 4 and len(waits) == 2 * (peaks.REPEATS + 1)


def _row(**changes: Any) -> dict[str, Any]:
    return {
        'model': 'a', 'network': 'fast_scnn', 'network_args': {}, 'classes': 19,
        'runtime': 'onnx', 'precision': 'fp32', 'input_size': [256, 512], 'batch': 1,
        'details': 'ONNX Runtime, CPU, 1 thread', 'reason': '', 'median_ms': 40.0, 'p95_ms': 50.0,
        'best_ms': 30.0, 'images_per_second': 25.0, 'processor_ms': 40.0, 'peak_memory': 10**8,
        'gpu_memory': None, 'times_as_fast_as_eager': None, 'same_labels': 1.0, **changes,
    }


def test_limits_of_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peaks are measured once for each device and precision; what has none says why."""
    asked: list[tuple[str, str, int]] = []

    def measured(device: str, precision: str, threads: int) -> Peaks:
        asked.append((device, precision, threads))
        return Peaks(device, precision, 1e11, 1e10)

    monkeypatch.setattr(limits, 'measure_peaks', measured)
    answer = {
        'machine': {'board': '', 'processor': 'P', 'usable_cores': 2, 'gpus': [{'name': 'G'}],
                    'governor': 'performance', 'load': 0.5},
        'load_after': 1.0, 'runs': 9,
        'rows': [
            _row(), _row(runtime='pytorch'),
            _row(runtime='pytorch', details='PyTorch, G', precision='fp16', median_ms=4.0),
            _row(precision='int8'), _row(network='custom'), _row(reason='it failed'),
        ],
    }
    limits.add_limits(answer, 2)
    assert asked == [('cpu', 'fp32', 2), ('cuda', 'fp16', 2)]
    rows = answer['rows']
    expected = least_milliseconds(
        operations('fast_scnn', (256, 512), 19), 'fp32', Peaks('cpu', 'fp32', 1e11, 1e10))
    assert rows[0]['limit_ms'] == pytest.approx(expected['limit_ms'], abs=1e-3)
    assert rows[0]['times_the_limit'] == pytest.approx(40 / expected['limit_ms'], abs=0.01)
    assert rows[2]['limit_ms'] < rows[0]['limit_ms']
    assert rows[0]['traffic_bytes'] > 1.9 * rows[2]['traffic_bytes']
    assert rows[3]['no_limit'] == 'no peak is measured in int8'
    assert 'custom is no network of segnode' in rows[4]['no_limit']
    assert 'limit_ms' not in rows[5]
    shown = text(answer)
    first, titles, *lines = shown.splitlines()
    assert first == ('P, 2 cores, G, governor performance, load 0.5 before, 1.0 after; '
                     '9 runs each')
    assert 'x limit' in titles and 'GPU MB' not in titles
    assert lines[0].split()[:8] == [
        'a', 'onnx', 'fp32', '256x512', '1', '40.00', '50.00', '30.00']
    assert 'cuda in fp16: 100 GFLOP/s, 10.0 GB/s' in shown
    assert lines[-1] == 'a onnx fp32: it failed'

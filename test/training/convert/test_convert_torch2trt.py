# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``convert --to torch2trt``: what is measured of an engine, for which PyTorch stands in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import load_runtime
import small_model

torch = pytest.importorskip('torch')

from training.__main__ import main  # noqa: E402
from training.convert import torch2trt  # noqa: E402
from training.convert.frames import open_frames  # noqa: E402
from training.convert.run import convert, Options  # noqa: E402
from training.convert.targets import Torch2trtTarget  # noqa: E402


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Give the runtimes of a GPU, on the CPU; the engine adds to the logits of one class."""
    loaded: list[Any] = []

    def load(model: Any, name: str, **options: Any) -> Any:
        precision = options.pop('precision')
        options.pop('batch', None)
        runtime: Any = load_runtime(
            model, 'pytorch', **{**options, 'device': 'cpu', 'threads': 1})
        if name == 'torch2trt':
            network = runtime.graph.network
            runtime.graph.network = Shifted(network, 0.01 if precision == 'fp16' else 100.0)
            runtime.facts = {'path': Path('kept.engine'), 'bytes': 1000, 'layers': 372,
                             'builder': 'tensorrt 10.3.0', 'build_seconds': 1.5}
        loaded.append((name, precision, runtime))
        return runtime

    monkeypatch.setattr(torch2trt, 'load_runtime', load)
    monkeypatch.setattr(Torch2trtTarget, 'check', lambda self: None)
    return loaded


class Shifted(torch.nn.Module):
    """A network that is a little off."""

    def __init__(self, network: Any, by: float) -> None:
        super().__init__()
        self.network, self.by = network, by

    def forward(self, x: Any) -> Any:
        logits = self.network(x).clone()
        logits[:, 0] += self.by
        return logits


def options(**changes: Any) -> Options:
    model = small_model.model()
    return Options(
        data=open_frames([], model.record.label_set, limit=3), progress=False, **changes)


def test_a_report(desk: list[Any], tmp_path: Path) -> None:
    report = convert(small_model.model(), 'torch2trt', 'fp16', options(batch=2))
    assert [(name, precision) for name, precision, _ in desk] == [
        ('pytorch', 'fp32'), ('torch2trt', 'fp16')]
    assert report.file == Path('kept.engine') and report.bytes_after == 1000
    assert report.facts['engine']['layers'] == 372 and report.facts['engine']['batch'] == 2
    seen = report.comparison
    assert seen.agreement > 0.99 and seen.frames == 3
    assert seen.max_difference == pytest.approx(0.01, abs=1e-3)
    assert seen.mean_difference == pytest.approx(0.01 / 11, abs=1e-4)
    assert set(report.milliseconds) == {'before', 'after'}
    assert 'engine' in report.text() and '372 layers' in report.text()
    report.write(tmp_path / 'report.json')
    assert json.loads((tmp_path / 'report.json').read_text())['target'] == 'torch2trt'
    for _, _, runtime in desk:
        with pytest.raises(SegnodeError, match='closed'):
            runtime.run(small_model.frames(1))


def test_mean_iou_of_labelled_frames(desk: list[Any], camvid: Path) -> None:
    model = small_model.model()
    data = open_frames(['camvid:val'], model.record.label_set,
                       roots={'camvid': str(camvid)}, limit=2)
    report = convert(model, 'torch2trt', 'fp16', Options(data=data, progress=False))
    assert report.miou_before is not None and report.miou_drop is not None
    assert abs(report.miou_drop) < 0.01 and 0 < report.miou_before < 0.5


def test_too_many_other_labels(desk: list[Any]) -> None:
    with pytest.raises(SegnodeError, match=r'keeps the labels of only .*%, less than|only '):
        convert(small_model.model(), 'torch2trt', 'fp32', options())
    for _, _, runtime in desk:
        with pytest.raises(SegnodeError, match='closed'):
            runtime.run(small_model.frames(1))


def test_where_it_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    assert main(['convert', '--to', 'torch2trt', '--precision', 'fp16']) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1
    assert 'TensorRT' in error or 'torch2trt' in error

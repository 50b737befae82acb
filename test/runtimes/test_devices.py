# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The devices of the ``onnx`` runtime, with stand-ins for the providers that need a GPU."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import load_runtime, session
import small_model

ort = pytest.importorskip('onnxruntime')

CPU, CUDA, TENSORRT = (
    f'{name}ExecutionProvider' for name in ('CPU', 'CUDA', 'Tensorrt'))


class _Library:
    """ONNX Runtime as it is where it was built for a GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, loads: bool, runs: bool = True) -> None:
        self.loads, self.runs = loads, runs
        self.asked: list[list[str]] = []
        self.fallback: list[bool] = []
        self.real = ort.InferenceSession
        monkeypatch.setattr(ort, 'get_available_providers', lambda: [TENSORRT, CUDA, CPU])
        monkeypatch.setattr(ort, 'InferenceSession', self.session)
        monkeypatch.setattr(
            ort, 'preload_dlls', lambda: print('Failed to load libcublasLt.so'), raising=False)
        monkeypatch.setattr(session, 'nvidia_driver', lambda: True)

    def session(self, content: bytes, options: Any, *, providers: list[str], **more: Any) -> Any:
        self.asked.append(providers)
        made = self.real(content, options, providers=[CPU], **more)
        if providers == [CPU]:
            return made
        library = self

        class Session:
            """Computes on the CPU and says that it is elsewhere."""

            get_inputs, get_outputs = made.get_inputs, made.get_outputs

            def get_providers(self) -> list[str]:
                return providers if library.loads else [CPU]

            def disable_fallback(self) -> None:
                library.fallback.append(False)

            def run(self, *given: Any) -> Any:
                if not library.runs:
                    raise RuntimeError('no kernel image is available\nfor execution')
                return made.run(*given)

        return Session()


def _labels(**options: Any) -> tuple[str, np.ndarray]:
    runtime = load_runtime(small_model.model(), 'onnx', threads=1, **options)
    return runtime.details, runtime.run(small_model.frames(1)).labels


def test_auto_takes_cuda_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    _, expected = _labels(device='cpu')
    library = _Library(monkeypatch, loads=True)
    details, labels = _labels()
    assert details == f'ONNX Runtime {ort.__version__}, CUDA'
    assert (labels == expected).all()
    assert library.asked == [[CUDA, CPU]]
    assert library.fallback == [False], 'it may not move to the CPU in the middle of a run'


@pytest.mark.parametrize('loads, runs, reason', [
    (False, True, f'cannot start its {CUDA}: Failed to load libcublasLt.so'),
    (True, False, 'on the CPU, not on the GPU: no kernel image is available'),
])
def test_auto_goes_to_the_cpu_with_a_word(
    loads: bool, runs: bool, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    _, expected = _labels(device='cpu')
    library = _Library(monkeypatch, loads=loads, runs=runs)
    with caplog.at_level(logging.WARNING, 'segnode'):
        details, labels = _labels()
    assert details == f'ONNX Runtime {ort.__version__}, CPU, 1 thread'
    assert (labels == expected).all()
    assert library.asked == [[CUDA, CPU], [CPU]]
    (record,) = caplog.records
    assert reason in record.getMessage() and '\n' not in record.getMessage()
    assert capsys.readouterr().out == '', 'what the library prints would end up in JSON'


def test_without_a_driver_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    library = _Library(monkeypatch, loads=True)
    monkeypatch.setattr(session, 'nvidia_driver', lambda: False)
    assert 'CPU, 1 thread' in _labels()[0]
    assert library.asked == [[CPU]]


@pytest.mark.parametrize('device, providers, name', [
    ('cuda', [CUDA, CPU], 'CUDA'), ('tensorrt', [TENSORRT, CUDA, CPU], 'TensorRT and CUDA'),
])
def test_a_device_that_is_named_is_taken_or_refused(
    device: str, providers: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = _Library(monkeypatch, loads=True)
    assert _labels(device=device)[0].endswith(f', {name}')
    assert library.asked == [providers]
    library.loads = False
    with pytest.raises(SegnodeError, match=f'cannot start its {providers[0]}'):
        _labels(device=device)
    library.loads, library.runs = True, False
    with pytest.raises(SegnodeError, match='cannot run model .*: no kernel image') as caught:
        _labels(device=device)
    assert '\n' not in str(caught.value)


def test_refusals() -> None:
    if CUDA not in ort.get_available_providers():
        with pytest.raises(SegnodeError, match=f'has no {CUDA} here.*pip install onnxruntime-gpu'):
            _labels(device='cuda')
    with pytest.raises(SegnodeError, match="one of auto, cpu, cuda, tensorrt, not 'npu'"):
        _labels(device='npu')

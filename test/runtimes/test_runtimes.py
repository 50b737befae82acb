# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The runtimes: equal labels, batches, sizes, threads, and what they refuse."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
import sys
import time
from typing import Any

import numpy as np
import pytest

import segnode
from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.model import Model
from segnode.runtimes import load_runtime, RUNTIMES
from segnode.runtimes.base import default_threads, working_size
from segnode.runtimes.cache import entries
from segnode.runtimes.onnx import OnnxRuntime
from segnode.runtimes.pytorch import PyTorchRuntime
import small_model

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def test_names() -> None:
    assert RUNTIMES == ('auto', 'tensorrt', 'torch2trt', 'pytorch', 'onnx', 'openvino')


@pytest.mark.parametrize('name', ['pytorch', 'onnx'])
@pytest.mark.parametrize('size', [(128, 256), (256, 128)])
def test_same_labels_for_one_image_and_for_three(name: str, size: tuple[int, int]) -> None:
    images = small_model.frames(3, size)
    runtime = load_runtime(small_model.model(), name, input_size=size, confidence=True, threads=1)
    assert (runtime.name, runtime.input_size, runtime.batch) == (name, size, None)
    together = runtime.run(images)
    assert together.labels.shape == (3, *size) and together.labels.dtype == np.uint8
    assert together.confidence is not None and together.confidence.dtype == np.uint8
    assert len(np.unique(together.labels)) > 2
    for index in range(3):
        alone = runtime.run(images[index : index + 1])
        assert (alone.labels[0] == together.labels[index]).mean() > 0.9999
    runtime.close()


def test_runtimes_agree() -> None:
    images = small_model.frames(4)
    runtimes = [load_runtime(small_model.model(), name, confidence=True, threads=1)
                for name in ('pytorch', 'onnx')]
    first, second = (runtime.run(images) for runtime in runtimes)
    assert (first.labels == second.labels).mean() >= 0.999
    assert first.confidence is not None and second.confidence is not None
    assert np.abs(first.confidence.astype(int) - second.confidence).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize('size', [(384, 512), (512, 1024)])
def test_runtimes_agree_on_real_images(camvid: Path, size: tuple[int, int]) -> None:
    import cv2

    try:
        model = Model.load('fsffnet')
    except SegnodeError:
        model = small_model.model()
    paths = sorted((camvid / 'val' / 'images').iterdir())[::20]
    images = np.stack([fit_image(cv2.imread(str(path)), size)[0] for path in paths])
    labels = [load_runtime(model, name, input_size=size).run(images).labels
              for name in ('pytorch', 'onnx')]
    assert (labels[0] == labels[1]).mean() >= 0.999
    assert len(np.unique(labels[0])) > (4 if model.name.startswith('fsffnet_camvid') else 1)


def test_the_released_graph_needs_no_cache() -> None:
    load_runtime(small_model.model(), 'onnx')
    sizes: list[Any] = [list(small_model.SIZE), np.array(small_model.SIZE)]
    for size in sizes:
        runtime = load_runtime(small_model.model(), 'onnx', input_size=size)
        assert runtime.input_size == small_model.SIZE
    assert entries() == []


def test_another_size_is_exported_once_and_damage_mended(caplog: Any) -> None:
    model = small_model.model()
    image = small_model.frames(1, (128, 128))
    expected = load_runtime(model, 'onnx', input_size=(128, 128)).run(image).labels
    (entry,) = entries()
    assert 'fsffnet_small-128x128' in entry.path.name
    assert entry.made_from['weights'] == model.weights_sha256
    made = entry.path.stat().st_mtime_ns
    load_runtime(model, 'onnx', input_size=(128, 128))
    assert entry.path.stat().st_mtime_ns == made
    content = bytearray(entry.path.read_bytes())
    content[len(content) // 2] ^= 1
    entry.path.write_bytes(content)
    with caplog.at_level(logging.WARNING, 'segnode'):
        again = load_runtime(model, 'onnx', input_size=(128, 128))
    assert 'is made again: its content has changed' in caplog.text
    assert (again.run(image).labels == expected).all()
    load_runtime(model, 'onnx', confidence=True)
    assert len(entries()) == 2


def test_random_weights_run_too() -> None:
    model = Model.untrained('fsffnet', input_size=(128, 128))
    image = small_model.frames(1, (128, 128))
    labels = [load_runtime(model, name).run(image).labels for name in ('onnx', 'pytorch')]
    assert (labels[0] == labels[1]).mean() >= 0.999


def test_without_torch_another_size_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model.model()
    monkeypatch.setitem(sys.modules, 'torch', None)
    with pytest.raises(SegnodeError, match=r'128x128 .*needs PyTorch: pip install') as caught:
        load_runtime(model, 'onnx', input_size=(128, 128))
    assert '\n' not in str(caught.value)
    with pytest.raises(SegnodeError, match='the pytorch runtime needs PyTorch'):
        load_runtime(model, 'pytorch')
    with pytest.raises(SegnodeError, match='nothing here can run'):
        load_runtime(Model.untrained('fsffnet'), 'auto')


def test_an_onnx_file_alone_serves_its_own_size_only(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    stem.with_suffix('.safetensors').unlink()
    model = Model.load(stem)
    assert load_runtime(model).name == 'onnx'
    with pytest.raises(SegnodeError, match='put fsffnet_small.safetensors beside it'):
        load_runtime(model, 'onnx', input_size=(128, 128))


def test_weights_alone_are_exported(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    stem.with_suffix('.onnx').unlink()
    runtime = load_runtime(Model.load(stem))
    assert runtime.name == 'onnx'
    assert len(entries()) == 1


def test_auto_says_what_and_why(caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with caplog.at_level(logging.INFO, 'segnode'):
        load_runtime(small_model.model())
    assert 'runtime onnx (the fastest without a GPU): ONNX Runtime' in caplog.text
    assert 'fsffnet_small at 128x256' in caplog.text
    caplog.clear()
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with caplog.at_level(logging.INFO, 'segnode'):
        assert load_runtime(small_model.model()).name == 'pytorch'
    assert 'ONNX Runtime is not installed' in caplog.text


@pytest.mark.parametrize('name', ['pytorch', 'onnx'])
@pytest.mark.parametrize('images', [
    np.zeros((1, 128, 128, 3), np.uint8), np.zeros((128, 256, 3), np.uint8),
    np.zeros((1, 128, 256, 3), np.float32), np.zeros((0, 128, 256, 3), np.uint8),
    np.zeros((1, 128, 256, 4), np.uint8),
])
def test_wrong_images(name: str, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match='images must be uint8'):
        load_runtime(small_model.model(), name).run(images)


@pytest.mark.parametrize('name', ['pytorch', 'onnx'])
def test_views_and_read_only_images(name: str) -> None:
    runtime = load_runtime(small_model.model(), name, threads=1)
    image = small_model.frames(1)
    expected = runtime.run(image).labels
    wide = np.zeros((1, 128, 300, 3), np.uint8)
    wide[:, :, :256] = image
    assert (runtime.run(wide[:, :, :256]).labels == expected).all()
    image.setflags(write=False)
    assert (runtime.run(image).labels == expected).all()


def test_refusals() -> None:
    model = small_model.model()
    with pytest.raises(SegnodeError, match=f'there is {", ".join(RUNTIMES)}'):
        load_runtime(model, 'tflite')
    with pytest.raises(SegnodeError, match='threads must be'):
        load_runtime(model, threads=-1)
    for name in ('pytorch', 'onnx'):
        with pytest.raises(SegnodeError, match='multiples of 128, not 100x100'):
            load_runtime(model, name, input_size=(100, 100))
    for name in ('auto', 'pytorch', 'onnx'):
        with pytest.raises(SegnodeError, match="option 'speed'"):
            load_runtime(model, name, speed=11)
        for size in (128, (128,), (128.0, 128.0), 'ab', [128, 128, 128]):
            with pytest.raises(SegnodeError, match='whole pixels'):
                load_runtime(model, name, input_size=size)  # type: ignore[arg-type]
    with pytest.raises(SegnodeError, match='cannot use the device'):
        load_runtime(model, 'pytorch', device='warp')
    with pytest.raises(SegnodeError, match='its file is in, fp32, not in fp16: python -m'):
        load_runtime(model, 'onnx', precision='fp16')
    assert load_runtime(model, 'onnx', precision='fp32').name == 'onnx'
    with pytest.raises(SegnodeError) as caught:
        load_runtime(model, 'auto', device='cpu', precision='bf16')
    assert str(caught.value).count('; ') == 1, 'a word of each of the two runtimes'


@pytest.mark.parametrize('cores, expected', [(1, 1), (2, 1), (3, 2), (5, 4), (64, 4)])
def test_default_threads(cores: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(cores)), raising=False)
    assert default_threads() == expected


def test_threads_do_not_spin() -> None:
    """Between runs the process uses next to no processor time."""
    runtime = load_runtime(small_model.model(), 'onnx', threads=2)
    image = small_model.frames(1)
    idle = []
    # The best of some: something else in this process may wake up.
    while len(idle) < 20 and min(idle, default=1.0) >= 0.005:
        runtime.run(image)
        used = time.process_time()
        time.sleep(0.2)
        idle.append(time.process_time() - used)
    assert min(idle) < 0.005  # s; a thread that spins takes 0.03


def _cuda_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('segnode.runtimes.choose.nvidia_driver', lambda: True)


def test_auto_takes_a_runtime_that_has_the_options() -> None:
    runtime = load_runtime(small_model.model(), 'auto', compile=False)
    assert 'PyTorch' in runtime.details and not runtime.warning
    with pytest.raises(SegnodeError, match='no runtime that can run here has the option'):
        load_runtime(small_model.model(), 'auto', dla_core=0)


def test_auto_passes_over_a_torch_that_does_not_load(
    caplog: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A GPU's driver is there and PyTorch's libraries are not."""
    (tmp_path / 'torch.py').write_text("raise OSError('libcudart.so: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition('.')[0] == 'torch']:
        monkeypatch.delitem(sys.modules, name)
    _cuda_driver(monkeypatch)
    assert load_runtime(small_model.model()).name == 'onnx'
    assert 'the GPU is passed over: ' in caplog.text and 'libcudart.so' in caplog.text


def test_auto_passes_over_a_gpu_without_memory(
    caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def run(self: PyTorchRuntime, images: np.ndarray) -> Any:
        raise RuntimeError('CUDA out of memory.\nTried to allocate 2 GiB')

    _cuda_driver(monkeypatch)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'GPU')
    monkeypatch.setattr(torch.nn.Module, 'to', lambda self, *args, **kwargs: self)
    monkeypatch.setattr(PyTorchRuntime, '_choose', lambda self, *others: 'fp32')
    monkeypatch.setattr(PyTorchRuntime, 'run', run)
    assert load_runtime(small_model.model()).name == 'onnx'
    assert 'runtime pytorch on cuda is passed over' in caplog.text
    with pytest.raises(SegnodeError, match='cannot run model .*: CUDA out of memory') as caught:
        load_runtime(small_model.model(), 'pytorch')
    assert '\n' not in str(caught.value)


def test_auto_ends_at_the_runtime_that_is_left(
    caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: OnnxRuntime, model: Model, **options: Any) -> None:
        raise SegnodeError('ONNX Runtime refuses the graph')

    monkeypatch.setattr(OnnxRuntime, '__init__', refuse)
    with caplog.at_level(logging.INFO, 'segnode'):
        assert load_runtime(small_model.model(), threads=1).name == 'pytorch'
    assert 'runtime onnx is passed over: ' in caplog.text
    assert 'runtime pytorch (nothing faster runs here)' in caplog.text


def test_an_error_of_the_network_is_not_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: Model) -> None:
        raise RuntimeError('bad weights')

    monkeypatch.setattr(Model, 'build_network', build)
    with pytest.raises(SegnodeError, match='cannot run model fsffnet_small: bad weights'):
        load_runtime(small_model.model(), 'pytorch')


def test_the_key_of_an_export_holds_our_version() -> None:
    load_runtime(small_model.model(), 'onnx', input_size=(128, 128))
    (entry,) = entries()
    assert json.loads(entry.made_from['versions'])['segnode'] == segnode.__version__


def test_a_size_that_would_fill_the_memory() -> None:
    record = small_model.record()
    assert working_size(record, [4096, 8192]) == (4096, 8192)
    with pytest.raises(SegnodeError, match=r'8192x4224 is too large: at most 33,554,432 pixels'):
        working_size(record, (8192, 4224))
    with pytest.raises(SegnodeError, match='in whole pixels'):
        working_size(record, (1.5, 128))

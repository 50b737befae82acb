# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The torch2trt runtime: what keeps its known faults out, engines kept, refusals.

The engine here is the network itself, run on the very memory whose addresses TensorRT is given.
That the real torch2trt converts the networks is in test_torch2trt_convert.py.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import load_runtime
from segnode.runtimes.cache import cache_folder, clear
from segnode.runtimes.tensorrt_build import Plan
from segnode.runtimes.tensorrt_versions import Library, library
import small_model
from standin_gpu import Cuda, Tensorrt
from standin_torch import OnCpu

torch = pytest.importorskip('torch')

from torch import nn  # noqa: E402

from segnode.runtimes import torch2trt, torch2trt_convert, torch_cuda  # noqa: E402
from segnode.runtimes.torch2trt_convert import (  # noqa: E402
    build,
    check_library,
    check_network,
    converters,
)
from segnode.runtimes.torch_engine import EngineNetwork  # noqa: E402

SIZE = (1, 3, *small_model.SIZE)


class Engines(Library):
    """A library whose engines run the small network, as their plan says."""

    def __init__(self) -> None:
        super().__init__(Tensorrt('10.3.0', Cuda()))  # type: ignore[arg-type]
        self.network = small_model.network()
        self.addresses: dict[str, int] = {}
        self.loads = True
        self.runs = True

    def runtime(self, dla_core: int | None = None) -> Any:
        return None

    def deserialize(self, runtime: Any, plan: bytes) -> Any:
        if not self.loads:
            raise SegnodeError('the engine is of another version')
        shapes = {'x': SIZE, 'logits': tuple(json.loads(plan)['output'])}
        modes = {'x': self.module.TensorIOMode.INPUT, 'logits': self.module.TensorIOMode.OUTPUT}
        return SimpleNamespace(
            num_io_tensors=2, get_tensor_name=lambda index: ('x', 'logits')[index],
            get_tensor_shape=shapes.__getitem__, get_tensor_mode=modes.__getitem__,
            get_tensor_dtype=lambda name: self.module.DataType.FLOAT,
            off_by=json.loads(plan)['off_by'], shapes=shapes)

    def context(self, engine: Any, kernels: bytes = b'') -> Any:
        def place(name: str, address: int) -> bool:
            self.addresses[name] = address
            return True

        def execute(stream: int) -> bool:
            if not self.runs:
                self.logger.log(self.module.ILogger.ERROR, 'no memory')
                return False
            x, y = (_at(self.addresses[n], engine.shapes[n]) for n in ('x', 'logits'))
            with torch.no_grad():
                y.copy_(self.network(x))
                y[:, 0] += engine.off_by
            return True
        return SimpleNamespace(set_tensor_address=place, execute_async_v3=execute), None


def _at(address: int, shape: tuple[int, ...]) -> Any:
    count = int(np.prod(shape))
    memory = (ctypes.c_float * count).from_address(address)
    return torch.from_numpy(np.ctypeslib.as_array(memory).reshape(shape))


def plan(off_by: float = 0.0) -> bytes:
    height, width = small_model.SIZE
    return json.dumps({'output': (1, 11, height // 2, width // 2), 'off_by': off_by}).encode()


class Engine(EngineNetwork):
    """On the CPU, where there is no stream."""

    def _stream(self) -> int:
        return 0


def test_an_input_that_is_not_contiguous_is_copied_into_memory_that_stays() -> None:
    engines = Engines()
    engine = Engine(engines, plan(), torch.device('cpu'))
    address = engines.addresses['x']
    images = torch.randn(2, *small_model.SIZE, 3, generator=torch.Generator().manual_seed(0))
    for image in images:
        x = image[None].permute(0, 3, 1, 2)  # as an image comes: its channels last
        assert not x.is_contiguous()
        with torch.no_grad():
            found, expected = engine(x), engines.network(x)
        assert (found - expected).abs().max() < 1e-4
        assert engines.addresses['x'] == address
    assert engine(images[:1].permute(0, 3, 1, 2)).data_ptr() == engines.addresses['logits']
    engines.runs = False
    with pytest.raises(SegnodeError, match='does not run the engine: no memory'):
        engine(x)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engines:
    """Make this a machine with PyTorch on a GPU, TensorRT and torch2trt."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    engines = Engines()
    engines.built: list[dict[str, Any]] = []  # type: ignore[misc]
    engines.off_by: dict[bool, float] = {}  # type: ignore[misc]

    def build(found: Any, network: Any, example: Any, **options: Any) -> Plan:
        assert example.is_contiguous() and tuple(example.shape) == SIZE
        assert not network.training and next(network.parameters()).dtype == torch.float32
        engines.built.append(options)  # type: ignore[attr-defined]
        off_by = engines.off_by.get(options['fp16'], 0.0)  # type: ignore[attr-defined]
        return Plan(plan(off_by), found.name, {}, {}, 7, 0.5)

    monkeypatch.setattr(torch2trt, 'find_tensorrt', lambda modules: engines.module)
    monkeypatch.setattr(torch2trt, 'library', lambda module: engines)
    monkeypatch.setattr(torch2trt, 'DEVICE', 'cpu')
    monkeypatch.setattr(torch2trt_convert, 'installed', lambda module: True)
    monkeypatch.setattr(torch2trt_convert, 'build', build)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch_cuda, 'CudaRunner', OnCpu)
    monkeypatch.setattr('segnode.runtimes.torch_engine.EngineNetwork', Engine)
    monkeypatch.setattr('segnode.runtimes.cuda_driver._load', lambda: engines.module.cuda)
    return engines


@pytest.mark.parametrize('options', [{}, {'confidence': True}, {'label_stride': 4}])
def test_labels_are_pytorchs(desk: Any, options: dict[str, Any]) -> None:
    images = small_model.frames(2)
    runtime = load_runtime(small_model.model(), 'torch2trt', **options)
    assert (runtime.name, runtime.batch) == ('torch2trt', 1)
    assert runtime.details == 'torch2trt, TensorRT 10.3.0, Stand-in GPU, fp16, CUDA graph'
    expected = load_runtime(small_model.model(), 'pytorch', device='cpu', **options)
    for index in range(2):
        image = images[index : index + 1]
        found, wanted = runtime.run(image), expected.run(image)
        assert (found.labels == wanted.labels).mean() > 0.999
        assert found.labels.shape == wanted.labels.shape
        if wanted.confidence is not None:
            assert found.confidence is not None
            assert np.abs(found.confidence.astype(int) - wanted.confidence).max() <= 1
    runtime.close()
    runtime.close()
    with pytest.raises(SegnodeError, match='was closed'):
        runtime.run(images[:1])


def test_an_engine_is_built_once_and_holds_no_pickle(desk: Any) -> None:
    for _ in range(2):
        load_runtime(small_model.model(), 'torch2trt').close()
    assert len(desk.built) == 1
    (path,) = cache_folder().glob('*.engine')
    assert path.read_bytes() == plan()
    side = json.loads(path.with_name(path.name + '.json').read_text())
    assert side['facts']['agreement'] > 0.999 and side['made_from']['gpu'] == 'Stand-in GPU'
    load_runtime(small_model.model(), 'torch2trt', precision='fp32').close()
    assert [options['fp16'] for options in desk.built] == [True, False]
    desk.loads = False
    with pytest.raises(SegnodeError, match='another version'):  # nor does the new one load
        load_runtime(small_model.model(), 'torch2trt')
    assert len(desk.built) == 3


def test_float16_that_gives_other_labels_is_not_taken_unless_asked_for(
    desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    desk.off_by = {True: 1e4}
    runtime = load_runtime(small_model.model(), 'torch2trt')
    assert ', fp32' in runtime.details and 'in fp16 gives the labels of PyTorch' in caplog.text
    assert ', fp16' in load_runtime(small_model.model(), 'torch2trt', precision='fp16').details
    clear()
    desk.off_by = {True: 1e4, False: 1e4}
    with pytest.raises(SegnodeError, match='in fp32 gives the labels of PyTorch for only'):
        load_runtime(small_model.model(), 'torch2trt', precision='fp32')


def of(release: str) -> Library:
    return library(Tensorrt(release))  # type: ignore[arg-type]


@pytest.mark.parametrize('release', ['11.4.0', 'rtx 1.7.1'])
def test_later_versions_are_sent_to_the_tensorrt_runtime(release: str) -> None:
    with pytest.raises(SegnodeError) as caught:
        check_library(of(release))
    title = f'TensorRT{" for RTX" if "rtx" in release else ""} {release.removeprefix("rtx ")}'
    assert str(caught.value) == (
        f'torch2trt does not work with {title}, only with TensorRT 8 and 10: take the tensorrt '
        'runtime, which does')


@pytest.mark.parametrize('release', ['8.5.1', '8.6.1', '10.0.1', '10.9.0'])
def test_without_torch2trt(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch2trt_convert, 'installed', lambda module: False)
    with pytest.raises(SegnodeError, match='needs torch2trt, which is not installed: git clone'):
        check_library(of(release))
    monkeypatch.setattr(torch2trt_convert, 'installed', lambda module: True)
    check_library(of(release))


def test_another_torch2trt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch2trt_convert, 'require', lambda module, purpose: None)
    with pytest.raises(SegnodeError, match='is not its last one .commit 4e820ae'):
        converters()
    module = ModuleType('torch2trt.torch2trt')
    monkeypatch.setitem(sys.modules, 'torch2trt.version_utils', ModuleType('version_utils'))
    monkeypatch.setitem(sys.modules, 'torch2trt.torch2trt', module)
    assert converters() is module


def test_a_network_that_would_be_mistaken_is_refused_with_the_reasons() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(3)).eval()
    with pytest.raises(SegnodeError) as caught:
        check_network(network, torch.zeros(1, 3, 32, 32), 'mobile')
    assert str(caught.value) == (
        'torch2trt does not convert mobile correctly, because of F.hardtanh; '
        'F.adaptive_avg_pool2d: to another size than 1x1: take the tensorrt runtime')
    with pytest.raises(SegnodeError, match=r'F\.hardtanh'):
        build(of('10.3.0'), network, torch.zeros(1, 3, 32, 32), fp16=False)


@pytest.mark.parametrize('options, sentence', [
    ({'precision': 'int8'}, 'precision of torch2trt must be one of auto, fp32, fp16, not'),
    ({'batch': 0}, 'batch must be 1 to 16, not 0'),
])
def test_options_that_are_none(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SegnodeError, match=sentence):
        load_runtime(small_model.model(), 'torch2trt', **options)


def test_samples_are_left_to_others() -> None:
    with pytest.raises(SegnodeError, match='torch2trt has no Monte Carlo dropout'):
        torch2trt.Torch2trtRuntime(small_model.model(), samples=4)


def test_without_a_gpu(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SegnodeError, match='needs a CUDA GPU, and PyTorch finds none'):
        load_runtime(small_model.model(), 'torch2trt')


class _Context:
    """A conversion that goes as a test wants it."""

    fails: Any = None

    def __init__(self, definition: Any, **settings: Any) -> None:
        assert settings['torch2trt_kwargs']['module'] is not None

    def __enter__(self) -> None:
        if self.fails is not None:
            raise self.fails
        print('Warning: Encountered known unsupported method torch.Tensor.foo')

    def __exit__(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize('fails, sentence', [
    (RuntimeError('no kernel\nmore'), 'torch2trt does not convert small: no kernel$'),
    (AssertionError(), 'torch2trt does not convert small: AssertionError$'),
    (None, r'torch2trt does not convert small: it knows no torch\.Tensor\.foo$'),
])
def test_a_conversion_that_fails_is_one_sentence(
    fails: Any, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = type('Context', (_Context,), {'fails': fails})
    monkeypatch.setattr(
        torch2trt_convert, 'converters', lambda: SimpleNamespace(ConversionContext=context))
    tensorrt: Any = Tensorrt('8.6.1')
    made = tensorrt._network

    def network(flags: int = 0) -> Any:
        definition = made(flags)
        definition.__dict__['add_input'] = lambda *_: object()
        return definition

    tensorrt._network = network
    with pytest.raises(SegnodeError, match=sentence):
        build(library(tensorrt), nn.Conv2d(3, 4, 1).eval(), torch.zeros(1, 3, 8, 8),
              fp16=True, name='small')
    assert capsys.readouterr().out == ''
    assert tensorrt.asked['set'] == {'FP16'}
    assert tensorrt.asked['pools'] == {'WORKSPACE': 1 << 30}, '32 MiB starve TensorRT 8'

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What only an NVIDIA GPU can show: labels, replays, streams, memory over 10,000 frames, limits.

    python -m pytest test/runtimes/test_gpu.py -m gpu -s

Whatever is not installed is skipped with its reason. Without ONNX Runtime the labels of the CPU
are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Iterator
import threading
import time
from typing import Any

import numpy as np
import pytest

from segnode.benchmarking.candidate import Candidate, EAGER
from segnode.benchmarking.limits import add_limits
from segnode.benchmarking.measure import measure
from segnode.benchmarking.table import text
from segnode.dependencies import installed
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes import load_runtime
from segnode.runtimes.cuda_driver import Device
from segnode.runtimes.fallback import FallbackRuntime
from segnode.runtimes.session import nvidia_driver
from segnode.segmenter import Segmenter
import small_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not nvidia_driver(), reason='there is no NVIDIA driver here'),
]

FRAMES = 10_000
# Runtime and options -> share of equal labels beside ONNX Runtime on the CPU in float32.
CASES: dict[str, tuple[str, dict[str, Any], float]] = {
    'tensorrt': ('tensorrt', {}, 0.99),
    'tensorrt fp32': ('tensorrt', {'precision': 'fp32'}, 0.995),
    'torch2trt': ('torch2trt', {}, 0.99),
    'torch2trt fp32': ('torch2trt', {'precision': 'fp32'}, 0.995),
    'pytorch': ('pytorch', {'device': 'cuda'}, 0.99),
    'pytorch fp32': ('pytorch', {'device': 'cuda', 'precision': 'fp32'}, 0.995),
    'pytorch bf16': ('pytorch', {'device': 'cuda', 'precision': 'bf16'}, 0.95),
    'pytorch compiled': ('pytorch', {'device': 'cuda', 'compile': True}, 0.99),
    'onnx': ('onnx', {'device': 'cuda'}, 0.995),
    'onnx tensorrt': ('onnx', {'device': 'tensorrt'}, 0.99),
}
# The provider in ONNX Runtime builds its engine at every start, so it is started once.
SOON = [case for case in CASES if case != 'onnx tensorrt']
REPLAYED = [case for case in SOON if case != 'onnx']


@pytest.fixture(autouse=True, scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Build each engine once for the whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


def load(case: str, **more: Any) -> Any:
    name, options, _ = CASES[case]
    needs = {'tensorrt': (), 'torch2trt': ('torch', 'torch2trt'), 'pytorch': ('torch',),
             'onnx': ()}[name]
    for module in needs:
        if not installed(module):
            pytest.skip(f'{module} is not installed')
    try:
        return load_runtime(model(), name, **{**options, **more})
    except SegnodeError as error:
        for words in ('is installed;', 'is not installed', 'ExecutionProvider here',
                      'cannot start its TensorrtExecutionProvider', 'does not work with TensorRT',
                      'PyTorch cannot use', 'finds none', 'working triton', 'C compiler'):
            if words in str(error):
                pytest.skip(str(error))
        raise


def model() -> Model:
    """Return the released model, or one with settled weights where there is none."""
    try:
        return Model.load('fsffnet')
    except SegnodeError:
        return small_model.model()


def images(count: int) -> np.ndarray:
    return small_model.frames(count, model().record.input_size)


def on_cpu(**options: Any) -> Any:
    name = 'onnx' if installed('onnxruntime') else 'pytorch'
    return load_runtime(model(), name, device='cpu', **options)


def expected(given: np.ndarray, **options: Any) -> Any:
    return on_cpu(**options).run(given)


@pytest.mark.parametrize('case', CASES)
def test_labels_are_those_of_the_cpu(case: str) -> None:
    given = images(4)
    wanted = expected(given).labels
    runtime = load(case)
    found = np.concatenate([runtime.run(image[None]).labels for image in given])
    assert found.shape == wanted.shape and found.dtype == np.uint8
    assert (found == wanted).mean() >= CASES[case][2]
    assert len(np.unique(found)) > 2
    runtime.close()
    with pytest.raises(SegnodeError, match='closed'):
        runtime.run(given[:1])


@pytest.mark.parametrize('case', SOON)
def test_confidence(case: str) -> None:
    given = images(1)
    found, wanted = load(case, confidence=True).run(given), expected(given, confidence=True)
    assert (found.labels == wanted.labels).mean() >= CASES[case][2]
    assert np.abs(found.confidence.astype(int) - wanted.confidence).mean() < 4


@pytest.mark.parametrize('case', ['tensorrt', 'pytorch', 'onnx'])
def test_several_images_at_once_and_a_rest(case: str) -> None:
    given = images(6)
    wanted = expected(given).labels
    runtime = load(case, **({'batch': 4} if case == 'tensorrt' else {}))
    for count in (4, 1, 6, 3, 4, 1):
        assert (runtime.run(given[:count]).labels == wanted[:count]).mean() >= CASES[case][2]


@pytest.mark.parametrize('case', REPLAYED)
def test_the_cuda_graph_replays(case: str) -> None:
    """And gives each image its own labels, not those of the image it was captured with."""
    runtime = load(case)
    given = images(3)
    first = [runtime.run(image[None]).labels for image in given]
    assert runtime.details.endswith(', CUDA graph'), runtime.details
    assert (first[0] != first[1]).any() and (first[1] != first[2]).any()
    for index in (2, 0, 1, 0):
        again = runtime.run(given[index][None]).labels
        assert (again == first[index]).mean() > 0.999


@pytest.mark.parametrize('case', SOON)
def test_any_thread_may_run_it(case: str) -> None:
    runtime = load(case)
    given = images(1)
    wanted = runtime.run(given).labels
    found: list[float] = []

    def run() -> None:
        found.extend(float((runtime.run(given).labels == wanted).mean()) for _ in range(10))

    for _ in range(3):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert len(found) == 30 and min(found) > 0.999


@pytest.mark.parametrize('pair', [('tensorrt', 'pytorch'), ('tensorrt', 'tensorrt fp32'),
                                  ('pytorch', 'pytorch fp32'), ('pytorch', 'torch2trt'),
                                  ('tensorrt', 'onnx')])
def test_two_at_the_same_time_on_streams_of_their_own(pair: tuple[str, str]) -> None:
    given = images(2)
    runtimes = [load(case) for case in pair]
    wanted = [runtime.run(given[i : i + 1]).labels for i, runtime in enumerate(runtimes)]
    worst = [1.0, 1.0]

    def run(index: int) -> None:
        for _ in range(300):
            labels = runtimes[index].run(given[index : index + 1]).labels
            worst[index] = min(worst[index], float((labels == wanted[index]).mean()))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(worst) > 0.999


@pytest.mark.parametrize('case', SOON)
def test_memory_does_not_grow(case: str) -> None:
    from segnode.ros.resources import resident_memory

    runtime = load(case)
    given = images(1)
    gpu = Device()

    def held() -> tuple[int, int]:
        free, total = gpu.free_memory()
        return total - free, resident_memory() or 0

    for _ in range(200):
        runtime.run(given)
    before = held()
    begun = time.monotonic()
    for _ in range(FRAMES):
        runtime.run(given)
    seconds = time.monotonic() - begun
    after = held()
    gpu.close()
    print(f'{case}: {FRAMES / seconds:.0f} images/s, GPU {before[0] / 1e6:.1f} -> '
          f'{after[0] / 1e6:.1f} MB, process {before[1] / 1e6:.1f} -> {after[1] / 1e6:.1f} MB')
    assert after[0] - before[0] <= 2 << 20
    assert after[1] - before[1] <= 16 << 20


@pytest.mark.parametrize('case', ['tensorrt', 'torch2trt'])
def test_an_engine_is_found_again(case: str) -> None:
    load(case).close()
    begun = time.monotonic()
    runtime = load(case)
    print(f'{case}: {time.monotonic() - begun:.2f} s to load, {runtime.facts["build_seconds"]} s '
          f'to build, {runtime.facts}')
    assert runtime.facts['agreement'] >= 0.99
    assert runtime.facts['path'].is_file()


def test_memory_comes_back() -> None:
    gpu = Device()
    load('tensorrt').close()  # what the libraries keep for themselves
    free, _ = gpu.free_memory()
    for _ in range(5):
        load('tensorrt').close()
    assert free - gpu.free_memory()[0] <= 8 << 20
    gpu.close()


def test_auto_takes_the_gpu() -> None:
    segmenter = Segmenter.load(model())
    assert segmenter.runtime.name in ('tensorrt', 'pytorch', 'onnx')
    if segmenter.runtime.name == 'onnx' and 'CPU' in segmenter.runtime.details:
        pytest.skip(f'nothing here uses the GPU: {segmenter.warning}')
    assert segmenter.warning == ''
    print(segmenter.runtime.details)


def _break_tensorrt(runtime: Any) -> None:
    runtime._engine._context = runtime._engine._graph = None


def _break_pytorch(runtime: Any) -> None:
    runtime._runner._slots.clear()
    runtime._runner._graph = None


@pytest.mark.parametrize('case, spoil', [
    ('tensorrt', _break_tensorrt), ('pytorch', _break_pytorch)])
def test_auto_goes_on_where_the_gpu_fails(case: str, spoil: Any) -> None:
    first, second = load(case), on_cpu()
    given = images(1)
    wanted = first.run(given).labels
    runtime = FallbackRuntime([(case, lambda: first), ('the CPU', lambda: second)])
    spoil(first)
    assert (runtime.run(given).labels == wanted).mean() > 0.99
    assert runtime.name == second.name and runtime.warning.startswith(f'{case} failed')
    assert runtime.warning.endswith('; the CPU runs instead')


@pytest.mark.parametrize('case', ['tensorrt', 'pytorch', 'pytorch fp32', 'onnx'])
def test_how_far_from_what_the_gpu_could_do(case: str) -> None:
    """Beside plain PyTorch on the same GPU, in one run of the benchmark."""
    if not installed('torch'):
        pytest.skip('torch is not installed')
    load(case).close()  # or it is skipped
    name, options, _ = CASES[case]
    answer = measure([
        Candidate('fsffnet', EAGER, device='cuda', allow_random_weights=True),
        Candidate('fsffnet', name, allow_random_weights=True, **options),
    ], 100)
    add_limits(answer, 1)
    print(text(answer))
    assert {peak['device'] for peak in answer['peaks']} == {'cuda'}
    for peak in answer['peaks']:  # of a small board and of a large server
        assert 2e11 < peak['operations'] < 1e17 and 1e10 < peak['bandwidth'] < 1e14
    eager, ours = answer['rows']
    assert eager['reason'] == ours['reason'] == '' and ours['runtime'] == name
    # Less than the limit is possible: what fits into the GPU's cache moves faster than memory.
    assert eager['times_the_limit'] > 0.2 and ours['times_the_limit'] > 0.2
    assert ours['limit_ms'] > 0 and ours['times_as_fast_as_eager'] > 0
    assert ours['same_labels'] >= CASES[case][2]

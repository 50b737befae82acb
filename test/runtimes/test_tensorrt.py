# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The tensorrt runtime in every version, on a GPU in Python: labels, engines kept, faults."""

from __future__ import annotations

from collections.abc import Callable
import logging
from pathlib import Path
import threading
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.onnx_edit import precision_of
from segnode.runtimes import load_runtime, progress
from segnode.runtimes.cache import cache_folder, entries
from segnode.runtimes.tensorrt import TensorrtRuntime
import small_model
from standin_gpu import Cuda, Tensorrt, VERSIONS

pytest.importorskip('torch')
pytest.importorskip('onnxruntime')

Machine = Callable[..., Tensorrt]


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a function that makes this a machine with a GPU and a version of TensorRT."""
    def put(release: str = '10.3.0', cuda: Cuda | None = None, **options: Any) -> Tensorrt:
        made = Tensorrt(release, cuda or Cuda(), real=True, **options)
        monkeypatch.setattr('segnode.runtimes.cuda_driver._load', lambda: made.cuda)
        monkeypatch.setattr('segnode.runtimes.tensorrt.find_tensorrt', lambda: made)
        return made
    return put


def expected(images: np.ndarray) -> np.ndarray:
    return load_runtime(small_model.model(), 'onnx', threads=1, device='cpu').run(images).labels


@pytest.mark.parametrize('release', VERSIONS)
def test_labels_are_those_of_the_graph(release: str, machine: Machine) -> None:
    tensorrt = machine(release)
    cuda: Any = tensorrt.cuda
    images = small_model.frames(3)
    runtime = load_runtime(small_model.model(), 'tensorrt')
    assert (runtime.name, runtime.input_size) == ('tensorrt', small_model.SIZE)
    assert runtime.batch is None
    title = 'TensorRT for RTX' if release.startswith('rtx') else 'TensorRT'
    assert runtime.details == (
        f'{title} {release.removeprefix("rtx ")}, Stand-in GPU, fp16, CUDA graph')
    wanted = expected(images)
    for index in range(3):
        labels = runtime.run(images[index : index + 1]).labels
        assert labels.shape == (1, *small_model.SIZE) and labels.dtype == np.uint8
        assert (labels[0] == wanted[index]).mean() > 0.99
    # TensorRT for RTX replays a graph of its own.
    assert cuda.launches == (0 if release.startswith('rtx') else 1 + 1 + 3)
    typed = release.startswith(('rtx', '11'))
    assert precision_of(tensorrt.parsed) == ('fp16' if typed else 'fp32')
    assert ('FP16' in tensorrt.asked.get('set', ())) != typed
    runtime.close()
    runtime.close()
    assert cuda.leaks == []
    with pytest.raises(SegnodeError, match='was closed'):
        runtime.run(images[:1])


@pytest.mark.parametrize('release', ['8.6.1', 'rtx 1.7.1'])
def test_several_images_at_once_and_a_rest(release: str, machine: Machine) -> None:
    cuda: Any = machine(release).cuda
    images = small_model.frames(6)
    wanted = expected(images)
    runtime = load_runtime(small_model.model(), 'tensorrt', batch=4, precision='fp32')
    assert runtime.batch is None
    for count in (4, 1, 6, 3, 4):
        assert (runtime.run(images[:count]).labels == wanted[:count]).mean() > 0.999
    runtime.close()
    assert cuda.leaks == []


def test_images_that_will_come_together_go_through_together(machine: Machine) -> None:
    cuda: Any = machine('8.6.1').cuda
    images = small_model.frames(3)
    runtime = load_runtime(small_model.model(), 'tensorrt', at_once=3, precision='fp32')
    before = cuda.launches  # of whole batches
    for count in (3, 1, 2):
        labels = runtime.run(images[:count]).labels
        assert (labels == expected(images[:count])).mean() > 0.999
    assert cuda.launches == before + 1
    asked: Any = load_runtime(
        small_model.model(), 'tensorrt', at_once=3, batch=2, precision='fp32')
    assert asked._engine.max_batch == 2
    other = load_runtime(small_model.model(), 'onnx', at_once=3, device='cpu')
    assert (other.run(images).labels == expected(images)).all()


def test_confidence_and_coarser_labels(machine: Machine) -> None:
    machine('11.4.0')
    image = small_model.frames(1)
    runtime = load_runtime(small_model.model(), 'tensorrt', confidence=True, label_stride=4)
    found = runtime.run(image)
    plain = load_runtime(
        small_model.model(), 'onnx', confidence=True, label_stride=4, device='cpu').run(image)
    assert found.labels.shape == (1, 32, 64)
    assert (found.labels == plain.labels).mean() > 0.99
    assert found.confidence is not None and plain.confidence is not None
    assert np.abs(found.confidence.astype(int) - plain.confidence).mean() < 1


def test_an_engine_is_built_once(machine: Machine) -> None:
    tensorrt = machine()
    load_runtime(small_model.model(), 'tensorrt').close()
    load_runtime(small_model.model(), 'tensorrt').close()
    assert tensorrt.builds_made == 1
    (engine,) = [entry for entry in entries() if entry.path.suffix == '.engine']
    assert engine.path.name.startswith('fsffnet_small-128x256-1-fp16-')
    assert engine.valid and engine.made_from['gpu'] == 'Stand-in GPU'
    assert engine.made_from['library'] == 'tensorrt 10.3.0'
    assert engine.facts['layers'] == 7 and engine.facts['agreement'] > 0.99
    for change in ({'precision': 'fp32'}, {'batch': 2}, {'workspace': 100}):
        load_runtime(small_model.model(), 'tensorrt', **change).close()
    assert tensorrt.builds_made == 4
    assert tensorrt.asked['pools'] == {'WORKSPACE': 100 << 20}


@pytest.mark.parametrize('other', [
    {'release': '10.9.0'}, {'cuda': Cuda(name='Another GPU')},
    {'cuda': Cuda(capability=(8, 9))},
])
def test_another_library_or_gpu_has_its_own(other: dict[str, Any], machine: Machine) -> None:
    machine()
    load_runtime(small_model.model(), 'tensorrt').close()
    second = machine(**other)
    load_runtime(small_model.model(), 'tensorrt').close()
    assert second.builds_made == 1


@pytest.mark.parametrize('spoil', [
    lambda path: path.write_bytes(path.read_bytes()[:-9]),
    lambda path: path.with_name(path.name + '.json').unlink(),
    lambda path: path.chmod(0o666),
])
def test_a_damaged_engine_is_built_again(spoil: Any, machine: Machine) -> None:
    tensorrt = machine()
    load_runtime(small_model.model(), 'tensorrt').close()
    (path,) = cache_folder().glob('*.engine')
    spoil(path)
    load_runtime(small_model.model(), 'tensorrt').close()
    assert tensorrt.builds_made == 2
    assert tensorrt.cuda.leaks == []  # type: ignore[union-attr]


def test_an_engine_that_tensorrt_no_longer_loads_is_built_again(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """As after an update that left the version as it was."""
    tensorrt = machine()
    load_runtime(small_model.model(), 'tensorrt').close()
    inner = tensorrt._engine

    def engine(logger: Any, plan: bytes) -> Any:
        tensorrt.deserializes = tensorrt.builds_made > 1
        return inner(logger, plan)

    tensorrt._engine = engine  # type: ignore[method-assign]
    tensorrt.Runtime = lambda logger: type('Runtime', (), {  # type: ignore[method-assign]
        'deserialize_cuda_engine': staticmethod(lambda plan: tensorrt._engine(logger, plan))})()
    load_runtime(small_model.model(), 'tensorrt').close()
    assert tensorrt.builds_made == 2
    assert 'is made again: tensorrt 10.3.0 does not load the engine: Version tag' in caplog.text
    assert tensorrt.cuda.leaks == []  # type: ignore[union-attr]


def test_float16_that_gives_other_labels_is_not_taken_unless_asked_for(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    tensorrt = machine('11.4.0')
    tensorrt.off_by = {True: 1}
    runtime = load_runtime(small_model.model(), 'tensorrt')
    assert ', fp32' in runtime.details and tensorrt.built_in_half == [True, False]
    assert 'in fp16 gives the labels of ONNX Runtime for only 0.00%' in caplog.text
    runtime.close()
    load_runtime(small_model.model(), 'tensorrt').close()
    assert tensorrt.builds_made == 2, 'what was found out is kept too'
    asked = load_runtime(small_model.model(), 'tensorrt', precision='fp16')
    assert ', fp16' in asked.details
    asked.close()
    tensorrt.off_by = {False: 1}
    with pytest.raises(SegnodeError, match='in fp32 gives the labels of ONNX Runtime for only'):
        load_runtime(small_model.model(), 'tensorrt', precision='fp32', workspace=1)
    assert tensorrt.cuda.leaks == []  # type: ignore[union-attr]


def test_random_weights_need_not_agree(machine: Machine) -> None:
    machine().off_by = {True: 1, False: 1}
    model = Model.untrained('fsffnet', input_size=(128, 128))
    load_runtime(model, 'tensorrt').close()


def test_without_onnx_runtime_nothing_is_compared(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine().off_by = {True: 1}
    monkeypatch.setattr('segnode.runtimes.tensorrt_cached.installed', lambda module: False)
    runtime: Any = load_runtime(small_model.model(), 'tensorrt')
    assert 'agreement' not in runtime.facts


def test_what_cannot_be_captured_runs_all_the_same(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    tensorrt = machine()
    tensorrt.capturable = False
    images = small_model.frames(2)
    with caplog.at_level(logging.INFO, 'segnode'):
        runtime = load_runtime(small_model.model(), 'tensorrt', precision='fp32')
    assert 'runs without a CUDA graph' in caplog.text and 'graph' not in runtime.details
    wanted = expected(images)
    for index in range(2):
        assert (runtime.run(images[index : index + 1]).labels[0] == wanted[index]).all()
    assert tensorrt.cuda.launches == 0  # type: ignore[union-attr]


def test_a_graph_that_gives_other_labels_is_dropped(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    tensorrt = machine()
    cuda: Any = tensorrt.cuda
    replay = cuda._cuGraphLaunch

    def launch(graph: int, stream: int) -> None:
        replay(graph, stream)
        cuda.enqueue(stream, lambda: [np.frombuffer(held, np.uint8).fill(3)
                                      for held in cuda.host.values() if len(held) == 128 * 256])

    cuda._cuGraphLaunch = launch
    image = small_model.frames(1)
    runtime = load_runtime(small_model.model(), 'tensorrt', precision='fp32')
    assert 'CUDA graph, which gave other labels' in caplog.text
    assert (runtime.run(image).labels == expected(image)).mean() > 0.999


def test_rtx_keeps_its_kernels(machine: Machine) -> None:
    tensorrt = machine('rtx 1.7.1', Cuda(capability=(8, 9)))
    load_runtime(small_model.model(), 'tensorrt').close()
    (kept,) = cache_folder().glob('*.kernels')
    assert kept.read_bytes() == b'kernels of this GPU'
    assert tensorrt.asked['capability'] == 'SM89'
    before = kept.stat().st_mtime_ns
    load_runtime(small_model.model(), 'tensorrt').close()
    assert kept.stat().st_mtime_ns == before and tensorrt.builds_made == 1
    assert bytes(tensorrt.kernels.serialize()) == b'kernels of this GPU'


def test_timings_are_for_the_next_build(machine: Machine) -> None:
    tensorrt = machine('8.5.1')
    load_runtime(small_model.model(), 'tensorrt').close()
    assert tensorrt.asked['timings'].data == b''
    load_runtime(small_model.model(), 'tensorrt', precision='fp32').close()
    assert tensorrt.asked['timings'].data == b'timed 8.5.1'


def test_a_build_tells_how_far_it_is(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    tensorrt = machine()
    seen = []
    tensorrt.during_build = lambda: seen.append(progress.current())
    with caplog.at_level(logging.INFO, 'segnode'):
        load_runtime(small_model.model(), 'tensorrt').close()
    assert seen == ['building an engine of fsffnet_small in fp16 with TensorRT 10.3.0 for '
                    'Stand-in GPU, 0 s, 50 %']
    assert progress.current() == ''
    assert 'this may take minutes' in caplog.text and 'built in ' in caplog.text


def test_nothing_grows_and_every_thread_may_run_it(machine: Machine) -> None:
    cuda: Any = machine().cuda
    runtime = load_runtime(small_model.model(), 'tensorrt', precision='fp32')
    image = small_model.frames(1)
    wanted = runtime.run(image).labels
    kinds = ('cuMemAlloc_v2', 'cuMemHostAlloc', 'cuStreamCreate', 'cuGraphInstantiateWithFlags')
    before = {kind: cuda.called[kind] for kind in kinds}
    found: list[Any] = []

    def run() -> None:
        found.extend((runtime.run(image).labels == wanted).all() for _ in range(20))

    for _ in range(3):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert found == [True] * 60
    assert {kind: cuda.called[kind] for kind in kinds} == before


def test_labels_stay_when_the_next_image_comes(machine: Machine) -> None:
    machine()
    runtime = load_runtime(small_model.model(), 'tensorrt')
    images = small_model.frames(2)
    first = runtime.run(images[:1]).labels
    kept = first.copy()
    assert (runtime.run(images[1:]).labels != kept).any()
    assert (first == kept).all()


def test_a_fault_of_the_gpu_is_one_sentence(machine: Machine) -> None:
    tensorrt = machine()
    cuda: Any = tensorrt.cuda
    runtime = load_runtime(small_model.model(), 'tensorrt')
    cuda.broken = True
    with pytest.raises(SegnodeError, match=r"CUDA's cuStreamSynchronize failed: CUDA_ERROR_ILL"):
        runtime.run(small_model.frames(1))
    runtime.close()


@pytest.mark.parametrize('failure, sentence', [
    ('starts', 'tensorrt 10.3.0 does not start: no driver'),
    ('parses', 'does not take the graph'), ('builds', 'builds no engine of the graph: no kernel'),
    ('deserializes', 'does not load the engine: Version tag does not match'),
    ('contexts', 'cannot run the engine: out of memory'),
    ('runs', 'does not run the engine: it did not run'),
])
def test_each_failure_leaves_nothing_behind(
    failure: str, sentence: str, machine: Machine
) -> None:
    tensorrt = machine()
    setattr(tensorrt, failure, False)
    with pytest.raises(SegnodeError, match=sentence) as caught:
        load_runtime(small_model.model(), 'tensorrt')
    assert '\n' not in str(caught.value)
    assert tensorrt.cuda.leaks == []  # type: ignore[union-attr]
    assert list(cache_folder().glob('*.engine*')) == []


def test_too_little_memory(machine: Machine) -> None:
    cuda: Any = machine().cuda
    cuda.fail['cuMemAlloc_v2'] = 2
    with pytest.raises(SegnodeError, match='cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY'):
        load_runtime(small_model.model(), 'tensorrt')
    assert cuda.leaks == []


def test_a_dla_takes_one_shape(machine: Machine) -> None:
    tensorrt = machine('8.6.1', dla_cores=2)
    runtime = load_runtime(small_model.model(), 'tensorrt', batch=2, dla_core=1)
    assert runtime.batch == 2 and tensorrt.asked['config'].DLA_core == 1
    assert tensorrt.asked['shapes'][1] == (2, 128, 256, 3)
    with pytest.raises(SegnodeError, match='no DLA core 2: tensorrt 8.6.1 finds 2 here'):
        load_runtime(small_model.model(), 'tensorrt', dla_core=2)


def test_a_model_in_float16_stays_that(machine: Machine, tmp_path: Path) -> None:
    from segnode.model import RECORD_KEY, WEIGHTS_KEY
    from segnode.onnx_file import with_metadata
    from segnode.onnx_half import in_half_precision

    whole = small_model.model()
    assert whole.onnx_path is not None
    path = tmp_path / 'half.onnx'
    path.write_bytes(with_metadata(
        in_half_precision(whole.onnx_path.read_bytes()),
        {RECORD_KEY: whole.record.to_json(), WEIGHTS_KEY: ''}))
    tensorrt = machine('10.3.0')
    runtime = load_runtime(Model.load(path), 'tensorrt')
    assert ', fp16' in runtime.details and tensorrt.asked['set'] == {'FP16'}
    with pytest.raises(SegnodeError, match='is in fp16, and cannot be built in fp32'):
        load_runtime(Model.load(path), 'tensorrt', precision='fp32')
    with pytest.raises(SegnodeError, match='is not quantised: python -m training convert'):
        load_runtime(whole, 'tensorrt', precision='int8')


def test_a_graph_of_a_fixed_batch(machine: Machine, tmp_path: Path) -> None:
    onnx = pytest.importorskip('onnx')
    from segnode.model import RECORD_KEY, WEIGHTS_KEY
    from segnode.onnx_file import with_metadata

    whole = small_model.model()
    assert whole.onnx_path is not None
    graph = onnx.load_model_from_string(whole.onnx_path.read_bytes())
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    path = tmp_path / 'two.onnx'
    path.write_bytes(with_metadata(
        graph.SerializeToString(), {RECORD_KEY: whole.record.to_json(), WEIGHTS_KEY: ''}))
    machine()
    runtime = load_runtime(Model.load(path), 'tensorrt', precision='fp32', batch=4)
    assert runtime.batch == 2
    images = small_model.frames(2)
    assert (runtime.run(images).labels == expected(images)).mean() > 0.999
    with pytest.raises(ValueError, match='takes 2 images at once, not 1'):
        runtime.run(images[:1])


@pytest.mark.parametrize('options, sentence', [
    ({'precision': 'bf16'}, 'precision of tensorrt must be one of auto, fp32, fp16, int8'),
    ({'batch': 0}, 'batch must be 1 to 16, not 0'), ({'batch': 17}, 'not 17'),
    ({'workspace': -1}, 'workspace must be 0'), ({'device': 'cpu'}, 'runs on cuda, not on cpu'),
])
def test_options_that_are_none(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SegnodeError, match=sentence):
        load_runtime(small_model.model(), 'tensorrt', **options)


def test_without_a_gpu_or_without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise SegnodeError('there is no NVIDIA driver here')

    monkeypatch.setattr('segnode.runtimes.tensorrt.find_tensorrt', lambda: Tensorrt())
    monkeypatch.setattr('segnode.runtimes.cuda_driver._load', absent)
    with pytest.raises(SegnodeError, match='no NVIDIA driver here'):
        load_runtime(small_model.model(), 'tensorrt')
    monkeypatch.undo()
    monkeypatch.setattr('segnode.runtimes.tensorrt_versions.installed', lambda module: False)
    with pytest.raises(SegnodeError, match='needs TensorRT, and none of'):
        TensorrtRuntime(small_model.model())


@pytest.mark.parametrize('release', ['8.5.1', 'rtx 1.7.1'])
def test_uncertainty_is_computed_in_float32_and_not_replayed(
    release: str, machine: Machine
) -> None:
    import small_bayesian

    tensorrt = machine(release)
    runtime = load_runtime(small_bayesian.model(), 'tensorrt', samples=4)
    assert tensorrt.built_in_half == [False] and ', fp32' in runtime.details
    found = runtime.run(small_bayesian.frames(1))
    assert found.uncertainty is not None
    assert found.uncertainty.shape == (1, 3, *small_bayesian.SIZE)
    assert found.uncertainty.dtype == np.float32 and (found.uncertainty[:, 0] > 1e-6).any()
    assert tensorrt.cuda.launches == 0  # type: ignore[union-attr]
    assert 'agreement' not in runtime.facts  # type: ignore[attr-defined]


def test_passes_that_are_all_the_same_are_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import small_bayesian
    from standin_gpu import Tensorrt as StandIn

    machine()
    context = StandIn._context

    def certain(self: Any, logger: Any, facts: Any, *others: Any, **more: Any) -> Any:
        made = context(self, logger, facts, *others, **more)
        run = made.execute_async_v3
        addresses: dict[str, int] = {}
        place = made.set_tensor_address

        def placed(name: str, address: int) -> bool:
            addresses[name] = address
            return bool(place(name, address))

        def execute(stream: int) -> bool:
            done = run(stream)
            self.cuda.enqueue(
                stream, lambda: self.cuda.memory[addresses['uncertainty']].fill(0))
            return bool(done)
        made.__dict__.update(set_tensor_address=placed, execute_async_v3=execute)
        return made

    monkeypatch.setattr(StandIn, '_context', certain)
    with pytest.raises(SegnodeError, match='draws the same random numbers in every pass'):
        load_runtime(small_bayesian.model(), 'tensorrt', samples=4)

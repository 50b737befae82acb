# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Monte Carlo dropout in the deploy graph: against NumPy, across runtimes, and its chance."""

from __future__ import annotations

import copy
from pathlib import Path
import sys
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.networks.zoo import network_info, NETWORKS
from segnode.runtimes import load_runtime, RuntimeOutput
from segnode.runtimes.cache import entries
import small_bayesian
import small_model

torch = pytest.importorskip('torch')

from torch import fx, nn  # noqa: E402

from segnode.runtimes.graph import deploy_graph, DeployGraph  # noqa: E402
from segnode.runtimes.monte_carlo import (  # noqa: E402
    entropy,
    MonteCarloGraph,
    softmax_and_entropy,
    split_at_dropout,
)
from segnode.runtimes.rewrite import SampledDropout, simplify  # noqa: E402

RUNTIMES = ('pytorch', 'onnx')
SAMPLES = 8


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Draw the same in every test run. ONNX Runtime seeds a session when it makes its kernels."""
    torch.manual_seed(1)
    pytest.importorskip('onnxruntime').set_seed(1)


def measures(probabilities: np.ndarray) -> np.ndarray:
    """Return (N, 3, H, W) of float64 (T, N, C, H, W), from the definitions."""
    def entropy_of(p: np.ndarray) -> np.ndarray:
        return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(-3)

    mean = probabilities.mean(0)
    variance = ((probabilities - mean) ** 2).mean(0).mean(1)
    doubt = entropy_of(mean)
    return np.stack([variance, doubt, doubt - entropy_of(probabilities).mean(0)], 1)


def by_hand(passes: list[list[float]]) -> Any:
    """Run the graph on a single pixel whose class probabilities in each pass are given."""
    class Passes(nn.Module):
        """Give the logits of one pass after the other."""

        def __init__(self) -> None:
            super().__init__()
            self.next = iter(torch.tensor(passes).clamp(min=1e-30))

        def forward(self, x: Any) -> Any:
            return next(self.next).log().view(1, -1, 1, 1).expand(1, -1, 2, 2)

    class Image(nn.Module):
        """The image itself is what every pass needs."""

        def forward(self, x: Any) -> Any:
            return (x,)

    record = small_model.record()
    graph = MonteCarloGraph(Image(), Passes(), record, samples=len(passes), confidence=True)
    graph.none = torch.zeros(1, len(passes[0]) + 2, 1, 1)
    labels, confidence, uncertainty = graph(torch.zeros(1, 2, 2, 3, dtype=torch.uint8))
    assert (uncertainty == uncertainty[:, :, :1, :1]).all()
    return int(labels[0, 0, 0]), int(confidence[0, 0, 0]), uncertainty[0, :, 0, 0].numpy()


def test_measures_by_hand() -> None:
    """Two sure passes of different opinion; two unsure ones that agree; one of each."""
    label, confidence, found = by_hand([[1.0, 0.0], [0.0, 1.0]])
    assert (label, confidence) == (0, 128)
    assert found == pytest.approx([0.25, np.log(2), np.log(2)], abs=1e-6)
    label, confidence, found = by_hand([[0.25, 0.75], [0.25, 0.75]])
    assert (label, confidence) == (1, 191)
    assert found == pytest.approx([0.0, 0.5623351, 0.0], abs=1e-6)
    # Means 0.3, 0.6, 0.1; variances 0.01, 0.04, 0.01; the passes' entropies 0.5004 and 1.0549.
    label, confidence, found = by_hand([[0.2, 0.8, 0.0], [0.4, 0.4, 0.2]])
    assert (label, confidence) == (1, 153)
    passes = 0.5 * (0.5004024 + 1.0549202)
    assert found == pytest.approx([0.02, 0.8979457, 0.8979457 - passes], abs=1e-6)


def test_a_class_that_is_impossible_counts_nothing() -> None:
    assert entropy(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)) == 0
    p, doubt = softmax_and_entropy(torch.tensor([5e3, -5e3, 0.0]).view(1, 3, 1, 1))
    assert p.flatten().tolist() == [1, 0, 0] and doubt == 0


def test_softmax_and_entropy_are_pytorchs() -> None:
    logits = 20 * torch.randn(2, 11, 8, 8)
    p, doubt = softmax_and_entropy(logits)
    expected = torch.distributions.Categorical(logits=logits.movedim(1, -1)).entropy()
    assert torch.allclose(p, logits.softmax(1), atol=1e-6)
    assert torch.allclose(doubt[:, 0], expected, atol=1e-5)


def sampled_by_the_network(images: np.ndarray, samples: int, draws: Any) -> np.ndarray:
    """Return float64 (T, N, C, H, W) of the untouched network, its dropout done by NumPy."""
    network = copy.deepcopy(small_bayesian.network())
    prepare = DeployGraph(network, small_bayesian.record()).prepare

    def drop(layer: Any, arguments: Any, output: Any) -> Any:
        mask = draws.random(output.shape, np.float32) >= layer.p
        return torch.from_numpy(arguments[0].numpy() * mask / np.float32(1 - layer.p))

    for layer in network.dropouts:
        layer.register_forward_hook(drop)
    found = []
    with torch.no_grad():
        for _ in range(samples):
            logits = network(prepare(torch.from_numpy(images))).double().numpy()
            powers = np.exp(logits - logits.max(1, keepdims=True))
            found.append(powers / powers.sum(1, keepdims=True))
    return np.stack(found)


def test_the_graph_is_the_networks_samples_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draws through the untouched network, whole in every pass, and the definitions."""
    images = small_bayesian.frames(2)
    graph = deploy_graph(small_bayesian.network(), small_bayesian.record(), small_bayesian.SIZE,
                         confidence=True, samples=SAMPLES)
    draws = np.random.default_rng(5)
    monkeypatch.setattr(
        torch, 'rand_like', lambda x: torch.from_numpy(draws.random(x.shape, np.float32)))
    with torch.inference_mode():
        labels, confidence, found = (t.numpy() for t in graph(torch.from_numpy(images)))
    monkeypatch.undo()
    expected = sampled_by_the_network(images, SAMPLES, np.random.default_rng(5))
    mean = expected.mean(0)
    assert (labels == mean.argmax(1)).mean() > 0.999 and len(np.unique(labels)) > 5
    assert np.abs(confidence - 255 * mean.max(1)).max() < 0.6
    assert found.shape == (2, 3, *small_bayesian.SIZE) and found.dtype == np.float32
    wanted = measures(expected)
    assert np.abs(found - wanted).max() < 1e-4
    assert wanted.std((0, 2, 3)).min() > 5e-3  # or equal maps would say little
    assert (found >= 0).all()


def test_what_is_not_random_runs_once() -> None:
    traced = simplify(small_bayesian.network(), small_bayesian.SIZE, sample_dropout=True)
    assert isinstance(traced, fx.GraphModule)
    head, tail = split_at_dropout(traced)
    kinds = [[type(m) for m in part.modules()] for part in (head, tail)]
    # Three encoder units before the first dropout: 2 + 2 + 3 convolutions.
    assert kinds[0].count(nn.Conv2d) == 7 and SampledDropout not in kinds[0]
    assert kinds[1].count(nn.Conv2d) == 19 and kinds[1].count(SampledDropout) == 6
    assert nn.BatchNorm2d not in kinds[0] + kinds[1]
    x = torch.randn(2, 3, *small_bayesian.SIZE)
    with torch.no_grad():
        torch.manual_seed(0)
        expected = traced(x)
        torch.manual_seed(0)
        assert torch.equal(tail(*head(x)), expected)
        assert not torch.equal(tail(*head(x)), expected)


def test_a_network_without_dropout_is_all_head() -> None:
    traced = fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()))
    head, tail = split_at_dropout(traced)
    x = torch.randn(1, 3, 4, 4)
    assert torch.equal(tail(*head(x)), traced(x))
    assert [node.op for node in tail.graph.nodes] == ['placeholder', 'output']


@pytest.mark.parametrize('upsampling', ['nearest', 'bilinear'])
def test_logits_smaller_than_the_image(upsampling: str) -> None:
    """Maps come at the image's size: enlarged before the softmax, or repeated behind it."""
    class Half(nn.Module):
        """Logits at half the size."""

        output_stride = 2

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.upsampling = upsampling
            self.conv = nn.Conv2d(3, 11, 1, stride=2)
            self.dropout = nn.Dropout(0.4)

        def forward(self, x: Any) -> Any:
            return self.dropout(8.0 * self.conv(x))

    images = torch.from_numpy(small_bayesian.frames(2, (8, 16)))
    network = Half().eval()
    graph = deploy_graph(network, small_bayesian.record(), (8, 16), samples=SAMPLES)
    with torch.no_grad():
        torch.manual_seed(5)
        labels, uncertainty = graph(images)
        torch.manual_seed(5)
        logits = network(graph.prepare(images))
        passes = []
        for _ in range(SAMPLES):
            sample = logits * (torch.rand_like(logits) >= 0.4) / 0.6
            if upsampling == 'bilinear':
                sample = nn.functional.interpolate(sample, size=(8, 16), mode='bilinear')
            passes.append(sample.softmax(1).double().numpy())
    expected = np.stack(passes)
    if upsampling == 'nearest':
        expected = expected.repeat(2, 3).repeat(2, 4)
    assert uncertainty.shape == (2, 3, 8, 16)
    assert np.abs(uncertainty.numpy() - measures(expected)).max() < 1e-5
    assert (labels.numpy() == expected.mean(0).argmax(1)).all()


@pytest.fixture(scope='module')
def outputs(tmp_path_factory: Any) -> dict[str, list[RuntimeOutput]]:
    """Return two runs of 100 samples by either runtime."""
    pytest.importorskip('onnxruntime').set_seed(1)
    torch.manual_seed(1)
    patch = pytest.MonkeyPatch()
    patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
    found = {}
    for name in RUNTIMES:
        runtime = load_runtime(
            small_bayesian.model(), name, confidence=True, samples=100, threads=1)
        found[name] = [runtime.run(small_bayesian.frames(2)) for _ in range(2)]
        runtime.close()
    patch.undo()
    return found


@pytest.mark.parametrize('name', RUNTIMES)
def test_every_run_draws_anew(name: str, outputs: dict[str, list[RuntimeOutput]]) -> None:
    first, second = (output.uncertainty for output in outputs[name])
    assert first is not None and second is not None
    for index in range(3):
        assert (first[:, index] != second[:, index]).mean() > 0.99


def test_runtimes_converge_to_the_same(outputs: dict[str, list[RuntimeOutput]]) -> None:
    """Two runtimes differ no more than two runs of one of them do."""
    maps = {name: [run.uncertainty for run in runs] for name, runs in outputs.items()}
    assert all(found is not None for runs in maps.values() for found in runs)
    for index in range(3):
        a, b = (found[:, index] for found in maps['pytorch'])  # type: ignore[index]
        c, d = (found[:, index] for found in maps['onnx'])  # type: ignore[index]
        chance = np.abs(a - b).mean()
        assert np.abs(c - d).mean() == pytest.approx(chance, rel=0.2), index
        assert np.abs((a + b) - (c + d)).mean() / 2 < 0.9 * chance, index
        # The mean over all pixels has little chance left in it.
        assert np.mean(c) == pytest.approx(np.mean(a), rel=0.05), index
        assert np.corrcoef((a + b).ravel(), (c + d).ravel())[0, 1] > 0.9, index
    (first, again), (second, _) = outputs['pytorch'], outputs['onnx']
    by_chance = (first.labels == again.labels).mean()  # 0.86: some classes are much alike
    assert (first.labels == second.labels).mean() > by_chance - 0.03
    confidences = [np.asarray(run.confidence, np.float64) for run in (first, again, second)]
    chance = np.abs(confidences[0] - confidences[1]).mean()
    assert np.abs(confidences[0] - confidences[2]).mean() < 1.15 * chance


@pytest.mark.parametrize('name', RUNTIMES)
def test_each_image_of_a_batch_has_samples_of_its_own(name: str) -> None:
    image = small_bayesian.frames(1)
    runtime = load_runtime(small_bayesian.model(), name, samples=SAMPLES, threads=1)
    found = runtime.run(np.concatenate([image, image, image])).uncertainty
    assert found is not None and found.shape == (3, 3, *small_bayesian.SIZE)
    assert (found[0] != found[1]).mean() > 0.9 and (found[1] != found[2]).mean() > 0.9
    # And the passes of one image differ: equal ones would have no variance.
    assert (found[:, 0] > 1e-7).mean() > 0.99


@pytest.mark.parametrize('name', RUNTIMES)
def test_without_chance_there_is_no_variance(name: str) -> None:
    """Dropout with probability 0: labels of the plain graph, entropy of its softmax."""
    model = Model('sure', small_bayesian.record(dropout=0.0), small_bayesian.model(
        ).safetensors_path, None, small_bayesian.model().weights_sha256)
    images = small_bayesian.frames(2)
    plain = load_runtime(model, name, confidence=True, threads=1).run(images)
    found = load_runtime(model, name, confidence=True, samples=3, threads=1).run(images)
    assert (found.labels == plain.labels).mean() > 0.999
    assert found.confidence is not None and plain.confidence is not None
    assert np.abs(found.confidence.astype(int) - plain.confidence).max() <= 1
    assert found.uncertainty is not None and plain.uncertainty is None
    assert found.uncertainty[:, 0].max() < 1e-6 and found.uncertainty[:, 2].max() < 1e-5
    assert found.uncertainty[:, 1].mean() > 0.1


def test_the_export_is_kept_by_its_samples() -> None:
    model = small_bayesian.model()
    for samples in (3, 4, 3):
        load_runtime(model, 'onnx', samples=samples)
    assert len(entries()) == 2
    names = sorted(entry.path.name for entry in entries())
    assert names[0].startswith('bayesian_small-32x64-3-samples-')
    assert sorted(entry.made_from['samples'] for entry in entries()) == ['3', '4']
    sizes = [entry.size for entry in entries()]
    assert abs(sizes[0] - sizes[1]) < 100  # a Loop: no pass costs anything


def test_the_exported_graph() -> None:
    """One loop, with each dropout once; in and out as TensorRT wants them."""
    onnx = pytest.importorskip('onnx')
    from segnode.onnx_loop import nodes
    from segnode.runtimes.onnx import graph_path

    model = onnx.load(graph_path(small_bayesian.model(), small_bayesian.SIZE, samples=5))
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    kinds = [node.op_type for node in nodes(graph)]
    outside = [node.op_type for node in graph.node]
    assert kinds.count('RandomUniformLike') == 6 and kinds.count('Loop') == 1
    assert kinds.count('Conv') == 26 and outside.count('Conv') == 7
    assert not set(kinds) & {'Shape', 'BatchNormalization', 'Dropout', 'If', 'NonZero'}
    assert {n.op_type for n in graph.node if 'image' in n.input} == {'Cast'}
    assert [n.op_type for n in graph.node if 'labels' in n.output] == ['Cast']
    outputs = {o.name: o.type.tensor_type for o in graph.output}
    assert {name: kind.elem_type for name, kind in outputs.items()} == {
        'labels': onnx.TensorProto.UINT8, 'uncertainty': onnx.TensorProto.FLOAT}
    assert all(kind.shape.dim[0].dim_param == 'batch' for kind in outputs.values())


def test_an_export_that_is_wrong_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked with all draws at 1: whatever the chance, dropout must be where it belongs."""
    def forward(self: SampledDropout, x: Any) -> Any:
        return x * (torch.rand_like(x) >= self.p).to(x.dtype)  # not scaled

    monkeypatch.setattr(SampledDropout, 'forward', forward)
    with pytest.raises(SegnodeError, match='the export is not kept'):
        load_runtime(small_bayesian.model(), 'onnx', confidence=True, samples=2)
    assert entries() == []


@pytest.mark.parametrize('name', ['auto', *RUNTIMES])
def test_refusals(name: str) -> None:
    with pytest.raises(SegnodeError, match='which fsffnet has not; bayesian_segnet has'):
        load_runtime(Model.untrained('fsffnet'), name, samples=5)
    for samples in (-1, 1, 101):
        with pytest.raises(SegnodeError, match=f'0 .off. or 2 to 100, not {samples}'):
            load_runtime(small_bayesian.model(), name, samples=samples)


def test_without_torch_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_bayesian.model()
    monkeypatch.setitem(sys.modules, 'torch', None)
    words = '32x64 with confidence and uncertainty of 5 samples must be exported, which needs '
    with pytest.raises(SegnodeError, match=words + 'PyTorch: pip install torch onnx') as caught:
        load_runtime(model, 'onnx', confidence=True, samples=5)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', NETWORKS)
def test_the_zoo_says_who_offers_it(name: str) -> None:
    import importlib

    info = network_info(name)
    network_class = getattr(importlib.import_module(info.module), info.cls)
    assert getattr(network_class, 'monte_carlo', False) == info.monte_carlo

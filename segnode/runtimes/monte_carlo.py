# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Monte Carlo dropout: the deploy graph that runs a network's dropout several times.

A network offers it by the class attribute ``monte_carlo = True``, repeated in its zoo entry. It
promises that its ``nn.Dropout`` layers are meant to sample while predicting, and that its forward
can be traced by torch.fx.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx, nn, Tensor
import torch.nn.functional as F

from segnode.record import ModelRecord
from segnode.runtimes.graph import DeployGraph, repeated
from segnode.runtimes.rewrite import SampledDropout, simplify

# Below it a probability counts as this in the logarithm, for ln 0; float16 can still hold it, and
# p ln p is off by less than 1e-6 nats.
_SMALLEST = 1e-7


class MonteCarloGraph(DeployGraph):
    """A deploy graph that predicts by the mean of several passes, and says how they differ.

    Three parts: ``start`` once, ``add_pass`` for each sample, ``finish`` once. An export makes a
    Loop of them, so that its size does not depend on the number of passes.

    The passes run one after the other and only sums are kept: memory is that of one pass, however
    many there are. A batch of copies instead would take ``samples`` times the memory for little
    (Bayesian SegNet at 128x256 on one core: 5 copies in 1.12 s, one after the other in 1.27 s).

    Args:
        head: float (N, 3, H, W) -> a tuple of tensors, everything that is the same in each pass.
        tail: those tensors -> logits (N, C, H / s, W / s), others each time.
        record: as of ``DeployGraph``, as are the options.
        samples: number of passes.

    Shape:
        uint8 (N, H, W, 3) BGR -> labels uint8 (N, h, w) [, confidence uint8 (N, h, w)],
        uncertainty float32 (N, 3, h, w) in the order of ``segnode.uncertainty.MEASURES``. Labels
        and confidence are those of the passes' mean probabilities.
    """

    none: Tensor

    def __init__(
        self, head: nn.Module, tail: nn.Module, record: ModelRecord, *, samples: int,
        **options: Any,
    ) -> None:
        super().__init__(head, record, **options)
        self.tail = tail
        self.samples = samples
        # Of each pixel, summed over the passes: the C probabilities, the mean of their squares,
        # and their entropy.
        sums = record.label_set.num_classes + 2
        self.register_buffer('none', torch.zeros(1, sums, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        sums, *state = self.start(image)
        for _ in range(self.samples):
            sums = self.add_pass(sums, *state)
        return self.finish(sums)

    def start(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the sums of no pass, (N, C + 2, h, w) of zeros, and what every pass needs."""
        x = self.prepare(image)
        # A product of shapes: no converter need know how to fill a tensor of an unknown batch.
        step = self.label_stride * self.repeats
        sums = x[:, :1, ::step, ::step] * self.none
        return sums, *self.network(x)

    def add_pass(self, sums: Tensor, *state: Tensor) -> Tensor:
        """Return the sums with those of one more pass."""
        p, doubt = softmax_and_entropy(self.resized(self.tail(*state)))
        return sums + torch.cat([p, _mean_square(p), doubt], 1)

    def finish(self, sums: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the graph."""
        classes = self.none.shape[1] - 2
        means = sums * (1.0 / self.samples)
        p, squares, entropies = torch.split(means, [classes, 1, 1], 1)
        doubt = entropy(p)
        # By its definition neither of the other two is negative; rounding may have made it so.
        uncertainty = [F.relu(squares - _mean_square(p)), doubt, F.relu(doubt - entropies)]
        outputs = [self.bytes_of(torch.argmax(p, 1, keepdim=True))]
        if self.confidence:
            outputs.append(self.bytes_of(torch.amax(p, 1, keepdim=True) * 255.0 + 0.5))
        return *outputs, repeated(torch.cat(uncertainty, 1), self.repeats)


def softmax_and_entropy(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the softmax of (N, C, h, w) over the classes, and its entropy in nats, (N, 1, h, w).

    With z the logits less their maximum and S the sum of e**z, the entropy is ln S - sum(p z): one
    logarithm per pixel instead of C. Written out, softmax over planes is also some ten times as
    fast in ONNX Runtime as its own, which transposes them first.
    """
    z = logits - torch.amax(logits, 1, keepdim=True)
    powers = torch.exp(z)
    total = torch.sum(powers, 1, keepdim=True)
    p = powers / total
    return p, torch.log(total) - torch.sum(p * z, 1, keepdim=True)


def entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy in nats of (N, C, h, w) over the classes, (N, 1, h, w)."""
    logarithms = torch.log(torch.clamp(probabilities, min=_SMALLEST))
    return -torch.sum(probabilities * logarithms, 1, keepdim=True)


def _mean_square(x: Tensor) -> Tensor:
    """Return the mean of the squares over the classes, (N, 1, h, w)."""
    return torch.mean(x * x, 1, keepdim=True)


class Part(nn.Module):
    """One of the three parts of a graph, as a module that can be exported."""

    def __init__(self, graph: MonteCarloGraph, method: str) -> None:
        super().__init__()
        self.graph = graph
        self.method = method

    def forward(self, *tensors: Tensor) -> Any:
        return getattr(self.graph, self.method)(*tensors)


def split_at_dropout(network: fx.GraphModule) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Split a traced network into what is always the same and what its dropout changes.

    Args:
        network: of one input, its dropout replaced by ``SampledDropout``.

    Returns:
        (head, tail): ``tail(*head(x))`` is ``network(x)``. Weights are shared with ``network``.
    """
    nodes = list(network.graph.nodes)
    random: set[fx.Node] = set()
    for node in nodes:
        drops = node.op == 'call_module' and isinstance(
            network.get_submodule(str(node.target)), SampledDropout)
        if drops or node.op == 'output' or random.intersection(node.all_input_nodes):
            random.add(node)
    between = [n for n in nodes if n not in random and random.intersection(n.users)]
    head, tail = fx.Graph(), fx.Graph()
    made: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        if node not in random:
            made[node] = head.node_copy(node, made.__getitem__)
    head.output(tuple(made[node] for node in between))
    made = {node: tail.placeholder(node.name) for node in between}
    for node in nodes:
        if node in random:
            made[node] = tail.node_copy(node, made.__getitem__)
    parts = []
    for graph in (head, tail):
        graph.lint()
        parts.append(fx.GraphModule(network, graph).eval())
    return parts[0], parts[1]


def monte_carlo_graph(
    network: nn.Module, record: ModelRecord, input_size: tuple[int, int], *, samples: int,
    **options: Any,
) -> MonteCarloGraph:
    """Return the graph of a network that offers Monte Carlo dropout, rewritten to run fast.

    Args:
        network: as ``Model.build_network`` gives it; not changed.
        record: the model's.
        input_size: (H, W) of the images it will be given, and no others.
        samples: number of passes.
        options: of ``DeployGraph``.
    """
    traced = simplify(network, input_size, sample_dropout=True)
    if not isinstance(traced, fx.GraphModule):
        raise TypeError(f'torch.fx cannot trace {type(network).__name__}')
    head, tail = split_at_dropout(traced)
    return MonteCarloGraph(head, tail, record, samples=samples, **options).eval()


def without_chance(network: nn.Module, record: ModelRecord, **options: Any) -> MonteCarloGraph:
    """Return the graph of the untouched network if every draw of every pass were 1.

    Then dropout keeps all, and every pass is the same. It is what an export is checked against.
    """
    network = copy.deepcopy(network).eval()
    for layer in list(network.modules()):
        for name, child in layer.named_children():
            if isinstance(child, nn.Dropout):
                setattr(layer, name, _KeepAll(child.p))
    return MonteCarloGraph(_Whole(network), nn.Identity(), record, samples=1, **options).eval()


class _KeepAll(nn.Module):
    """Dropout that happens to drop nothing."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class _Whole(nn.Module):
    """A network as a head: all of it is the same in every pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.network(x),)

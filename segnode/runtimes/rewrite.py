# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Exact rewrites that make a network cheaper to run, applied before it is deployed.

Nothing here changes what a network computes (beyond the rounding of float32): batch
normalisation goes into the convolution before it, and a nearest-neighbour enlargement is moved
behind the layers that it commutes with, so that these run on a quarter of the pixels.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
from torch import fx, nn, Tensor
import torch.nn.functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

_LOG = logging.getLogger('segnode')

# Element by element, so f(enlarge(x)) == enlarge(f(x)).
_POINTWISE_MODULES = (nn.SiLU, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Sigmoid, nn.Hardswish, nn.GELU)
_POINTWISE_FUNCTIONS = (F.silu, F.relu, F.relu6, F.leaky_relu, torch.sigmoid, torch.relu)


class SampledDropout(nn.Module):
    """Dropout in training and in eval mode alike, from operations that ONNX and TensorRT have."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        kept = (torch.rand_like(x) >= self.p).to(x.dtype)
        return x * kept * (1.0 / (1.0 - self.p) if self.p < 1.0 else 0.0)


def simplify(
    network: nn.Module, input_size: tuple[int, int], *, sample_dropout: bool = False
) -> nn.Module:
    """Return a network that computes the same as ``network`` in fewer operations.

    Args:
        network: in eval mode; not changed.
        input_size: (H, W) of the float (N, 3, H, W) images it will be given, and no others:
            sizes that the network reads from its input become constants.
        sample_dropout: let dropout sample in the copy, in eval mode, for Monte Carlo dropout;
            else it is taken out.

    Returns:
        The rewritten copy, or ``network`` itself where it cannot be traced symbolically.
    """
    network = network.eval()
    try:
        traced = fx.symbolic_trace(copy.deepcopy(network))
    except Exception as error:  # what fx raises on control flow is not one class
        _LOG.debug('%s is deployed as it is: %s', type(network).__name__, error)
        return network
    _freeze_sizes(traced, input_size)
    if sample_dropout:
        _sample_dropout(traced)
    _remove_dropout(traced)
    _fold_batch_norm(traced)
    _sink_enlargements(traced)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


def _module(graph: fx.GraphModule, node: Any) -> nn.Module | None:
    """Return the module that ``node`` calls, or None."""
    if isinstance(node, fx.Node) and node.op == 'call_module':
        return graph.get_submodule(str(node.target))
    return None


def _replace_module(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    parent, _, name = str(node.target).rpartition('.')
    setattr(graph.get_submodule(parent), name, module)


def _called_once(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Tell whether no other node calls the module of ``node`` (shared weights stay as is)."""
    return sum(bool(n.target == node.target) for n in graph.graph.nodes) == 1


class _Sizes(fx.Interpreter):
    """Run the graph once and note every plain integer that it computes from a size."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.integers: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, int) and not isinstance(result, bool):
            self.integers[n] = result
        return result


def _freeze_sizes(graph: fx.GraphModule, input_size: tuple[int, int]) -> None:
    """Make constants of the heights and widths that the network reads from its tensors.

    The batch stays symbolic: an integer is frozen only where it is the same for one image as
    for two.
    """
    found = []
    for batch in (1, 2):
        sizes = _Sizes(graph)
        with torch.no_grad():
            sizes.run(torch.zeros(batch, 3, *input_size))
        found.append(sizes.integers)
    for node, value in found[0].items():
        if found[1].get(node) != value:
            continue
        for user in list(node.users):
            def constant(argument: Any, node: fx.Node = node, value: int = value) -> Any:
                return value if argument is node else argument
            user.args = fx.map_arg(user.args, constant)
            user.kwargs = fx.map_arg(user.kwargs, constant)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _sample_dropout(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        dropout = _module(graph, node)
        if isinstance(dropout, nn.Dropout):
            _replace_module(graph, node, SampledDropout(dropout.p))


def _remove_dropout(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if isinstance(_module(graph, node), (nn.Dropout, nn.Dropout2d, nn.Identity)):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()


def _fold_batch_norm(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        norm = _module(graph, node)
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        before = node.args[0]
        conv = _module(graph, before)
        if (
            isinstance(conv, nn.Conv2d)
            and len(before.users) == 1
            and _called_once(graph, before)
            and _called_once(graph, node)
        ):
            _replace_module(graph, before, fuse_conv_bn_eval(conv, norm))
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)
    graph.recompile()


def _enlargement(node: fx.Node) -> int:
    """Return the whole-number factor of a nearest-neighbour enlargement, else 0."""
    if node.op != 'call_function' or node.target is not F.interpolate:
        return 0
    factor = node.kwargs.get('scale_factor')
    if node.kwargs.get('mode', 'nearest') != 'nearest' or len(node.args) != 1:
        return 0
    if isinstance(factor, (int, float)) and factor == int(factor) and factor > 1:
        return int(factor)
    return 0


def _small_convolution(conv: nn.Conv2d, factor: int) -> nn.Conv2d | None:
    """Return the convolution that does before the enlargement what ``conv`` does behind it.

    A kernel whose taps are a multiple of ``factor`` apart sees, at each of the factor x factor
    copies of a pixel, the same values: the copies' neighbours at 1/factor of the distance. Zero
    padding of a multiple of ``factor`` is zero padding of the small map. So the result is the
    enlarged result of the kernel with its dilation and padding divided by ``factor``. A 1x1
    kernel is the case without taps.
    """
    if conv.stride != (1, 1) or conv.padding_mode != 'zeros' or isinstance(conv.padding, str):
        return None
    dilation, padding = [], []
    for size, step, pad in zip(conv.kernel_size, conv.dilation, conv.padding):
        if 2 * pad != step * (size - 1) or pad % factor:
            return None
        if size > 1 and step % factor:
            return None
        dilation.append(step // factor if size > 1 else 1)
        padding.append(pad // factor)
    small = copy.deepcopy(conv)
    small.dilation = (dilation[0], dilation[1])
    small.padding = (padding[0], padding[1])
    return small


def _sink_enlargements(graph: fx.GraphModule) -> None:
    """Move every nearest-neighbour enlargement behind the layers that it commutes with."""
    for node in list(graph.graph.nodes):
        factor = _enlargement(node)
        while factor and len(node.users) == 1:
            (user,) = node.users
            layer = _module(graph, user)
            if isinstance(layer, nn.Conv2d):
                small = _small_convolution(layer, factor)
                if small is None or not _called_once(graph, user):
                    break
                _replace_module(graph, user, small)
            elif not (
                isinstance(layer, _POINTWISE_MODULES)
                or (user.op == 'call_function' and user.target in _POINTWISE_FUNCTIONS)
            ):
                break
            user.replace_input_with(node, node.args[0])
            user.replace_all_uses_with(node)
            node.args = (user,)
            user.append(node)
    graph.graph.lint()
    graph.recompile()

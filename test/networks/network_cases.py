# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What every network must do, as a test class that each network's few lines inherit."""

from __future__ import annotations

import functools
import io
from typing import Any
import warnings

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from torch import nn, Tensor  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

from segnode.labels import load_label_set  # noqa: E402
from segnode.record import ModelRecord  # noqa: E402
from segnode.runtimes.graph import deploy_graph, DeployGraph  # noqa: E402

CLASSES = 11
# Functions that torch2trt converts wrongly or not at all, by the name that torch gives them.
NOT_CONVERTED = {
    'argmax', 'argmin', 'topk', 'sort', 'where', 'gather', 'scatter', 'pad', 'pixel_shuffle',
    'max_unpool2d', 'hardtanh', 'hardswish', 'hardsigmoid', 'to', 'half', 'double', 'nonzero',
}


class _Calls(TorchFunctionMode):
    """Notes every torch function that is called, and its outcome's shape."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[int, ...], dict[str, Any], tuple[Any, ...]]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        shape = tuple(out.shape) if isinstance(out, Tensor) else ()
        self.calls.append((getattr(func, '__name__', ''), shape, kwargs or {}, args))
        return out


class _Balanced(nn.Module):
    """A network whose logits are brought to mean 0 and deviation 1 in every class.

    An untrained network often gives every pixel the same label; its labels would prove nothing.
    """

    def __init__(self, network: Any, logits: Tensor) -> None:
        super().__init__()
        self.network = network
        self.output_stride, self.upsampling = network.output_stride, network.upsampling
        deviation, mean = torch.std_mean(logits, (0, 2, 3), keepdim=True)
        self.register_buffer('mean', mean.clone())
        self.register_buffer('scale', 1 / deviation.clamp(min=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return (self.network(x) - self.mean) * self.scale


class NetworkCase:
    """Inherit as ``class TestX(NetworkCase)`` and set ``factory`` and ``parameters``.

    Large networks put ``@pytest.mark.slow`` on their class.
    """

    factory: Any  # called as factory(num_classes, **args)
    args: dict[str, Any] = {}
    parameters: int  # trainable, 19 classes, as built (with the auxiliary heads)
    inference_parameters: int | None = None  # without what only training uses, if stated
    training_only: tuple[str, ...] = ()  # prefixes of such names; or the network's own
    auxiliary: int = 0  # outputs beside the main one in training mode
    export_size: tuple[int, int] | None = None  # by default the smallest of 64 pixels and more
    agreement: float = 0.999

    def create(self, classes: int = CLASSES) -> Any:
        return type(self).factory(classes, **self.args)

    @pytest.fixture
    def network(self) -> Any:
        """Random weights whose batch-norm statistics fit images; eval mode; do not change it."""
        return _settled(type(self))

    @staticmethod
    def smallest(network: Any, at_least: int = 1) -> tuple[int, int]:
        side = -(-at_least // network.size_multiple) * network.size_multiple
        return side, side

    def test_parameters(self) -> None:
        with torch.device('meta'):  # sizes only
            made = self.create(19)
        counts = {n: p.numel() for n, p in made.named_parameters() if p.requires_grad}
        assert sum(counts.values()) == self.parameters
        if self.inference_parameters is not None:
            training_only = self.training_only or made.training_only
            kept = [c for n, c in counts.items() if not n.startswith(training_only)]
            assert sum(kept) == self.inference_parameters

    def test_shapes(self, network: Any) -> None:
        m, stride = network.size_multiple, network.output_stride
        assert network.upsampling in ('nearest', 'bilinear')
        for height, width in ((m, m), (3 * m, m)):
            with torch.no_grad():
                logits = network(_images(1, (height, width)))
            assert logits.shape == (1, CLASSES, height // stride, width // stride)
            assert torch.isfinite(logits).all()

    def test_training(self, network: Any) -> None:
        """Outputs of training mode, and a gradient for every parameter."""
        torch.manual_seed(0)
        made = self.create()
        made.load_state_dict(network.state_dict())
        made.train()
        size = self.smallest(made)
        outputs = made(_images(3, size))
        if self.auxiliary:
            assert isinstance(outputs, tuple) and len(outputs) == 1 + self.auxiliary
        else:
            assert isinstance(outputs, Tensor)
            outputs = (outputs,)
        stride = made.output_stride
        assert outputs[0].shape == (3, CLASSES, size[0] // stride, size[1] // stride)
        assert all(o.dim() == 4 and o.shape[0] == 3 for o in outputs)
        sum((o * torch.randn_like(o)).sum() for o in outputs).backward()
        for name, parameter in made.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            # What a bias before a batch normalisation gets is nothing but rounding.
            assert parameter.dim() == 1 or parameter.grad.abs().max() > 0, name

    def test_save_and_load(self, network: Any) -> None:
        file = io.BytesIO()
        torch.save(network.state_dict(), file)
        file.seek(0)
        other = self.create().eval()
        other.load_state_dict(torch.load(file, weights_only=True))
        image = _images(1, self.smallest(network))
        with torch.no_grad():
            assert torch.equal(other(image), network(image))

    def test_functions(self, network: Any) -> None:
        """Nothing in place, and nothing that torch2trt converts wrongly or not at all."""
        assert not [n for n, m in network.named_modules() if getattr(m, 'inplace', False)]
        with torch.no_grad(), _Calls() as record:
            network(_images(1, self.smallest(network)))
        for name, shape, kwargs, args in record.calls:
            assert name not in NOT_CONVERTED, name
            assert not name.endswith('_') or name.endswith('__'), f'{name} is in place'
            assert not kwargs.get('inplace'), f'{name} is in place'
            if name.startswith('adaptive_'):
                assert shape[2:] == (1, 1), f'{name} to {shape[2:]}'
            if name.startswith('conv_transpose'):
                padding = kwargs.get('output_padding', args[5] if len(args) > 5 else 0)
                assert not np.any(padding), 'output_padding'

    def test_export(self, network: Any) -> None:
        """The deploy graph as an ONNX file gives the untouched network's labels."""
        onnx = pytest.importorskip('onnx')
        ort = pytest.importorskip('onnxruntime')
        from segnode.export import OPSET
        size = self.export_size or self.smallest(network, 64)
        record = ModelRecord(
            network='under-test', label_set=load_label_set('camvid'), input_size=size
        )
        images = _uint8(_images(2, size))
        file = io.BytesIO()
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            logits = network(DeployGraph(network, record).prepare(images))
            balanced = _Balanced(network, logits).eval()
            expected = DeployGraph(balanced, record)(images).numpy()
            torch.onnx.export(
                deploy_graph(balanced, record, size), (images[:1],), file, dynamo=False,
                opset_version=OPSET, input_names=['image'], output_names=['labels'],
                dynamic_axes={'image': {0: 'batch'}, 'labels': {0: 'batch'}},
            )
        kinds = {node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node}
        assert not kinds & {'Dropout', 'If', 'Loop', 'NonZero', 'MaxUnpool'}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(
            file.getvalue(), options, providers=['CPUExecutionProvider']
        )
        (labels,) = session.run(None, {'image': images.numpy()})
        assert labels.shape == expected.shape == (2, *size)
        assert len(np.unique(expected)) > CLASSES // 2, 'too few labels to prove anything'
        assert (labels == expected).mean() >= self.agreement


@functools.lru_cache(maxsize=1)  # the tests of one class come one after the other
def _settled(case: type[NetworkCase]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = case().create()
        norms = [m for m in made.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.5
        made.train()
        with torch.no_grad():
            for _ in range(3):
                made(_images(3, case.smallest(made)))
        for norm, momentum in zip(norms, usual):
            norm.momentum = momentum
    return made.eval()


def _images(count: int, size: tuple[int, int]) -> Tensor:
    """Return float (count, 3, *size): coarse patches with noise, about normalised."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    coarse = nn.functional.interpolate(coarse, size=size, mode='bilinear')
    return coarse + 0.3 * torch.randn(count, 3, *size, generator=generator)


def _uint8(images: Tensor) -> Tensor:
    """Return uint8 (N, H, W, 3) images whose normalised form is about ``images``."""
    pixels = (images * 0.225 + 0.45) * 255
    return pixels.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

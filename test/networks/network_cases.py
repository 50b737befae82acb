# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What every network must do, as a test class that each network's few lines inherit."""

from __future__ import annotations

from collections.abc import Callable
import functools
import io
from typing import Any
import warnings

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from torch import fx, nn, Tensor  # noqa: E402

from segnode.labels import load_label_set  # noqa: E402
from segnode.record import ModelRecord  # noqa: E402
from segnode.runtimes.graph import deploy_graph, DeployGraph  # noqa: E402
from segnode.runtimes.torch2trt_functions import unconverted_calls  # noqa: E402

CLASSES = 11


class Balanced(nn.Module):
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
    not_converted: tuple[str, ...] = ()  # what torch2trt does not convert of it, each with a why

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
        kinds = getattr(made, 'auxiliary_kinds', ())
        channels = {'classes': CLASSES, 'boundary': 1}
        assert [o.shape[1] for o in outputs[1:]] == [channels[kind] for kind in kinds]
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
        """Only what torch2trt converts correctly, and nothing in place."""
        assert not [n for n, m in network.named_modules() if getattr(m, 'inplace', False)]
        found = unconverted_calls(network, _images(1, self.smallest(network)))
        assert found == [*self.not_converted]

    def test_export(self, network: Any) -> None:
        """The deploy graph as an ONNX file gives the untouched network's labels."""
        onnx = pytest.importorskip('onnx')
        ort = pytest.importorskip('onnxruntime')
        size = self.export_size or self.smallest(network, 64)
        record = ModelRecord(
            network='under-test', label_set=load_label_set('camvid'), input_size=size
        )
        images = _uint8(_images(2, size))
        with torch.inference_mode():
            logits = network(DeployGraph(network, record).prepare(images))
            balanced = Balanced(network, logits).eval()
            expected = DeployGraph(balanced, record)(images).numpy()
        graph = deploy_graph(balanced, record, size)
        # Nothing that only training uses is deployed; a graph that fx cannot trace would keep it.
        assert isinstance(graph.network, fx.GraphModule)
        assert not [n for n, _ in graph.named_parameters() if '.auxiliary' in n]
        content = onnx_content(graph, images[:1])
        kinds = {node.op_type for node in onnx.load_from_string(content).graph.node}
        assert not kinds & {'Dropout', 'If', 'Loop', 'NonZero', 'MaxUnpool'}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(content, options, providers=['CPUExecutionProvider'])
        (labels,) = session.run(None, {'image': images.numpy()})
        assert labels.shape == expected.shape == (2, *size)
        assert len(np.unique(expected)) > CLASSES // 2, 'too few labels to prove anything'
        assert (labels == expected).mean() >= self.agreement


def onnx_content(graph: nn.Module, images: Tensor) -> bytes:
    """Return a deploy graph as an ONNX file's content, its batch symbolic."""
    from segnode.export import OPSET
    file = io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            graph, (images,), file, dynamo=False, opset_version=OPSET,
            input_names=['image'], output_names=['labels'],
            dynamic_axes={'image': {0: 'batch'}, 'labels': {0: 'batch'}},
        )
    return file.getvalue()


@functools.lru_cache(maxsize=1)  # the tests of one class come one after the other
def _settled(case: type[NetworkCase]) -> Any:
    return settled(case().create, lambda made: _images(3, case.smallest(made)))


def settled(create: Callable[[], Any], images: Callable[[Any], Tensor]) -> Any:
    """Return a network with random weights whose batch-norm statistics fit images; eval mode.

    Args:
        create: makes it.
        images: gives float (N, 3, H, W) images for it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = create()
        norms = [m for m in made.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.5
            if not norm.weight.any():
                nn.init.ones_(norm.weight)  # what training starts without is there all the same
        made.train()
        with torch.no_grad():
            for _ in range(3):
                made(images(made))
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

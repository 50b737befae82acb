# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph: camera pixels in, labels out, everything between in one graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.record import ModelRecord


class DeployGraph(nn.Module):
    """A network with its preprocessing before it and the choice of the class behind it.

    Every runtime runs this graph, so that they cannot differ in how they prepare an image. The
    order of its first and last operations is TensorRT's rule (a uint8 input feeds a cast and
    nothing else, a uint8 output comes from one); see the parser's notes on UINT8.

    Args:
        network: float (N, 3, H, W) -> logits (N, C, H / s, W / s), in eval mode. How its logits
            are enlarged by s is its attribute ``upsampling``, 'nearest' or 'bilinear'.
        record: mean, std and colour order.
        upsampling, output_stride: of the network, where ``network`` itself no longer says so.
        confidence: give the second output.
        label_stride: the labels are at 1/label_stride of the input, of ``LABEL_STRIDES``: logits
            that are finer are averaged, those that are coarser enlarged so far and no further.

    Shape:
        uint8 (N, H, W, 3) BGR -> labels uint8 (N, h, w) [, confidence uint8 (N, h, w): softmax of
        the winning class times 255, rounded]; h and w are H and W over ``label_stride``.
    """

    mean: Tensor
    scale: Tensor
    order: Tensor

    def __init__(
        self,
        network: nn.Module,
        record: ModelRecord,
        *,
        upsampling: str | None = None,
        output_stride: int | None = None,
        confidence: bool = False,
        label_stride: int = 1,
    ) -> None:
        super().__init__()
        self.network = network
        self.upsampling = upsampling or str(getattr(network, 'upsampling', 'bilinear'))
        stride: Any = output_stride or getattr(network, 'output_stride', 1)
        self.output_stride = int(stride)
        self.confidence = confidence
        self.label_stride = label_stride
        swap = record.color_order == 'rgb'  # the images come as BGR

        def in_network_order(values: tuple[float, float, float]) -> Tensor:
            rgb = torch.tensor(values).view(1, 3, 1, 1)
            return rgb if swap else rgb.flip(1)

        self.swap = swap
        # (x / 255 - mean) / std as one subtraction and one product.
        self.register_buffer('mean', 255.0 * in_network_order(record.mean), persistent=False)
        self.register_buffer('scale', 1.0 / (255.0 * in_network_order(record.std)), False)
        self.register_buffer('order', torch.tensor([2, 1, 0]), persistent=False)

    def prepare(self, image: Tensor) -> Tensor:
        """Turn uint8 (N, H, W, 3) BGR into the network's float (N, 3, H, W)."""
        x = image.to(torch.float32).permute(0, 3, 1, 2)
        if self.swap:
            x = torch.index_select(x, 1, self.order)
        return (x - self.mean) * self.scale

    @property
    def repeats(self) -> int:
        """Return how often each pixel of the last maps is repeated, in either direction."""
        factor = self.output_stride // self.label_stride
        return factor if self.upsampling == 'nearest' and factor > 1 else 1

    def resized(self, logits: Tensor) -> Tensor:
        """Bring logits to the labels' size, unless what is made of them is only to be repeated."""
        if self.output_stride < self.label_stride:
            # On CamVid val the mean beats every second or fourth pixel by 0.1 mIoU at 1/4 and by
            # 1.2 at 1/8 (fsffnet_camvid, labels repeated to the image).
            return F.avg_pool2d(logits, self.label_stride // self.output_stride)
        if self.repeats == 1 and self.output_stride > self.label_stride:
            logits = F.interpolate(
                logits, scale_factor=self.output_stride / self.label_stride, mode='bilinear',
                align_corners=False,
            )
        return logits

    def forward(self, image: Tensor) -> Any:
        logits = self.resized(self.network(self.prepare(image)))
        # Labels of enlarged logits are enlarged labels when every pixel is only repeated.
        labels = self.bytes_of(torch.argmax(logits, 1, keepdim=True))
        if not self.confidence:
            return labels
        # The winner's softmax. Written out: ONNX Runtime's Softmax over planes is some ten times
        # as slow as these four operations.
        best = torch.amax(logits, 1, keepdim=True)
        winner = 1.0 / torch.sum(torch.exp(logits - best), 1, keepdim=True)
        return labels, self.bytes_of(winner * 255.0 + 0.5)

    def bytes_of(self, x: Tensor) -> Tensor:
        """Turn a last map (N, 1, h, w) into uint8 (N, H, W)."""
        return repeated(x, self.repeats).squeeze(1).to(torch.uint8)


def repeated(x: Tensor, repeats: int) -> Tensor:
    """Enlarge (N, C, H, W) by repeating pixels -> (N, C, H * repeats, W * repeats)."""
    if repeats > 1:
        # In float: neither torch nor TensorRT enlarges every integer type.
        x = F.interpolate(x.to(torch.float32), scale_factor=float(repeats), mode='nearest')
    return x


def deploy_graph(
    network: nn.Module,
    record: ModelRecord,
    input_size: tuple[int, int],
    *,
    confidence: bool = False,
    samples: int = 0,
    label_stride: int = 1,
) -> DeployGraph:
    """Return the deploy graph in eval mode, with the network rewritten to run fast.

    Args:
        network: as ``Model.build_network`` gives it; not changed.
        record: the model's.
        input_size: (H, W) of the images it will be given, and no others.
        confidence: give the second output.
        samples: passes of Monte Carlo dropout, of a network that offers it; see
            ``MonteCarloGraph``. 0 = none.
        label_stride: the labels are at 1/label_stride of the input.
    """
    from segnode.runtimes.monte_carlo import monte_carlo_graph
    from segnode.runtimes.rewrite import simplify

    options: dict[str, Any] = {
        'upsampling': str(getattr(network, 'upsampling', 'bilinear')),
        'output_stride': int(getattr(network, 'output_stride', 1)),
        'confidence': confidence,
        'label_stride': label_stride,
    }
    if samples:
        return monte_carlo_graph(network, record, input_size, samples=samples, **options)
    return DeployGraph(simplify(network, input_size), record, **options).eval()

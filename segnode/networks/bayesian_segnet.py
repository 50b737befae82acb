# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Bayesian SegNet, and max-unpooling in a form that every converter knows."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

Widths = tuple[tuple[int, ...], ...]

# Channels of the 3x3 convolutions of the five encoder units (VGG16's).
ENCODER: Widths = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
# Of the five decoder units, deepest first; the last is completed by the classifier.
DECODER: Widths = ((512,) * 3, (512, 512, 256), (256, 256, 128), (128, 64), (64,))

Places = tuple[Tensor, Tensor, Tensor, Tensor]


def pool_with_places(x: Tensor) -> tuple[Tensor, Places]:
    """2x2 maximum with stride 2, and where in its window each maximum was.

    No converter to TensorRT takes max pooling's indices. So the place is four maps of 0 and 1,
    one per pixel of the window in reading order, of which the first maximum's is 1; made by
    arithmetic alone and exact in every float type.

    The pixels are compared with the largest of themselves and not with ``pooled``: in float16 ONNX
    Runtime's CPU computes the pooling on values that it has not rounded yet, beside which no
    rounded pixel is a maximum.

    Shape:
        (N, C, H, W), even sides -> (N, C, H/2, W/2) and four maps of the same shape.
    """
    pooled = F.max_pool2d(x, kernel_size=2, stride=2)
    with torch.no_grad():
        # The distance from the maximum is 0 or positive, however small: rounded up, 0 or 1.
        pixels = [x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        largest = torch.max(torch.max(pixels[0], pixels[1]), torch.max(pixels[2], pixels[3]))
        a, b, c = (
            torch.ceil(torch.clamp(largest - pixel, 0.0, 1.0)) for pixel in pixels[:3]
        )
        ab = a * b  # 1 where the maximum is in neither of the first two
        abc = ab * c
        places = 1.0 - a, a - ab, ab - abc, abc
    return pooled, places


def unpool(x: Tensor, places: Places) -> Tensor:
    """Put every value where its maximum was, zero elsewhere: (N, C, H, W) -> (N, C, 2H, 2W)."""
    channels, height, width = x.shape[1], x.shape[2], x.shape[3]
    rows = [
        torch.stack([x * left, x * right], dim=4).reshape(-1, channels, height, 2 * width)
        for left, right in (places[:2], places[2:])
    ]
    return torch.stack(rows, dim=3).reshape(-1, channels, 2 * height, 2 * width)


class BayesianSegNet(nn.Module):
    """Bayesian SegNet: SegNet with dropout in its six central units.

    Kendall, Badrinarayanan, Cipolla: "Bayesian SegNet: Model Uncertainty in Deep Convolutional
    Encoder-Decoder Architectures for Scene Understanding" (arXiv 1511.02680, 2015).
    VGG16's convolutions and their mirror image, joined by max-unpooling; with dropout kept on
    while predicting, several passes are samples of the posterior: their mean softmax is the
    prediction, their variance the model's uncertainty. The deploy graph does that where samples
    are asked for (``segnode.runtimes.monte_carlo``); in eval mode nothing is dropped.

    Args:
        num_classes: channels of the logits.
        dropout: probability at each of the six places.
        width: factor on the channels of every unit, for small machines; 1 is the published one.
        singha_form: the form of Singha et al.'s baseline instead of Kendall's: the input is
            normalised by local response, the last unit has two convolutions of 64 channels and
            the classifier is 1x1 (29,481,299 parameters with 19 classes).

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H, W).

    Published (theirs, not ours): CamVid 360x480, 11 classes: class average accuracy 76.3, against
    71.2 for SegNet (a third party's summary of the paper).

    Reference:
        Kendall's prototxt (github alexgkendall/SegNet-Tutorial); for ``singha_form``
        github tanmaysingha/ESPNet bayes_segnet.py. 29,453,971 parameters with 19 classes
        (trainable, biases included; training and inference form are the same). Unsettled:
        nothing in the architecture. Caffe pools with ceiling, so that it takes 360x480; here
        sides are multiples of 32, for which both roundings agree.
    """

    output_stride = 1
    size_multiple = 32
    upsampling = 'bilinear'
    monte_carlo = True

    def __init__(
        self, num_classes: int, *, dropout: float = 0.5, width: float = 1.0,
        singha_form: bool = False,
    ) -> None:
        super().__init__()
        if width <= 0:
            raise ValueError(f'width must be above 0, not {width}')
        self.normalise_input = singha_form
        decoder = (*DECODER[:-1], (64, 64)) if singha_form else DECODER
        self.encoder = nn.ModuleList()
        channels = 3
        for widths in _scaled(ENCODER, width):
            self.encoder.append(_unit(channels, widths))
            channels = widths[-1]
        self.decoder = nn.ModuleList()
        for widths in _scaled(decoder, width):
            self.decoder.append(_unit(channels, widths))
            channels = widths[-1]
        kernel = 1 if singha_form else 3
        self.classifier = nn.Conv2d(channels, num_classes, kernel, padding=kernel // 2)
        # One behind the pooling of units 3 to 5, one behind decoder units 1 to 3.
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) for _ in range(6))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.normalise_input:
            x = _local_response(x)
        places: list[Places] = []
        for index, unit in enumerate(self.encoder):
            x, place = pool_with_places(unit(x))
            places.append(place)
            if index >= 2:
                x = self.dropouts[index - 2](x)
        for index, unit in enumerate(self.decoder):
            x = unit(unpool(x, places.pop()))
            if index < 3:
                x = self.dropouts[3 + index](x)
        return self.classifier(x)


def _scaled(units: Widths, factor: float) -> Widths:
    return tuple(tuple(max(1, round(width * factor)) for width in unit) for unit in units)


def _unit(in_channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """3x3 convolutions with bias, batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [
            nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
        ]
        in_channels = width
    return nn.Sequential(*layers)


def _local_response(image: Tensor) -> Tensor:
    """Local response normalisation of an image, as TensorFlow has it.

    Radius 5, bias 1, alpha 1e-4, beta 0.75: the window covers all three channels.
    """
    return image / torch.pow(1.0 + 1e-4 * torch.sum(image * image, dim=1, keepdim=True), 0.75)

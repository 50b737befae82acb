# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ResNet-18 and 50, plain and with a deep stem.

The attribute names of our ResNet are torchvision's, which timm keeps and extends to deep stems and
averaging shortcuts; so most files need no renaming.
"""

from __future__ import annotations

from dataclasses import dataclass
import re

from segnode.networks.backbones import VARIANTS
from training.import_weights.backbones.by_module import by_module
from training.import_weights.layout import Layout, names_include, Tensors

NETWORKS = ('resnet18', 'resnet50')
CLASSIFIER = (r'fc\..*',)
# Blocks of the four stages, and whether they are bottlenecks -> the depth by which it is known.
DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


@dataclass(frozen=True)
class Form:
    """What tells one ResNet from another.

    Args:
        depth: 18, 34, 50, 101 or 152; None where the blocks are of none of them.
        width: channels of the first stage's convolutions.
        stem: channels of the deep stem, () without.
        average_shortcut: shortcuts halve by averaging.
    """

    depth: int | None
    width: int
    stem: tuple[int, ...]
    average_shortcut: bool

    @property
    def variant(self) -> str:
        """Return the letter of ``VARIANTS``; '' where there is none."""
        form = self.stem, self.average_shortcut
        return next((letter for letter, known in VARIANTS.items() if known == form), '')

    def __str__(self) -> str:
        width = '' if self.width == 64 else f' of width {self.width}'
        stem = 'x'.join(map(str, self.stem))
        letter = f' of variant {self.variant}' if self.variant else f' with a stem of {stem}'
        return f'ResNet-{self.depth or "like network"}{width}{letter}'


def form(tensors: Tensors) -> Form | None:
    """Read the form from a ResNet's tensors by our names; None where they are of none."""
    blocks = {m[0] for m in (re.match(r'layer[1-4]\.\d+(?=\.conv1\.)', n) for n in tensors) if m}
    first = tensors.get('layer1.0.conv1.weight')
    if first is None:
        return None
    counts = tuple(sum(b.startswith(f'layer{stage}.') for b in blocks) for stage in (1, 2, 3, 4))
    stem = [tensors[k] for k in (f'conv1.{i}.weight' for i in (0, 3, 6)) if k in tensors]
    return Form(
        depth=DEPTHS.get((counts, 'layer1.0.conv3.weight' in tensors)),
        width=int(first.shape[0]),
        stem=tuple(int(weight.shape[0]) for weight in stem),
        average_shortcut=any(name.endswith('.downsample.2.weight') for name in tensors),
    )


def _as_it_is(tensors: Tensors) -> Tensors:
    return tensors


# The most particular first: its names include torchvision's.
LAYOUTS = (
    Layout(
        name='resnet_deep_stem_csail',
        networks=NETWORKS,
        source='github CSAILVision/semantic-segmentation-pytorch @8f27c9b, '
               'mit_semseg/models/resnet.py',
        recognises=names_include('conv1.weight', 'conv2.weight', 'conv3.weight', 'bn3.weight',
                                 'layer1.0.conv1.weight'),
        convert=by_module({
            'conv1': 'conv1.0', 'bn1': 'conv1.1',
            'conv2': 'conv1.3', 'bn2': 'conv1.4',
            'conv3': 'conv1.6', 'bn3': 'bn1',
        }),
        left_over=CLASSIFIER,
    ),
    Layout(
        name='resnet_torchvision',
        networks=NETWORKS,
        source='torchvision/models/resnet.py; the same in timm/models/resnet.py @aa4b5850',
        recognises=names_include('conv1.weight', 'bn1.weight', 'layer1.0.conv1.weight'),
        convert=_as_it_is,
        left_over=CLASSIFIER,
    ),
    Layout(
        name='resnet_deep_stem',
        networks=NETWORKS,
        # Fast_Seg's own files (resnet18-deep-caffe.pth, resnet50-deep.pth) want BGR, and its
        # train_distribute.py subtracts (104.00698793, 116.66876762, 122.67891434) from it and
        # scales by nothing: in a recipe, mean (0.48109, 0.45753, 0.40787), std 1/255 each.
        source='timm/models/resnet.py @aa4b5850 (resnet18d, resnet50c, resnet50d, resnet50s); '
               'github lxtGH/Fast_Seg @7895738, libs/models/backbone/resnet.py',
        recognises=names_include('conv1.0.weight', 'bn1.weight', 'layer1.0.conv1.weight'),
        convert=_as_it_is,
        left_over=CLASSIFIER,
    ),
)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Mean IoU that others have published for the networks: theirs, never ours.

A figure is here only where a source could be read, which it names. What the authors' texts give
for a network that differs from ours is left out or says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

AUTHORS = ''
REIMPLEMENTATION = 're-implementation'

_FULL = (1024, 2048)


@dataclass(frozen=True)
class Published:
    """One published mean IoU and its conditions.

    Args:
        dataset: that it was measured on.
        split: of it, 'val' or 'test'.
        miou: mean IoU over the classes, percent, single scale and not flipped as far as the
            source says.
        input_size: (H, W) of the images given to the network; None where the source does not say.
        source: where the figure was read.
        of: whose network it is: '' the authors', 're-implementation', or in words a network that
            differs from the one here.
        note: further conditions.
    """

    dataset: str
    split: str
    miou: float
    input_size: tuple[int, int] | None
    source: str
    of: str = AUTHORS
    note: str = ''

    def __str__(self) -> str:
        """Return the figure with everything that is known of it, in one line."""
        size = 'input size not stated' if self.input_size is None else '{}x{}'.format(
            *self.input_size
        )
        details = '; '.join(part for part in (self.of, self.note) if part)
        details = f' [{details}]' if details else ''
        return f'{self.miou} {self.dataset} {self.split}, {size}{details} ({self.source})'


_FSFFNET = 'README of github tanmaysingha/FSFFNet'
_FANET = 'README and test server file of github tanmaysingha/FANet'
_SCMNET = 'README of github tanmaysingha/SCMNet'
_SDBNETV2 = 'README of github tanmaysingha/SDBNetV2'
_SFRSEG = 'README of github tanmaysingha/SFRSeg'
_FAST_SCNN = 'arXiv 1902.04502'
_ZH320 = 'table of github zh320/realtime-semantic-segmentation-pytorch'
_MMSEG = 'table of github open-mmlab/mmsegmentation'
_BISENET = 'README of github CoinCheung/BiSeNet'
_ICNET = 'README of github hszhao/ICNet'
_DFSEG = 'README of github lixincn2015/Partial-Order-Pruning'
_PIDNET = 'README of github XuJiacong/PIDNet'
_PRETRAINED = 'ImageNet weights'
_NOT_OURS = "the authors' network, not this proposal"


def _cityscapes(
    source: str,
    input_size: tuple[int, int] | None = _FULL,
    of: str = AUTHORS,
    note: str = '',
    **miou: float,
) -> tuple[Published, ...]:
    return tuple(
        Published('Cityscapes', split, value, input_size, source, of, note)
        for split, value in miou.items()
    )


PUBLISHED: dict[str, tuple[Published, ...]] = {
    'fsffnet': (
        *_cityscapes(_FSFFNET, val=71.8, note='whether with other data is not stated'),
        *_cityscapes(_FSFFNET, test=69.4, note='coarse annotations too'),
        Published('BDD100K', 'val', 55.2, (768, 1280), _FSFFNET),
    ),
    'fanet': _cityscapes(_FANET, val=65.9, test=64.08),
    'scmnet': (
        *_cityscapes(_SCMNET, val=66.5),
        Published('BDD100K', 'val', 51.2, (768, 1280), _SCMNET),
        Published('CamVid', 'val', 78.6, (640, 896), _SCMNET),
        Published('CamVid', 'test', 71.3, (640, 896), _SCMNET),
    ),
    'sdbnetv2': (
        *_cityscapes(_SDBNETV2, test=72.4),
        Published('BDD100K', 'val', 57.0, (768, 1280), _SDBNETV2),
        Published('CamVid', 'test', 75.0, (640, 896), _SDBNETV2,
                  note='weights from Cityscapes in the same 11 classes'),
        Published('KITTI', 'test', 56.8, (384, 1280), _SDBNETV2),
    ),
    'sfrseg': (
        *_cityscapes(_SFRSEG, test=70.6, note='fine annotations alone'),
        Published('CamVid', 'test', 74.7, (640, 896), _SFRSEG,
                  note='weights from Cityscapes in the same 11 classes'),
        Published('KITTI', 'test', 49.3, (384, 1280), _SFRSEG),
    ),
    'fast_scnn': (
        *_cityscapes(_FAST_SCNN, val=68.62,
                     note='from scratch; the text says 69.15 with ImageNet weights, 0.53 more'),
        *_cityscapes(_FAST_SCNN, test=68.0),
        *_cityscapes(_MMSEG, None, REIMPLEMENTATION, 'crops of 512x1024', val=70.96),
    ),
    'contextnet': (
        *_cityscapes(f'{_ZH320}, of the paper', None, val=65.9),
        *_cityscapes('arXiv 1805.04554, abstract', test=66.1),
        *_cityscapes(_ZH320, None, REIMPLEMENTATION, val=66.61),
    ),
    'separable_unet': _cityscapes(
        'github SkyWa7ch3r/ImageSegmentation', (512, 1024),
        'its original form, authors=True here', val=23.3,
    ),
    'deeplabv3plus_xception65': _cityscapes(
        'model zoo of github tensorflow/models research/deeplab', (1025, 2049),
        note=f'output stride 16, {_PRETRAINED}', val=78.79,
    ),
    'deeplabv3plus_mobilenetv2': _cityscapes(
        'github SkyWa7ch3r/ImageSegmentation', of=REIMPLEMENTATION, val=42.3
    ),
    'icnet': (
        *_cityscapes(_ICNET, (1025, 2049), val=67.7),
        *_cityscapes(_ICNET, (1025, 2049), note='trained on val too', test=69.5),
    ),
    'icnet_full': _cityscapes(
        'readme and issue 1 of github lxtGH/Fast_Seg', None, REIMPLEMENTATION, _PRETRAINED,
        val=74.5,
    ),
    'df1seg': _cityscapes(_DFSEG, val=74.1, test=73.0),
    'df2seg1': _cityscapes(_DFSEG, val=75.9, test=74.8),
    'df2seg2': _cityscapes(_DFSEG, val=76.9, test=75.3),
    'bisenet': (
        *_cityscapes(f'{_ZH320}, of the paper', None, val=74.8, test=74.7),
        *_cityscapes(_BISENET, None, REIMPLEMENTATION, val=75.44),
    ),
    'bisenetv2': (
        *_cityscapes(f'{_ZH320}, of the paper', None, val=73.4),
        *_cityscapes('arXiv 2004.02147, abstract', test=72.6),
        *_cityscapes(_BISENET, None, REIMPLEMENTATION, '73.1 to 75.1 from run to run', val=74.95),
    ),
    'dfanet_a': (
        *_cityscapes('arXiv 1904.02216, abstract', None, test=71.3, note='at 3.4 G operations; '
                     'no code published, re-implementations stay far below'),
        *_cityscapes('arXiv 1904.02216, abstract', None, test=70.3,
                     note='a smaller image, 1.7 G operations'),
        *_cityscapes(_ZH320, None, f'{REIMPLEMENTATION} with 3.05 M parameters', val=65.28),
    ),
    'espnet': (
        *_cityscapes('README of github sacmehta/ESPNet', None, test=60.336,
                     note='trained at 512x1024'),
        Published('CamVid', 'test', 55.64, (360, 480), 'README of github sacmehta/ESPNet'),
        *_cityscapes(_ZH320, None, REIMPLEMENTATION, val=66.39),
    ),
    'swiftnet': (
        *_cityscapes(f'{_ZH320}, of the paper', None, val=75.4, note=_PRETRAINED),
        *_cityscapes('table of github james128333/FCHarDNet', test=75.5, note=_PRETRAINED),
    ),
    'msfnet': (
        *_cityscapes('arXiv 1911.07217, abstract', of=_NOT_OURS, test=77.1),
        Published('CamVid', 'test', 75.4, None, 'arXiv 1911.07217, abstract', _NOT_OURS),
    ),
    'ddrnet23_slim': (
        *_cityscapes('README of github ydhongHIT/DDRNet', val=77.8, test=77.4, note=_PRETRAINED),
        Published('CamVid', 'test', 74.7, None, 'arXiv 2101.06085, abstract'),
        *_cityscapes(_MMSEG, None, REIMPLEMENTATION, val=77.84),
        *_cityscapes(_ZH320, None, REIMPLEMENTATION, 'no ImageNet weights', val=74.34),
    ),
    'pidnet_s': (
        *_cityscapes(_PIDNET, val=78.8, test=78.6, note=_PRETRAINED),
        Published('CamVid', 'test', 80.1, None, _PIDNET),
    ),
}


def short(figures: Iterable[Published]) -> str:
    """Return the authors' figures in short, such as '71.8 val / 69.4 test Cityscapes'.

    One figure for each dataset and split: that at the largest input size, of equal ones the
    first. Where there is none of the authors, those of others, with a word on whose they are; '-'
    where there is none at all.
    """
    figures = tuple(figures)
    figures = tuple(f for f in figures if f.of == AUTHORS) or figures
    parts = []
    for of in dict.fromkeys(f.of for f in figures):
        datasets: dict[str, dict[str, Published]] = {}
        for figure in (f for f in figures if f.of == of):
            splits = datasets.setdefault(figure.dataset, {})
            known = splits.get(figure.split)
            if known is None or _pixels(figure) > _pixels(known):
                splits[figure.split] = figure
        text = '; '.join(
            ' / '.join(f'{f.miou:.1f} {split}' for split, f in splits.items()) + f' {dataset}'
            for dataset, splits in datasets.items()
        )
        parts.append(f'{text} ({of})' if of else text)
    return '; '.join(parts) or '-'


def _pixels(figure: Published) -> int:
    return 0 if figure.input_size is None else figure.input_size[0] * figure.input_size[1]

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The table of networks: name -> class, and what is known of it. Imports no network itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import importlib
import inspect
from typing import Any, TYPE_CHECKING

from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.networks.published import PUBLISHED, Published

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkInfo:
    """What there is to know of a network before it is imported.

    Args:
        name: what users and records call it.
        module: where its class is.
        cls: name of its class.
        parameters_at_19: trainable parameters with 19 classes and default arguments, without
            those that only training uses (names that begin with ``auxiliary``).
        multiply_adds: of one image of 1024x2048 in inference, with 19 classes and default
            arguments, as ``segnode.networks.multiply_adds`` counts them.
        output_stride: the logits are at 1/output_stride of the input.
        size_multiple: height and width of the input must be multiples of this, with default
            arguments.
        size_multiples: what it is for other values of an argument, as (argument, value, multiple).
        source: paper and code that the architecture was taken from.
        monte_carlo: its dropout may sample while predicting, which gives its uncertainty.
        backbone: what takes a classifier's weights (``--backbone.weights``): resnet18, resnet50,
            mobilenetv2, xception65, xception_a, xception_b, df1, df2 or vgg16_bn; '' is nothing.
        backbone_parts: the module of the network that it is, or the modules that it is made of.
        published: mean IoU that others have published.
    """

    name: str
    module: str
    cls: str
    parameters_at_19: int
    multiply_adds: int
    output_stride: int
    size_multiple: int
    source: str
    monte_carlo: bool = False
    backbone: str = ''
    backbone_parts: tuple[str, ...] = ('backbone',)
    published: tuple[Published, ...] = ()
    size_multiples: tuple[tuple[str, Any, int], ...] = ()

    def multiple(self, args: Mapping[str, Any] | None = None) -> int:
        """Return what height and width are to be multiples of, with these arguments."""
        for argument, value, multiple in self.size_multiples:
            if args and args.get(argument) == value:
                return multiple
        return self.size_multiple

    def check_input_size(
        self, size: tuple[int, int], args: Mapping[str, Any] | None = None
    ) -> None:
        """Check an input size.

        Args:
            size: (H, W).
            args: the network's own keyword arguments.

        Raises:
            SegnodeError: the network does not take images of that size.
        """
        multiple = self.multiple(args)
        height, width = size
        if height < 1 or width < 1 or height % multiple or width % multiple:
            raise SegnodeError(
                f'{self.name} takes heights and widths that are multiples of '
                f'{multiple}, not {height}x{width}'
            )


class _CustomInfo(NetworkInfo):
    """Of an ``.onnx`` file of somebody else: what it takes is in the record's arguments."""

    def check_input_size(
        self, size: tuple[int, int], args: Mapping[str, Any] | None = None
    ) -> None:
        super().check_input_size(size)
        fixed = (args or {}).get('fixed_size')
        if fixed and list(size) != list(fixed):
            raise SegnodeError(
                f'{(args or {}).get("file", "the file")} takes images of {fixed[0]}x{fixed[1]} '
                f'and no others, not {size[0]}x{size[1]}'
            )


# What a record states for a network that is none of these.
CUSTOM = 'custom'
_CUSTOM_INFO = _CustomInfo(CUSTOM, '', '', 0, 0, 1, 1, '')


def _entry(
    name: str, file: str, cls: str, parameters: int, multiply_adds: int, stride: int,
    multiple: int, source: str, **more: Any,
) -> NetworkInfo:
    return NetworkInfo(
        name, f'segnode.networks.{file}', cls, parameters, multiply_adds, stride, multiple,
        source, published=PUBLISHED.get(name, ()), **more)


# name, file, class, parameters at 19 classes, multiply-adds at 1024x2048, output stride, size
# multiple, source
NETWORKS: dict[str, NetworkInfo] = {
    info.name: info
    for info in (
        _entry(
            'fsffnet', 'fsffnet', 'FSFFNet', 1_226_051, 22_178_674_944, 2, 128,
            'Singha, Pham, Krishna, Gedeon: A Lightweight Multi-scale Feature Fusion '
            'Network for Real-Time Semantic Segmentation, ICONIP 2021; github '
            'tanmaysingha/FSFFNet 4778b40',
        ),
        _entry(
            'fanet', 'fanet', 'FANet', 1_128_019, 5_424_193_536, 8, 128,
            'Singha, Pham, Krishna: FANet: Feature Aggregation Network for Semantic '
            'Segmentation, DICTA 2020; github tanmaysingha/FANet 80cdddc',
        ),
        _entry(
            'scmnet', 'scmnet', 'SCMNet', 1_230_391, 16_887_620_672, 2, 64,
            'Singha, Bergemann, Pham, Krishna: SCMNet: Shared Context Mining Network for '
            'Real-time Semantic Segmentation, DICTA 2021; github tanmaysingha/SCMNet '
            'd0403e0',
        ),
        _entry(
            'sdbnetv2', 'sdbnetv2', 'SDBNetV2', 1_503_059, 16_408_281_088, 8, 64,
            'Singha, Pham, Krishna: SDBNetV2, CVIU 2023; github tanmaysingha/SDBNetV2 '
            'e6d9940',
        ),
        _entry(
            'sfrseg', 'sfrseg', 'SFRSeg', 1_555_267, 18_159_935_488, 2, 128,
            'Singha, Pham, Krishna: A real-time semantic segmentation model using '
            'iteratively shared features in multiple sub-encoders, Pattern Recognition 140, '
            '2023; github tanmaysingha/SFRSeg 432377d',
        ),
        _entry(
            'fast_scnn', 'fast_scnn', 'FastSCNN', 1_138_051, 6_709_649_408, 8, 32,
            'Poudel, Liwicki, Cipolla: Fast-SCNN: Fast Semantic Segmentation Network, BMVC '
            '2019, arXiv 1902.04502',
        ),
        _entry(
            'contextnet', 'contextnet', 'ContextNet', 858_259, 5_632_229_376, 8, 32,
            'Poudel, Bonde, Liwicki, Zach: ContextNet: Exploring Context and Detail for '
            'Semantic Segmentation in Real-time, BMVC 2018, arXiv 1805.04554',
            size_multiples=(('shrink', 2, 16), ('shrink', 8, 64)),
        ),
        _entry(
            'bayesian_segnet', 'bayesian_segnet', 'BayesianSegNet',
            29_453_971, 1_302_180_397_056, 1, 32,
            'Kendall, Badrinarayanan, Cipolla: Bayesian SegNet, arXiv 1511.02680; github '
            'alexgkendall/SegNet-Tutorial bb68b64', monte_carlo=True,
            backbone='vgg16_bn', backbone_parts=('encoder',),
        ),
        _entry(
            'separable_unet', 'separable_unet', 'SeparableUNet', 260_174, 18_220_582_784, 1, 16,
            'J. Dunstan, github SkyWa7ch3r/ImageSegmentation 3f31e7e (baseline of the FANet '
            'paper)',
        ),
        _entry(
            'deeplabv3plus_xception65', 'deeplabv3plus', 'DeepLabV3PlusXception65',
            41_054_899, 410_203_783_168, 4, 16,
            'Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable '
            'Convolution for Semantic Image Segmentation, ECCV 2018, arXiv 1802.02611; '
            'github tensorflow/models research/deeplab', backbone='xception65',
        ),
        _entry(
            'deeplabv3plus_mobilenetv2', 'deeplabv3plus', 'DeepLabV3PlusMobileNetV2',
            4_390_179, 21_192_835_072, 8, 32,
            'as deeplabv3plus_xception65, on MobileNetV2; github tanmaysingha/FANet '
            'models/deeplabv3plus.py', backbone='mobilenetv2',
        ),
        _entry(
            'icnet', 'icnet', 'ICNet', 6_699_987, 29_028_777_984, 4, 32,
            'Zhao, Qi, Shen, Shi, Jia: ICNet for Real-Time Semantic Segmentation on '
            'High-Resolution Images, ECCV 2018, arXiv 1704.08545; github hszhao/ICNet dd2bf78',
            backbone='resnet50',
        ),
        _entry(
            'icnet_full', 'icnet', 'ICNetFull', 47_484_339, 128_624_623_616, 4, 32,
            'as icnet, full width as in github lxtGH/Fast_Seg 7895738', backbone='resnet50',
        ),
        _entry(
            'df1seg', 'dfnet', 'DF1Seg', 13_107_243, 41_555_034_112, 8, 32,
            'Li, Zhou, Pan, Feng: Partial Order Pruning: for Best Speed/Accuracy Trade-off in '
            'Neural Architecture Search, CVPR 2019, arXiv 1903.03777; github '
            'lixincn2015/Partial-Order-Pruning e136726', backbone='df1',
        ),
        _entry(
            'df2seg1', 'dfnet', 'DF2Seg1', 22_498_216, 84_343_250_944, 8, 32,
            'as df1seg', backbone='df2',
        ),
        _entry(
            'df2seg2', 'dfnet', 'DF2Seg2', 24_115_147, 95_258_116_096, 8, 32,
            'as df1seg', backbone='df2',
        ),
        _entry(
            'bisenet', 'bisenet', 'BiSeNet', 13_340_563, 118_338_322_432, 8, 32,
            'Yu, Wang, Peng, Gao, Yu, Sang: BiSeNet: Bilateral Segmentation Network for '
            'Real-time Semantic Segmentation, ECCV 2018, arXiv 1808.00897; github '
            'CoinCheung/BiSeNet 6b4b67a',
            backbone='resnet18', backbone_parts=('context.backbone',),
        ),
        _entry(
            'bisenetv2', 'bisenetv2', 'BiSeNetV2', 3_358_627, 98_413_199_360, 8, 32,
            'Yu, Gao, Wang, Yu, Shen, Sang: BiSeNet V2: Bilateral Network with Guided '
            'Aggregation for Real-time Semantic Segmentation, IJCV 2021, arXiv 2004.02147; '
            'github CoinCheung/BiSeNet 6b4b67a',
        ),
        _entry(
            'dfanet_a', 'dfanet', 'DFANet', 1_831_051, 7_335_736_320, 4, 64,
            'Li, Xiong, Fan, Sun: DFANet: Deep Feature Aggregation for Real-Time Semantic '
            'Segmentation, CVPR 2019, arXiv 1904.02216; after github lxtGH/Fast_Seg 7895738',
            backbone='xception_a', backbone_parts=('stem', 'stage1'),
        ),
        _entry(
            'dfanet_b', 'dfanet', 'DFANetB', 1_099_883, 3_865_245_696, 4, 64,
            'as dfanet_a', backbone='xception_b', backbone_parts=('stem', 'stage1'),
        ),
        _entry(
            'espnet', 'espnet', 'ESPNet', 362_949, 18_412_175_360, 1, 8,
            'Mehta, Rastegari, Caspi, Shapiro, Hajishirzi: ESPNet: Efficient Spatial '
            'Pyramid of Dilated Convolutions for Semantic Segmentation, ECCV 2018, arXiv '
            '1803.06815; github sacmehta/ESPNet afe71c3',
        ),
        _entry(
            'espnet_c', 'espnet', 'ESPNetC', 349_193, 13_872_234_496, 8, 8,
            'as espnet, the encoder alone',
        ),
        _entry(
            'swiftnet', 'swiftnet', 'SwiftNet', 11_797_071, 103_566_133_248, 4, 32,
            'Orsic, Kreso, Bevandic, Segvic: In Defense of Pre-trained ImageNet Architectures '
            'for Real-time Semantic Segmentation of Road-driving Images, CVPR 2019, arXiv '
            '1903.08469; github orsic/swiftnet 2b88990',
            backbone='resnet18',
        ),
        _entry(
            'msfnet', 'msfnet', 'MSFNet', 12_126_035, 86_069_477_376, 8, 64,
            'our proposal after Si, Zhang, Lv, Yu, Lu: Real-Time Semantic Segmentation via '
            'Multiply Spatial Fusion Network, 2019, arXiv 1911.07217 (no code published, details '
            'not settled)',
            backbone='resnet18',
        ),
        _entry(
            'ddrnet23_slim', 'ddrnet', 'DDRNet23Slim', 5_695_987, 36_281_319_424, 8, 64,
            'Hong, Pan, Sun, Jia: Deep Dual-resolution Networks for Real-time and Accurate '
            'Semantic Segmentation of Road Scenes, 2021, arXiv 2101.06085; github '
            'ydhongHIT/DDRNet de0db31',
        ),
        _entry(
            'pidnet_s', 'pidnet', 'PIDNetS', 7_625_715, 47_194_226_688, 8, 64,
            'Xu, Xiong, Bhattacharyya: PIDNet: A Real-time Semantic Segmentation Network '
            'Inspired by PID Controllers, CVPR 2023, arXiv 2206.02066; github '
            'XuJiacong/PIDNet 4c158cf',
        ),
    )
}


def network_info(name: str) -> NetworkInfo:
    """Return the entry of ``name``, or that of ``CUSTOM``.

    Raises:
        SegnodeError: there is no such network.
    """
    if name == CUSTOM:
        return _CUSTOM_INFO
    try:
        return NETWORKS[name]
    except KeyError:
        raise SegnodeError(
            f'there is no network {name!r}; there is {", ".join(NETWORKS)}'
        ) from None


def network_of(model_name: str) -> tuple[str, str]:
    """Split fast_scnn_camvid into ('fast_scnn', 'camvid'); ('', name) if it names no network."""
    for name in sorted(NETWORKS, key=len, reverse=True):
        if model_name == name:
            return name, ''
        if model_name.startswith(name + '_'):
            return name, model_name[len(name) + 1:]
    return '', model_name


def create(name: str, num_classes: int, /, **args: Any) -> nn.Module:
    """Build a network with freshly initialised weights.

    Args:
        name: a key of ``NETWORKS``.
        num_classes: channels of its logits, 1 to 255.
        args: the network's own keyword arguments.

    Raises:
        SegnodeError: no such network or argument, or PyTorch is not installed.
    """
    info = network_info(name)
    if info is _CUSTOM_INFO:
        raise SegnodeError('a network that is an .onnx file alone cannot be built in PyTorch')
    if not 1 <= num_classes <= 255:
        raise SegnodeError(f'{name} needs 1 to 255 classes, not {num_classes}')
    require('torch', f'building the network {name}')
    network_class = getattr(importlib.import_module(info.module), info.cls)
    known = list(inspect.signature(network_class).parameters)[1:]
    unknown = [argument for argument in args if argument not in known]
    if unknown:
        raise SegnodeError(
            f'{name} does not take these arguments: {", ".join(unknown)}; it takes '
            f'{", ".join(known) or "none"}'
        )
    try:
        network: nn.Module = network_class(num_classes, **args)
    except (TypeError, ValueError) as error:
        raise SegnodeError(f'{name} does not take these arguments: {error}') from error
    return network

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Fill a network's backbone from a file of a classifier's weights."""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
import importlib
import inspect
from pathlib import Path
from typing import Any

from torch import nn

from segnode.errors import SegnodeError
from segnode.networks.zoo import NetworkInfo
from training.import_weights.backbones import (
    dfnet,
    mobilenetv2,
    resnet,
    vgg,
    xception,
    xception_a,
)
from training.import_weights.checkpoint_file import read_checkpoint
from training.import_weights.layout import (
    fill,
    first_that_knows,
    IMAGENET,
    Layout,
    Match,
    match,
    Tensors,
    unknown,
)

LAYOUTS: tuple[Layout, ...] = (
    *resnet.LAYOUTS,
    *mobilenetv2.LAYOUTS,
    *xception.LAYOUTS,
    *xception_a.LAYOUTS,
    *dfnet.LAYOUTS,
    *vgg.LAYOUTS,
)


@dataclass(frozen=True)
class LoadedBackbone:
    """What was taken from a file.

    Args:
        file: name of the file, without its folder.
        sha256: of the file's content.
        match: which tensors fitted.
    """

    file: str
    sha256: str
    match: Match

    def advice(self, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
        """Return a sentence where the layout's images are known not to be prepared so, else ''."""
        theirs = self.match.layout.preprocessing
        if theirs == IMAGENET or (theirs.mean, theirs.std) == (mean, std):
            return ''
        return (
            '. Its images had other means and deviations: give '
            f"--mean '{list(theirs.mean)}' --std '{list(theirs.std)}'"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what a model's record says of it."""
        return {'file': self.file, 'sha256': self.sha256, 'layout': self.match.layout.name}

    def __str__(self) -> str:
        left = len(self.match.left_over)
        over = f', {left} of its classifier left over' if left else ''
        return (
            f'{self.match.network}: {len(self.match.matched)} tensors from {self.file} '
            f'(layout {self.match.layout.name}){over}'
        )


def load_backbone(network: nn.Module, info: NetworkInfo, path: Path) -> LoadedBackbone:
    """Copy a classifier's weights into the backbone of ``network``, all of them or none.

    Args:
        network: of the zoo, as ``zoo.create`` makes it; only its backbone changes.
        info: its entry in the zoo.
        path: see ``read_checkpoint``.

    Raises:
        SegnodeError: the network has no backbone; the file is unreadable, of no known layout, or
            fits only in part.
    """
    backbone = backbone_of(network, info)
    tensors = read_checkpoint(path)
    name = f'backbone {info.backbone} of {info.name}'
    try:
        layout = choose_layout(tensors, info.backbone)
        converted = layout.convert(tensors)
        _compare_forms(converted, backbone, info)
        found = match(backbone, converted, layout, name)
        found.check()
    except SegnodeError as error:
        raise SegnodeError(f'{path}: {error}') from error
    fill(backbone, converted, found)
    return LoadedBackbone(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), found)


def backbone_of(network: nn.Module, info: NetworkInfo) -> nn.Module:
    """Return the network's backbone; of several parts, a container with the network's names.

    Raises:
        SegnodeError: it has none.
    """
    if not info.backbone:
        raise SegnodeError(f'{info.name} has no backbone')
    if len(info.backbone_parts) == 1:
        return network.get_submodule(info.backbone_parts[0])
    return nn.ModuleDict({part: network.get_submodule(part) for part in info.backbone_parts})


def choose_layout(tensors: Tensors, backbone: str) -> Layout:
    """Return the layout of a backbone's weights.

    Raises:
        SegnodeError: no layout knows the tensors, or only one of another backbone does.
    """
    own = [layout for layout in LAYOUTS if backbone in layout.networks]
    found = first_that_knows(tensors, own)
    if found is not None:
        return found
    other = first_that_knows(tensors, LAYOUTS)
    if other is not None:
        raise SegnodeError(f'these are weights of {other}, but the backbone is {backbone}')
    raise unknown(tensors, own, backbone)


def _compare_forms(converted: Tensors, backbone: nn.Module, info: NetworkInfo) -> None:
    """Say in words what a ResNet of another form is, before its tensors are compared.

    Raises:
        SegnodeError: the file's is of another depth, width or variant.
    """
    if 'resnet' not in info.backbone:
        return
    theirs, ours = resnet.form(converted), resnet.form(backbone.state_dict())
    if theirs is None or ours is None or theirs == ours:
        return
    hint = ''
    if (theirs.depth, theirs.width) == (ours.depth, ours.width) and theirs.variant:
        if takes_variant(info):
            hint = f': give --network_args.resnet_variant {theirs.variant}'
    raise SegnodeError(f'these are weights of a {theirs}, but {info.name} has a {ours}{hint}')


def takes_variant(info: NetworkInfo) -> bool:
    """Tell whether the form of a network's ResNet can be chosen."""
    network = getattr(importlib.import_module(info.module), info.cls)
    return 'resnet_variant' in inspect.signature(network).parameters

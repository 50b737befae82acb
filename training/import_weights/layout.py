# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How a file of somebody else's weights becomes ours: layouts, and whether one fits.

A layout is one way of naming the tensors of a network (or of a part of it, such as a backbone).
It says how to know such a file, how its names become ours, which of its outputs are which
classes, and how its images were prepared. ``match`` then compares the result with the network,
and ``Match.check`` refuses whatever does not fit as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
import re
from typing import Any, TYPE_CHECKING

from segnode.errors import SegnodeError

if TYPE_CHECKING:
    import torch
    from torch import nn

Tensors = dict[str, 'torch.Tensor']


@dataclass(frozen=True)
class Preprocessing:
    """How the images were prepared that the weights were trained on; by default ImageNet's.

    Args:
        mean: in RGB order, of pixels scaled to 0..1 (whatever ``color_order`` is).
        std: likewise.
        color_order: of the network's input, 'rgb' or 'bgr'.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    color_order: str = 'rgb'


IMAGENET = Preprocessing()


def _no_arguments(tensors: Tensors, classes: int) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Layout:
    """One way of naming a network's tensors.

    Args:
        name: for ``--layout`` and the record; unique.
        networks: names of the zoo that it serves.
        source: repository @ commit and file that the names were read from.
        recognises: tells whether tensors, as ``read_checkpoint`` gives them, are of this layout.
            Names are enough: shapes that do not fit are for ``Match`` to say.
        convert: their tensors -> tensors by our ``state_dict`` names, with all outputs still in
            it; ``renaming`` makes it from a table. Names that it does not know stay as they are.
        class_axes: (pattern of our names, axis) for every tensor with one entry per output, the
            one of the main logits first; a pattern has to match a whole name.
        arguments: (converted tensors, classes wanted) -> keyword arguments of the network.
        extra_outputs: outputs behind the classes that may be there and are dropped (a void that
            was trained as a class).
        class_order: label set's name -> output of each train id, where it is not 0, 1, 2 ...
        unknown_order: label sets whose classes such files have in an order that their source does
            not state; they are never taken for one without being told.
        preprocessing: of the images.
        preprocessing_by_set: label set's name -> preprocessing, where it is another one.
        input_sizes: label set's name -> (H, W) that the weights were trained for.
        left_over: patterns of whole names (after ``convert``) that the network may have no place
            for: heads that only training uses, ImageNet's classifier.
        may_miss: patterns of whole names of ours that the file may lack.
        licence: of the weights, as their source states it.
    """

    name: str
    networks: tuple[str, ...]
    source: str
    recognises: Callable[[Tensors], bool]
    convert: Callable[[Tensors], Tensors]
    class_axes: tuple[tuple[str, int], ...] = ()
    arguments: Callable[[Tensors, int], dict[str, Any]] = _no_arguments
    extra_outputs: int = 0
    class_order: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unknown_order: tuple[str, ...] = ()
    preprocessing: Preprocessing = IMAGENET
    preprocessing_by_set: Mapping[str, Preprocessing] = field(default_factory=dict)
    input_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    left_over: tuple[str, ...] = ()
    may_miss: tuple[str, ...] = (r'auxiliary.*',)
    licence: str = ''

    def __str__(self) -> str:
        """Return what it is of, and its name."""
        return f'{" or ".join(self.networks)} (layout {self.name})'

    def outputs(self, converted: Tensors) -> int:
        """Return the number of outputs of converted tensors.

        Raises:
            SegnodeError: the tensor that tells is not there.
        """
        pattern, axis = self.class_axes[0]
        for name, tensor in converted.items():
            if re.fullmatch(pattern, name) and tensor.ndim > axis:
                return int(tensor.shape[axis])
        raise SegnodeError(
            f'the layout {self.name} finds no tensor of the last layer ({pattern}) in the file'
        )

    def select_outputs(self, converted: Tensors, wanted: Sequence[int]) -> Tensors:
        """Keep the outputs ``wanted`` and put them in this order, in every tensor that has them.

        Only axes that are as long as the file's outputs are touched.
        """
        outputs = self.outputs(converted)
        if list(wanted) == list(range(outputs)):
            return converted
        kept = dict(converted)
        for pattern, axis in self.class_axes:
            for name, tensor in converted.items():
                if re.fullmatch(pattern, name) and tensor.shape[axis] == outputs:
                    kept[name] = tensor.index_select(axis, tensor.new_tensor(wanted).long())
        return kept


def names_include(*names: str) -> Callable[[Tensors], bool]:
    """Return a ``recognises`` that wants all of ``names`` to be there."""
    return lambda tensors: all(name in tensors for name in names)


def renaming(*table: tuple[str, str]) -> Callable[[Tensors], Tensors]:
    """Return a ``convert`` that runs every (pattern, replacement) over every name, in order."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in table]

    def convert(tensors: Tensors) -> Tensors:
        renamed: Tensors = {}
        for name, tensor in tensors.items():
            new = name
            for pattern, replacement in compiled:
                new = pattern.sub(replacement, new)
            if new in renamed:
                raise SegnodeError(f'two tensors of the file become {new}, one of them {name}')
            renamed[new] = tensor
        return renamed

    return convert


def first_that_knows(tensors: Tensors, layouts: Iterable[Layout]) -> Layout | None:
    """Return the first of the layouts that the tensors are of, None where there is none."""
    return next((layout for layout in layouts if layout.recognises(tensors)), None)


def unknown(tensors: Tensors, layouts: Sequence[Layout], of: str) -> SegnodeError:
    """Return the error that none of the layouts ``of`` something knows the tensors."""
    return SegnodeError(
        f'none of the layouts of {of} ({", ".join(layout.name for layout in layouts)}) knows its '
        f'{len(tensors)} tensors ({_first(list(tensors))})'
    )


@dataclass(frozen=True)
class Match:
    """Which tensors of a file have a place in a network, by our names.

    Args:
        layout: that the file was read by.
        network: what to call the network in a text.
        matched: have the name and the shape of one of ours.
        missing: ours that the file lacks.
        left_over: the file's that we have no place for.
        wrong_shapes: (name, theirs, ours).
    """

    layout: Layout
    network: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    wrong_shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def wanted(self) -> int:
        """Return how many tensors the network has."""
        return len(self.matched) + len(self.missing) + len(self.wrong_shapes)

    def check(self) -> None:
        """Refuse half a match: all must fit but what the layout allows.

        Raises:
            SegnodeError: one sentence with how many tensors fit, and the first ones that do not.
        """
        missing = _but(self.missing, self.layout.may_miss)
        left = _but(self.left_over, self.layout.left_over)
        faults = []
        if missing:
            faults.append(f'{len(missing)} missing ({_first(missing)})')
        if self.wrong_shapes:
            shapes = [
                f'{name} is {_shape(theirs)}, not {_shape(ours)}'
                for name, theirs, ours in self.wrong_shapes
            ]
            faults.append(f'{len(shapes)} of another shape ({_first(shapes)})')
        if left:
            faults.append(f'{len(left)} without a place ({_first(left)})')
        if not self.matched:
            faults.append('none of them fits')
        if faults:
            raise SegnodeError(
                f'the file fits {self.network} only in part, so nothing is taken from it '
                f'(layout {self.layout.name}): of {self.wanted} tensors {len(self.matched)} fit, '
                f'{"; ".join(faults)}'
            )


def match(
    network: nn.Module, converted: Tensors, layout: Layout, name: str = 'the network'
) -> Match:
    """Compare converted tensors with what a network (or a part of one) holds; loads nothing.

    Counters of batch normalisation count on neither side. ``network`` may be on the meta device.
    """
    ours = {
        k: tuple(t.shape) for k, t in network.state_dict().items() if t.is_floating_point()
    }
    theirs = {k: tuple(t.shape) for k, t in converted.items()}
    return Match(
        layout,
        name,
        matched=tuple(k for k, shape in ours.items() if theirs.get(k) == shape),
        missing=tuple(k for k in ours if k not in theirs),
        left_over=tuple(k for k in theirs if k not in ours),
        wrong_shapes=tuple(
            (k, theirs[k], shape) for k, shape in ours.items() if theirs.get(k, shape) != shape
        ),
    )


def fill(network: nn.Module, converted: Tensors, found: Match) -> None:
    """Copy the matched tensors into ``network`` (after ``found.check()``)."""
    import torch

    state = network.state_dict()
    with torch.no_grad():
        for name in found.matched:
            state[name].copy_(converted[name])


def _but(names: Sequence[str], allowed: Sequence[str]) -> list[str]:
    return [n for n in names if not any(re.fullmatch(pattern, n) for pattern in allowed)]


def _first(texts: Sequence[str]) -> str:
    return ', '.join(texts[:3]) + (', ...' if len(texts) > 3 else '')


def _shape(shape: tuple[int, ...]) -> str:
    return 'x'.join(str(side) for side in shape) or 'a number'

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The record that a released model carries in both of its files."""

from __future__ import annotations

from dataclasses import dataclass, field
import json
import math
import reprlib
from typing import Any

from segnode.errors import SegnodeError
from segnode.labels import LabelSet

FORMAT_VERSION = 1
COLOR_ORDERS = ('rgb', 'bgr')
FITS = ('stretch', 'letterbox', 'crop')
# What a user may ask for: one of those, or whatever the model was validated with.
FIT_CHOICES = ('model', *FITS)


@dataclass(frozen=True)
class ModelRecord:
    """What a model is, and how its images are to be prepared.

    Args:
        network: name in ``segnode.networks.zoo.NETWORKS``, or its ``CUSTOM`` for an ``.onnx``
            file of somebody else (``network_args``: its name, and its size if no other will do).
        label_set: the classes, whole, so that the file stands alone.
        input_size: (height, width) in pixels that the network was made for.
        network_args: keyword arguments of the network.
        mean: per colour in RGB order, for pixels scaled to 0..1.
        std: likewise.
        color_order: order of the colours that the network takes, 'rgb' or 'bgr'.
        fit: how an image of another shape is brought to ``input_size``, as the model was
            validated: one of ``FITS``, see ``segnode.fitting.fit_image``.
        data_licence: licence of the data that the weights were trained on.
        training: dataset, split, recipe, epochs, seed, date, miou per split, versions;
            whatever JSON holds. ``random: true`` marks weights that were never trained.
        format_version: of this record.
    """

    network: str
    label_set: LabelSet
    input_size: tuple[int, int]
    network_args: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's, RGB
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    color_order: str = 'rgb'
    fit: str = 'stretch'
    data_licence: str = ''
    training: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, 'input_size', tuple(int(side) for side in self.input_size))
        object.__setattr__(self, 'mean', tuple(float(value) for value in self.mean))
        object.__setattr__(self, 'std', tuple(float(value) for value in self.std))

    @property
    def random(self) -> bool:
        """Tell whether the weights were never trained."""
        return bool(self.training.get('random', False))

    @property
    def conversion(self) -> dict[str, Any]:
        """Return what ``training convert`` made of the model and measured; empty without."""
        entry = self.training.get('conversion')
        return entry if isinstance(entry, dict) else {}

    @property
    def miou(self) -> float:
        """Return the recorded mIoU of the val split, else the best recorded; -1 without any."""
        scores = self.training.get('miou')
        if not isinstance(scores, dict):
            scores = {'val': scores}
        numbers = {split: _number(score) for split, score in scores.items()}
        known = {split: score for split, score in numbers.items() if score is not None}
        return known.get('val', max(known.values(), default=-1.0))

    def chosen_fit(self, fit: str) -> str:
        """Return the one of ``FITS`` that is meant by one of ``FIT_CHOICES``.

        Raises:
            SegnodeError: it is none of these.
        """
        if fit not in FIT_CHOICES:
            raise SegnodeError(
                f'fit must be {", ".join(FIT_CHOICES[:-1])} or {FIT_CHOICES[-1]}, not {fit!r}'
            )
        return self.fit if fit == 'model' else fit

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain types that JSON holds."""
        return {
            'format_version': self.format_version,
            'network': self.network,
            'network_args': self.network_args,
            'label_set': self.label_set.to_dict(),
            'input_size': list(self.input_size),
            'mean': list(self.mean),
            'std': list(self.std),
            'color_order': self.color_order,
            'fit': self.fit,
            'data_licence': self.data_licence,
            'training': self.training,
        }

    def to_json(self) -> str:
        """Return the record as one line of JSON, the same for equal records.

        Raises:
            SegnodeError: ``training`` or ``network_args`` holds what JSON does not.
        """
        try:
            return json.dumps(self.to_dict(), sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise SegnodeError(f'the model record cannot be written as JSON: {error}') from error

    @classmethod
    def from_json(cls, text: str) -> ModelRecord:
        """Read what ``to_json`` wrote.

        Raises:
            SegnodeError: it is not such a record, or of a newer format; one sentence.
        """
        try:
            entries = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SegnodeError(f'the model record is not JSON: {error}') from error
        if not isinstance(entries, dict):
            raise SegnodeError('the model record is not a JSON object')
        version = entries.get('format_version')
        if version != FORMAT_VERSION:
            raise SegnodeError(
                f'the model record has format version {version!r}, but this segnode reads '
                f'{FORMAT_VERSION}: update segnode, or release the model again'
            )
        entries.setdefault('fit', 'stretch')  # what models without this entry were made with
        missing = [name for name in cls.__dataclass_fields__ if name not in entries]
        if missing:
            raise SegnodeError(f'the model record lacks {", ".join(missing)}')
        return cls(
            network=_checked(entries, 'network', str),
            label_set=LabelSet.from_dict(entries['label_set']),
            input_size=_size(entries['input_size']),
            network_args=_checked(entries, 'network_args', dict),
            mean=_triple(entries, 'mean'),
            std=_triple(entries, 'std', positive=True),
            color_order=_one_of(entries, 'color_order', COLOR_ORDERS),
            fit=_one_of(entries, 'fit', FITS),
            data_licence=_checked(entries, 'data_licence', str),
            training=_checked(entries, 'training', dict),
        )


def _number(value: Any) -> float | None:
    """Return a finite number as float, None for anything else."""
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _checked(entries: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(entries[name], kind):
        raise SegnodeError(f'the model record has a wrong {name}: {reprlib.repr(entries[name])}')
    return entries[name]


def _size(value: Any) -> tuple[int, int]:
    if not (
        isinstance(value, list)
        and len(value) == 2
        and all(type(side) is int and side > 0 for side in value)
    ):
        raise SegnodeError(f'the model record has a wrong input_size: {reprlib.repr(value)}')
    return value[0], value[1]


def _triple(
    entries: dict[str, Any], name: str, *, positive: bool = False
) -> tuple[float, float, float]:
    value = entries[name]
    numbers = [_number(v) for v in value] if isinstance(value, list) else []
    known = [v for v in numbers if v is not None]
    if len(numbers) != 3 or len(known) != 3 or (positive and min(known) <= 0):
        raise SegnodeError(f'the model record has a wrong {name}: {reprlib.repr(value)}')
    return known[0], known[1], known[2]


def _one_of(entries: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    if entries[name] not in choices:
        raise SegnodeError(f'the model record has a wrong {name}: {reprlib.repr(entries[name])}')
    return str(entries[name])

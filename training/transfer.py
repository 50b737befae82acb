# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Starting a network from a trained model, with the same classes or with others.

What of a network depends on its classes is found by building it for other numbers of classes: a
dimension that is a multiple of that number holds the classes in their order, once or several
times. Along those dimensions a class is taken from the class that it corresponds to; a class that
corresponds to none keeps the fresh weights of the new network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn, Tensor

from segnode.errors import SegnodeError
from segnode.labels import IGNORE, LabelSet
from segnode.model import Model
from segnode.networks import zoo
from segnode.record import ModelRecord
from training.checkpoint import load_checkpoint, network_weights
from training.config import from_dict, model_record
from training.datasets.label_maps import label_map, NoLabelMap

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Trained:
    """Weights to start from.

    Args:
        name: of the model, or of the checkpoint's run and file.
        sha256: of the file with the weights.
        record: network, arguments, classes, preprocessing.
        tensors: by the network's own names.
    """

    name: str
    sha256: str
    record: ModelRecord
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Transfer:
    """What was taken from a trained model.

    Args:
        source: the model.
        whole: tensors that were taken as they are.
        mapped: tensors that were taken class by class.
        fresh: tensors that were left as the new network has them.
        classes: class of the run -> class of the model that it was taken from, '' for none.
    """

    source: Trained
    whole: tuple[str, ...]
    mapped: tuple[str, ...]
    fresh: tuple[str, ...]
    classes: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return what a model's record says of it."""
        return {
            'model': self.source.name,
            'sha256': self.source.sha256,
            'label_set': self.source.record.label_set.name,
            'tensors': len(self.whole) + len(self.mapped),
            'fresh_tensors': len(self.fresh),
            'classes': {name: old for name, old in self.classes.items() if old},
        }

    def __str__(self) -> str:
        total = len(self.whole) + len(self.mapped) + len(self.fresh)
        taken = [name for name, old in self.classes.items() if old]
        other = [name for name, old in self.classes.items() if not old]
        text = (
            f'init: {total - len(self.fresh)} of {total} tensors and {len(taken)} of '
            f'{len(self.classes)} classes from {self.source.name} '
            f'({self.source.record.label_set.name})'
        )
        renamed = [f'{new} from {old}' for new, old in self.classes.items() if old and new != old]
        if renamed:
            text += f'; {", ".join(renamed)}'
        if other:
            text += f'; new: {", ".join(other)}'
        return text


def load_trained(name_or_path: str) -> Trained:
    """Load a released model or a checkpoint of fit (its averaged weights).

    Raises:
        SegnodeError: there is none, or it cannot be read.
    """
    if not name_or_path.endswith('.ckpt'):
        model = Model.load(name_or_path)
        return Trained(model.name, model.weights_sha256, model.record,
                       model.build_network().state_dict())
    path = Path(name_or_path).expanduser()
    saved = load_checkpoint(path)
    if 'segnode_label_set' not in saved:
        raise SegnodeError(
            f'{path} is of an older version, which did not keep the classes: make a model of it '
            'by "python -m training release" and start from that.'
        )
    config = from_dict(saved['segnode_config'])
    labels = LabelSet.from_dict(saved['segnode_label_set'])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Trained(f'{config.name}/{path.name}', digest, model_record(config, labels, ''),
                   network_weights(saved))


def transfer(
    network: nn.Module, record: ModelRecord, source: Trained, label_maps: Iterable[str | Path] = ()
) -> Transfer:
    """Copy what fits of a trained model into a new network.

    Args:
        network: of ``record``, with fresh weights; changed in place.
        record: of the model that is being made.
        source: the trained one.
        label_maps: the user's own tables from one label set to another.

    Raises:
        SegnodeError: it is another network, its images are prepared otherwise, or nothing fits.
    """
    theirs = source.record
    if theirs.network != record.network:
        raise SegnodeError(
            f'init.weights {source.name} is of the network {theirs.network}, but the run trains '
            f'{record.network}: give a model of that.'
        )
    if (theirs.mean, theirs.std) != (record.mean, record.std):
        raise SegnodeError(
            f'The images of init.weights {source.name} are prepared with other means and '
            f"deviations: give --mean '{list(theirs.mean)}' --std '{list(theirs.std)}'."
        )
    mapping = class_mapping(theirs.label_set, record.label_set, label_maps)
    same = theirs.label_set.names == record.label_set.names
    state = network.state_dict()
    places = class_dimensions(record, theirs.label_set.num_classes, state)
    whole: list[str] = []
    mapped: list[str] = []
    fresh: list[str] = []
    for name, target in state.items():
        given = source.tensors.get(name)
        if given is None and name.endswith('num_batches_tracked'):
            continue  # released models have no counters
        if given is None or (given.ndim != target.ndim):
            fresh.append(name)
        elif name in places and not same:
            copied = _copy_classes(given, target, places[name], mapping, theirs.label_set)
            (mapped if copied else fresh).append(name)
        elif given.shape == target.shape:
            target.copy_(given)
            whole.append(name)
        else:
            fresh.append(name)
    if not whole:
        raise SegnodeError(
            f'Nothing of init.weights {source.name} fits the {record.network} of this run.'
        )
    names, old = record.label_set.names, theirs.label_set.names
    classes = {n: old[j] if j >= 0 else '' for n, j in zip(names, mapping)}
    return Transfer(source, tuple(whole), tuple(mapped), tuple(fresh), classes)


def class_mapping(
    source: LabelSet, target: LabelSet, files: Iterable[str | Path] = ()
) -> list[int]:
    """Return, for each class of ``target``, the class of ``source`` it is taken from; -1 is none.

    That is the class of the same name; else the first that a table from ``source`` to ``target``
    brings to it; else the one that a table from ``target`` to ``source`` brings it to.
    """
    forward, backward = _table(source, target, files), _table(target, source, files)
    mapping = []
    for index, name in enumerate(target.names):
        if name in source.names:
            mapping.append(source.names.index(name))
            continue
        brought = np.flatnonzero(forward == index)
        back = int(backward[index])
        mapping.append(int(brought[0]) if brought.size else -1 if back == IGNORE else back)
    return mapping


def class_dimensions(
    record: ModelRecord, other_count: int, state: Mapping[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    """Find the tensors that depend on the classes.

    Args:
        record: of the network.
        other_count: another number of classes to compare with.
        state: tensors of the network with its own number.

    Returns:
        For each such tensor, per dimension: how many times it holds the classes in their order, 0
        where it does not depend on them, -1 where it does in another way.
    """
    count = record.label_set.num_classes
    shapes: dict[int, Shapes] = {count: {n: tuple(t.shape) for n, t in state.items()}}
    for classes in {other_count, count + 1, 2 * count} - {count}:
        if classes <= 255:
            with torch.device('meta'):
                made = zoo.create(record.network, classes, **record.network_args)
            shapes[classes] = {n: tuple(t.shape) for n, t in made.state_dict().items()}
    places = {}
    for name, shape in shapes[count].items():
        kinds = []
        for dimension, size in enumerate(shape):
            sizes = {c: s[name][dimension] for c, s in shapes.items()}
            if len(set(sizes.values())) == 1:
                kinds.append(0)
            else:
                times = size // count
                kinds.append(times if all(s == times * c for c, s in sizes.items()) else -1)
        if any(kinds):
            places[name] = tuple(kinds)
    return places


def _copy_classes(
    given: Tensor, target: Tensor, kinds: tuple[int, ...], mapping: list[int], theirs: LabelSet
) -> bool:
    """Copy one tensor class by class; False leaves it untouched where that is not possible."""
    rows: list[Tensor] = []
    columns: list[Tensor] = []
    for dimension, times in enumerate(kinds):
        if times < 0:
            return False
        if times == 0:
            if given.shape[dimension] != target.shape[dimension]:
                return False
            new = old = torch.arange(target.shape[dimension])
        else:
            if given.shape[dimension] != times * theirs.num_classes:
                return False
            pairs = [(block * len(mapping) + i, block * theirs.num_classes + j)
                     for block in range(times) for i, j in enumerate(mapping) if j >= 0]
            new = torch.tensor([pair[0] for pair in pairs], dtype=torch.long)
            old = torch.tensor([pair[1] for pair in pairs], dtype=torch.long)
        rows.append(new)
        columns.append(old)
    if any(len(index) == 0 for index in rows):
        return False
    grid = torch.meshgrid(*rows, indexing='ij')
    target[grid] = given[torch.meshgrid(*columns, indexing='ij')].to(target.dtype)
    return True


def _table(source: LabelSet, target: LabelSet, files: Iterable[str | Path]) -> np.ndarray:
    try:
        table = label_map(source, target, files)
    except NoLabelMap:
        table = None
    return np.full(256, IGNORE, np.uint8) if table is None else table

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""From a file of somebody else's weights to a released model."""

from __future__ import annotations

from dataclasses import dataclass
import datetime
import hashlib
import inspect
import math
from pathlib import Path
from typing import Any, TYPE_CHECKING

from segnode.dependencies import versions
from segnode.errors import SegnodeError
from segnode.labels import LabelSet, load_label_set
from segnode.model import Model
from segnode.networks import zoo
from segnode.record import COLOR_ORDERS, ModelRecord
from segnode.store import folders
from training.import_weights.backbones.load import LAYOUTS as CLASSIFIERS
from training.import_weights.checkpoint_file import read_checkpoint
from training.import_weights.layout import (
    fill,
    first_that_knows,
    Layout,
    Match,
    match,
    Tensors,
    unknown,
)
from training.import_weights.layouts import LAYOUTS, layouts_for
from training.import_weights.layouts.own import own_layout

if TYPE_CHECKING:
    from torch import nn

FIT_PREFIX = 'graph.network.'  # of every weight in a checkpoint of fit

# How many outputs a file has says which classes they are, as long as nobody says otherwise; one
# more than the classes is a void that was trained.
_USUAL_SETS = {19: 'cityscapes', 20: 'cityscapes', 11: 'camvid', 12: 'camvid', 65: 'mapillary'}


@dataclass(frozen=True)
class Import:
    """What was read from a file, and what became of it.

    Args:
        match: which tensors fit.
        record: of the model.
        dropped: outputs of the file that are no class of the label set.
        stem: where the model's two files are, without suffix; with ``dry_run`` would be.
        written: False after a dry run.
    """

    match: Match
    record: ModelRecord
    dropped: tuple[int, ...]
    stem: Path
    written: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain types for JSON."""
        return {
            'model': str(self.stem),
            'written': self.written,
            'network': self.record.network,
            'network_args': self.record.network_args,
            'label_set': self.record.label_set.name,
            'input_size': list(self.record.input_size),
            'mean': list(self.record.mean),
            'std': list(self.record.std),
            'color_order': self.record.color_order,
            'layout': self.match.layout.name,
            'source': self.match.layout.source,
            'matched': len(self.match.matched),
            'wanted': self.match.wanted,
            'missing': list(self.match.missing),
            'left_over': list(self.match.left_over),
            'dropped_outputs': list(self.dropped),
            'imported_from': self.record.training['imported_from'],
        }

    def table(self) -> str:
        """Return it as text, one fact per line."""
        record = self.record
        args = ', '.join(f'{k}={v}' for k, v in record.network_args.items())
        rows = {
            'layout': f'{self.match.layout.name} ({self.match.layout.source})',
            'network': record.network + (f' ({args})' if args else ''),
            'tensors': f'{len(self.match.matched)} of {self.match.wanted} matched',
            'missing': _names(self.match.missing),
            'left over': _names(self.match.left_over),
            'classes': f'{record.label_set.num_classes} of {record.label_set.name}',
            'dropped outputs': ', '.join(map(str, self.dropped)) or 'none',
            'input size': '{}x{}'.format(*record.input_size),
            'colour order': record.color_order,
            'mean (R, G, B)': ' '.join(f'{v:.6g}' for v in record.mean) + '  of pixels 0..1',
            'std (R, G, B)': ' '.join(f'{v:.6g}' for v in record.std),
            'licence': record.data_licence,
            'model': str(self.stem) + ('' if self.written else ' (not written: dry run)'),
        }
        return '\n'.join(f'{key:16} {value}' for key, value in rows.items())


def import_weights(
    file: str | Path,
    network: str,
    *,
    stem: str | Path | None = None,
    labels: str | Path | LabelSet | None = None,
    input_size: tuple[int, int] | None = None,
    layout: str | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    color_order: str | None = None,
    licence: str = '',
    dry_run: bool = False,
) -> Import:
    """Turn a file of weights into a released model, or refuse it.

    Args:
        file: see ``read_checkpoint``.
        network: a name of the zoo.
        stem: path of the model's files without suffix; by default NETWORK_LABELSET in the user's
            data folder, where models are found by name.
        labels: label set or its name or file; by default told from the number of outputs.
        input_size: (H, W); by default what the layout knows, else 384x512 for camvid and
            512x1024 for others.
        layout: name of the layout, where the file is not to be asked.
        mean: per colour in RGB order, of pixels scaled to 0..1; by default the layout's.
        std: likewise.
        color_order: 'rgb' or 'bgr'; by default the layout's.
        licence: of data and weights, for the record.
        dry_run: check everything but write nothing.

    Raises:
        SegnodeError: the file is unreadable, of no known layout, or does not fit as a whole; or
            what was asked for is not possible.
    """
    path = Path(file).expanduser()
    info = zoo.network_info(network)
    tensors = read_checkpoint(path)
    _check_preprocessing(mean, std, color_order)
    try:
        _refuse_our_own(path, tensors)
        chosen = choose_layout(tensors, network, layout)
        converted = chosen.convert(tensors)
        classes, dropped, converted = _classes(chosen, converted, labels)
        size = input_size or chosen.input_sizes.get(classes.name) or _usual_size(classes)
        args = chosen.arguments(converted, classes.num_classes)
        info.check_input_size(size, args)
        made, args = _network(network, classes.num_classes, args, converted)
        found = match(made, converted, chosen, f'{network} with {classes.num_classes} classes')
        found.check()
    except SegnodeError as error:
        raise SegnodeError(f'{path}: {error}') from error
    prepared = chosen.preprocessing_by_set.get(classes.name, chosen.preprocessing)
    record = ModelRecord(
        network=network,
        label_set=classes,
        input_size=size,
        network_args=args,
        mean=mean or prepared.mean,
        std=std or prepared.std,
        color_order=color_order or prepared.color_order,
        data_licence=licence or _licence(chosen, classes),
        training={
            'imported_from': {
                'file': path.name,
                'sha256': hashlib.sha256(path.read_bytes()).hexdigest(),
                'layout': chosen.name,
                'source': chosen.source,
                'dropped_outputs': list(dropped),
            },
            'date': datetime.date.today().isoformat(),
            'versions': versions('segnode', 'torch', 'onnx'),
        },
    )
    where = _stem(stem, f'{network}_{classes.name}')
    if not dry_run:
        from segnode.export import release

        fill(made, converted, found)
        release(made.eval(), record, where)
    return Import(found, record, dropped, where, not dry_run)


def choose_layout(tensors: Tensors, network: str, name: str | None = None) -> Layout:
    """Return the layout that the tensors are of, or the one that is named.

    Raises:
        SegnodeError: no layout knows them, or only one of other networks does.
    """
    candidates = (*layouts_for(network), own_layout(network))
    if name is not None:
        for layout in candidates:
            if layout.name == name:
                return layout
        raise SegnodeError(
            f'{network} has no layout {name!r}; it has {", ".join(c.name for c in candidates)}'
        )
    found = first_that_knows(tensors, candidates)
    if found is not None:
        return found
    other = first_that_knows(tensors, LAYOUTS)
    if other is not None:
        raise SegnodeError(f'these are weights of {other}, not of {network}')
    classifier = first_that_knows(tensors, CLASSIFIERS)
    if classifier is not None:
        starts = zoo.network_info(network).backbone in classifier.networks
        raise SegnodeError(
            f'these look like weights of a classifier, {classifier}'
            + (f': fit --network {network} --backbone FILE starts from them' if starts else '')
        )
    raise unknown(tensors, candidates, network)


def _classes(
    layout: Layout, converted: Tensors, labels: str | Path | LabelSet | None
) -> tuple[LabelSet, tuple[int, ...], Tensors]:
    """Return the label set, the outputs dropped, and the tensors with the outputs of its classes.

    Raises:
        SegnodeError: the file has not as many outputs as there are classes.
    """
    outputs = layout.outputs(converted)
    if labels is None:
        usual = _USUAL_SETS.get(outputs)
        if usual is None:
            raise SegnodeError(
                f'it has {outputs} outputs, and which classes they are has to be said: '
                '--labels NAME or FILE.yaml'
            )
        if usual in layout.unknown_order:
            raise SegnodeError(
                f'it has {outputs} outputs, probably of {usual}, but its source does not state '
                'the order of the classes: say by --labels FILE.yaml which ones these are'
            )
        labels = usual
    classes = labels if isinstance(labels, LabelSet) else load_label_set(labels)
    order = layout.class_order.get(classes.name, tuple(range(classes.num_classes)))
    extra = outputs - classes.num_classes
    if not 0 <= extra <= layout.extra_outputs or max(order) >= outputs:
        void = f' or {classes.num_classes + layout.extra_outputs}' if layout.extra_outputs else ''
        raise SegnodeError(
            f'it has {outputs} outputs, but {classes.name} needs {classes.num_classes}{void}: '
            'say by --labels which classes these are'
        )
    dropped = tuple(index for index in range(outputs) if index not in order)
    return classes, dropped, layout.select_outputs(converted, order)


def _network(
    name: str, classes: int, args: dict[str, Any], converted: Tensors
) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network; without auxiliary heads where the file has none and it can do without.

    A released model then holds no weights that were never trained.
    """
    made = zoo.create(name, classes, **args)
    if (
        'auxiliary' in inspect.signature(type(made)).parameters
        and 'auxiliary' not in args
        and not any(key.startswith('auxiliary') for key in converted)
    ):
        args = {**args, 'auxiliary': False}
        made = zoo.create(name, classes, **args)
    return made, args


def _usual_size(classes: LabelSet) -> tuple[int, int]:
    return (384, 512) if classes.name == 'camvid' else (512, 1024)


def _licence(layout: Layout, classes: LabelSet) -> str:
    """Say what is known of the data's licence, for the record, where the user says nothing."""
    weights = f'; weights: {layout.licence}, {layout.source}' if layout.licence else ''
    return f'not stated in the file, whose classes are those of {classes.name}{weights}'


def _stem(stem: str | Path | None, name: str) -> Path:
    if stem is not None:
        path = Path(stem).expanduser()
        return path.with_suffix('') if path.suffix in ('.safetensors', '.onnx') else path
    return folders()[-1] / name


def _check_preprocessing(
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, color_order: str | None
) -> None:
    """Raise SegnodeError for values that cannot be meant."""
    if mean is not None and not all(abs(value) <= 1 for value in mean):
        raise SegnodeError(
            f'the mean is of pixels scaled to 0..1, so {max(mean, key=abs):g} is none: divide '
            'means of grey levels by 255'
        )
    if std is not None and not all(0 < value < math.inf for value in std):
        raise SegnodeError(f'a standard deviation is more than 0, not {min(std):g}')
    if color_order is not None and color_order not in COLOR_ORDERS:
        raise SegnodeError(f'the colour order is {" or ".join(COLOR_ORDERS)}, not {color_order!r}')


def _refuse_our_own(path: Path, tensors: Tensors) -> None:
    """Raise SegnodeError for what ``fit`` and ``release`` wrote: they say more than weights.

    Raises:
        SegnodeError: with the command to use instead.
    """
    if any(name.startswith(FIT_PREFIX) for name in tensors):
        raise SegnodeError(
            'this is a checkpoint of fit, which "python -m training release" makes a model of'
        )
    try:
        Model.from_files(path, None)
    except SegnodeError:
        return
    raise SegnodeError('this is a released model already: use its path or name')


def _names(names: tuple[str, ...]) -> str:
    if not names:
        return 'none'
    return f'{len(names)}: ' + ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A model that runs as the node's parameters say, for all of its cameras. No ROS here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnode.errors import SegnodeError
from segnode.label_grouping import BUILT_IN_GROUPINGS, load_grouping
from segnode.record import ModelRecord
from segnode.runtimes.base import check_label_stride, check_samples, LABELS_AT, working_size
from segnode.runtimes.choose import UNSET
from segnode.segmenter import Segmenter
from segnode.store import find
from segnode.view import View

# As of node_parameters.model_values.
Values = Mapping[str, Any]


@dataclass(frozen=True)
class LoadedModel:
    """The network, and what of each camera's images it is to see.

    Args:
        segmenter: ready to run.
        views: by the camera's name.
        values: the parameters that it was made with.
    """

    segmenter: Segmenter
    views: Mapping[str, View]
    values: Values

    @classmethod
    def load(
        cls, values: Values, cameras: Sequence[str], base: LoadedModel | None = None
    ) -> LoadedModel:
        """Load it and try it once.

        Args:
            values: what it is made of.
            cameras: their names, '' for the only one.
            base: a model whose runtime serves again where the values ask for no other.

        Raises:
            SegnodeError: see ``Segmenter.load`` and ``View.of``.
        """
        views = {camera: _view(values, camera) for camera in cameras}
        grouping = values['label_grouping'] or None
        if base is not None and base.lends_runtime_to(values):
            model = base.segmenter.model
            groups = grouping and load_grouping(grouping, model.record.label_set)
            segmenter = Segmenter(
                model, base.segmenter.runtime, values['fit'], values['labels_at'],
                grouping=groups or None)
            return cls(segmenter, views, values)
        segmenter = Segmenter.load(
            values['model'], runtime=values['runtime'], input_size=_size(values),
            fit=values['fit'], labels_at=values['labels_at'], confidence=_confidence(values),
            samples=_samples(values), label_grouping=grouping,
            threads=values['threads'], at_once=len(views),
            allow_random_weights=values['allow_random_weights'],
            **{name: values[name] for name, unset in UNSET.items() if values[name] != unset})
        # The first run allocates and chooses kernels; a camera image should not pay for it.
        segmenter.warm_up(len(views))
        return cls(segmenter, views, values)

    @property
    def shows_confidence(self) -> bool:
        """Return whether the confidence is to be published."""
        return bool(self.values['confidence'])

    @property
    def shows_uncertainty(self) -> bool:
        """Return whether the uncertainty is to be published."""
        return bool(_samples(self.values))

    def lends_runtime_to(self, values: Values) -> bool:
        """Tell whether the runtime of this model is what other values ask for, too."""
        return _runtime_key(values) == _runtime_key(self.values)

    def serves(self, values: Values) -> bool:
        """Tell whether this very model is what other values ask for, too."""
        return _key(values) == _key(self.values)

    def facts(self) -> list[tuple[str, str]]:
        """Return what the diagnostics say of it."""
        segmenter = self.segmenter
        height, width = segmenter.input_size
        facts = [('model', segmenter.model.name), ('runtime', segmenter.runtime.name),
                 ('runtime details', segmenter.runtime.details),
                 ('network input', f'{width} x {height}'),
                 ('labels at', segmenter.labels_at),
                 ('label set', segmenter.label_set.name)]
        if segmenter.grouping is not None:
            facts.append(('grouped from', segmenter.grouping.source.name))
        if self.shows_uncertainty:
            facts.append(('samples per image', str(_samples(self.values))))
        return facts


def asks_for_more(values: Values, record: ModelRecord) -> bool:
    """Tell whether a released graph is not enough: it gives labels alone, at its own size."""
    return (_confidence(values) or bool(_samples(values)) or LABELS_AT[values['labels_at']] != 1
            or _size(values) not in (None, record.input_size))


def close_unless_shared(model: LoadedModel | None, *others: LoadedModel | None) -> None:
    """Close a model, unless another one goes on with its runtime."""
    if model is not None and not any(
            other is not None and other.segmenter.runtime is model.segmenter.runtime
            for other in others):
        model.segmenter.close()


def check_change(values: Values, changed: Sequence[str], running: LoadedModel | None) -> None:
    """Find at once what would make a change fail, as far as that is quick to tell.

    Args:
        values: as they would be.
        changed: the names of those that are new.
        running: the model in use.

    Raises:
        SegnodeError: such a model cannot be had.
    """
    if 'model' in changed:
        find(values['model'], required=not values['allow_random_weights'])
    for name in changed:
        if name.endswith('ego_mask') and values[name]:
            View.of(ego_mask=values[name])
    grouping = values['label_grouping']
    if running is None or values['model'] != running.values['model']:
        if 'label_grouping' in changed and grouping and grouping not in BUILT_IN_GROUPINGS \
                and not _is_file(grouping):
            raise SegnodeError(
                f'no label grouping {grouping!r}: give {", ".join(BUILT_IN_GROUPINGS)} or the '
                'path of a .yaml file')
        return
    record = running.segmenter.model.record
    if grouping:
        load_grouping(grouping, record.label_set)
    size = working_size(record, _size(values))
    check_label_stride(LABELS_AT[values['labels_at']], size)
    check_samples(record, _samples(values))


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a name too long, a folder that may not be entered
        return False


def _view(values: Values, camera: str) -> View:
    """Return the view of a camera: of its own values, else of the common ones."""
    def value(name: str) -> Any:
        return values.get(f'{camera}.{name}', values[name])
    return View.of(value('roi'), value('rotation'), value('ego_mask') or None)


def _size(values: Values) -> tuple[int, int] | None:
    height, width = values['input_size']
    return (int(height), int(width)) if height else None


def _samples(values: Values) -> int:
    """Return the passes of Monte Carlo dropout per image, 0 where none are asked for."""
    return 0 if values['uncertainty'] == 'none' else int(values['samples'])


def _confidence(values: Values) -> bool:
    return bool(values['confidence'] or values['min_confidence'] > 0.0)


def _runtime_key(values: Values) -> tuple[Any, ...]:
    """Return what the runtime depends on."""
    return (
        *(values[name] for name in ('model', 'runtime', 'threads', 'allow_random_weights')),
        *(values[name] for name in UNSET),
        _size(values), LABELS_AT[values['labels_at']], _confidence(values), _samples(values))


def _key(values: Values) -> tuple[Any, ...]:
    """Return what is fixed when the model is loaded; the rest is looked up for each image."""
    derived = ('uncertainty', 'samples', 'min_confidence')
    return (_runtime_key(values), sorted(
        (name, value) for name, value in values.items() if name not in derived))

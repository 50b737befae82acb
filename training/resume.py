# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a run can go on from a checkpoint as the run that it was."""

from __future__ import annotations

from dataclasses import asdict
import json
from pathlib import Path
from typing import Any

from segnode.errors import SegnodeError
from segnode.labels import LabelSet
from training.config import FitConfig, from_dict

# What the checkpoint's tensors are of, and what the optimiser's state holds, so that a change
# would be of no effect. All else (epochs, data, losses, devices, paths, ...) is taken as given.
FIXED = ('network', 'network_args', 'mean', 'std', 'data.input_size', 'data.label_set', 'optim')


def check_resume(config: FitConfig, saved: dict[str, Any], path: Path) -> None:
    """Compare what the run is to be with what it was.

    Args:
        config: of this sitting.
        saved: the checkpoint, as ``load_checkpoint`` gives it.
        path: of the checkpoint, for the error.

    Raises:
        SegnodeError: names the first key that differs, and both values.
    """
    before, now = asdict(from_dict(saved['segnode_config'])), asdict(config)
    for values in (before, now):
        del values['optim']['precise_bn']  # of the release alone
    for key in FIXED:
        found = _difference(key, _at(before, key), _at(now, key))
        if found is not None:
            name, old, new = found
            raise SegnodeError(
                f'{path} was made with {name} {_text(old)}, but {name} is {_text(new)} now: give '
                'what it was, or start another run by another --name (--init.weights takes its '
                'weights along).'
            )


def check_classes(labels: LabelSet, saved: dict[str, Any], path: Path) -> None:
    """Compare the classes of the data with those of the checkpoint.

    Raises:
        SegnodeError: they differ.
    """
    if 'segnode_label_set' not in saved:
        return  # of an older version; tensors of another shape are noticed in any case
    names = tuple(label['name'] for label in saved['segnode_label_set']['labels'])
    if names != labels.names:
        raise SegnodeError(
            f'{path} was made with {len(names)} classes ({", ".join(names[:3])}, ...), but the '
            f'data has {labels.num_classes} now ({", ".join(labels.names[:3])}, ...): data.train '
            'or data.label_set is not what it was.'
        )


def _at(values: dict[str, Any], key: str) -> Any:
    value: Any = values
    for part in key.split('.'):
        value = value[part]
    return value


def _difference(name: str, old: Any, new: Any) -> tuple[str, Any, Any] | None:
    """Return the first difference below ``name``; keys that only one of them has count."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            found = _difference(f'{name}.{key}', old.get(key), new.get(key))
            if found is not None:
                return found
        return None
    if _plain(old) == _plain(new):
        return None
    return name, old, new


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str:
    return json.dumps(_plain(value), default=str)

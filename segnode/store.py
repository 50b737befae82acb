# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Where released models lie, and finding one by name."""

from __future__ import annotations

from dataclasses import dataclass
import logging
import os
from pathlib import Path

from segnode.errors import SegnodeError
from segnode.model import Model, SUFFIXES
from segnode.networks.zoo import NETWORKS

_LOG = logging.getLogger('segnode')

Pair = tuple['Path | None', 'Path | None']
_FIT = 'python -m training fit --config config/training/fsffnet_camvid.yaml'


@dataclass(frozen=True)
class Entry:
    """One model of a folder: what it is, or what is wrong with it."""

    name: str
    folder: Path
    model: Model | None
    error: str = ''


def folders() -> tuple[Path, ...]:
    """Return the folders where names are looked up, in this order.

    The package's own ``weights``, each folder of $SEGNODE_WEIGHTS (separated as in $PATH), and
    ``segnode/weights`` in the user's data folder ($XDG_DATA_HOME, else ~/.local/share).
    """
    own = Path(__file__).with_name('weights')
    named = os.environ.get('SEGNODE_WEIGHTS', '')
    data = os.environ.get('XDG_DATA_HOME') or Path.home() / '.local' / 'share'
    found = [own]
    found += [Path(folder).expanduser() for folder in named.split(os.pathsep) if folder]
    found.append(Path(data) / 'segnode' / 'weights')
    return tuple(found)


def entries() -> list[Entry]:
    """Return every model of every folder, the damaged ones with their error."""
    listed = []
    for folder in folders():
        for name in _stems(folder):
            try:
                model: Model | None = Model.from_files(*_pair(folder / name))
                listed.append(Entry(name, folder, model))
            except SegnodeError as error:
                listed.append(Entry(name, folder, None, str(error)))
    return listed


def find(name_or_path: str, *, required: bool = True) -> Pair | None:
    """Return the paths of a model's weights and graph, None for the one that is not there.

    Args:
        name_or_path: see ``Model.load``.
        required: False returns None where a name of a known network has no weights.

    Raises:
        SegnodeError: there is no such model; the text lists what there is.
    """
    name = name_or_path.strip()
    if not name:
        raise SegnodeError(f'no model was named; there is {_listing()}')
    path = Path(name).expanduser()
    if os.sep in name or path.suffix in SUFFIXES:
        return _find_path(path)
    for folder in folders():
        if name in _stems(folder):
            return _pair(folder / name)
    if name in NETWORKS:
        best = _best_of(name)
        if best is not None:
            return best
    if name.partition('_')[0] in NETWORKS and not required:
        return None
    raise SegnodeError(
        f'there is no model {name!r}; there is {_listing()}; {_FIT} makes one, and '
        '$SEGNODE_WEIGHTS may name a folder of more'
    )


def _find_path(path: Path) -> Pair:
    stem = path.with_suffix('') if path.suffix in SUFFIXES else path
    pair = _pair(stem)
    if path.suffix in SUFFIXES and not path.is_file():
        raise SegnodeError(f'{path} is not there, or is no file')
    if pair == (None, None):
        if path.is_file():
            raise SegnodeError(
                f'{path} is no model: a model is a .safetensors file, an .onnx file, or both'
            )
        raise SegnodeError(f'there is neither {stem}.safetensors nor {stem}.onnx')
    return pair


def _pair(stem: Path) -> Pair:
    weights, graph = (stem.with_name(stem.name + suffix) for suffix in SUFFIXES)
    return (weights if weights.is_file() else None, graph if graph.is_file() else None)


def _stems(folder: Path) -> list[str]:
    try:
        files = list(folder.iterdir())
    except OSError:
        return []
    return sorted(
        {file.stem for file in files if file.suffix in SUFFIXES and not file.name.startswith('.')}
    )


def _best_of(network: str) -> Pair | None:
    """Return the model of ``network`` with the best recorded mIoU in the first folder with any.

    A folder is a choice of the user's or ours; only within one are scores compared, so that
    weights that somebody trained for another purpose do not take the place of the released ones.
    """
    failure: SegnodeError | None = None
    for folder in folders():
        best: Model | None = None
        for name in _stems(folder):
            try:
                model = Model.from_files(*_pair(folder / name))
            except SegnodeError as error:
                failure = failure or error
                _LOG.warning('passed over: %s', error)
                continue
            if model.record.network == network and (
                best is None or model.record.miou > best.record.miou
            ):
                best = model
        if best is not None:
            return best.safetensors_path, best.onnx_path
    if failure is not None:
        raise failure
    return None


def _listing() -> str:
    names = {name for folder in folders() for name in _stems(folder)}
    return ', '.join(sorted(names)) if names else 'none yet'

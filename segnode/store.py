# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Where released models lie, and finding one by name."""

from __future__ import annotations

from dataclasses import dataclass
import logging
import os
from pathlib import Path

from segnode.custom_network import described_file, describes_network
from segnode.errors import SegnodeError
from segnode.files import user_folder
from segnode.labels import YAML_SUFFIXES
from segnode.model import Model, SUFFIXES
from segnode.networks.zoo import network_of, NETWORKS

_LOG = logging.getLogger('segnode')

Pair = tuple['Path | None', 'Path | None']
_ALL_SUFFIXES = (*SUFFIXES, *YAML_SUFFIXES)
_FIT = 'python -m training fit --config config/training/fsffnet_camvid.yaml'
# Data that fit trains on where it is told to; by itself it takes CamVid.
_OTHER_DATA = ('cityscapes', 'bdd100k', 'mapillary')

# Which of the package's own models a network's name stands for, where it is not the one with the
# best figure on CamVid: on cameras other than CamVid's this one is far ahead (docs/networks.md).
PREFERRED = {'fsffnet': 'fsffnet_camvid_photometric'}


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
    ``segnode/weights`` in the user's data folder ($XDG_DATA_HOME, else ~/.local/share), where the
    user has one.

    Raises:
        SegnodeError: $SEGNODE_WEIGHTS names the home of a user who is not known.
    """
    own = Path(__file__).with_name('weights')
    named = os.environ.get('SEGNODE_WEIGHTS', '')
    data = user_folder('XDG_DATA_HOME', '.local/share')
    found = [own]
    found += [_expanded(folder) for folder in named.split(os.pathsep) if folder]
    if data is not None:
        found.append(data / 'segnode' / 'weights')
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

    In place of a graph it may be the YAML file that describes one of somebody else.

    Args:
        name_or_path: see ``Model.load``.
        required: False returns None where a name of a known network has no weights.

    Raises:
        SegnodeError: there is no such model; the text lists what there is.
    """
    name = name_or_path.strip()
    if not name:
        raise SegnodeError(f'no model was named; there is {_listing()}')
    path = _expanded(name)
    if os.sep in name or path.suffix in _ALL_SUFFIXES:
        return _find_path(path)
    for folder in folders():
        if name in _stems(folder):
            return _pair(folder / name)
    if name in NETWORKS:
        best = _best_of(name)
        if best is not None:
            return best
    if network_of(name)[0] and not required:
        return None
    raise SegnodeError(
        f'there is no model {name!r}; there is {_listing()}; {_making(*network_of(name))}, and '
        '$SEGNODE_WEIGHTS may name a folder of more'
    )


def _making(network: str, data: str) -> str:
    """Say which commands make a model of a network; '' is the one with a recipe."""
    if not network:
        return f'{_FIT} makes one'
    fit = _FIT
    if data in _OTHER_DATA:
        fit = (
            f'python -m training fit --network {network} --name {network}_{data} '
            f'--data.train {data}:train --data.val {data}:val'
        )
    elif network != 'fsffnet':
        fit = f'python -m training fit --network {network} --name {network}_camvid'
    return (
        f'{fit} makes one, python -m training import-weights --network {network} FILE makes one '
        'of weights from elsewhere'
    )


def _find_path(path: Path) -> Pair:
    stem = path.with_suffix('') if path.suffix in _ALL_SUFFIXES else path
    if path.suffix in _ALL_SUFFIXES and not _is_file(path):
        raise SegnodeError(f'{path} is not there, or is no file')
    if path.suffix in YAML_SUFFIXES:
        return None, path
    try:
        return _pair(stem)
    except SegnodeError:
        if not _is_file(path):
            raise
        raise SegnodeError(
            f'{path} is no model: a model is a .safetensors file, an .onnx file, or both, or a '
            '.yaml file that describes an ONNX network of somebody else'
        ) from None


def _pair(stem: Path) -> Pair:
    """Return the files of a model, one at least; a description is all that its model has.

    Raises:
        SegnodeError: there is none, or the system refuses to look.
    """
    weights, graph, *yamls = (stem.parent / (stem.name + suffix) for suffix in _ALL_SUFFIXES)
    pair = (weights if _is_file(weights) else None, graph if _is_file(graph) else None)
    if pair[0] is None:
        for description in yamls:
            if _is_file(description) and describes_network(description):
                return None, description
    if pair == (None, None):
        raise SegnodeError(f'there is neither {weights} nor {graph}')
    return pair


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # no permission, a name too long, a server that is gone
        raise SegnodeError(f'{path} cannot be read: {error.strerror or error}') from error


def _expanded(path: str) -> Path:
    """Return the path with ``~`` replaced by the home that it stands for."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SegnodeError(
            f'{path} names a home folder that is not known: write the path in full'
        ) from error


def _stems(folder: Path) -> list[str]:
    """Return the names of the models of a folder; none where it cannot be read or entered.

    A file that a description names is no model beside it.
    """
    try:
        files = [
            file for file in folder.iterdir()
            if file.suffix in _ALL_SUFFIXES and not file.name.startswith('.') and file.is_file()
        ]
    except OSError:
        return []
    described = {described_file(file) for file in files if file.suffix in YAML_SUFFIXES}
    return sorted({
        file.stem for file in files
        if (describes_network(file) if file.suffix in YAML_SUFFIXES else file not in described)
    })


def _best_of(network: str) -> Pair | None:
    """Return the preferred or best model of ``network`` in the first folder with any.

    The best by recorded mIoU; of the package's own the one that ``PREFERRED`` names.

    A folder is a choice of the user's or ours; only within one are scores compared, so that
    weights that somebody trained for another purpose do not take the place of the released ones.
    """
    failure: SegnodeError | None = None
    for number, folder in enumerate(folders()):
        best: Model | None = None
        preferred = PREFERRED.get(network) if number == 0 else None
        for name in sorted(_stems(folder), key=lambda stem: stem != preferred):
            try:
                model = Model.from_files(*_pair(folder / name))
            except SegnodeError as error:
                failure = failure or error
                _LOG.warning('passed over: %s', error)
                continue
            # A conversion is taken only by its own name: what it costs is for the user to weigh.
            if model.record.network == network and not model.record.conversion and (
                best is None or model.record.miou > best.record.miou
            ):
                best = model
                if name == preferred:
                    break
        if best is not None:
            return best.safetensors_path, best.onnx_path
    if failure is not None:
        raise failure
    return None


def _listing() -> str:
    names = {name for folder in folders() for name in _stems(folder)}
    return ', '.join(sorted(names)) if names else 'none yet'

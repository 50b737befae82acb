# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Label sets: class names, colours, train ids, raw ids and categories, in one table.

A label image is uint8 with one train id per pixel; 255 is unlabelled, always. A class's train id
is its place in ``LabelSet.labels``; its raw ids are what the dataset's own label files hold. All
else (palette, look-up tables, categories) is derived from those. The built-in sets are files of
``label_sets/`` in the very schema that a user's own set has::

    name: my_set
    void_raw_id: 255                # optional: what raw files hold where nothing is labelled
    labels:                         # 1 to 255 of them; the first has train id 0
      - name: road
        color: [128, 64, 128]       # red, green, blue
        category: flat
        raw_ids: [7]                # optional: the label's own train id when left out
        has_instances: false        # optional
"""

import contextlib
import dataclasses
import functools
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segnode.errors import SegnodeError

IGNORE = 255
BUILT_IN = ('cityscapes', 'camvid', 'mapillary')
YAML_SUFFIXES = ('.yaml', '.yml')  # of a file that load_label_set takes

_FOLDER = Path(__file__).with_name('label_sets')
_SET_KEYS = ('name', 'void_raw_id', 'labels')
_LABEL_KEYS = ('name', 'color', 'category', 'raw_ids', 'has_instances')


@dataclasses.dataclass(frozen=True)
class Label:
    """
    One class.

    Args:
        name: unique within its set.
        color: red, green, blue, each 0..255.
        category: the group that the class is counted in for category IoU.
        raw_ids: ids in the dataset's own label files that become this class, each 0..254; the
            first is the one that is written back.
        has_instances: whether the dataset tells single objects of this class apart.
    """

    name: str
    color: tuple[int, int, int]
    category: str
    raw_ids: tuple[int, ...]
    has_instances: bool = False


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """
    The classes of a dataset or model; the index into ``labels`` is the train id.

    Made by ``load_label_set`` or ``from_dict``, which check everything; tables are read-only and
    made on first use.

    Args:
        name: what the set is called.
        labels: the classes in the order of their train ids.
        void_raw_id: the raw id that stands for "unlabelled" in the dataset's own files.
    """

    name: str
    labels: tuple[Label, ...]
    void_raw_id: int = IGNORE

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.labels)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the class names in the order of train ids."""
        return tuple(label.name for label in self.labels)

    @property
    def categories(self) -> dict[str, tuple[int, ...]]:
        """Return the train ids of each category, in the order in which categories first occur."""
        groups: dict[str, tuple[int, ...]] = {}
        for train_id, label in enumerate(self.labels):
            groups[label.category] = groups.get(label.category, ()) + (train_id,)
        return groups

    @functools.cached_property
    def palette(self) -> np.ndarray:
        """Return uint8 (256, 3): RGB of each train id, black where there is no class."""
        table = np.zeros((256, 3), np.uint8)
        table[:self.num_classes] = [label.color for label in self.labels]
        return _read_only(table)

    @functools.cached_property
    def raw_to_train(self) -> np.ndarray:
        """Return uint8 (256,): the train id of each raw id, 255 where it is no class."""
        table = np.full(256, IGNORE, np.uint8)
        for train_id, label in enumerate(self.labels):
            table[list(label.raw_ids)] = train_id
        return _read_only(table)

    @functools.cached_property
    def train_to_raw(self) -> np.ndarray:
        """Return uint8 (256,): first raw id of each train id, else ``void_raw_id``."""
        table = np.full(256, self.void_raw_id, np.uint8)
        table[:self.num_classes] = [label.raw_ids[0] for label in self.labels]
        return _read_only(table)

    def colorize(self, labels: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """
        Paint a label image in the set's colours by one table look-up.

        Args:
            labels: uint8 (..., H, W), train ids.
            out: contiguous uint8 (..., H, W, 3) to write into, so that a stream needs no new
                array per frame.

        Returns: uint8 (..., H, W, 3), RGB; ``out`` when it was given.

        Raises:
            ValueError: `labels` is not uint8, or `out` does not fit it.
        """
        if labels.dtype != np.uint8:
            raise ValueError(f'labels must be uint8, not {labels.dtype}')
        if out is None:
            out = np.empty((*labels.shape, 3), np.uint8)
        elif out.dtype != np.uint8 or out.shape != (*labels.shape, 3):
            raise ValueError(
                f'out must be uint8 {(*labels.shape, 3)}, not {out.dtype} {out.shape}')
        if labels.ndim == 2 and labels.size and out.flags.c_contiguous:
            with contextlib.suppress(ImportError):  # it only is 20 times as fast
                import cv2

                return np.asarray(cv2.applyColorMap(labels, self.palette[:, None], out))
        # 'clip' cannot change a uint8 index into 256 rows; it only spares numpy a buffered copy.
        return np.take(self.palette, labels, axis=0, out=out, mode='clip')

    def to_dict(self) -> dict[str, Any]:
        """Return the set as plain types (JSON, YAML); ``from_dict`` gives it back."""
        return {
            'name': self.name,
            'void_raw_id': self.void_raw_id,
            'labels': [{'name': label.name, 'color': list(label.color), 'category': label.category,
                        'raw_ids': list(label.raw_ids), 'has_instances': label.has_instances}
                       for label in self.labels],
        }

    @classmethod
    def from_dict(cls, entries: Any, source: str = 'label set') -> 'LabelSet':
        """
        Check a set given as plain types and make it.

        Args:
            entries: what ``to_dict`` returns, or what a YAML file of the schema above holds.
            source: what to call it in an error, such as the file's path.

        Raises:
            SegnodeError: something is missing, wrong or unknown; the text names `source` and the
                entry.
        """
        _check_keys(entries, _SET_KEYS, ('name', 'labels'), source)
        name = _text(entries['name'], f'{source}: name')
        void = _integer(entries.get('void_raw_id', IGNORE), 0, 255, f'{source}: void_raw_id')
        items = entries['labels']
        if not isinstance(items, (list, tuple)) or not 1 <= len(items) <= IGNORE:
            raise SegnodeError(f'{source}: labels must be a list of 1 to {IGNORE} classes '
                               f'({IGNORE} itself is kept for unlabelled)')
        labels: list[Label] = []
        raw_owner = {void: 'void_raw_id'}
        for train_id, item in enumerate(items):
            where = f'{source}: labels[{train_id}]'
            label = _label(item, train_id, where)
            where += f' ({label.name})'
            if label.name in (other.name for other in labels):
                raise SegnodeError(f'{where}: an earlier class has the same name')
            for raw_id in label.raw_ids:
                if raw_id in raw_owner:
                    raise SegnodeError(
                        f'{where}: raw id {raw_id} already belongs to {raw_owner[raw_id]}')
                raw_owner[raw_id] = label.name
            labels.append(label)
        return cls(name, tuple(labels), void)


def load_label_set(name_or_path: str | Path) -> LabelSet:
    """
    Return a built-in label set by its name, or a user's from a YAML file.

    Args:
        name_or_path: 'cityscapes' (19 classes, also BDD100K's), 'camvid' (11), 'mapillary' (65),
            or the path of a YAML file in this module's schema.

    Raises:
        SegnodeError: no such set or file, or the file has a fault; the text names file and entry.
    """
    if str(name_or_path) in BUILT_IN:
        return _load_built_in(str(name_or_path))
    path = Path(name_or_path)
    if path.suffix.lower() not in YAML_SUFFIXES:
        raise SegnodeError(f'no label set {str(name_or_path)!r}: give one of '
                           f'{", ".join(BUILT_IN)} or the path of a .yaml file')
    label_set = _load_yaml(path)
    colors: dict[tuple[int, int, int], str] = {}
    for label in label_set.labels:
        if label.color in colors:  # Not an error: Mapillary v2.0's own colours repeat.
            logging.getLogger('segnode').warning(
                '%s: %s and %s have the same colour', path, colors[label.color], label.name)
        colors.setdefault(label.color, label.name)
    return label_set


def load_mapillary_config(path: str | Path) -> tuple[LabelSet, list[str]]:
    """
    Read the ``config*.json`` of a Mapillary Vistas folder; it wins over the built-in set.

    The classes with ``evaluate`` true become the train ids, in the file's order; the place of an
    entry in the file is its raw id. The category is the entry's ``name`` less its last part, so
    ``object--vehicle--car`` is counted in ``object--vehicle``.

    Args:
        path: config_v1.2.json, config_v2.0.json, or the config.json of an older release.

    Returns: the set, and one sentence for each way in which it differs from the built-in
        ``mapillary`` set (none for a v1.2 config as released).

    Raises:
        SegnodeError: the file is missing or damaged; the text names file and entry.
    """
    source = str(path)
    try:
        config = json.loads(_read(Path(path)))
    except (ValueError, RecursionError) as error:
        raise SegnodeError(f'{source}: not valid JSON: {_one_line(error)}') from error
    if not isinstance(config, dict) or not isinstance(config.get('labels'), list):
        raise SegnodeError(f'{source}: a Mapillary config has a list under "labels"')
    kept: list[dict[str, Any]] = []
    void = IGNORE
    for raw_id, item in enumerate(config['labels']):
        where = f'{source}: labels[{raw_id}]'
        for key in ('readable', 'name', 'color', 'instances', 'evaluate'):
            if not isinstance(item, dict) or key not in item:
                raise SegnodeError(f'{where}: {key} is missing')
        if not isinstance(item['evaluate'], bool):
            raise SegnodeError(f'{where}: evaluate must be true or false')
        full_name = _text(item['name'], f'{where}: name')
        if item['evaluate']:
            kept.append({'name': item['readable'], 'color': item['color'], 'raw_ids': [raw_id],
                         'category': full_name.rpartition('--')[0] or full_name,
                         'has_instances': item['instances']})
        elif full_name == 'void--unlabeled' or void == IGNORE:
            void = raw_id
    version = str(config.get('version', '1.2'))
    name = 'mapillary' if version in ('1.1', '1.2') else f'mapillary_v{version}'
    label_set = LabelSet.from_dict({'name': name, 'void_raw_id': void, 'labels': kept}, source)
    return label_set, _differences(label_set, load_label_set('mapillary'), Path(path).name)


def _differences(label_set: LabelSet, built_in: LabelSet, file_name: str) -> list[str]:
    """Say in sentences how a dataset's own classes differ from the built-in table."""
    found: list[str] = []
    if label_set.num_classes != built_in.num_classes:
        found.append(f'{file_name} has {label_set.num_classes} classes where the built-in '
                     f'{built_in.name} set has {built_in.num_classes}; the file is followed.')
    ours = {label.name: label for label in built_in.labels}
    theirs = {label.name: label for label in label_set.labels}
    found += [f'{file_name} lacks {name}.' for name in ours if name not in theirs]
    found += [f'{file_name} adds {name}.' for name in theirs if name not in ours]
    for name, label in theirs.items():
        if name not in ours:
            continue
        for field in ('color', 'category', 'raw_ids', 'has_instances'):
            got, known = getattr(label, field), getattr(ours[name], field)
            if got != known:
                found.append(f'{file_name} gives {name} {field} {got} where the built-in set has '
                             f'{known}; the file is followed.')
    return found


@functools.cache
def _load_built_in(name: str) -> LabelSet:
    return _load_yaml(_FOLDER / f'{name}.yaml')


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML, but a key given twice in one mapping is an error and not a silent overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a dict of a mapping node."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'{key_node.value} is given twice', key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> Any:
    """
    Return what a YAML file holds, of plain types; a key given twice is an error.

    Raises:
        SegnodeError: it cannot be read, or is not YAML; the text names the file.
    """
    text = _read(path)
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except Exception as error:  # PyYAML lets ValueError, RecursionError, KeyError, ... out as well
        raise SegnodeError(f'{path}: not valid YAML: {_one_line(error)}') from error


def _load_yaml(path: Path) -> LabelSet:
    """Read and check one label set."""
    return LabelSet.from_dict(load_yaml(path), str(path))


def _read(path: Path) -> str:
    """Return a text file's content; whatever stops that is one sentence."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise SegnodeError(f'cannot read {path}: it is a directory, a pipe or a device')
        return path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else 'it is not UTF-8 text'
        raise SegnodeError(f'cannot read {path}: {reason}') from error


def _label(item: Any, train_id: int, where: str) -> Label:
    """Check one entry of a set's list."""
    _check_keys(item, _LABEL_KEYS, ('name', 'color', 'category'), where)
    name = _text(item['name'], f'{where}: name')
    where += f' ({name})'
    color = item['color']
    if not isinstance(color, (list, tuple)) or len(color) != 3:
        raise SegnodeError(f'{where}: color must be three numbers, [red, green, blue], '
                           f'not {color!r}')
    red, green, blue = (_integer(part, 0, 255, f'{where}: color') for part in color)
    raw_ids = item.get('raw_ids', [train_id])
    if not isinstance(raw_ids, (list, tuple)) or not raw_ids:
        raise SegnodeError(f'{where}: raw_ids must be a list of at least one id, not {raw_ids!r}')
    has_instances = item.get('has_instances', False)
    if not isinstance(has_instances, bool):
        raise SegnodeError(f'{where}: has_instances must be true or false, not {has_instances!r}')
    return Label(name, (red, green, blue), _text(item['category'], f'{where}: category'),
                 tuple(_integer(raw_id, 0, 254, f'{where}: raw_ids') for raw_id in raw_ids),
                 has_instances)


def _check_keys(item: Any, known: tuple[str, ...], required: tuple[str, ...], where: str) -> None:
    """Refuse what is no mapping, lacks a key, or has one that nobody would read."""
    if not isinstance(item, dict):
        raise SegnodeError(f'{where}: must be a mapping with {", ".join(required)}, '
                           f'not {_shorten(item)}')
    for key in item:
        if key not in known:
            raise SegnodeError(f'{where}: unknown key {key!r}; known are {", ".join(known)}')
    for key in required:
        if key not in item:
            raise SegnodeError(f'{where}: {key} is missing')


def _text(value: Any, where: str) -> str:
    """Check a non-empty string."""
    if not isinstance(value, str) or not value.strip():
        # YAML reads a bare yes, no, on, off or 12 as something else than text.
        raise SegnodeError(f'{where} must be text (put it in quotes), not {_shorten(value)}')
    return value


def _integer(value: Any, low: int, high: int, where: str) -> int:
    """Check a whole number of low..high; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SegnodeError(f'{where} must hold whole numbers from {low} to {high}, '
                           f'not {_shorten(value)}')
    return value


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + '...'


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())


def _read_only(table: np.ndarray) -> np.ndarray:
    table.setflags(write=False)
    return table

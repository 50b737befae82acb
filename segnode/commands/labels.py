# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``labels``: the classes behind the numbers of a label image."""

from __future__ import annotations

import argparse
from pathlib import Path

from segnode.commands.arguments import parser, print_json, table
from segnode.errors import SegnodeError
from segnode.label_grouping import BUILT_IN_GROUPINGS, LabelGrouping, load_grouping
from segnode.labels import (
    BUILT_IN,
    IGNORE,
    Label,
    LabelSet,
    load_label_set,
    load_yaml,
    YAML_SUFFIXES,
)
from segnode.model import Model


def main(argv: list[str]) -> int:
    """List the built-in sets, or the classes of one set or model, or what a grouping does."""
    options = _command_line().parse_args(argv)
    if options.set and options.model:
        raise SegnodeError('give a label set or --model, not both')
    given = options.set
    if options.grouping is not None:
        source = find_label_set(given) if given else _of_model(options.model or 'fsffnet')
        grouping = load_grouping(options.grouping, source)
        if options.json:
            print_json(_grouping_answer(grouping))
        else:
            _print_grouping(grouping)
        return 0
    if given is None and options.model is None:
        sets = [load_label_set(name) for name in BUILT_IN]
        if options.json:
            print_json([{'name': s.name, 'classes': s.num_classes} for s in sets])
        else:
            print(table([(s.name, f'{s.num_classes} classes', ', '.join(s.categories))
                         for s in sets]))
        return 0
    label_set = find_label_set(given) if given else _of_model(options.model)
    if options.json:
        print_json(label_set.to_dict())
        return 0
    rows: list[tuple[str, ...]] = [('ID', 'NAME', 'CATEGORY', 'RGB', 'RAW IDS')]
    for index, label in enumerate(label_set.labels):
        raw = ', '.join(map(str, label.raw_ids))
        rows.append((str(index), label.name, label.category, _rgb(label), raw))
    print(table(rows))
    print('255  unlabelled')
    return 0


def find_label_set(name: str) -> LabelSet:
    """Return the label set of that name or file, or that of a model.

    Args:
        name: of a built-in set, a YAML file's path, or what ``Model.load`` takes.

    Raises:
        SegnodeError: there is none.
    """
    if name in BUILT_IN or _is_label_set(Path(name)):
        return load_label_set(name)
    try:
        return _of_model(name)
    except SegnodeError as error:
        raise SegnodeError(
            f'{name!r} is no label set ({", ".join(BUILT_IN)} or a .yaml file), and as a model: '
            f'{error}'
        ) from error


def _is_label_set(path: Path) -> bool:
    """Tell a label set's YAML file from the one that describes a model."""
    if path.suffix.lower() not in YAML_SUFFIXES:
        return False
    content = load_yaml(path)
    return not (isinstance(content, dict) and 'file' in content)


def _of_model(name: str) -> LabelSet:
    return Model.load(name).record.label_set


def _command_line() -> argparse.ArgumentParser:
    arguments = parser(
        'labels', 'List label sets, the classes of one, or what a label grouping makes of them.')
    arguments.add_argument(
        'set', nargs='?',
        help=f'{", ".join(BUILT_IN)}, a YAML file, or the name or path of a model',
    )
    arguments.add_argument(
        '--grouping', metavar='FILE',
        help='show which class goes into which group of this label grouping: '
             f'{", ".join(BUILT_IN_GROUPINGS)}, or a YAML file',
    )
    arguments.add_argument(
        '--model', metavar='NAME',
        help='whose classes, in place of a label set (with --grouping default: fsffnet)',
    )
    return arguments


def _grouping_answer(grouping: LabelGrouping) -> dict[str, object]:
    members = grouping.members
    return {
        'name': grouping.groups.name,
        'from': grouping.source.name,
        'groups': [
            {'id': index, 'name': label.name, 'color': list(label.color),
             'classes': list(members[label.name])}
            for index, label in enumerate(grouping.groups.labels)
        ],
        'left_out': list(grouping.left_out),
        'table': grouping.table[:grouping.source.num_classes].tolist(),
    }


def _print_grouping(grouping: LabelGrouping) -> None:
    members = grouping.members
    print(f'{grouping.groups.name}: groups of the classes of {grouping.source.name}')
    rows: list[tuple[str, ...]] = [('ID', 'GROUP', 'RGB', 'CLASSES')]
    for index, label in enumerate(grouping.groups.labels):
        rows.append((str(index), label.name, _rgb(label), ', '.join(members[label.name]) or '-'))
    rows.append((str(IGNORE), 'unlabelled', '', ', '.join(grouping.left_out) or '-'))
    print(table(rows))


def _rgb(label: Label) -> str:
    return ' '.join(map(str, label.color))

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``models``: what there is to load."""

from __future__ import annotations

from typing import Any

from segnode.commands.arguments import parser, print_json, table
from segnode.custom_network import CustomNetwork
from segnode.model import Model
from segnode.store import entries, Entry, folders


def main(argv: list[str]) -> int:
    """List the models of every folder, or those named; a damaged one with what is wrong."""
    arguments = parser('models', 'List the models there are, and what is known of them.')
    arguments.add_argument(
        'models', nargs='*', metavar='MODEL',
        help='name or path of a model, or the .yaml file of a network of your own, to be checked '
             '(default: all in the folders of models)')
    options = arguments.parse_args(argv)
    found = [_entry(name) for name in options.models] if options.models else entries()
    if options.json:
        print_json({'folders': [str(f) for f in folders()], 'models': [_facts(e) for e in found]})
        return 0
    if not found:
        print('no models yet; looked in')
        for folder in folders():
            print(f'  {folder}')
        print('python -m training fit --config config/training/fsffnet_camvid.yaml makes one')
        return 0
    rows: list[tuple[str, ...]] = [
        ('NAME', 'NETWORK', 'CLASSES', 'SIZE', 'MIOU', 'FILES', 'FOLDER')
    ]
    rows += [_row(entry) for entry in found]
    print(table(rows))
    for entry in found:
        if entry.error or entry.model is None:
            print(f'error: {entry.error}')
            continue
        if entry.model.custom is not None:
            print(f'{entry.name}: {_words(entry.model.custom)}')
        if entry.model.record.data_licence:
            print(f'{entry.name}: {entry.model.record.data_licence}')
    return 0


def _entry(name: str) -> Entry:
    """Load one model.

    Raises:
        SegnodeError: there is none, or it is damaged.
    """
    model = Model.load(name)
    paths = (model.safetensors_path, model.onnx_path, model.custom and model.custom.path)
    return Entry(model.name, next(path for path in paths if path).parent, model)


def _row(entry: Entry) -> tuple[str, ...]:
    model = entry.model
    if model is None:
        return entry.name, 'damaged', '', '', '', '', str(entry.folder)
    record = model.record
    files = [p.suffix[1:] for p in (model.safetensors_path, model.onnx_path) if p]
    if model.custom is not None:
        files = [model.custom.path.suffix[1:], model.custom.file.name]
    return (
        entry.name,
        record.network,
        f'{record.label_set.num_classes} {record.label_set.name}',
        f'{record.input_size[0]}x{record.input_size[1]}',
        f'{record.miou:.4g}' if record.miou >= 0 else '-',
        ' '.join(filter(None, ('+'.join(files), record.conversion.get('precision')))),
        str(entry.folder),
    )


def _facts(entry: Entry) -> dict[str, Any]:
    if entry.model is None:
        return {'name': entry.name, 'folder': str(entry.folder), 'error': entry.error}
    model = entry.model
    return {
        'name': entry.name,
        'folder': str(entry.folder),
        'safetensors': str(model.safetensors_path) if model.safetensors_path else None,
        'onnx': str(model.onnx_path) if model.onnx_path else None,
        'custom': _custom_facts(model.custom) if model.custom else None,
        'weights_sha256': model.weights_sha256,
        'record': model.record.to_dict(),
    }


def _words(network: CustomNetwork) -> str:
    """Say what a network of somebody else takes and gives."""
    form = network.form(network.output)
    layouts = [f' as {layout.upper()}' if layout else ''
               for layout in (network.input_layout, form.layout)]
    return (f'{network.file.name} takes {network.input}{layouts[0]} and gives {form.kind} '
            f'{network.output}{layouts[1]}')


def _custom_facts(network: CustomNetwork) -> dict[str, Any]:
    form = network.form(network.output)
    return {
        'description': str(network.path),
        'file': str(network.file),
        'input': str(network.input),
        'input_layout': network.input_layout,
        'output': str(network.output),
        'output_kind': form.kind,
        'output_layout': form.layout,
    }

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``models``: what there is to load."""

from __future__ import annotations

from typing import Any

from segnode.commands.arguments import parser, print_json, table
from segnode.store import entries, Entry, folders


def main(argv: list[str]) -> int:
    """List the models of every folder; a damaged one is named with what is wrong."""
    arguments = parser('models', 'List the models there are, and what is known of them.')
    options = arguments.parse_args(argv)
    found = entries()
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
        if entry.error:
            print(f'error: {entry.error}')
        elif entry.model is not None and entry.model.record.data_licence:
            print(f'{entry.name}: {entry.model.record.data_licence}')
    return 0


def _row(entry: Entry) -> tuple[str, ...]:
    model = entry.model
    if model is None:
        return entry.name, 'damaged', '', '', '', '', str(entry.folder)
    record = model.record
    files = [p.suffix[1:] for p in (model.safetensors_path, model.onnx_path) if p]
    return (
        entry.name,
        record.network,
        f'{record.label_set.num_classes} {record.label_set.name}',
        f'{record.input_size[0]}x{record.input_size[1]}',
        f'{record.miou:.4g}' if record.miou >= 0 else '-',
        '+'.join(files),
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
        'weights_sha256': model.weights_sha256,
        'record': model.record.to_dict(),
    }

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Builds an engine of every network with TensorRT for RTX, which needs no GPU for it.

    python -m benchmark.tensorrt_build [--networks NAME,...] [--size HxW] [--json FILE]

Each network, untrained, is exported as deploy graph (float32, the batch symbolic, see
``segnode.export``), and that and its float16 form (``segnode.onnx_half``) are parsed and built
for one image at a time. The libraries are requirements/tensorrt.txt. Layers are those of the
parsed graph, before TensorRT fuses them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

import torch
from torch import nn

from segnode.benchmarking.machine import processor
from segnode.commands.arguments import image_size, output_file
from segnode.dependencies import versions
from segnode.errors import SegnodeError
from segnode.export import export_onnx
from segnode.labels import load_label_set
from segnode.model import Model
from segnode.networks.zoo import network_info, NETWORKS
from segnode.onnx_compact import read_deploy_graph
from segnode.onnx_half import in_half_precision
from segnode.runtimes.tensorrt_build import build_plan
from segnode.runtimes.tensorrt_versions import find_tensorrt, TENSORRT_RTX

SIZE = (512, 1024)
PRECISIONS = ('fp32', 'fp16')


def main(argv: list[str] | None = None) -> int:
    """Build, print a table in Markdown; 1 where an engine could not be built."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmark.tensorrt_build',
        description='Build an engine of every network, without a GPU.',
    )
    parser.add_argument('--networks', metavar='NAME,...', help='these alone (default: all)')
    parser.add_argument('--size', type=image_size, default=SIZE, metavar='HxW')
    parser.add_argument('--json', type=output_file, help='write the answer to this file')
    given = parser.parse_args(argv)
    names = given.networks.split(',') if given.networks else list(NETWORKS)
    try:
        for name in names:
            network_info(name)
        answer = measure(names, given.size)
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(table(answer))
    if given.json:
        given.json.write_text(json.dumps(answer, indent=1) + '\n')
    return int(any(row['refused'] for row in answer['rows']))


def measure(names: list[str], size: tuple[int, int]) -> dict[str, Any]:
    """Return the machine, the versions and a row per network."""
    tensorrt = find_tensorrt(TENSORRT_RTX)
    rows = []
    for name in names:
        row: dict[str, Any] = {'network': name, 'refused': ''}
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            model = Model.untrained(name, load_label_set('cityscapes'), size)
            path = export_onnx(_uneven(model.build_network()), model.record,
                               Path(folder) / 'graph.onnx')
            content = read_deploy_graph(path)
            row['export_seconds'] = round(time.perf_counter() - start, 2)
            row['onnx_bytes'] = len(content)
        shape = (1, *size, 3)
        try:
            for precision in PRECISIONS:
                if precision == 'fp16':
                    content = in_half_precision(content)
                plan = build_plan(content, {'image': (shape, shape, shape)}, tensorrt=tensorrt)
                row[precision] = {
                    'layers': plan.layers, 'build_seconds': round(plan.seconds, 2),
                    'engine_bytes': len(plan.content),
                }
        except SegnodeError as error:
            row['refused'] = str(error)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return {
        'size': f'{size[0]}x{size[1]}',
        'classes': 19,
        'tensorrt': f'{tensorrt.__name__.removesuffix("_bindings")} {tensorrt.__version__}',
        'processor': processor(),
        'versions': versions('segnode', 'torch', 'onnx'),
        'rows': rows,
    }


def _uneven(network: nn.Module) -> nn.Module:
    """Move every weight a little, as training does.

    The exporter writes equal tensors once, and a layer for every further use: the zeros and ones
    that a network begins with would count as layers.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor += 0.01 * torch.randn(tensor.shape, generator=generator)
    return network


def table(answer: dict[str, Any]) -> str:
    """Return the answer as text and a table in Markdown."""
    lines = [
        f'{answer["size"]}, one image, {answer["tensorrt"]}, {answer["processor"]}, '
        f'PyTorch {answer["versions"]["torch"]}',
        '',
        '| network | ONNX MB | layers fp32, fp16 | build s fp32, fp16 | engine MB fp32, fp16 |',
        '|---|---|---|---|---|',
    ]
    for row in answer['rows']:
        if row['refused']:
            built = f'refused: {row["refused"]} | - | -'
        else:
            rows = [row[precision] for precision in PRECISIONS]
            built = ' | '.join((
                ', '.join(str(r['layers']) for r in rows),
                ', '.join(f'{r["build_seconds"]:.2f}' for r in rows),
                ', '.join(f'{r["engine_bytes"] / 1e6:.1f}' for r in rows),
            ))
        lines.append(f'| `{row["network"]}` | {row["onnx_bytes"] / 1e6:.1f} | {built} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())

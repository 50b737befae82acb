# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The real torch2trt converts every network, over the network definitions of TensorRT for RTX.

These have the methods that torch2trt calls, and build without a GPU. It needs torch2trt's source,
which is on no package index: clone it, and name the folder in SEGNODE_TORCH2TRT.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

from segnode.dependencies import installed
from segnode.networks.zoo import NETWORKS

pytest.importorskip('torch')

FOLDER = os.environ.get('SEGNODE_TORCH2TRT', '')

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not installed('tensorrt_rtx_bindings'),
        reason='TensorRT for RTX is not installed: requirements/tensorrt.txt'),
    pytest.mark.skipif(
        not Path(FOLDER, 'torch2trt', '__init__.py').is_file(),
        reason='torch2trt is not here: SEGNODE_TORCH2TRT must name a clone of it'),
]

# TensorRT for RTX under the name of TensorRT 10, with what torch2trt's import asks for.
SHIM = """
import tensorrt_rtx_bindings as _rtx
from tensorrt_rtx_bindings import *
__version__ = '10.0.1'
class CalibrationAlgoType: ENTROPY_CALIBRATION = 0; ENTROPY_CALIBRATION_2 = 1
class IInt8Calibrator: pass
float32, float16, int8 = (getattr(_rtx.DataType, n) for n in ('FLOAT', 'HALF', 'INT8'))
int32, bool = _rtx.DataType.INT32, _rtx.DataType.BOOL
"""

# In a process of its own: torch2trt replaces functions of torch.
CONVERT = """
import json, sys
import tensorrt, torch
from segnode.networks.zoo import create
from segnode.runtimes.tensorrt_versions import library
from segnode.runtimes.torch2trt_convert import build
for name in sys.argv[1:]:
    torch.manual_seed(0)
    network = create(name, 11).eval()
    step = max(64, network.size_multiple)
    x = torch.randn(1, 3, step, 2 * step)
    with torch.no_grad():
        shape = list(network(x).shape)
    plan = build(library(tensorrt), network, x, fp16=False, name=name)
    state = dict(vars(torch.Tensor))
    print(json.dumps({
        'name': name, 'layers': plan.layers, 'bytes': len(plan.content), 'shape': shape,
        'inputs': {n: [b.type, list(b.shape)] for n, b in plan.inputs.items()},
        'outputs': {n: [b.type, list(b.shape)] for n, b in plan.outputs.items()},
        # Some of them are of heads that only training uses.
        'weights': 4 * sum(p.numel() for p in network.parameters()),
        'x': list(x.shape)}), flush=True)
"""


def convert(tmp_path: Path, *names: str) -> list[dict[str, object]]:
    (tmp_path / 'tensorrt.py').write_text(SHIM)
    path = os.pathsep.join([str(tmp_path), FOLDER, os.environ.get('PYTHONPATH', '')])
    result = subprocess.run(
        [sys.executable, '-c', CONVERT, *names], env={**os.environ, 'PYTHONPATH': path},
        capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize('name', NETWORKS)
def test_every_network(name: str, tmp_path: Path) -> None:
    (row,) = convert(tmp_path, name)
    assert row['name'] == name
    assert row['inputs'] == {'x': ['float', row['x']]}
    assert row['outputs'] == {'logits': ['float', row['shape']]}
    assert int(str(row['layers'])) > 100
    assert int(str(row['bytes'])) > 0.6 * int(str(row['weights']))

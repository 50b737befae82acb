# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A vehicle without PyTorch, and what an import must not bring along."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys
import venv

import numpy as np
import pytest

import small_model

HEAVY = ('torch', 'onnx', 'onnxruntime', 'rclpy', 'tensorrt', 'pytorch_lightning', 'matplotlib')

# Everything that a vehicle does with a model; argv: stem of the model, image as .npy, labels out.
VEHICLE = """
import sys
import numpy as np
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.segmenter import Segmenter
segmenter = Segmenter.load(sys.argv[1], threads=1)
assert segmenter.runtime.name == 'onnx'
found = segmenter.segment(np.load(sys.argv[2]))
segmenter.label_set.colorize(found.labels)
np.save(sys.argv[3], found.labels)
for wanted in ({'runtime': 'pytorch'}, {'input_size': (128, 128)}, {'confidence': True}):
    try:
        Segmenter.load(sys.argv[1], **wanted)
    except SegnodeError as error:
        assert 'pip install torch onnx' in str(error), error
    else:
        raise AssertionError(wanted)
try:
    Model.load(sys.argv[1]).build_network()
except SegnodeError as error:
    assert 'needs PyTorch' in str(error), error
assert 'torch' not in {name for name, module in sys.modules.items() if module is not None}
"""


def _python(code: str, *arguments: str, executable: str = sys.executable) -> str:
    result = subprocess.run(
        [executable, '-c', code, *arguments], capture_output=True, text=True, timeout=120,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parent.parent)},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize('module', [
    'segnode', 'segnode.labels', 'segnode.networks.zoo', 'segnode.model', 'segnode.store',
    'segnode.runtimes', 'segnode.segmenter', 'segnode.__main__',
])
def test_imports_are_light(module: str) -> None:
    code = f'import sys, json, {module}; print(json.dumps(sorted(sys.modules)))'
    loaded = set(json.loads(_python(code)))
    assert not loaded & set(HEAVY)
    if module in ('segnode', 'segnode.__main__'):
        assert not loaded & {'numpy', 'cv2', 'yaml'}


def test_loading_a_model_is_light() -> None:
    code = (
        'import sys, json; from segnode.model import Model; '
        'Model.load(sys.argv[1]); print(json.dumps(sorted(sys.modules)))'
    )
    assert not set(json.loads(_python(code, str(small_model.stem())))) & set(HEAVY)


def test_running_without_torch(tmp_path: Path) -> None:
    """With the import of torch and onnx forbidden, as if they were not installed."""
    blocked = "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n" + VEHICLE
    _run_vehicle(tmp_path, blocked, sys.executable)


@pytest.mark.slow
def test_running_in_an_environment_without_torch(tmp_path: Path) -> None:
    """In a new environment that holds what a vehicle needs and nothing else."""
    place = tmp_path / 'venv'
    venv.create(place, with_pip=True)
    python = str(place / 'bin' / 'python')
    packages = ['numpy', 'opencv-python-headless', 'onnxruntime', 'PyYAML']
    installed = subprocess.run(
        [python, '-m', 'pip', 'install', '-q', *packages], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f'no package index here: {installed.stderr.strip().splitlines()[-1]}')
    _run_vehicle(tmp_path, VEHICLE, python)


def _run_vehicle(folder: Path, code: str, python: str) -> None:
    from segnode.segmenter import Segmenter

    image = small_model.frames(1, (200, 300))[0]
    np.save(folder / 'image.npy', image)
    _python(
        code, str(small_model.stem()), str(folder / 'image.npy'), str(folder / 'labels.npy'),
        executable=python,
    )
    expected = Segmenter.load(small_model.stem(), runtime='pytorch').segment(image).labels
    assert (np.load(folder / 'labels.npy') == expected).mean() >= 0.999

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Libraries that are imported only when something needs them, and what to say without them."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from typing import Any

import segnode
from segnode.errors import SegnodeError

# Import name -> (what people call it, what pip installs it with).
_SOURCES = {
    'cv2': ('OpenCV', 'opencv-python-headless'),
    'torch': ('PyTorch', 'torch onnx'),
    'onnx': ('onnx', 'onnx'),
    'onnxruntime': ('ONNX Runtime', 'onnxruntime'),
    'openvino': ('OpenVINO', 'openvino'),
    'tensorrt': ('TensorRT', 'tensorrt'),
    'tensorrt_rtx_bindings': (
        'TensorRT for RTX', 'tensorrt_rtx_cu12_libs tensorrt_rtx_cu12_bindings'),
}
# Libraries that report to their makers, unless the environment says this before they are loaded.
# ONNX Runtime's binaries for Linux do since 1.29: name and hash of each model, and a number of the
# machine (github microsoft/onnxruntime#27379). Ray does where it starts a cluster
# (docs.ray.io/en/latest/cluster/usage-stats.html). What the user has set stays.
_SILENCED = {
    'onnxruntime': ('ORT_DISABLE_TELEMETRY', '1'),
    'ray': ('RAY_USAGE_STATS_ENABLED', '0'),
}


def installed(module: str) -> bool:
    """Tell whether ``module`` can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require(module: str, purpose: str) -> Any:
    """Import and return ``module``, told to send nothing to anybody.

    Args:
        module: import name of the library.
        purpose: what needs it, as the beginning of a sentence.

    Raises:
        SegnodeError: it is not installed, or what is installed does not load.
    """
    name, source = _SOURCES.get(module, (module, module))
    if not installed(module):
        raise SegnodeError(
            f'{purpose} needs {name}, which is not installed: pip install {source}'
        )
    if module in _SILENCED:
        os.environ.setdefault(*_SILENCED[module])
    try:
        return importlib.import_module(module)
    except Exception as error:  # a broken binary raises OSError, RuntimeError and others
        raise SegnodeError(
            f'{purpose} needs {name}, whose installation is broken ({error}): '
            f'pip install --force-reinstall {source}'
        ) from error


def versions(*modules: str) -> dict[str, str]:
    """Return the version of each distribution, '' where it is not installed.

    Our own is that of the code which runs: a source checkout is no installed distribution.
    """
    found = {}
    for module in modules:
        try:
            own = module == segnode.__name__
            found[module] = segnode.__version__ if own else importlib.metadata.version(module)
        except importlib.metadata.PackageNotFoundError:
            found[module] = ''
    return found

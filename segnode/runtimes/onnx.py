# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph in ONNX Runtime on the CPU: the default where there is no GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from segnode.dependencies import installed, require, versions
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.onnx_file import read_onnx
from segnode.runtimes.base import (
    check_images,
    closed,
    default_threads,
    GRAPH_VERSION,
    RuntimeOutput,
    working_size,
)
from segnode.runtimes.cache import cached
from segnode.runtimes.session import open_session


class OnnxRuntime:
    """Runs a model's ``.onnx`` at its own size, or one exported for another size and kept.

    Args:
        model: with its ``.onnx``; for another size or confidence with its ``.safetensors``.
        input_size: (H, W); by default the record's.
        confidence: give the confidence too.
        threads: of this session; 0 = default.

    Raises:
        SegnodeError: ONNX Runtime is missing, the file is damaged, or PyTorch is missing where
            an export is needed.
    """

    name = 'onnx'
    batch: int | None = None

    def __init__(
        self,
        model: Model,
        *,
        input_size: tuple[int, int] | None = None,
        confidence: bool = False,
        threads: int = 0,
    ) -> None:
        self.input_size = working_size(model.record, input_size)
        threads = threads or default_threads()
        ort = require('onnxruntime', 'the onnx runtime')
        path = graph_path(model, self.input_size, confidence=confidence)
        content, _ = read_onnx(path)
        self._session: Any = open_session(content, threads=threads)
        expected = [*self.input_size, 3]
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or list(inputs[0].shape[1:]) != expected:
            raise SegnodeError(f'{path} does not hold a deploy graph for {_text(self.input_size)}')
        self._input = inputs[0].name
        self.details = (
            f'ONNX Runtime {ort.__version__}, CPU, {threads} thread' + 's' * (threads > 1)
        )

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images of ``input_size``."""
        if self._session is None:
            raise closed()
        check_images(images, self.input_size)
        return RuntimeOutput(*self._session.run(None, {self._input: images}))

    def close(self) -> None:
        """Drop the session, its threads and its memory."""
        self._session = None


def graph_path(model: Model, size: tuple[int, int], *, confidence: bool = False) -> Path:
    """Return the path of the model's deploy graph for ``size``, exporting it where need be.

    Raises:
        SegnodeError: an export is needed and PyTorch or the weights are missing.
    """
    if model.onnx_path is not None and size == model.record.input_size and not confidence:
        return model.onnx_path
    wanted = _text(size) + (' with confidence' if confidence else '')
    if model.safetensors_path is None and not model.record.random:
        raise SegnodeError(
            f'{model.onnx_path} serves {_text(model.record.input_size)} without confidence; for '
            f'{wanted} put {model.name}.safetensors beside it'
        )
    if not installed('torch'):
        serves = '' if model.onnx_path is None else (
            f' (its .onnx serves {_text(model.record.input_size)} without confidence)'
        )
        raise SegnodeError(
            f'model {model.name} for {wanted}{serves} must be exported, which needs PyTorch: '
            'pip install torch onnx'
        )
    made_from = {
        'weights': model.weights_sha256,
        'record': model.record.to_json(),
        'graph_version': str(GRAPH_VERSION),
        'size': _text(size),
        'confidence': str(confidence),
        'versions': json.dumps(versions('segnode', 'torch', 'onnx'), sort_keys=True),
    }

    def make(path: Path) -> None:
        from segnode.export import export_onnx

        export_onnx(model, path=path, input_size=size, confidence=confidence)

    name = f'{model.name}-{_text(size)}' + ('-confidence' if confidence else '')
    return cached(name, '.onnx', made_from, make)


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'

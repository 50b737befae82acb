# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph in ONNX Runtime: the default where there is no GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from segnode.dependencies import installed, require, versions
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.networks.zoo import CUSTOM
from segnode.onnx_compact import read_deploy_graph
from segnode.runtimes.base import (
    check_images,
    check_samples,
    closed,
    default_threads,
    GRAPH_VERSION,
    RuntimeOutput,
    working_size,
)
from segnode.runtimes.cache import cached
from segnode.runtimes.session import open_on


class OnnxRuntime:
    """Runs a model's ``.onnx`` at its own size, or one exported for another size and kept.

    Args:
        model: with its ``.onnx``; for another size or another output with its ``.safetensors``.
        input_size: (H, W); by default the record's.
        confidence: give the confidence too.
        samples: passes of Monte Carlo dropout, which give the uncertainty too; 0 = none. Each
            run draws anew; where ONNX Runtime begins, it takes from the time the process starts.
        label_stride: the labels are at 1/label_stride of the input.
        threads: of this session on the CPU; 0 = default.
        device: 'cpu', 'cuda', 'tensorrt' (TensorRT inside of ONNX Runtime, which builds an engine
            at every start), or 'auto' for CUDA where that works and else the CPU.

    Raises:
        SegnodeError: ONNX Runtime or the device is missing, the file is damaged, or PyTorch is
            missing where an export is needed.
    """

    name = 'onnx'

    def __init__(
        self,
        model: Model,
        *,
        input_size: tuple[int, int] | None = None,
        confidence: bool = False,
        samples: int = 0,
        label_stride: int = 1,
        threads: int = 0,
        device: str = 'auto',
    ) -> None:
        self.input_size = working_size(model.record, input_size)
        check_samples(model.record, samples)
        threads = threads or default_threads()
        ort = require('onnxruntime', 'the onnx runtime')
        path = graph_path(
            model, self.input_size, confidence=confidence, samples=samples,
            label_stride=label_stride,
        )
        content = read_deploy_graph(path)
        self._session: Any
        self._session, where = open_on(content, device, threads=threads)
        expected = [*self.input_size, 3]
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or list(inputs[0].shape[1:]) != expected:
            raise SegnodeError(f'{path} does not hold a deploy graph for {_text(self.input_size)}')
        first = inputs[0].shape[0]
        self.batch: int | None = first if isinstance(first, int) else None
        # On the CPU images take longer together than one after the other: 4 of 384x512, one
        # thread, ms each: FSFFNet 81 and 58, Fast-SCNN 25 and 20, PIDNet-S 111 and 92.
        self._one_by_one = (
            self.batch is None and self._session.get_providers()[0] == 'CPUExecutionProvider')
        self._input = inputs[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.details = f'ONNX Runtime {ort.__version__}, {where}'

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images of ``input_size``."""
        if self._session is None:
            raise closed()
        check_images(images, self.input_size, self.batch)
        parts = np.split(images, len(images)) if self._one_by_one else [images]
        outputs = [self._session.run(None, {self._input: part}) for part in parts]
        joined = [np.concatenate(arrays) for arrays in zip(*outputs)] if len(outputs) > 1 \
            else outputs[0]
        return RuntimeOutput(**dict(zip(self._outputs, joined)))

    def close(self) -> None:
        """Drop the session, its threads and its memory."""
        self._session = None


def graph_path(
    model: Model, size: tuple[int, int], *, confidence: bool = False, samples: int = 0,
    label_stride: int = 1,
) -> Path:
    """Return the path of the model's deploy graph for ``size``, making it where need be.

    What is released is the graph that gives labels alone, at the input's size. That of a network
    of somebody else is put together from its file; every other is exported.

    Raises:
        SegnodeError: an export is needed and PyTorch or the weights are missing.
    """
    if model.custom is not None:
        from segnode.runtimes.custom_graph import custom_graph_path

        return custom_graph_path(model, size, confidence=confidence, label_stride=label_stride)
    extras = ['confidence'] * confidence + [f'uncertainty of {samples} samples'] * bool(samples)
    extras += [f'labels at 1/{label_stride}'] * (label_stride > 1)
    if model.onnx_path is not None and size == model.record.input_size and not extras:
        return model.onnx_path
    wanted = _text(size) + (' with ' if extras else '') + ' and '.join(extras)
    lacks = 'confidence or uncertainty' if samples else 'confidence'
    served = f'{_text(model.record.input_size)} without {lacks}'
    if label_stride > 1:
        served += ', labels at full size'
    if model.record.network == CUSTOM:
        raise SegnodeError(
            f'{model.onnx_path} serves {served}; for {wanted} give the .yaml file that describes '
            'the network in it'
        )
    if model.safetensors_path is None and not model.record.random:
        raise SegnodeError(
            f'{model.onnx_path} serves {served}; for {wanted} put {model.name}.safetensors beside '
            'it'
        )
    if not installed('torch'):
        serves = '' if model.onnx_path is None else f' (its .onnx serves {served})'
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

        export_onnx(
            model, path=path, input_size=size, confidence=confidence, samples=samples,
            label_stride=label_stride,
        )

    name = f'{model.name}-{_text(size)}' + ('-confidence' if confidence else '')
    if samples:
        made_from['samples'] = str(samples)
        name += f'-{samples}-samples'
    if label_stride > 1:
        made_from['label_stride'] = str(label_stride)
        name += f'-stride{label_stride}'
    return cached(name, '.onnx', made_from, make)


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'

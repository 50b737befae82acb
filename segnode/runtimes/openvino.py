# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph in OpenVINO on the CPU: an extra, for Intel's and AMD's processors."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.onnx_compact import read_deploy_graph
from segnode.runtimes.base import (
    check_images,
    check_samples,
    closed,
    default_threads,
    RuntimeOutput,
    working_size,
)
from segnode.runtimes.onnx import graph_path

_LOG = logging.getLogger('segnode')

PRECISIONS = ('auto', 'fp32', 'bf16')
_HINTS = {'fp32': 'f32', 'bf16': 'bf16'}
_KEPT = 4  # graphs compiled for different batches at a time


class OpenVinoRuntime:
    """Runs the graph that the ``onnx`` runtime runs, compiled anew for each number of images.

    Left to itself OpenVINO computes in bfloat16 wherever the processor has it, which is faster
    and changes labels; here it does so only when it is told to.

    Args:
        model: as for the ``onnx`` runtime; of one that was converted to int8 OpenVINO takes the
            processor's own int8 operations.
        input_size: (H, W); by default the record's.
        confidence: give the confidence too.
        samples: passes of Monte Carlo dropout, which give the uncertainty too; 0 = none.
        label_stride: the labels are at 1/label_stride of the input.
        threads: of this graph; 0 = default.
        precision: 'fp32', 'bf16' where the processor has it, or 'auto' for what the model was
            converted to and measured in, else fp32.

    Raises:
        SegnodeError: OpenVINO is missing or refuses the graph, or see ``OnnxRuntime``.
    """

    name = 'openvino'

    def __init__(
        self,
        model: Model,
        *,
        input_size: tuple[int, int] | None = None,
        confidence: bool = False,
        samples: int = 0,
        label_stride: int = 1,
        threads: int = 0,
        precision: str = 'auto',
    ) -> None:
        if precision not in PRECISIONS:
            raise SegnodeError(
                f'the precision of openvino must be one of {", ".join(PRECISIONS)}, '
                f'not {precision!r}'
            )
        self.input_size = working_size(model.record, input_size)
        check_samples(model.record, samples)
        measured = str(model.record.conversion.get('precision', 'fp32'))
        if precision == 'bf16' != measured:
            _LOG.warning(
                'what bf16 does to the labels of %s was never measured: python -m training '
                'convert --model %s --to openvino --precision bf16 does', model.name, model.name,
            )
        if precision == 'auto':
            precision = measured if measured in _HINTS else 'fp32'
        threads = threads or default_threads()
        openvino = require('openvino', 'the openvino runtime')
        path = graph_path(
            model, self.input_size, confidence=confidence, samples=samples,
            label_stride=label_stride,
        )
        content = read_deploy_graph(path)
        self._openvino = openvino
        self._options = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': _HINTS[precision],
            'INFERENCE_NUM_THREADS': threads,
        }
        self._requests: dict[int, Any] = {}
        self._core: Any = openvino.Core()
        try:
            self._graph: Any = self._core.read_model(model=content, weights=b'')
        except RuntimeError as error:
            raise self._refusal(error) from error
        inputs = self._graph.inputs
        shape = [side.get_length() if side.is_static else None
                 for side in inputs[0].get_partial_shape()]
        if len(inputs) != 1 or shape[1:] != [*self.input_size, 3]:
            height, width = self.input_size
            raise SegnodeError(f'{path} does not hold a deploy graph for {height}x{width}')
        self.batch: int | None = shape[0]
        self._outputs = [output.get_any_name() for output in self._graph.outputs]
        compiled = self._request(self.batch or 1).get_compiled_model()
        used = compiled.get_property('INFERENCE_PRECISION_HINT').to_string()
        types = {hint: name for name, hint in _HINTS.items()}
        self.details = (
            f'OpenVINO {openvino.__version__.partition("-")[0]}, CPU, {threads} thread'
            + 's' * (threads > 1) + f', {types.get(used, used)}'
        )

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images of ``input_size``."""
        if self._graph is None:
            raise closed()
        check_images(images, self.input_size, self.batch)
        # An array that lies whole in memory is read where it is; what comes back is a copy.
        results = self._request(len(images)).infer(
            [np.ascontiguousarray(images)], share_inputs=True)
        return RuntimeOutput(**dict(zip(self._outputs, results.to_tuple())))

    def close(self) -> None:
        """Drop the graphs, their threads and their memory."""
        self._requests.clear()
        self._graph = self._core = None

    def _request(self, batch: int) -> Any:
        """Return what runs ``batch`` images; a fixed shape is some 7 % faster than an open one."""
        if batch not in self._requests:
            graph = self._graph.clone()
            graph.reshape([batch, *self.input_size, 3])
            try:
                compiled = self._core.compile_model(graph, 'CPU', self._options)
            except RuntimeError as error:
                raise self._refusal(error) from error
            while len(self._requests) >= _KEPT:
                self._requests.pop(next(iter(self._requests)))
            self._requests[batch] = compiled.create_infer_request()
        return self._requests[batch]

    def _refusal(self, error: RuntimeError) -> SegnodeError:
        # The first line names a place in OpenVINO's source, the last says what is wrong.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        version = self._openvino.__version__.partition('-')[0]
        return SegnodeError(f'OpenVINO {version} refuses the graph: {lines[-1] if lines else ""}')

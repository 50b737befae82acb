# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Making a model's files: ``.safetensors`` from a network, ``.onnx`` from those weights."""

from __future__ import annotations

import copy
from dataclasses import replace
import hashlib
import json
import logging
from pathlib import Path
import tempfile
from typing import Any, TYPE_CHECKING
import warnings

import numpy as np

from segnode.dependencies import installed, require, versions
from segnode.errors import SegnodeError
from segnode.files import write_bytes
from segnode.model import Model, RECORD_KEY, WEIGHTS_KEY
from segnode.networks.zoo import create
from segnode.onnx_compact import compact, expanded
from segnode.onnx_file import with_metadata
from segnode.onnx_loop import joined, nodes
from segnode.record import ModelRecord
from segnode.runtimes.base import (
    check_label_stride,
    check_samples,
    GRAPH_VERSION,
    output_names,
    working_size,
)
from segnode.sample_image import sample_image
from segnode.tensor_file import write_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

    from segnode.runtimes.monte_carlo import MonteCarloGraph

_LOG = logging.getLogger('segnode')

# Opset 17 (2022) holds all that the graph needs, and TensorRT 8.5's parser reads it.
OPSET = 17
# Share of pixels that may be off before an export is refused, and what counts as off: another
# label, two of confidence's 255 steps, or an uncertainty (which goes to 2.4 nats and more).
MAX_OFF = 0.001
MAX_GAPS = {'labels': 0.0, 'confidence': 2.0, 'uncertainty': 0.01}


def save_safetensors(path: str | Path, network: nn.Module, record: ModelRecord) -> Path:
    """Write the weights and the record to a ``.safetensors`` file, whole or not at all.

    Parameters are rounded to float16; the statistics of batch normalisation, 2 % of the file,
    stay float32, since a variance may lie outside what float16 holds.

    Raises:
        SegnodeError: the network is not the record's, a weight is not finite, or the file cannot
            be written.
    """
    path = Path(path)
    _check_same_network(network, record)
    parameters = {name for name, _ in network.named_parameters()}
    tensors = {}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue  # counters of batch normalisation: of no use after training
        value = tensor.detach().cpu().float().numpy()
        if name in parameters:
            with np.errstate(over='ignore'):
                value = value.astype(np.float16)
        if not np.isfinite(value).all():
            raise SegnodeError(
                f'{path} is not written: tensor {name} holds values that are not finite'
            )
        tensors[name] = value
    write_tensors(path, tensors, {RECORD_KEY: record.to_json()})
    return path


def export_onnx(
    model_or_network: Model | nn.Module,
    record: ModelRecord | None = None,
    path: str | Path = 'model.onnx',
    *,
    input_size: tuple[int, int] | None = None,
    confidence: bool = False,
    samples: int = 0,
    label_stride: int = 1,
    weights_sha256: str | None = None,
) -> Path:
    """Write the deploy graph as ``.onnx``: the batch symbolic, height and width fixed.

    The file is compact, see ``segnode.onnx_compact``. The graph that a runtime gets of it is run
    in ONNX Runtime and compared with the untouched PyTorch network before it is put in place.

    Args:
        model_or_network: a model, or a network whose parameters are rounded to float16 first, as
            ``save_safetensors`` rounds them.
        record: by default the model's.
        path: of the file to make or replace.
        input_size: (H, W); by default the record's.
        confidence: give the graph a second output.
        samples: passes of Monte Carlo dropout, as a Loop with random numbers of its own; they
            give the graph another output, the uncertainty. 0 = none.
        label_stride: the labels, and all other outputs, are at 1/label_stride of the input.
        weights_sha256: of the ``.safetensors`` file that these weights are from; by default that
            of the model's.

    Raises:
        SegnodeError: a library is missing, the network does not take this size, the graphs
            disagree, or the file cannot be written.
    """
    path = Path(path)
    require('torch', 'exporting to ONNX')
    require('onnx', 'exporting to ONNX')
    from segnode.runtimes.graph import deploy_graph, DeployGraph
    from segnode.runtimes.monte_carlo import MonteCarloGraph, without_chance

    if isinstance(model_or_network, Model):
        record = record or model_or_network.record
        network = model_or_network.build_network()
        if weights_sha256 is None:
            weights_sha256 = model_or_network.weights_sha256
    else:
        if record is None:
            raise TypeError('a network is exported with its record')
        _check_same_network(model_or_network, record)
        network = _rounded(model_or_network)
    size = working_size(record, input_size)
    check_samples(record, samples)
    check_label_stride(label_stride, size)
    graph = deploy_graph(
        network, record, size, confidence=confidence, samples=samples, label_stride=label_stride)
    image = sample_image(size)
    names = output_names(confidence, samples)
    if isinstance(graph, MonteCarloGraph):
        content = _traced_loop(graph, image, names)
    else:
        content = _traced(graph, {'image': image}, names)
    metadata = {
        RECORD_KEY: replace(record, input_size=size).to_json(),
        WEIGHTS_KEY: weights_sha256 or '',
        'segnode_graph_version': str(GRAPH_VERSION),
        'segnode_versions': json.dumps(versions('segnode', 'torch', 'onnx')),
    }
    content = with_metadata(compact(content, _halves(network)), metadata)
    given = expanded(content)
    # The reference is the network as it was trained, so that the rewrites are checked too.
    if samples:
        reference: nn.Module = without_chance(
            network, record, confidence=confidence, label_stride=label_stride)
        _check_agreement(_without_chance(given), reference, image)
    else:
        reference = DeployGraph(
            network, record, confidence=confidence, label_stride=label_stride).eval()
        _check_agreement(given, reference, image)
    try:
        write_bytes(path, content)
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error
    return path


def release(network: nn.Module, record: ModelRecord, stem_path: str | Path) -> Model:
    """Write ``STEM.safetensors`` and ``STEM.onnx`` and load them back as a checked pair.

    Args:
        network: trained; any device, any float type.
        record: what the files carry.
        stem_path: path without suffix (a ``.safetensors`` or ``.onnx`` at its end is dropped).

    Raises:
        SegnodeError: see ``save_safetensors`` and ``export_onnx``.
    """
    stem = Path(stem_path)
    if stem.suffix in ('.safetensors', '.onnx'):
        stem = stem.with_suffix('')
    weights = stem.with_name(stem.name + '.safetensors')
    graph = stem.with_name(stem.name + '.onnx')
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=stem.parent, prefix='.release-') as folder:
            # Both are made and checked elsewhere first: a failure leaves the old pair whole.
            draft = Path(folder) / weights.name
            save_safetensors(draft, network, record)
            digest = hashlib.sha256(draft.read_bytes()).hexdigest()
            made = export_onnx(
                Model.load(draft), path=Path(folder) / graph.name, weights_sha256=digest
            )
            draft.replace(weights)
            made.replace(graph)
    except OSError as error:
        raise SegnodeError(
            f'{weights} and {graph.name} cannot be written: {error.strerror or error}'
        ) from error
    model = Model.load(weights)
    _LOG.info('released %s and %s', weights, graph.name)
    return model


def _traced(graph: nn.Module, inputs: dict[str, Any], outputs: list[str]) -> bytes:
    """Return the graph as an ONNX file's content, its batch symbolic.

    Args:
        graph: of these inputs.
        inputs: an example of each by its name, arrays or tensors.
        outputs: names of the outputs.
    """
    import torch

    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / 'graph.onnx'
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter('ignore')  # the exporter's notes on its own successor
                # The exporter that traces: its graph has no shape arithmetic here and it needs
                # neither onnxscript nor the seconds that the newer one takes.
                torch.onnx.export(
                    graph,
                    tuple(torch.as_tensor(example) for example in inputs.values()),
                    str(file),
                    dynamo=False,
                    opset_version=OPSET,
                    input_names=list(inputs),
                    output_names=outputs,
                    dynamic_axes={name: {0: 'batch'} for name in (*inputs, *outputs)},
                )
            return file.read_bytes()
    except OSError as error:
        raise SegnodeError(
            f'the graph cannot be written to a temporary file: {error.strerror or error}'
        ) from error


def _traced_loop(graph: MonteCarloGraph, image: np.ndarray, outputs: list[str]) -> bytes:
    """Return a graph that samples as an ONNX file's content: its passes are the trips of a Loop.

    Traced whole, the passes would stand one behind the other: for 20 of them the file, the export
    and the loading are that much longer, and ONNX Runtime, free in the order of its nodes, keeps
    what every pass gave until it has run them all.
    """
    import torch

    from segnode.runtimes.monte_carlo import Part

    with torch.inference_mode():
        begun = graph.start(torch.from_numpy(image))
    state = {f'start_{index}': tensor for index, tensor in enumerate(begun)}
    start = _traced(Part(graph, 'start').eval(), {'image': image}, list(state))
    body = _traced(Part(graph, 'add_pass').eval(), state, ['sums'])
    finish = _traced(Part(graph, 'finish').eval(), {'sums': begun[0]}, outputs)
    return joined(start, body, finish, graph.samples)


def _without_chance(content: bytes) -> bytes:
    """Return an ONNX file's content with 1 for every random number."""
    import onnx

    model = onnx.load_model_from_string(content)
    for node in nodes(model.graph):
        if node.op_type == 'RandomUniformLike':
            node.attribute.extend(
                onnx.helper.make_attribute(limit, 1.0) for limit in ('low', 'high'))
    return bytes(model.SerializeToString())


def _check_same_network(network: nn.Module, record: ModelRecord) -> None:
    """Raise SegnodeError unless ``network`` has the tensors that the record's network has."""
    import torch

    with torch.device('meta'):  # shapes only
        expected = create(record.network, record.label_set.num_classes, **record.network_args)
    wanted = {name: tuple(t.shape) for name, t in expected.state_dict().items()}
    given = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    for name in [*wanted, *given]:
        if wanted.get(name) != given.get(name):
            raise SegnodeError(
                f'the network given is not the {record.network} with '
                f'{record.label_set.num_classes} classes that its record states: tensor {name} '
                f'is {given.get(name, "missing")}, not {wanted.get(name, "missing")}'
            )


def _rounded(network: nn.Module) -> nn.Module:
    """Return a float32 copy on the CPU in eval mode, parameters rounded to float16."""
    rounded = copy.deepcopy(network).cpu().float().eval()
    for parameter in rounded.parameters():
        parameter.data = parameter.data.half().float()
    return rounded


def _halves(network: nn.Module) -> list[np.ndarray]:
    """Return the parameters (out, ...) of a network that they were rounded to float16 for."""
    return [
        parameter.detach().half().numpy() for parameter in network.parameters()
        if parameter.ndim > 1
    ]


def _check_agreement(content: bytes, reference: torch.nn.Module, image: np.ndarray) -> None:
    """Raise SegnodeError unless ONNX Runtime gives the reference's outputs.

    A network that decides by comparing its own features, as max-unpooling does, can be so
    sensitive to rounding that PyTorch's float32 does not give the labels of its own float64. There
    the export passes if it is at most twice as far from float64 as PyTorch's float32 is.
    """
    if not installed('onnxruntime'):
        _LOG.warning('the export is not checked: ONNX Runtime is not installed')
        return
    from segnode.runtimes.session import open_session

    session = open_session(content, threads=1)
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, {'image': image})))
    expected = _run(reference, image, names)
    shares = _shares_off(outputs, expected)
    if max(shares.values()) <= MAX_OFF:
        return
    exact = _run(copy.deepcopy(reference).double(), image, names)
    off, torch_off = _shares_off(outputs, exact), _shares_off(expected, exact)
    for name, share in shares.items():
        if share > MAX_OFF and off[name] > 2 * torch_off[name]:
            raise SegnodeError(
                f'the export is not kept: its {name} differ from those of PyTorch for {share:.2%} '
                'of the pixels of a test image'
            )


def _run(graph: torch.nn.Module, image: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    import torch

    with torch.inference_mode():
        made = graph(torch.from_numpy(image))
    tensors = made if isinstance(made, tuple) else (made,)
    return {name: tensor.numpy() for name, tensor in zip(names, tensors)}


def _shares_off(
    outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> dict[str, float]:
    """Return the share of pixels at which each output is further off than its tolerance."""
    return {
        name: float(
            (np.abs(np.subtract(outputs[name], wanted, dtype=np.float32)) > MAX_GAPS[name]).mean())
        for name, wanted in expected.items()
    }

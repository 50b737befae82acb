# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A released model: a pair of files with one stem, found by name or path, checked as a whole."""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segnode.custom_network import CustomNetwork, load_custom
from segnode.errors import SegnodeError
from segnode.files import read_bytes
from segnode.labels import LabelSet, load_label_set, YAML_SUFFIXES
from segnode.networks.zoo import create, CUSTOM, network_info, network_of
from segnode.onnx_file import read_onnx
from segnode.record import ModelRecord
from segnode.tensor_file import parse_tensors

if TYPE_CHECKING:
    from torch import nn

RECORD_KEY = 'segnode_record'
WEIGHTS_KEY = 'weights_sha256'
SUFFIXES = ('.safetensors', '.onnx')
_RANDOM_SEED = 0


@dataclass(frozen=True)
class Model:
    """A released model, or one with random weights; made by ``load``.

    Args:
        name: stem of the files.
        record: what both files state.
        safetensors_path: the weights, None where there is only the graph.
        onnx_path: the deploy graph at ``record.input_size``, None where there is only the weights.
        weights_sha256: of the content of the ``.safetensors`` file that the model comes from, or
            of the ``.onnx`` file of somebody else.
        custom: that file and what is known of it; the model then has neither of the two above.
    """

    name: str
    record: ModelRecord
    safetensors_path: Path | None
    onnx_path: Path | None
    weights_sha256: str
    custom: CustomNetwork | None = None

    @classmethod
    def load(cls, name_or_path: str | Path, *, allow_random_weights: bool = False) -> Model:
        """Find a model and check it, tensors and all; imports neither torch nor ONNX Runtime.

        Args:
            name_or_path: path of either file or of their common stem; a released name such as
                ``fsffnet_camvid``; a network such as ``fsffnet``, for its preferred or best
                released model; or the YAML file of a network of somebody else, see
                ``segnode.custom_network``. Names are looked up in ``segnode.store.folders()``.
            allow_random_weights: where a network has no released model, build one that was never
                trained (``record.training['random']`` is then true).

        Raises:
            SegnodeError: there is no such model, or a file is damaged or does not belong.
        """
        from segnode.store import find

        found = find(str(name_or_path), required=not allow_random_weights)
        if found is None:
            return cls.untrained(str(name_or_path))
        return cls.from_files(*found)

    @classmethod
    def from_files(cls, weights: Path | None, graph: Path | None) -> Model:
        """Load a pair, or the one of the two that there is.

        Args:
            weights: a ``.safetensors`` file.
            graph: an ``.onnx`` file, or the YAML file that describes one of somebody else.

        Raises:
            SegnodeError: a file is damaged, or the two do not belong together.
        """
        one = weights or graph
        if one is None:
            raise TypeError('a model has at least one file')
        if weights is None:
            assert graph is not None
            if graph.suffix in YAML_SUFFIXES:
                record, custom = load_custom(graph)
                return cls(graph.stem, record, None, None, custom.sha256, custom)
            record, digest = _graph_record(graph)
            return cls(one.stem, record, None, graph, digest)
        content = _read(weights)
        _, metadata = parse_tensors(content, weights)
        record = _record(metadata, weights)
        digest = hashlib.sha256(content).hexdigest()
        if graph is not None:
            graph_record, graph_digest = _graph_record(graph)
            if graph_digest != digest or graph_record != record:
                raise SegnodeError(
                    f'{weights} and {graph.name} do not belong together (the second was not made '
                    'from the first): fetch both again, or delete the one that is wrong'
                )
        return cls(one.stem, record, weights, graph, digest)

    @classmethod
    def untrained(
        cls,
        name: str,
        label_set: LabelSet | None = None,
        input_size: tuple[int, int] | None = None,
        seed: int = _RANDOM_SEED,
    ) -> Model:
        """Return a model with random weights, always the same for one seed.

        Args:
            name: a network, or NETWORK_LABELSET such as ``fsffnet_cityscapes``.
            label_set: by default the one named, else camvid.
            input_size: (H, W); by default 384x512 for camvid and 512x1024 for others.
            seed: of the random weights.
        """
        network, set_name = network_of(name)
        network_info(network or name)
        if label_set is None:
            label_set = load_label_set(set_name or 'camvid')
        if input_size is None:
            input_size = (384, 512) if label_set.name == 'camvid' else (512, 1024)
        record = ModelRecord(
            network=network,
            label_set=label_set,
            input_size=input_size,
            training={'random': True, 'seed': seed},
        )
        digest = hashlib.sha256(f'random {record.to_json()}'.encode()).hexdigest()
        return cls(f'{name}-random', record, None, None, digest)

    @property
    def trained(self) -> bool:
        """Tell whether the weights come from training."""
        return not self.record.random

    def build_network(self) -> nn.Module:
        """Return the network with its weights in float32, on the CPU, in eval mode.

        Raises:
            SegnodeError: PyTorch is not installed, there is only an ``.onnx``, or the weights are
                not the record's network's.
        """
        from segnode.dependencies import require

        torch = require('torch', f'the network of model {self.name}')
        classes = self.record.label_set.num_classes
        if self.record.random:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(self.record.training.get('seed', _RANDOM_SEED)))
                return create(
                    self.record.network, classes, **self.record.network_args
                ).eval()
        if self.record.network == CUSTOM:
            raise SegnodeError(
                f'model {self.name} is an .onnx file of somebody else, which PyTorch cannot run: '
                'take the onnx runtime'
            )
        if self.safetensors_path is None:
            raise SegnodeError(
                f'model {self.name} has no .safetensors file, which PyTorch needs: put it beside '
                f'{self.onnx_path}'
            )
        content = _read(self.safetensors_path)
        if hashlib.sha256(content).hexdigest() != self.weights_sha256:
            raise SegnodeError(f'{self.safetensors_path} has changed since it was loaded')
        tensors, _ = parse_tensors(content, self.safetensors_path)
        network = create(self.record.network, classes, **self.record.network_args)
        state = network.state_dict()
        wanted = {name: t for name, t in state.items() if t.is_floating_point()}
        for name in [*wanted, *tensors]:
            given = tensors.get(name)
            if name not in wanted or given is None or given.shape != tuple(wanted[name].shape):
                raise SegnodeError(
                    f'{self.safetensors_path} does not hold the weights of {self.record.network} '
                    f'with {classes} classes, as its record states: tensor {name} is '
                    f'{"missing" if given is None else given.shape}'
                )
        for name, target in wanted.items():
            # A copy in float32: the file's bytes are read-only.
            target.copy_(torch.from_numpy(tensors[name].astype(np.float32)))
        return network.eval()


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise SegnodeError(f'{path} cannot be read: {error.strerror or error}') from error


def _record(metadata: dict[str, str], path: Path) -> ModelRecord:
    """Return the record that a file's metadata holds."""
    if RECORD_KEY not in metadata:
        raise SegnodeError(f'{path} carries no model record: it was not released by segnode')
    try:
        record = ModelRecord.from_json(metadata[RECORD_KEY])
        info = network_info(record.network)
        info.check_input_size(record.input_size, record.network_args)
    except SegnodeError as error:
        raise SegnodeError(f'{path}: {error}') from error
    return record


def _graph_record(path: Path) -> tuple[ModelRecord, str]:
    """Return an ``.onnx`` file's record and the sha256 of the weights file it was made from."""
    _, metadata = read_onnx(path)
    return _record(metadata, path), metadata.get(WEIGHTS_KEY, '')

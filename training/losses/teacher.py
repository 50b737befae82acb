# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The trained model that a network learns from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segnode.errors import SegnodeError
from segnode.labels import LabelSet
from segnode.model import Model
from segnode.networks.zoo import network_info
from segnode.runtimes.graph import DeployGraph


class Teacher:
    """A released model in eval mode, with its own preprocessing; it never changes.

    It is no ``nn.Module`` and does not copy itself: a module that holds one has none of its
    tensors among its parameters, in its ``state_dict`` or in an average of its weights, and does
    not put it into training mode.

    Args:
        graph: the model's deploy graph.
    """

    def __init__(self, graph: DeployGraph) -> None:
        self.graph = graph.eval().requires_grad_(False)

    @classmethod
    def load(
        cls, name_or_path: str, label_set: LabelSet, input_size: tuple[int, int]
    ) -> Teacher:
        """Load a released model.

        Args:
            name_or_path: as ``Model.load`` takes it; the model needs its ``.safetensors``.
            label_set: the student's.
            input_size: (H, W) of the images that both will see.

        Raises:
            SegnodeError: no such model, other classes than the student's, or an image size that
                its network does not take.
        """
        model = Model.load(name_or_path)
        theirs, ours = model.record.label_set.names, label_set.names
        if theirs != ours:
            differ = [f'{a} / {b}' for a, b in zip(theirs, ours) if a != b]
            raise SegnodeError(
                f'{name_or_path} cannot be the teacher: it has the {len(theirs)} classes of '
                f'{model.record.label_set.name}, the run has the {len(ours)} of {label_set.name}'
                + (f' (first difference: {differ[0]})' if differ else '')
                + '; loss.distill.teacher must have the same classes in the same order.'
            )
        record = model.record
        network_info(record.network).check_input_size(input_size, record.network_args)
        network = model.build_network()
        # The stub of Module.to lacks memory_format.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(DeployGraph(network, model.record))

    def logits(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) BGR -> float32 logits (N, C, h, w), without gradient."""
        with torch.no_grad():
            if self.graph.mean.device != images.device:
                self.graph.to(images.device)
            x = self.graph.prepare(images).contiguous(memory_format=torch.channels_last)
            logits: Tensor = self.graph.network(x)
            return logits.float()

    def __deepcopy__(self, memo: dict[int, Any]) -> Teacher:
        return self

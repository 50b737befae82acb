# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Reading what ``fit`` has saved."""

from __future__ import annotations

from pathlib import Path
import pickle
from typing import Any

import torch

from segnode.errors import SegnodeError


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ``fit`` without unpickling code.

    Raises:
        SegnodeError: missing, damaged, or not made by ``fit``.
    """
    if not path.is_file():
        raise SegnodeError(f'There is no checkpoint {path}.')
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
        checkpoint['segnode_config']
    except Exception as error:  # torch raises many kinds for damaged files
        reason = f': {error}'.partition('\n')[0]
        if isinstance(error, pickle.UnpicklingError):
            reason = '.'  # the text advises to run whatever is in the file
        raise SegnodeError(f'{path} is not a checkpoint of "fit", or damaged{reason}') from error
    return dict(checkpoint)


def network_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the averaged weights of the network, by the network's own names."""
    prefix = 'graph.network.'
    return {
        name[len(prefix):]: tensor
        for name, tensor in checkpoint['state_dict'].items()
        if name.startswith(prefix)
    }

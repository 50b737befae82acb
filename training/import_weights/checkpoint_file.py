# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Tensors by name from a checkpoint file of any origin, without running anything in it."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
import pickle
import re
from typing import Any, TYPE_CHECKING

import numpy as np

from segnode.errors import SegnodeError
from segnode.tensor_file import looks_like_safetensors, parse_foreign_tensors

if TYPE_CHECKING:
    from pathlib import Path

    import torch

# Where training codes put the weights inside of what they save; the averaged ones come first,
# since those are what such codes evaluate.
NESTINGS = (
    'state_dict_ema', 'model_ema', 'ema_state_dict', 'ema',
    'state_dict', 'model_state_dict', 'model_state', 'model', 'network', 'net', 'params',
    'weights', 'module',
)
# What DataParallel, Lightning and wrappers that hold the loss put before every name.
PREFIXES = ('module.', 'model.', '_orig_mod.')
# Parts of a wrapper that are no part of the network.
FOREIGN = re.compile(r'^(?:\w+_)?(?:loss|criterion)\.|^n_averaged$')
COUNTER = 'num_batches_tracked'

_MAX_DEPTH = 4


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of ``.pth``, ``.pt``, ``.ckpt``, ``.tar``, ``.bin`` or ``.safetensors``.

    Usual nestings are opened (``NESTINGS``), prefixes that all names share are taken off
    (``PREFIXES``), and what is no weight is dropped (batch normalisation's counters, the tensors
    of a loss). The kind is found by content, not by suffix.

    Returns:
        name -> tensor on the CPU, in the file's order.

    Raises:
        SegnodeError: missing, damaged, no checkpoint, or one that only unpickling code would read.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(64)
    except OSError as error:
        raise SegnodeError(f'{path} cannot be read: {error.strerror or error}') from error
    found = _safetensors(path) if looks_like_safetensors(start) else _tensors_in(_load(path), path)
    return _bare(found)


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    import torch

    arrays = parse_foreign_tensors(path.read_bytes(), path)
    if not arrays:
        raise SegnodeError(f'{path} holds no tensors.')
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _load(path: Path) -> Any:
    """Unpickle tensors and plain containers only."""
    import torch

    try:
        with torch.serialization.safe_globals(_numbers()):
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        # torch names the first thing that it refuses: "Unsupported global: GLOBAL module.name".
        refused = re.search(r'GLOBAL (\S+)', str(error))
        if refused:
            raise SegnodeError(
                f'{path} holds not only tensors but a Python object ({refused[1].rstrip(".")}), '
                'and reading that would run code from the file, which is never done here: where '
                'the file comes from a source that you trust, save its tensors alone in the '
                "environment that made it, with torch.save(model.state_dict(), 'FILE.pth')."
            ) from error
        raise _damaged(path, error) from error
    except RuntimeError as error:
        if 'TorchScript' in str(error):
            raise SegnodeError(
                f'{path} is a TorchScript archive, which is code with weights and never run '
                'here: save the tensors alone where it was made, with '
                "torch.save(model.state_dict(), 'FILE.pth')."
            ) from error
        raise _damaged(path, error) from error
    except Exception as error:  # torch and pickle raise many kinds for damaged files
        raise _damaged(path, error) from error


def _numbers() -> list[Any]:
    """Return what a NumPy number is pickled with: plain data, and beside many weights (a score).

    Under the names of NumPy 1 and 2, whichever of them is here.
    """
    scalar = np.float64(0).__reduce__()[0]
    return [
        (scalar, 'numpy.core.multiarray.scalar'),
        (scalar, 'numpy._core.multiarray.scalar'),
        np.dtype,
        *(type(np.dtype(kind)) for kind in ('f4', 'f8', 'i4', 'i8')),
        (codecs.encode, '_codecs.encode'),
    ]


def _damaged(path: Path, error: Exception) -> SegnodeError:
    # For what is no pickle at all torch tells of its own history first.
    foreign = isinstance(error, pickle.UnpicklingError)
    reason = 'torch.save wrote no such file' if foreign else ' '.join(str(error).split())[:120]
    return SegnodeError(
        f'{path} is not a checkpoint of PyTorch, or damaged: {reason or type(error).__name__}'
    )


def _tensors_in(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the first mapping of names to tensors that the usual nestings lead to."""
    import torch

    keys: tuple[str, ...] = ()
    for _ in range(_MAX_DEPTH):
        if not isinstance(content, Mapping):
            break
        tensors = {
            str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)
        }
        nested = [k for k in NESTINGS if isinstance(content.get(k), Mapping) and content[k]]
        # A lone tensor beside the weights, such as a random state, does not make a mapping theirs.
        if tensors and not (nested and len(tensors) < len(content)):
            return tensors
        keys = keys or tuple(str(k) for k in content)
        if not nested:
            break
        content = content[nested[0]]
    inside = f' (it has {", ".join(keys[:8])})' if keys else ''
    raise SegnodeError(
        f'{path} holds no weights by name{inside}: they may lie at the top or under '
        f'{", ".join(NESTINGS)}.'
    )


def _bare(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take off prefixes that all names share, and drop what is no weight of the network."""
    prefix: str | None = ''
    while prefix is not None:
        tensors = {
            name[len(prefix):]: tensor for name, tensor in tensors.items()
            if not FOREIGN.match(name[len(prefix):])
        }
        prefix = next(
            (p for p in PREFIXES if tensors and all(n.startswith(p) for n in tensors)), None
        )
    return {name: t for name, t in tensors.items() if name.rpartition('.')[2] != COUNTER}

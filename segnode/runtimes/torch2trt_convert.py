# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A network into a TensorRT network definition, by the converters of NVIDIA's torch2trt.

Its converters are used, but neither its builder nor its module that runs engines: the builder
leaves TensorRT 8 with 32 MiB of scratch memory and hides TensorRT's errors, and the module frees
the copy of an input that is not contiguous before the engine has read it. What a converter would
drop or mistake is refused beforehand, see ``torch2trt_functions``.

torch2trt is that of github NVIDIA-AI-IOT/torch2trt 4e820ae (2024-05-03, its last commit), for
TensorRT 8 and 10; the released 0.5.0 has other converters.
"""

from __future__ import annotations

import contextlib
import copy
import io
import re
import sys
from types import ModuleType
from typing import Any

import torch
from torch import nn, Tensor

from segnode.dependencies import installed, require
from segnode.errors import SegnodeError
from segnode.runtimes.tensorrt_build import build_network, Plan
from segnode.runtimes.tensorrt_versions import BuildOptions, Library, Progress
from segnode.runtimes.torch2trt_functions import unconverted_calls

INPUT, OUTPUT = 'x', 'logits'
# Of an operation, on TensorRT 8; later ones take what they need. torch2trt's own default of
# 32 MiB keeps the fastest kernels out.
WORKSPACE = 1 << 30
# Versions of TensorRT whose bindings torch2trt can be imported with.
VERSIONS = (8, 10)


def check_library(library: Library) -> None:
    """See whether torch2trt works with a TensorRT, and is there.

    Raises:
        SegnodeError: it does not, or is not.
    """
    if library.rtx or library.numbers[0] not in VERSIONS:
        raise SegnodeError(
            f'torch2trt does not work with {library.title}, only with TensorRT '
            f'{" and ".join(map(str, VERSIONS))}: take the tensorrt runtime, which does'
        )
    if not installed('torch2trt'):
        raise SegnodeError(
            'the torch2trt runtime needs torch2trt, which is not installed: git clone '
            'https://github.com/NVIDIA-AI-IOT/torch2trt and python setup.py install there; or '
            'take the tensorrt runtime, which needs no more than TensorRT'
        )


def converters() -> ModuleType:
    """Import torch2trt; return its module of that name.

    Raises:
        SegnodeError: it does not load, or is another version.
    """
    require('torch2trt', 'the torch2trt runtime')
    if 'torch2trt.version_utils' not in sys.modules:  # which came with its last commits
        raise SegnodeError(
            'the torch2trt that is installed is not its last one (commit 4e820ae of May 2024), '
            'whose converters are known: git clone https://github.com/NVIDIA-AI-IOT/torch2trt '
            'and python setup.py install there'
        )
    return sys.modules['torch2trt.torch2trt']


def check_network(network: nn.Module, example: Tensor, name: str) -> None:
    """Refuse a network that torch2trt would convert to something else.

    Args:
        network: in eval mode, as it was trained.
        example: float (N, 3, H, W).
        name: of the model, for the sentence.

    Raises:
        SegnodeError: it calls what torch2trt drops, mistakes or lacks; the sentence names it.
    """
    calls = unconverted_calls(network, example)
    if calls:
        raise SegnodeError(
            f'torch2trt does not convert {name} correctly, because of {"; ".join(calls)}: take '
            'the tensorrt runtime'
        )


def build(
    library: Library,
    network: nn.Module,
    example: Tensor,
    *,
    fp16: bool,
    name: str = 'the network',
    timings: bytes = b'',
    progress: Progress | None = None,
) -> Plan:
    """Convert a network and build its engine.

    Args:
        library: see ``check_library``.
        network: float (N, 3, H, W) -> logits, in eval mode, on the CPU; not changed.
        example: an input of the only shape that the engine will take, on the CPU.
        fp16: let TensorRT choose float16.
        name: of the model, for errors.
        timings, progress: as of ``build_plan``.

    Returns:
        the plan of an engine with the input ``INPUT`` and the output ``OUTPUT``, both float32.

    Raises:
        SegnodeError: torch2trt or TensorRT refuses.
    """
    check_network(network, example, name)
    module = converters()
    shape = tuple(example.shape)

    def define(definition: Any, config: Any) -> Any:
        return _Definition(module, library, definition, config).add(network, example, name)

    return build_network(
        library, define, {INPUT: (shape, shape, shape)},
        options=BuildOptions(fp16=fp16, workspace=0 if library.numbers[0] >= 10 else WORKSPACE),
        timings=timings, progress=progress,
    )


class _Definition:
    """A TensorRT network definition that a network's calls are added to."""

    def __init__(
        self, module: Any, library: Library, definition: Any, config: Any
    ) -> None:
        self._module, self._library = module, library
        self._definition, self._config = definition, config

    def add(self, network: nn.Module, example: Tensor, name: str) -> Any:
        """Add all layers; returns what must be kept until the engine is built."""
        tensorrt = self._library.module
        network = copy.deepcopy(network)  # its weights are marked with their layers
        settings = {
            'module': network, 'fp16_mode': False, 'int8_mode': False, 'device_types': {},
            'default_device_type': tensorrt.DeviceType.GPU, 'gpu_fallback': False,
        }
        given = example.detach().clone()
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), torch.no_grad(), \
                    self._module.ConversionContext(
                        self._definition, torch2trt_kwargs=settings,
                        builder_config=self._config, logger=self._library.logger):
                given._trt = self._definition.add_input(  # type: ignore[attr-defined]
                    INPUT, tensorrt.DataType.FLOAT, tuple(given.shape))
                result = network(given)
                made = getattr(result, '_trt', None)
        except Exception as error:  # its converters raise whatever comes
            reason = str(error).partition('\n')[0] or type(error).__name__
            raise SegnodeError(
                f'torch2trt does not convert {name}: {reason}{self._errors()}') from error
        if made is None:  # what it printed may say why; it warns of harmless calls too
            unknown = re.findall(r'unsupported method (\S+)', said.getvalue())
            raise SegnodeError(
                f'torch2trt does not convert {name}: it knows no '
                f'{", ".join(dict.fromkeys(unknown)) or "way to its result"}{self._errors()}')
        if tuple(made.shape) != tuple(result.shape):
            raise SegnodeError(
                f'torch2trt converts {name} wrongly: to a result of shape {tuple(made.shape)}, '
                f'not {tuple(result.shape)}{self._errors()}')
        made.name = OUTPUT
        self._definition.mark_output(made)
        return network, given, result

    def _errors(self) -> str:
        errors = self._library.logger.errors
        return f' ({"; ".join(errors)})' if errors else ''

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""An ONNX Runtime session as both the ``onnx`` runtime and the check of an export open it."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np

from segnode.dependencies import require
from segnode.errors import SegnodeError

_LOG = logging.getLogger('segnode')

# Device -> ONNX Runtime's providers, the first of which must be there; what it cannot run goes to
# the next. TensorRT's own is not taken by itself: it builds an engine for minutes at every start.
PROVIDERS = {
    'cpu': ('CPUExecutionProvider',),
    'cuda': ('CUDAExecutionProvider', 'CPUExecutionProvider'),
    'tensorrt': ('TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider'),
}
DEVICES = ('auto', *PROVIDERS)


def nvidia_driver() -> bool:
    """Tell whether an NVIDIA driver is loaded, without the seconds that asking CUDA takes."""
    return any(
        Path(path).exists()
        for path in ('/dev/nvidiactl', '/dev/nvhost-gpu', '/dev/nvgpu', '/dev/dxg')
    )


def open_session(content: bytes, *, threads: int, device: str = 'cpu') -> Any:
    """Return an InferenceSession on one device.

    Threads wait without spinning: at a camera's rate spinning doubles the processor time and
    gains nothing (reference: 78 % against 42 % at 10 fps).

    Args:
        content: of the ``.onnx`` file.
        threads: on the CPU.
        device: a key of ``PROVIDERS``.

    Raises:
        SegnodeError: ONNX Runtime is not installed, is not built for the device, does not find
            it, or refuses the graph.
    """
    ort = require('onnxruntime', 'the onnx runtime')
    wanted, *_ = providers = PROVIDERS[device]
    there = ort.get_available_providers()
    if wanted not in there:
        raise SegnodeError(
            f'ONNX Runtime {ort.__version__} has no {wanted} here; it has {", ".join(there)}'
            + ('' if device == 'cpu' else " (pip install onnxruntime-gpu has CUDA's and "
               "TensorRT's, in the place of onnxruntime)")
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    # What fails raises; told by each frame of a camera as well, it would flood the log.
    options.log_severity_level = 4
    said = io.StringIO()  # standard output may be where JSON goes
    try:
        with contextlib.redirect_stdout(said):
            if device != 'cpu' and hasattr(ort, 'preload_dlls'):
                ort.preload_dlls()  # CUDA and cuDNN may have come as wheels
            session = ort.InferenceSession(
                content, options, enable_fallback=0,
                providers=[name for name in providers if name in there])
    except Exception as error:  # its classes differ from release to release
        reason = str(error).splitlines()[0]
        raise SegnodeError(
            f'ONNX Runtime {ort.__version__} refuses the graph'
            + (f' on {wanted}' if device != 'cpu' else '') + f': {reason}'
        ) from error
    # A provider that does not load is left out, and the CPU takes its place, without an error.
    if wanted not in session.get_providers():
        reason = said.getvalue().partition('\n')[0] or 'there is no such device here'
        raise SegnodeError(f'ONNX Runtime {ort.__version__} cannot start its {wanted}: {reason}')
    session.disable_fallback()  # nor may that happen in the middle of a run
    return session


def open_on(content: bytes, device: str, *, threads: int) -> tuple[Any, str]:
    """Return a session, and in words where it runs.

    Args:
        content: of the ``.onnx`` file.
        device: one of ``DEVICES``; 'auto' is CUDA where it works, else the CPU.
        threads: on the CPU.

    Raises:
        SegnodeError: no such device, or see ``open_session``.
    """
    if device not in DEVICES:
        raise SegnodeError(f'device must be one of {", ".join(DEVICES)}, not {device!r}')
    ort = require('onnxruntime', 'the onnx runtime')
    cpu = f'CPU, {threads} thread' + 's' * (threads > 1)
    if device == 'auto' and PROVIDERS['cuda'][0] in ort.get_available_providers() \
            and nvidia_driver():
        try:
            session = open_session(content, threads=threads, device='cuda')
            _run_once(session)
            return session, 'CUDA'
        except Exception as error:  # a GPU may be too old or too full to run what it opens
            reason = str(error).partition('\n')[0]
            _LOG.warning('ONNX Runtime runs on the CPU, not on the GPU: %s', reason)
    if device in ('auto', 'cpu'):
        return open_session(content, threads=threads), cpu
    names = {'cuda': 'CUDA', 'tensorrt': 'TensorRT and CUDA'}
    return open_session(content, threads=threads, device=device), names[device]


def _run_once(session: Any) -> None:
    """Run the graph on zeros, one of whatever it takes."""
    inputs = {
        given.name: np.zeros(
            [side if isinstance(side, int) else 1 for side in given.shape],
            np.uint8 if given.type == 'tensor(uint8)' else np.float32,
        )
        for given in session.get_inputs()
    }
    session.run(None, inputs)

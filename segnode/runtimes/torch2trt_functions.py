# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which torch functions torch2trt converts correctly, and what of a network it does not convert.

torch2trt replaces torch's functions while a network runs once; each replacement adds TensorRT
layers. A function without a converter raises later in the conversion, or is left out of the
engine without an error where it works in place; some converters ignore an argument. So this is a
list of what is right, and all else counts as not converted.

Source: native_converters.py and torch2trt.py of github NVIDIA-AI-IOT/torch2trt 4e820ae
(2024-05-03, its last commit).
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import functools
from typing import Any

import torch
from torch import nn, Tensor
from torch.overrides import resolve_name, TorchFunctionMode


class Call:
    """One call of a torch function, for a condition to look at.

    Args:
        args, kwargs: as the network gave them.
        result: what the function returned.
        constants: ids of the network's parameters and buffers.
    """

    def __init__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, constants: set[int]
    ) -> None:
        self.args, self.kwargs, self.result, self.constants = args, kwargs, result, constants

    def get(self, name: str, position: int, default: Any = None) -> Any:
        """Return an argument as torch2trt finds it: by name, else by position."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default


# Says what is wrong with a call, '' if nothing is.
Condition = Callable[[Call], str]


def _always(call: Call) -> str:
    return ''


def _activation(call: Call) -> str:
    # It has a converter, but another view of the memory keeps its old values in the engine.
    return 'in place' if call.kwargs.get('inplace') or call.args[-1] is True else ''


def _convolution(call: Call) -> str:
    return 'padding by name' if isinstance(call.get('padding', 4, 0), str) else ''


def _transposed_convolution(call: Call) -> str:
    if any(_pair(call.get('output_padding', 5, 0))):
        return 'output_padding, which is ignored'
    if _pair(call.get('dilation', 7, 1)) != (1, 1):
        return 'dilation, which is ignored'
    inputs, outputs = call.get('input', 0).shape[1], call.result.shape[1]
    return '' if inputs == outputs else 'to another number of channels, which is mistaken'


def _batch_norm(call: Call) -> str:
    if call.get('weight', 3) is None or call.get('running_mean', 1) is None:
        return 'without weight and bias, or without running statistics'
    return 'in training mode' if call.get('training', 5, False) else ''


def _dropout(call: Call) -> str:
    return 'in training mode' if call.get('training', 2, True) else ''


def _max_pooling(call: Call) -> str:
    if _pair(call.get('dilation', 4, 1)) != (1, 1):
        return 'dilation, which is ignored'
    if call.get('return_indices', 6, False):
        return 'return_indices'
    return _pooling(call, ceil_mode=call.get('ceil_mode', 5, False))


def _average_pooling(call: Call) -> str:
    if call.get('divisor_override', 6) is not None:
        return 'divisor_override, which is ignored'
    return _pooling(call, ceil_mode=call.get('ceil_mode', 4, False))


def _pooling(call: Call, ceil_mode: bool) -> str:
    if not call.get('stride', 2):
        return 'no stride'
    return 'ceil_mode, whose last window differs' if ceil_mode else ''


def _to_one_pixel(call: Call) -> str:
    # Windows of in // out pixels: right only where out divides in, at every input size.
    return '' if call.args[1:] in ((1,), ((1, 1),)) else 'to another size than 1x1'


def _interpolation(call: Call) -> str:
    mode = call.get('mode', 3, 'nearest')
    if mode not in ('nearest', 'bilinear'):
        return f'mode {mode}'
    if call.get('antialias', 6, False) or call.get('recompute_scale_factor', 5):
        return 'antialias or recompute_scale_factor, which are ignored'
    source, result = call.get('input', 0).shape[2:], call.result.shape[2:]
    if mode == 'nearest' and any(r % s for r, s in zip(result, source)):
        return 'nearest by no whole factor, which is rounded otherwise'
    return ''


def _matrices(call: Call) -> str:
    if _pairwise(call):
        return _pairwise(call)
    a, b = call.args
    if a.dim() != b.dim() or a.dim() < 2:
        return f'of {a.dim()} and {b.dim()} dimensions'
    if any(id(t) in call.constants and t.shape[0] == 1 for t in (a, b)):
        return 'with a parameter or buffer whose first dimension is 1, which is dropped'
    return ''


def _pairwise(call: Call) -> str:
    if len(call.args) != 2:
        return 'not with its two operands by position'
    if any(call.kwargs.values()):
        return f'{", ".join(call.kwargs)}, which is ignored'  # alpha, rounding_mode, out
    types = {t.dtype for t in call.args if isinstance(t, Tensor)}
    return '' if len(types) == 1 else 'of tensors of different types'


def _power(call: Call) -> str:
    base = call.args[0]
    if isinstance(base, Tensor) and bool((base > 0).all()):
        return _pairwise(call)
    return 'of a base that is not positive, for which TensorRT promises nothing'


def _reduction(call: Call) -> str:
    # Without dim the batch is left out of a sum; a negative one or a list is an error.
    dim = call.get('dim', 1)
    dims = dim if isinstance(dim, tuple) else (dim,)
    good = all(isinstance(d, int) and d >= 0 for d in dims)
    return '' if good else 'dim must be a number or a tuple, not negative'


def _larger(call: Call) -> str:
    pair = len(call.args) == 2 and all(isinstance(x, Tensor) for x in call.args)
    return '' if pair else 'of other than two tensors'


def _softmax(call: Call) -> str:
    return '' if isinstance(call.get('dim', 1), int) else 'no dim'


def _expansion(call: Call) -> str:
    same = call.args[0].dim() == call.result.dim()
    return '' if same else 'to more dimensions'


def _insertion(call: Call) -> str:
    return '' if call.get('dim', 1, -1) >= 0 else 'a negative dim, which is misplaced'


def _exchange(call: Call) -> str:
    return '' if len(call.args) == 3 else 'dimensions by name'


def _indexing(call: Call) -> str:
    x, index = call.args
    if not isinstance(index, tuple) or len(index) > x.dim():
        return 'an index that is no tuple'
    for part, size in zip(index, x.shape):
        if isinstance(part, slice):
            numbers = (part.start or 0, size if part.stop is None else part.stop)
            if not 0 <= numbers[0] < numbers[1] <= size or (part.step or 1) < 1:
                return 'a slice that counts from the end or beyond it'
        elif not isinstance(part, int) or part < 0:
            return 'an index other than slices and numbers from 0'
    return ''


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


# The function, by the name under which a network must call it (F is torch.nn.functional) -> the
# form that is converted. What works in place is not here, though some of it has a converter; nor
# squeeze, whose converter removes no dimension, nor gelu, of which it takes the approximation.
CONVERTED: dict[str, Condition] = {
    'F.conv2d': _convolution,
    'F.conv_transpose2d': _transposed_convolution,
    'F.batch_norm': _batch_norm,
    'F.dropout': _dropout,
    'F.dropout2d': _dropout,
    'F.relu': _activation,
    'torch.relu': _always,
    'Tensor.relu': _always,
    'F.relu6': _activation,
    'F.leaky_relu': _activation,
    'F.prelu': _always,
    'F.silu': _activation,
    'torch.sigmoid': _always,
    'Tensor.sigmoid': _always,
    'torch.tanh': _always,
    'F.softmax': _softmax,
    'F.max_pool2d': _max_pooling,
    'F.avg_pool2d': _average_pooling,
    'F.adaptive_avg_pool2d': _to_one_pixel,
    'F.interpolate': _interpolation,
    'torch.matmul': _matrices,
    'Tensor.__matmul__': _matrices,
    'torch.cat': _always,
    'torch.stack': _always,
    'torch.add': _pairwise,
    'Tensor.__add__': _pairwise,
    'Tensor.__radd__': _pairwise,
    'torch.sub': _pairwise,
    'Tensor.__sub__': _pairwise,
    'Tensor.__rsub__': _pairwise,
    'torch.mul': _pairwise,
    'Tensor.__mul__': _pairwise,
    'Tensor.__rmul__': _pairwise,
    'torch.div': _pairwise,
    'Tensor.__truediv__': _pairwise,
    'torch.pow': _power,
    'torch.sum': _reduction,
    'Tensor.sum': _reduction,
    'torch.mean': _reduction,
    'Tensor.mean': _reduction,
    'torch.max': _larger,
    'torch.clamp': _always,
    'Tensor.clamp': _always,
    'torch.ceil': _always,
    'torch.tensor': _always,
    'torch.transpose': _exchange,
    'Tensor.transpose': _exchange,
    'Tensor.permute': _always,
    'Tensor.reshape': _always,
    'Tensor.view': _always,
    'Tensor.expand': _expansion,
    'Tensor.unsqueeze': _insertion,
    'torch.unsqueeze': _insertion,
    'Tensor.__getitem__': _indexing,
    'Tensor.size': _always,  # numbers, constant in the engine
    'Tensor.dim': _always,
}


def unconverted_calls(network: nn.Module, example: Tensor) -> list[str]:
    """Return the calls in ``network(example)`` that torch2trt does not convert correctly.

    Replaces torch's functions while it runs, as torch2trt does: not beside other threads that use
    torch.

    Args:
        network: in eval mode.
        example: float (N, 3, H, W).

    Returns:
        For each, once, in order: the function's name and, for one of ``CONVERTED``, what keeps
        this call from being converted. Empty if torch2trt converts the network.
    """
    constants = {id(t) for t in (*network.parameters(), *network.buffers())}
    recorder = _Recorder(constants)
    with torch.no_grad(), recorder.watching(), recorder:
        network(example)
    problems = []
    for found in recorder.problems:
        if not isinstance(found, str):
            found = _name(found)
            if found in CONVERTED:
                found += ': by a reference of its own, which torch2trt does not replace'
        problems.append(found)
    return list(dict.fromkeys(problems))


class _Recorder(TorchFunctionMode):
    """Replaces the functions of ``CONVERTED``; as a mode sees every call that goes past them."""

    def __init__(self, constants: set[int]) -> None:
        super().__init__()
        self.problems: list[Any] = []  # sentences, and functions whose name is looked up later
        self._constants = constants
        self._inside = False  # a call of which all that it calls in turn is part

    @contextlib.contextmanager
    def watching(self) -> Any:
        """Replace the functions within this context."""
        spaces: dict[str, Any] = {'torch': torch, 'Tensor': Tensor, 'F': nn.functional}
        with contextlib.ExitStack() as stack:
            for name, condition in CONVERTED.items():
                space, attribute = spaces[name.split('.')[0]], name.split('.')[1]
                original = getattr(space, attribute)
                if attribute in vars(space):
                    stack.callback(setattr, space, attribute, original)
                else:  # inherited
                    stack.callback(delattr, space, attribute)
                setattr(space, attribute, self._watched(name, original, condition))
            yield

    def _watched(self, name: str, function: Any, condition: Condition) -> Any:
        @functools.wraps(function, updated=())
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside = True
            try:
                result = function(*args, **kwargs)
                call = Call(args, kwargs, result, self._constants)
                problem = condition(call) if args else 'nothing by position'
                if problem:
                    self.problems.append(f'{name}: {problem}')
                return result
            finally:
                self._inside = False
        watched.replaces = name  # type: ignore[attr-defined]
        return watched

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._inside:
            return func(*args, **kwargs)
        self._inside = True
        try:
            result = func(*args, **kwargs)
        finally:
            self._inside = False
        getter = getattr(func, '__name__', '') == '__get__'  # of shape, dtype, device
        concerned = result if getter else (args, kwargs, result)
        if _holds_tensor(concerned):
            self.problems.append(func)
        return result


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, dict):
        return _holds_tensor(tuple(value.values()))
    if isinstance(value, (tuple, list)):
        return any(map(_holds_tensor, value))
    return isinstance(value, Tensor)


def _name(function: Any) -> str:
    name = getattr(function, 'replaces', None) or resolve_name(function)
    name = name or getattr(function, '__name__', repr(function))
    return str(name).replace('torch.nn.functional.', 'F.').replace('torch.Tensor.', 'Tensor.')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A segmentation network of somebody else as an ``.onnx`` file, and the YAML that describes it::

    file: my_network.onnx           # beside this file, or a path
    label_set: cityscapes           # a built-in set, a .yaml file, or a set written out here
    licence: MIT                    # of the weights; optional, as is all below without "required"
    input:
      color_order: rgb              # required: rgb or bgr, the order of the network's channels
      scale: 1/255                  # required: what pixels of 0 to 255 are multiplied by first
      mean: [0.485, 0.456, 0.406]   # is then taken away, in the order of color_order
      std: [0.229, 0.224, 0.225]    # is then divided by
      size: [512, 1024]             # height, width; required where the file leaves them open
      layout: nchw                  # or nhwc, where the file's shape does not tell
      dtype: float32                # as the file has it, else that is an error
      name: input
    output:
      name: logits                  # required where the file has several
      kind: logits                  # logits, probabilities or labels; tells itself mostly
      layout: nchw                  # or nhwc, where the file's shape does not tell
      align_corners: false          # how logits are enlarged to the input's size
      classes: [road, null, car]    # of each channel, or of each value of labels; null is none

Without ``classes`` channel (or value) i is class i of the label set. A single channel of logits or
probabilities, as after a sigmoid, is that of the second of two classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import difflib
from fractions import Fraction
import hashlib
import json
import math
from pathlib import Path
import reprlib
from typing import Any

from segnode.errors import SegnodeError
from segnode.labels import BUILT_IN, IGNORE, LabelSet, load_label_set, load_yaml, YAML_SUFFIXES
from segnode.networks.zoo import CUSTOM
from segnode.onnx_graph import Dimension, OnnxGraph, operator_of, read_graph, Value
from segnode.record import COLOR_ORDERS, ModelRecord

KINDS = ('logits', 'probabilities', 'labels')
LAYOUTS = ('nchw', 'nhwc')
FLOATS = ('float32', 'float16', 'float64')
INTEGERS = ('uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'int64', 'uint64', 'bool')
# Resize has its coordinates since operator set 11 (2019), which every exporter of today reaches.
MIN_OPSET = 11

_KEYS = ('file', 'label_set', 'licence', 'input', 'output')
_INPUT_KEYS = ('color_order', 'scale', 'mean', 'std', 'size', 'layout', 'dtype', 'name')
_OUTPUT_KEYS = ('name', 'kind', 'layout', 'align_corners', 'classes')


@dataclass(frozen=True)
class Form:
    """What an output is: one of ``KINDS``, one of ``LAYOUTS``, and where its sides are.

    Labels are (N, H, W) where ``layout`` is '', else they have one channel more.
    """

    kind: str
    layout: str


@dataclass(frozen=True)
class CustomNetwork:
    """A network of somebody else, its description checked against its file.

    Args:
        path: of the description.
        file: the ``.onnx``.
        input: as the file has it.
        input_layout: of ``LAYOUTS``.
        output: as the file has it.
        operator: that makes the output.
        stated: kind and layout as the description states them, '' where it does not.
        align_corners: how logits are enlarged.
        classes: train id of each channel, or of each value of labels; 255 for none.
        sha256: of the file with its weights.
    """

    path: Path
    file: Path
    input: Value
    input_layout: str
    output: Value
    operator: str
    stated: Form
    align_corners: bool
    classes: tuple[int, ...]
    sha256: str

    @property
    def batch(self) -> int | None:
        """Return the number of images that the file takes at once; None for any number."""
        first = self.input.shape[0] if self.input.shape else ''
        return first if isinstance(first, int) else None

    def graph(self) -> OnnxGraph:
        """Read the file again.

        Raises:
            SegnodeError: it cannot be read, or is another than when it was described.
        """
        graph = read_graph(self.file)
        if hashlib.sha256(graph.content).hexdigest() != self.sha256:
            raise SegnodeError(f'{self.file} has changed since it was loaded')
        return graph

    def form(self, output: Value) -> Form:
        """Return what an output is, from its type and shape and what the description states.

        Args:
            output: the file's, or the same with the shape that it has when it runs.

        Raises:
            SegnodeError: it is nothing that labels can be made of; the text shows both sides.
        """
        found = f'{self.file.name} gives {output}'
        shape = output.shape
        if output.type not in (*FLOATS, *INTEGERS):
            raise SegnodeError(f'{self.path}: {found}, and labels are made of numbers')
        if shape is not None and len(shape) not in (3, 4):
            raise SegnodeError(
                f'{self.path}: {found}, and what it gives must be logits [N, C, H, W] or '
                '[N, H, W, C], or labels [N, H, W] or [N, 1, H, W]'
            )
        kind = self.stated.kind or self._kind(output, found)
        count = len(self.classes)
        if kind == 'labels':
            if shape is None or len(shape) == 3:
                return Form(kind, '')
            layout = self._layout(shape, 1)
            channels = shape[1 if layout == 'nchw' else 3]
            if isinstance(channels, int) and channels != 1:
                raise SegnodeError(
                    f'{self.path}: {found}, {channels} channels, but labels have one at most')
            return Form(kind, layout)
        if output.type in INTEGERS:
            raise SegnodeError(
                f'{self.path} says that the output is {kind}, but {found}, which are labels')
        if shape is None:
            return Form(kind, self.stated.layout or 'nchw')
        if len(shape) == 3:
            raise SegnodeError(
                f'{self.path} says that the output is {kind}, but {found}, without channels')
        layout = self._layout(shape, count)
        channels = shape[1 if layout == 'nchw' else 3]
        if isinstance(channels, int) and channels != count and (channels, count) != (1, 2):
            raise SegnodeError(
                f'{self.path}: {found}, {channels} channels, but {self._expected(count)}')
        return Form(kind, layout)

    def _kind(self, output: Value, found: str) -> str:
        """Return the kind that type and shape tell."""
        if output.type in INTEGERS:
            return 'labels'
        shape = output.shape
        single = shape is not None and (
            len(shape) == 3 or shape[1] == 1 or (shape[3] == 1 and shape[1] != len(self.classes)))
        if single and self.operator == 'Sigmoid':
            return 'probabilities'
        if single:
            raise SegnodeError(
                f'{self.path}: {found}, which may be labels, or the logits or probabilities of '
                'one class: say which by output.kind'
            )
        return 'probabilities' if self.operator == 'Softmax' else 'logits'

    def _layout(self, shape: tuple[Dimension, ...], channels: int) -> str:
        """Return where the channels are, of which there should be so many."""
        if self.stated.layout:
            return self.stated.layout
        return 'nhwc' if shape[3] == channels and shape[1] != channels else 'nchw'

    def _expected(self, count: int) -> str:
        stated = 'label_set' if self.classes == tuple(range(count)) else 'output.classes'
        return (f'{stated} has {count} classes: name the class of each channel in output.classes, '
                'null for one that is none')

    def settings(self) -> str:
        """Return all that a deploy graph depends on besides the file and the record, as text."""
        return json.dumps([
            self.input.name, self.input_layout, self.output.name, self.stated.kind,
            self.stated.layout, self.align_corners, self.classes,
        ])


def describes_network(path: Path) -> bool:
    """Tell whether a YAML file is such a description, right or wrong, rather than another."""
    try:
        entries = load_yaml(path)
    except SegnodeError:
        return False
    return isinstance(entries, dict) and 'file' in entries


def described_file(path: Path) -> Path | None:
    """Return the path that a description names, None where it names none."""
    try:
        name = load_yaml(path)['file']
        return path.parent / Path(str(name)).expanduser()
    except (SegnodeError, RuntimeError, KeyError, TypeError):
        return None


def load_custom(path: Path) -> tuple[ModelRecord, CustomNetwork]:
    """Read a description and check it against its file.

    Raises:
        SegnodeError: something is missing, wrong, unknown, or not as the file has it; one
            sentence that shows both sides.
    """
    entries = load_yaml(path)
    _check_keys(entries, _KEYS, str(path), required=('file', 'label_set', 'input'))
    stated_input, stated_output = entries['input'], entries.get('output') or {}
    _check_keys(stated_input, _INPUT_KEYS, f'{path}: input')
    _check_keys(stated_output, _OUTPUT_KEYS, f'{path}: output')
    label_set = _label_set(entries['label_set'], path)
    color_order, mean, std = _preparation(stated_input, f'{path}: input')
    file = described_file(path)
    if file is None or not isinstance(entries['file'], str):
        raise SegnodeError(f'{path}: file must be the path of an .onnx file')
    graph = read_graph(file)
    if graph.opset < MIN_OPSET:
        raise SegnodeError(
            f'{file} is of operator set {graph.opset}, and segnode takes {MIN_OPSET} and newer: '
            f'export it with opset_version={MIN_OPSET} or more'
        )
    taken = _input(graph, stated_input, path, file)
    layout = _input_layout(taken, stated_input, path, file)
    sides = (2, 3) if layout == 'nchw' else (1, 2)
    fixed = tuple(taken.shape[side] if taken.shape else '' for side in sides)
    size = _size(stated_input, fixed, path, file)
    if taken.type == 'uint8' and (mean, std) != ((0.0,) * 3, (1 / 255,) * 3):
        raise SegnodeError(
            f'{path}: {file.name} takes {taken}, pixels as they are: scale must be 1, without '
            'mean and std'
        )
    output = _output(graph, stated_output, path, file)
    network = CustomNetwork(
        path=path, file=file, input=taken, input_layout=layout,
        output=output, operator=operator_of(graph, output.name),
        stated=Form(_choice(stated_output, 'kind', KINDS, path, 'output'),
                    _choice(stated_output, 'layout', LAYOUTS, path, 'output')),
        align_corners=_flag(stated_output, 'align_corners', path),
        classes=_classes(stated_output, label_set, path),
        sha256=hashlib.sha256(graph.content).hexdigest(),
    )
    network.form(output)
    record = ModelRecord(
        network=CUSTOM, label_set=label_set, input_size=size, mean=mean, std=std,
        color_order=color_order, data_licence=_text(entries, 'licence', path),
        network_args={
            'file': file.name,
            'fixed_size': list(size) if all(isinstance(side, int) for side in fixed) else None,
        },
    )
    return record, network


def _input(graph: OnnxGraph, stated: dict[str, Any], path: Path, file: Path) -> Value:
    """Return the one input, which is what the description states."""
    name = _text(stated, 'name', f'{path}: input')
    found = f'{file.name} takes {_listed(graph.inputs)}'
    if name and name not in (value.name for value in graph.inputs):
        raise SegnodeError(f"{path} says that the input is '{name}', but {found}")
    if len(graph.inputs) != 1:
        raise SegnodeError(
            f'{path}: {found}, and a segmentation network takes images and nothing else: export '
            'it with the others as constants'
        )
    taken = graph.inputs[0]
    found = f'{file.name} takes {taken}'
    dtype = _text(stated, 'dtype', f'{path}: input')
    if dtype and dtype != taken.type:
        raise SegnodeError(f'{path} says that the input is {dtype}, but {found}')
    if taken.type not in (*FLOATS, 'uint8') or (taken.shape is not None and len(taken.shape) != 4):
        raise SegnodeError(
            f'{path}: {found}, and what it takes must be [N, 3, H, W] or [N, H, W, 3] of '
            f'{", ".join(FLOATS)} or uint8'
        )
    return taken


def _input_layout(taken: Value, stated: dict[str, Any], path: Path, file: Path) -> str:
    layout = _choice(stated, 'layout', LAYOUTS, path, 'input')
    shape = taken.shape or ('', '', '', '')
    if not layout:
        layout = 'nhwc' if shape[3] == 3 and shape[1] != 3 else 'nchw'
    channels = shape[1 if layout == 'nchw' else 3]
    if isinstance(channels, int) and channels != 3:
        raise SegnodeError(
            f'{path}: {file.name} takes {taken}, which as {layout.upper()} has {channels} '
            'channels, and segnode gives it the 3 of a colour image'
        )
    return layout


def _size(
    stated: dict[str, Any], fixed: tuple[Dimension, ...], path: Path, file: Path
) -> tuple[int, int]:
    """Return (H, W) of the input: the file's, and the description's where that leaves it open."""
    size = stated.get('size')
    if size is None:
        if not all(isinstance(side, int) for side in fixed):
            raise SegnodeError(
                f'{path}: input.size is missing: {file.name} leaves height and width open')
        return int(fixed[0]), int(fixed[1])
    if not (isinstance(size, list) and len(size) == 2
            and all(type(side) is int and side > 0 for side in size)):
        raise SegnodeError(
            f'{path}: input.size must be [height, width] in pixels, not {reprlib.repr(size)}')
    if any(isinstance(has, int) and has != says for has, says in zip(fixed, size)):
        raise SegnodeError(
            f'{path} says that the input is {size[0]}x{size[1]}, but {file.name} takes '
            f'{fixed[0] or "any"}x{fixed[1] or "any"} (height x width)'
        )
    return size[0], size[1]


def _output(graph: OnnxGraph, stated: dict[str, Any], path: Path, file: Path) -> Value:
    """Return the one output, or the one that the description names."""
    name = _text(stated, 'name', f'{path}: output')
    found = f'{file.name} gives {_listed(graph.outputs)}'
    if name:
        for value in graph.outputs:
            if value.name == name:
                return value
        raise SegnodeError(f"{path} says that the output is '{name}', but {found}")
    if len(graph.outputs) != 1:
        raise SegnodeError(f'{path}: {found}: say which one it is by output.name')
    return graph.outputs[0]


def _preparation(
    stated: dict[str, Any], where: str
) -> tuple[str, tuple[float, float, float], tuple[float, float, float]]:
    """Return colour order, and mean and std as a record has them: RGB, for pixels of 0..1."""
    for key, words in (
        ('color_order', 'rgb or bgr, the order of the channels that the network takes'),
        ('scale', '1/255 for a network of pixels from 0 to 1, 1 for one of 0 to 255'),
    ):
        if key not in stated:
            raise SegnodeError(f'{where}.{key} is missing: {words}')
    order = stated['color_order']
    if order not in COLOR_ORDERS:
        raise SegnodeError(
            f'{where}.color_order must be {" or ".join(COLOR_ORDERS)}, not {reprlib.repr(order)}')
    scale = _number(stated['scale'], f'{where}.scale')
    mean = _triple(stated.get('mean', 0.0), f'{where}.mean')
    std = _triple(stated.get('std', 1.0), f'{where}.std')
    if scale <= 0 or min(std) <= 0:
        raise SegnodeError(f'{where}: scale and std must be above 0')
    # (x scale - mean) / std is (x / 255 - mean / (255 scale)) / (std / (255 scale)).
    unit = 255.0 * scale
    direction = 1 if order == 'rgb' else -1
    first, second = ([value / unit for value in values][::direction] for values in (mean, std))
    return order, (first[0], first[1], first[2]), (second[0], second[1], second[2])


def _classes(stated: dict[str, Any], label_set: LabelSet, path: Path) -> tuple[int, ...]:
    names = stated.get('classes')
    if names is None:
        return tuple(range(label_set.num_classes))
    if not isinstance(names, list) or not 1 <= len(names) <= 4096:
        raise SegnodeError(f'{path}: output.classes must be a list of names of classes or null')
    ids = []
    for index, name in enumerate(names):
        if name is not None and name not in label_set.names:
            raise SegnodeError(
                f'{path}: output.classes[{index}] is {reprlib.repr(name)}, which is no class of '
                f'{label_set.name}; it has {", ".join(label_set.names)}'
            )
        ids.append(IGNORE if name is None else label_set.names.index(name))
    return tuple(ids)


def _label_set(stated: Any, path: Path) -> LabelSet:
    if isinstance(stated, dict):
        return LabelSet.from_dict(stated, f'{path}: label_set')
    if not isinstance(stated, str):
        raise SegnodeError(
            f'{path}: label_set must be {", ".join(BUILT_IN)}, the path of a .yaml file, or a set '
            'written out'
        )
    if Path(stated).suffix.lower() in YAML_SUFFIXES:
        return load_label_set(path.parent / stated)
    try:
        return load_label_set(stated)
    except SegnodeError as error:
        raise SegnodeError(f'{path}: {error}') from error


def _check_keys(
    entries: Any, known: tuple[str, ...], where: str, required: tuple[str, ...] = ()
) -> None:
    if not isinstance(entries, dict):
        raise SegnodeError(f'{where} must be entries of name: value')
    for key in entries:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f'did you mean {near[0]}' if near else f'there is {", ".join(known)}'
            raise SegnodeError(f'{where} has no entry {reprlib.repr(key)}; {hint}')
    for key in required:
        if key not in entries:
            raise SegnodeError(f'{where}: {key} is missing')


def _choice(
    stated: dict[str, Any], key: str, allowed: tuple[str, ...], path: Path, part: str
) -> str:
    value = stated.get(key)
    if value is not None and value not in allowed:
        raise SegnodeError(
            f'{path}: {part}.{key} must be {", ".join(allowed[:-1])} or {allowed[-1]}, not '
            f'{reprlib.repr(value)}'
        )
    return value or ''


def _flag(stated: dict[str, Any], key: str, path: Path) -> bool:
    value = stated.get(key, False)
    if not isinstance(value, bool):
        raise SegnodeError(
            f'{path}: output.{key} must be true or false, not {reprlib.repr(value)}')
    return value


def _text(stated: dict[str, Any], key: str, where: Path | str) -> str:
    value = stated.get(key)
    if value is not None and not isinstance(value, str):
        raise SegnodeError(f'{where}: {key} must be a text, not {reprlib.repr(value)}')
    return value or ''


def _number(value: Any, where: str) -> float:
    """Read a number, or a fraction such as 1/255."""
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        number = float(Fraction(value) if isinstance(value, str) else value)
        if math.isfinite(number):
            return number
    except (ValueError, ZeroDivisionError, OverflowError):
        pass
    raise SegnodeError(
        f'{where} must be a number or a fraction such as 1/255, not {reprlib.repr(value)}')


def _triple(value: Any, where: str) -> tuple[float, float, float]:
    values = value if isinstance(value, list) else [value] * 3
    if len(values) != 3:
        raise SegnodeError(f'{where} must be a number, or one for each of 3 channels')
    first, second, third = (_number(item, where) for item in values)
    return first, second, third


def _listed(values: Iterable[Value]) -> str:
    return ', '.join(map(str, values)) or 'nothing'

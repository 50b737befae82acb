# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the segment node: one table that everything else is derived from.

The table itself needs no ROS, so that the launch file, the tables in the README and the tests can
read it anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
import difflib
import math
from typing import Any, TYPE_CHECKING

from segnode.errors import SegnodeError
from segnode.record import FIT_CHOICES
from segnode.ros.input_choice import TRANSPORTS
from segnode.runtimes import DEVICES, PRECISIONS, RUNTIMES
from segnode.runtimes.base import LABELS_AT
from segnode.uncertainty import DEFAULT_SAMPLES, MAX_SAMPLES, MEASURES, MIN_SAMPLES
from segnode.view import checked_roi, ROTATIONS, WHOLE

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node
    from rclpy.parameter import Parameter

Value = Any  # bool | int | float | str | list[int] | list[float]


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter: its type is that of its default value."""

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False
    constraint: str = ''

    @property
    def type_name(self) -> str:
        """Return the type as ROS users write it: bool, integer, double, string, ... array."""
        if isinstance(self.default, bool):
            return 'bool'
        if isinstance(self.default, int):
            return 'integer'
        if isinstance(self.default, float):
            return 'double'
        if isinstance(self.default, str):
            return 'string'
        return 'double array' if isinstance(self.default[0], float) else 'integer array'

    @property
    def allowed(self) -> str:
        """Return what values are allowed, in words; empty when the type says it all."""
        if self.choices:
            return 'one of ' + ', '.join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f'{self.minimum:g} to {self.maximum:g}'
        return self.constraint

    def refusal(self, value: Value) -> str | None:
        """Return one sentence that says why `value` cannot be taken, or None when it can."""
        told = f"parameter '{self.name}' must be {self.allowed}, not {value!r}."
        if self.choices and value not in self.choices:
            return told
        if isinstance(self.default, float) and not math.isfinite(value):
            return told
        if self.minimum is not None and self.maximum is not None:
            if not self.minimum <= value <= self.maximum:
                return told
        if self.name == 'input_size':
            if len(value) != 2 or (min(value) <= 0 and tuple(value) != (0, 0)):
                return told
        if self.name == 'model' and not value.strip():
            return told
        if self.name == 'rotation' and value not in ROTATIONS:
            return told
        if self.name == 'roi':
            try:
                checked_roi(value)
            except SegnodeError:
                return told
        return None


_START = 'at start only'

PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        'model', 'fsffnet',
        'Released model by name, the path of a .safetensors or .onnx file, or that of a .yaml '
        'file that describes an ONNX network of your own.',
        read_only=True, constraint='a name or a path'),
    ParameterSpec(
        'runtime', 'auto',
        'What runs the network; auto takes the fastest that this machine can run.',
        choices=tuple(RUNTIMES), read_only=True),
    ParameterSpec(
        'device', 'auto',
        'Where pytorch and onnx run: on the CPU, on a CUDA GPU, or (onnx alone) in TensorRT '
        'inside of ONNX Runtime; auto takes CUDA where it works.',
        choices=DEVICES, read_only=True),
    ParameterSpec(
        'precision', 'auto',
        'What the runtime computes in, where it has a choice: tensorrt fp32, fp16 and int8, '
        'torch2trt fp32 and fp16, pytorch on a GPU fp32, fp16 and bf16, openvino fp32 and bf16; '
        'auto leaves it to the runtime.',
        choices=PRECISIONS, read_only=True),
    ParameterSpec(
        'dla_core', -1,
        "Core of a Jetson's deep learning accelerators that tensorrt builds for; -1 is the GPU.",
        minimum=-1, maximum=7, read_only=True),
    ParameterSpec(
        'workspace', 0,
        'MiB of scratch memory that an operation of tensorrt may take; 0 is all that there is.',
        minimum=0, maximum=100000, read_only=True),
    ParameterSpec(
        'input_size', [0, 0],
        "Network input height and width in pixels; [0, 0] is the model's own.",
        read_only=True, constraint='[height, width] with both above 0, or [0, 0]'),
    ParameterSpec(
        'fit', 'model',
        'How an image of another shape is brought to the network input size; model is as the '
        'model was validated.',
        choices=FIT_CHOICES, read_only=True),
    ParameterSpec(
        'labels_at', 'image',
        "Size of all masks but the overlay: the image's, that of the network's input, or 1/4 or "
        '1/8 of the latter, which is faster and coarser. They show the whole image in any case.',
        choices=tuple(LABELS_AT), read_only=True),
    ParameterSpec(
        'label_grouping', '',
        'Built-in label grouping (driving) or the path of a .yaml file: groups to give in place '
        "of the model's classes, in all masks and in label_info; empty: the classes.",
        read_only=True),
    ParameterSpec(
        'roi', list(WHOLE),
        'Region of the image that the network is to see, in pixels, or as fractions of the image '
        'where height and width are at most 1 (0.0 and 1.0 then, for ROS refuses lists of '
        'integers and doubles); labels are 255 elsewhere.',
        read_only=True, constraint='[top, left, height, width] inside of the image'),
    ParameterSpec(
        'rotation', 0,
        'Degrees clockwise by which the image is turned before the network, and the masks turned '
        'back, for a camera that is mounted turned: 90 where the sky is on the left.',
        read_only=True, constraint='one of ' + ', '.join(map(str, ROTATIONS))),
    ParameterSpec(
        'ego_mask', '',
        'Path of a picture that is nonzero where the vehicle itself is seen, of any size; labels '
        'are 255 there. Empty: none.',
        read_only=True),
    ParameterSpec(
        'threads', 0,
        'CPU threads of the runtime; 0 leaves the choice to it.',
        minimum=0, maximum=256, read_only=True),
    ParameterSpec(
        'confidence', False,
        'Also compute and publish the confidence image.',
        read_only=True),
    ParameterSpec(
        'uncertainty', 'none',
        'Measure of segmentation/uncertainty, from Monte Carlo dropout; only with a network that '
        'offers it, such as bayesian_segnet. Each image then takes as many passes as samples, and '
        'all masks are those of their mean.',
        choices=('none', *MEASURES), read_only=True),
    ParameterSpec(
        'samples', DEFAULT_SAMPLES,
        'Passes of Monte Carlo dropout per image, where uncertainty is not none.',
        minimum=MIN_SAMPLES, maximum=MAX_SAMPLES, read_only=True),
    ParameterSpec(
        'allow_random_weights', False,
        'Run an untrained network when the model has no weights; every diagnostic then warns.',
        read_only=True),
    ParameterSpec(
        'input_transport', 'auto',
        "raw subscribes to 'image'; compressed to 'image/compressed' (JPEG or PNG); auto to what "
        'is published, raw where both are.',
        choices=TRANSPORTS, read_only=True),
    ParameterSpec(
        'image_reliability', 'auto',
        'Reliability asked of the image publishers; auto asks for reliable when all of them '
        'offer it and for best effort otherwise.',
        choices=('auto', 'reliable', 'best_effort'), read_only=True),
    ParameterSpec(
        'image_bits', 16,
        'Bits in use of 16-bit images: 2^bits is white. 12 for a driver that hands on the 12 bits '
        'of its sensor unshifted.',
        minimum=8, maximum=16),
    ParameterSpec(
        'autostart', True,
        'Configure and activate without being told; false waits for a lifecycle manager.',
        read_only=True),
    ParameterSpec(
        'image_timeout', 5.0,
        'Seconds without an image after which the node warns; 0 never warns.',
        minimum=0.0, maximum=86400.0),
    ParameterSpec(
        'stale_age', 10.0,
        'Seconds since the newest image was taken after which the diagnostics are STALE; 0 never.',
        minimum=0.0, maximum=86400.0),
    ParameterSpec(
        'warn_rate', 0.0, 'Masks per second below which the diagnostics warn; 0 never.',
        minimum=0.0, maximum=1000.0),
    ParameterSpec(
        'error_rate', 0.0, 'Masks per second below which they are an ERROR; 0 never.',
        minimum=0.0, maximum=1000.0),
    ParameterSpec(
        'warn_latency', 0.0,
        "Milliseconds from the image's stamp to its mask, as 95th percentile of 5 s, above which "
        'the diagnostics warn; 0 never. Counted from receipt where stamps are of another clock.',
        minimum=0.0, maximum=60000.0),
    ParameterSpec(
        'error_latency', 0.0, 'Milliseconds above which they are an ERROR; 0 never.',
        minimum=0.0, maximum=60000.0),
    ParameterSpec(
        'warn_drop_share', 1.0,
        'Share of the images replaced by newer ones, undecodable or failed above which the '
        'diagnostics warn; 1 never.',
        minimum=0.0, maximum=1.0),
    ParameterSpec(
        'error_drop_share', 1.0, 'Share above which they are an ERROR; 1 never.',
        minimum=0.0, maximum=1.0),
    ParameterSpec(
        'max_rate', 0.0,
        'Most images segmented per second, in Hz; 0 is no limit.',
        minimum=0.0, maximum=1000.0),
    ParameterSpec(
        'overlay_alpha', 0.5,
        'Weight of the class colours in the overlay; 0 is the image alone, 1 the colours alone.',
        minimum=0.0, maximum=1.0),
    ParameterSpec('publish_labels', True, 'Publish segmentation/labels when subscribed to.'),
    ParameterSpec('publish_color', True, 'Publish segmentation/color when subscribed to.'),
    ParameterSpec('publish_overlay', True, 'Publish segmentation/overlay when subscribed to.'),
    ParameterSpec(
        'publish_compressed', True,
        'Publish segmentation/labels/compressed and segmentation/overlay/compressed when '
        'subscribed to.'),
    ParameterSpec('publish_latency', True, 'Publish segmentation/latency/* when subscribed to.'),
    ParameterSpec(
        'png_level', 1,
        'Effort of the lossless PNG of the labels: 0 is fastest, 9 smallest.',
        minimum=0, maximum=9),
    ParameterSpec(
        'jpeg_quality', 85,
        'Quality of the JPEG of the overlay.',
        minimum=1, maximum=100),
)

BY_NAME: dict[str, ParameterSpec] = {spec.name: spec for spec in PARAMETERS}


def descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """Return the ROS descriptor of a parameter."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
    ros = ParameterDescriptor(
        name=spec.name, description=spec.description, read_only=spec.read_only,
        additional_constraints='' if spec.minimum is not None else spec.allowed)
    if spec.minimum is not None and spec.maximum is not None:
        if spec.type_name == 'double':
            ros.floating_point_range = [FloatingPointRange(
                from_value=float(spec.minimum), to_value=float(spec.maximum))]
        else:
            ros.integer_range = [IntegerRange(
                from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)]
    return ros


def declare(node: Node) -> None:
    """Declare every parameter of the table on a node.

    Raises:
        SegnodeError: a value given at start is of the wrong type or not allowed.
    """
    from rclpy.exceptions import ParameterException
    # Private in rclpy, from Humble to Kilted; it only buys better words, so its absence is borne.
    overrides: dict[str, Parameter] = getattr(node, '_parameter_overrides', {})
    for spec in PARAMETERS:
        if spec.name in overrides:
            overrides[spec.name] = _whole_number_as_double(overrides[spec.name])
            _check_start_value(spec, overrides[spec.name].value)
    for stranger in _unknown(overrides):
        node.get_logger().warning(stranger)
    node.add_on_set_parameters_callback(_on_set)
    if hasattr(node, 'add_pre_set_parameters_callback'):  # Jazzy and newer
        node.add_pre_set_parameters_callback(
            lambda changes: [_whole_number_as_double(change) for change in changes])
    for spec in PARAMETERS:
        try:
            node.declare_parameter(spec.name, spec.default, descriptor(spec))
        except ParameterException as error:
            raise SegnodeError(f"parameter '{spec.name}' cannot be used: {error}") from error


def values(node: Node) -> dict[str, Value]:
    """Return all parameters as they stand now."""
    return {spec.name: node.get_parameter(spec.name).value for spec in PARAMETERS}


def markdown_table() -> str:
    """Return the table for the README."""
    lines = ['| parameter | type | default | allowed | can change | description |',
             '|---|---|---|---|---|---|']
    for spec in PARAMETERS:
        default = {True: 'true', False: 'false'}.get(spec.default, spec.default) \
            if isinstance(spec.default, bool) else spec.default
        lines.append(
            f'| `{spec.name}` | {spec.type_name} | `{default}` | {spec.allowed} | '
            f'{_START if spec.read_only else "at any time"} | {spec.description} |')
    return '\n'.join(lines) + '\n'


def _whole_number_as_double(parameter: Parameter) -> Parameter:
    """Take `max_rate:=10` for what is meant; ROS would refuse an integer for a double."""
    from rclpy.parameter import Parameter
    spec = BY_NAME.get(parameter.name)
    if spec is None or spec.type_name not in ('double', 'double array'):
        return parameter
    if spec.type_name == 'double array':
        if parameter.type_ != Parameter.Type.INTEGER_ARRAY:
            return parameter
        doubles = [float(number) for number in parameter.value]
        return Parameter(parameter.name, Parameter.Type.DOUBLE_ARRAY, doubles)
    if parameter.type_ != Parameter.Type.INTEGER:
        return parameter
    return Parameter(parameter.name, Parameter.Type.DOUBLE, float(parameter.value))


def _check_start_value(spec: ParameterSpec, value: Value) -> None:
    value = list(value) if isinstance(spec.default, list) and hasattr(value, '__iter__') else value
    same = type(value) is type(spec.default)
    if isinstance(spec.default, list) and same:
        same = all(type(number) is type(spec.default[0]) for number in value)
    if not same:
        raise SegnodeError(
            f"parameter '{spec.name}' must be of type {spec.type_name}"
            f'{", " + spec.allowed if spec.allowed else ""}; it was given {value!r}.')
    sentence = spec.refusal(value)
    if sentence is not None:
        raise SegnodeError(sentence)


def _unknown(overrides: dict[str, Parameter]) -> list[str]:
    """Return a sentence for each parameter given at start that the node does not have."""
    sentences = []
    for name in overrides:
        if name in BY_NAME or name == 'use_sim_time' or name.startswith('qos_overrides.'):
            continue
        near = difflib.get_close_matches(name, list(BY_NAME), 1)
        hint = f"; did you mean '{near[0]}'?" if near else '.'
        sentences.append(f"there is no parameter '{name}', it is ignored{hint}")
    return sentences


def _on_set(changes: list[Parameter]) -> Any:
    """Refuse what descriptors cannot describe. Nothing to apply: values are read when needed."""
    from rcl_interfaces.msg import SetParametersResult
    for change in changes:
        spec = BY_NAME.get(change.name)
        if spec is None:
            continue
        value = list(change.value) if isinstance(spec.default, list) else change.value
        sentence = spec.refusal(value)
        if sentence is not None:
            return SetParametersResult(successful=False, reason=sentence)
    return SetParametersResult(successful=True)

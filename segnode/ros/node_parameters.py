# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the table, on a node: declared, checked, read."""

from __future__ import annotations

from collections.abc import Callable
import difflib
import functools

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from segnode.errors import SegnodeError
from segnode.ros.parameters import (
    BY_NAME,
    MODEL_VALUES,
    OF_A_CAMERA,
    PARAMETERS,
    ParameterSpec,
    spec_of,
    Value,
)

_LIVE = tuple(spec.name for spec in PARAMETERS if not spec.read_only and not spec.of_model)
# Says why changes, by name, cannot be made; None where they can.
Refusal = Callable[[dict[str, Value]], 'str | None']


def descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """Return the ROS descriptor of a parameter."""
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


def declare(node: Node, refusal: Refusal) -> None:
    """Declare every parameter of the table on a node, and what cameras have of their own.

    Args:
        node: whose they become.
        refusal: asked about changes that the table allows, but not about what is given at start.

    Raises:
        SegnodeError: a value given at start is of the wrong type or not allowed.
    """
    # Private in rclpy, from Humble to Kilted; it only buys better words, so its absence is borne.
    overrides: dict[str, Parameter] = getattr(node, '_parameter_overrides', {})
    node.add_on_set_parameters_callback(_checked)
    if hasattr(node, 'add_pre_set_parameters_callback'):  # Jazzy and newer
        node.add_pre_set_parameters_callback(
            lambda changes: [_as_meant(change) for change in changes])

    def declare_one(spec: ParameterSpec) -> None:
        if spec.name in overrides:
            overrides[spec.name] = _as_meant(overrides[spec.name])
            _check_start_value(spec, overrides[spec.name].value)
        try:
            node.declare_parameter(spec.name, spec.default, descriptor(spec))
        except ParameterException as error:
            raise SegnodeError(f"parameter '{spec.name}' cannot be used: {error}") from error

    for spec in PARAMETERS:
        declare_one(spec)
    own = [f'{camera}.{name}' for camera in node.get_parameter('cameras').value if camera
           for name in OF_A_CAMERA]
    for name in own:
        of_camera = spec_of(name)
        if name in overrides and of_camera is not None:
            declare_one(of_camera)
    others = {name: given for name, given in overrides.items() if not node.has_parameter(name)}
    for stranger in _unknown(others, [*BY_NAME, *own]):
        node.get_logger().warning(stranger)
    node.remove_on_set_parameters_callback(_checked)
    node.add_on_set_parameters_callback(functools.partial(_checked, refusal=refusal))


def live_values(node: Node) -> dict[str, Value]:
    """Return the parameters that act on the next image, as they stand now."""
    return {name: node.get_parameter(name).value for name in _LIVE}


def model_values(node: Node) -> dict[str, Value]:
    """Return everything that a model is made of as it stands now, lists as tuples.

    A camera's own values are there by their own names, where it has any.
    """
    cameras = node.get_parameter('cameras').value
    own = (f'{camera}.{name}' for camera in cameras for name in OF_A_CAMERA)
    names = (*MODEL_VALUES, *(name for name in own if node.has_parameter(name)))
    found = {name: node.get_parameter(name).value for name in names}
    return {name: value if isinstance(value, str) or not hasattr(value, '__iter__')
            else tuple(value) for name, value in found.items()}


def _as_meant(parameter: Parameter) -> Parameter:
    """Take `max_rate:=10` and `cameras:=[]` for what is meant; ROS would refuse both.

    It has no integers that are doubles, and lists without items have no type.
    """
    kind = Parameter.Type
    spec = spec_of(parameter.name)
    found = (spec and spec.type_name, parameter.type_)
    if found == ('double', kind.INTEGER):
        return Parameter(parameter.name, kind.DOUBLE, float(parameter.value))
    if found == ('double array', kind.INTEGER_ARRAY):
        doubles = [float(number) for number in parameter.value]
        return Parameter(parameter.name, kind.DOUBLE_ARRAY, doubles)
    if found == ('string array', kind.NOT_SET):
        return Parameter(parameter.name, kind.STRING_ARRAY, [''])
    return parameter


def _check_start_value(spec: ParameterSpec, value: Value) -> None:
    if isinstance(spec.default, list) and hasattr(value, '__iter__') and type(value) is not str:
        value = list(value)
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


def _unknown(overrides: dict[str, Parameter], known: list[str]) -> list[str]:
    """Return a sentence for each parameter given at start that the node does not have."""
    sentences = []
    for name in overrides:
        if name.startswith('qos_overrides.'):
            continue
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean '{near[0]}'?" if near else '.'
        sentences.append(f"there is no parameter '{name}', it is ignored{hint}")
    return sentences


def _checked(changes: list[Parameter], refusal: Refusal = lambda _: None) -> SetParametersResult:
    """Refuse what descriptors cannot describe. Nothing to apply: values are read when needed."""
    values = {}
    for change in changes:
        spec = spec_of(change.name)
        if spec is None:
            continue
        value = list(change.value) if isinstance(spec.default, list) else change.value
        sentence = spec.refusal(value)
        if sentence is not None:
            return SetParametersResult(successful=False, reason=sentence)
        values[spec.name] = value
    sentence = refusal(values)
    return SetParametersResult(successful=sentence is None, reason=sentence or '')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""QoS profiles that the user can override by the standard `qos_overrides` parameters.

rclpy's own QoSOverridingOptions does the same, but has no value for "decide for me", and takes
what was decided at the first creation of a subscription for an override at the second.
"""

from __future__ import annotations

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from segnode.errors import SegnodeError

RELIABILITIES = {'reliable': ReliabilityPolicy.RELIABLE,
                 'best_effort': ReliabilityPolicy.BEST_EFFORT}
HISTORIES = {'keep_last': HistoryPolicy.KEEP_LAST, 'keep_all': HistoryPolicy.KEEP_ALL}


def overridable(node: Node, topic: str, end: str, *, reliability: str,
                depth: int) -> tuple[QoSProfile, str]:
    """Declare the overrides of one topic and return the profile to use.

    Args:
        node: owner of the parameters `qos_overrides.<topic>.<end>.<policy>`; they are read-only.
        topic: the fully resolved topic name.
        end: 'publisher' or 'subscription'.
        reliability: 'reliable', 'best_effort', or 'auto', which is left to the caller.
        depth: length of the history.

    Returns:
        The profile, and the reliability in words. With 'auto' the profile asks for best effort.

    Raises:
        SegnodeError: an override has a value that the policy does not have.
    """
    known = tuple(dict.fromkeys((*RELIABILITIES, reliability)))
    chosen = _declare(node, topic, end, 'reliability', reliability, known)
    history = _declare(node, topic, end, 'history', 'keep_last', tuple(HISTORIES))
    length = _declare(node, topic, end, 'depth', depth, None)
    profile = QoSProfile(
        history=HISTORIES[str(history)], depth=int(length),
        reliability=RELIABILITIES.get(str(chosen), ReliabilityPolicy.BEST_EFFORT))
    return profile, str(chosen)


def _declare(node: Node, topic: str, end: str, policy: str, default: str | int,
             allowed: tuple[str, ...] | None) -> str | int:
    name = f'qos_overrides.{topic}.{end}.{policy}'
    told = 'a whole number above 0' if allowed is None else 'one of ' + ', '.join(allowed)
    if not node.has_parameter(name):
        description = ParameterDescriptor(
            description=f'{policy} of the {end} of {topic}', read_only=True,
            additional_constraints=told)
        try:
            node.declare_parameter(name, default, description)
        except ParameterException as error:
            raise SegnodeError(f"parameter '{name}' must be {told}: {error}") from error
    # A refused value stays declared, so every call looks, not only the one that declares.
    value = node.get_parameter(name).value
    if (value not in allowed) if allowed is not None else (value < 1):
        raise SegnodeError(f"parameter '{name}' must be {told}, not {value!r}.")
    return value if isinstance(value, int) else str(value)

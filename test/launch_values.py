# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of the launch files as launch hands them over: texts."""

from __future__ import annotations

from segnode.ros.camera_drivers import CAMERA_ARGUMENTS
from segnode.ros.launch_arguments import ARGUMENTS, LaunchArgument


def values(**given: str) -> dict[str, str]:
    """Return all arguments of segment.launch.py: the defaults where not given."""
    return _filled(ARGUMENTS, given)


def camera_values(**given: str) -> dict[str, str]:
    """Return the arguments of camera.launch.py that are not segment.launch.py's."""
    return _filled(CAMERA_ARGUMENTS, given)


def _filled(arguments: tuple[LaunchArgument, ...], given: dict[str, str]) -> dict[str, str]:
    defaults = {argument.name: argument.default for argument in arguments}
    assert set(given) <= set(defaults)
    return {**defaults, **given}

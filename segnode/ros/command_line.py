# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The command lines of the nodes: --help, and what no node would see.

ROS passes over what is not behind --ros-args without a word: `-p model:=x` alone would start the
node with another model than the one asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import sys
import textwrap
from typing import Any, Protocol

from segnode.errors import SegnodeError

HELP = ('-h', '--help')
WIDTH = 99


class Described(Protocol):
    """A parameter of a node."""

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    @property
    def default(self) -> Any:
        """Return its value where none is given."""
        ...

    @property
    def description(self) -> str:
        """Return what it means."""
        ...


def wants_help(arguments: Sequence[str]) -> bool:
    """Tell whether the help is asked for.

    Args:
        arguments: those that are none of ROS.

    Raises:
        SegnodeError: anything else is.
    """
    if set(arguments) & set(HELP):
        return True
    if arguments:
        raise SegnodeError(
            f'{" ".join(arguments)!r} is not understood: parameters and remappings go behind '
            '--ros-args, as in --ros-args -p NAME:=VALUE -r TOPIC:=/OTHER/TOPIC; see --help')
    return False


def help_text(create: Callable[[], object], parameters: Iterable[Described]) -> str:
    """Return the help.

    Args:
        create: the class of the node.
        parameters: of the node.
    """
    module = sys.modules[create.__module__]
    about = (module.__doc__ or '').strip().partition('\n')[0]
    lines = ['usage: ros2 run segnode EXECUTABLE --ros-args -p NAME:=VALUE -r TOPIC:=/OTHER/TOPIC',
             '', about, '', 'parameters:']
    for parameter in parameters:
        default = parameter.default
        shown = str(default).lower() if isinstance(default, bool) else repr(default)
        lines += textwrap.wrap(
            f'{parameter.name} [{shown}]: {parameter.description}', WIDTH,
            initial_indent='  ', subsequent_indent='      ')
    return '\n'.join([*lines, '', 'Topics, and more about all of it: docs/node.md'])

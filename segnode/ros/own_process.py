# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The life of the small nodes' processes: until the node is finished, or a signal comes.

How a process starts, `start`, is the segment node's too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import signal
import sys
import threading
from typing import Protocol, TypeVar

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from segnode.errors import SegnodeError
from segnode.ros.command_line import Described, help_text, wants_help

PATIENCE = 0.2  # seconds until a signal is noticed
Created = TypeVar('Created')


class FiniteNode(Protocol):
    """A node that says when its work is done."""

    finished: bool

    def close(self) -> None:
        """Bring things to an end, before the node is destroyed; after a signal, too."""
        ...


def start(create: Callable[[], Created], args: list[str] | None, parameters: Iterable[Described]
          ) -> tuple[Created | None, int]:
    """Initialise rclpy without its signal handlers, and create the node.

    Args:
        create: makes the node.
        args: command line; None takes that of the process.
        parameters: of the node, for --help.

    Returns:
        The node and 0; or None and the exit code: 0 after the help; after one line on stderr 1 for
        an error that the user can mend, 2 for one of rclpy's own (mistyped --ros-args, an
        impossible name, ...).
    """
    try:
        if wants_help(remove_ros_args(sys.argv[1:] if args is None else args)):
            print(help_text(create, parameters))
            return None, 0
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        return create(), 0
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        code = 1
    except Exception as error:
        print(f'error: {type(error).__name__}: {" ".join(str(error).split())}', file=sys.stderr)
        code = 2
    rclpy.try_shutdown()
    return None, code


def run(create: Callable[[], FiniteNode], args: list[str] | None,
        parameters: Iterable[Described]) -> int:
    """Create the node and spin it until it is finished or SIGINT or SIGTERM comes.

    Signals only raise a flag, so that none can end up as an exception inside a callback or inside
    a half-made node. Arguments as of `start`.

    Returns:
        The exit code: 0, 1 after an error that the user can mend, told in one sentence, or 2
        where rclpy refuses to start.
    """
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    node, code = start(create, args, parameters)
    if node is None:
        return code
    assert isinstance(node, Node)
    try:
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not (node.finished or asked.is_set()):
            executor.spin_once(timeout_sec=PATIENCE)
        node.close()
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
        ignore_signals()
    return 0


def ignore_signals() -> None:
    """Let no late signal change the exit code.

    Python puts the default handlers back before its last steps, and a signal told twice (by an
    impatient user, or by launch and a terminal) would then end the process as killed. It leaves
    alone what is ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

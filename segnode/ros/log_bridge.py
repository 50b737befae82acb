# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The node's log: what the ROS-free part logs goes there too, and nothing floods it."""

from __future__ import annotations

import logging
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.impl.rcutils_logger import RcutilsLogger

_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


def throttled(seconds: float) -> dict[str, Any]:
    """Return the arguments that keep a call of a ROS logger from being heard more often.

    By the steady clock: rclpy takes the system's, and a vehicle whose clock was set back an hour
    would not be warned for an hour.
    """
    return {'throttle_duration_sec': seconds, 'throttle_time_source_type': _STEADY}


class RosHandler(logging.Handler):
    """A logging handler that writes to a ROS logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        """Write to `logger`."""
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record at the level nearest to its own."""
        text = self.format(record)
        # One line each: rclpy tells callers apart by line and wants one severity per caller.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def attach(logger: RcutilsLogger) -> RosHandler:
    """Send the records of the logger 'segnode' to a ROS logger; undo with detach()."""
    handler = RosHandler(logger)
    source = logging.getLogger('segnode')
    source.addHandler(handler)
    source.propagate = False
    if source.level == logging.NOTSET:
        source.setLevel(logging.DEBUG)  # the level of the ROS logger decides
    return handler


def detach(handler: RosHandler) -> None:
    """Undo attach()."""
    source = logging.getLogger('segnode')
    source.removeHandler(handler)
    source.propagate = True

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Sends what the ROS-free part logs (the logger 'segnode') to the node's own log."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


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

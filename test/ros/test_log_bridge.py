# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Records of Python's logging on the way to a ROS logger."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip('rclpy')

from rclpy.logging import get_logger, LoggingSeverity

from segnode.ros import log_bridge


@pytest.mark.parametrize('level, heard', [
    (LoggingSeverity.DEBUG, ['some detail', 'a fact', 'a doubt', 'a fault']),
    (LoggingSeverity.INFO, ['a fact', 'a doubt', 'a fault']),
    (LoggingSeverity.ERROR, ['a fault'])])
def test_the_level_of_the_ros_logger_decides(
        level: LoggingSeverity, heard: list[str], capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    """So that log_level:=debug of the launch file also shows what the runtimes log."""
    source = logging.getLogger('segnode')
    monkeypatch.setattr(source, 'level', logging.NOTSET)
    logger = get_logger(f'bridge_{level.name}')
    logger.set_level(level)
    handler = log_bridge.attach(logger)
    try:
        source.debug('some detail')
        source.info('a %s', 'fact')
        source.warning('a doubt')
        source.error('a fault')
    finally:
        log_bridge.detach(handler)
    said = ''.join(capfd.readouterr())
    assert [text for text in ('some detail', 'a fact', 'a doubt', 'a fault') if text in said] \
        == heard
    assert source.propagate

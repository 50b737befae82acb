# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What all tests share: real data, a ROS domain of their own, and processes that always end."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
import contextlib
import logging
import os
from pathlib import Path
import sys
import tempfile

import pytest

from processes import Process
from segnode.ros.private_domain import claimed_domain, local_environment

PROJECT = Path(__file__).resolve().parent.parent

# Before any test imports rclpy: no test run sees another, a robot, or the user's own log folder.
_held = contextlib.ExitStack()
atexit.register(_held.close)
_domain = os.environ.get('SEGNODE_TEST_DOMAIN_ID')
os.environ.update(local_environment(
    int(_domain) if _domain else _held.enter_context(claimed_domain())))
os.environ['ROS_LOG_DIR'] = _held.enter_context(
    tempfile.TemporaryDirectory(prefix='segnode_test_log_', ignore_cleanup_errors=True))
os.environ['PYTHONPATH'] = os.pathsep.join(
    [str(PROJECT), *filter(None, [os.environ.get('PYTHONPATH')])])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --exhaustive."""
    parser.addoption('--exhaustive', action='store_true',
                     help='run the tests marked exhaustive too, which take minutes')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked exhaustive, unless it is asked for."""
    if config.getoption('--exhaustive') or 'exhaustive' in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker('exhaustive')]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker('exhaustive')]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what a command or a node in this process changed: the next test counts records."""
    loggers = (logging.getLogger(), logging.getLogger('segnode'))
    before = [(logger, logger.level, logger.propagate, logger.handlers[:], logger.filters[:])
              for logger in loggers]
    yield
    for logger, level, propagate, handlers, filters in before:
        logger.setLevel(level)
        logger.propagate = propagate
        # Those of pytest itself come and go with the phases of a test: only what is new goes.
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
        for wanted in set(logger.filters) - set(filters):
            logger.removeFilter(wanted)


@pytest.fixture(scope='session')
def project() -> Path:
    """Root of the source tree."""
    return PROJECT


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder of real data: $SEGNODE_TEST_DATA, or shared/data beside the project."""
    given = os.environ.get('SEGNODE_TEST_DATA')
    folder = Path(given).expanduser() if given else PROJECT.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'no real data: {folder} is not there; set SEGNODE_TEST_DATA to where it is')
    return folder


@pytest.fixture(scope='session')
def camvid(data_root: Path) -> Path:
    """Folder of CamVid at 360x480: {train,val}/{images,labels}, labels 0 to 10 and 255."""
    folder = data_root / 'camvid'
    if not folder.is_dir():
        pytest.skip(f'no CamVid: {folder} is not there')
    return folder


@pytest.fixture(scope='session')
def bags(data_root: Path) -> Path:
    """Folder of the ROS 2 bags made from CamVid's val sequence."""
    folder = data_root / 'bags'
    if not folder.is_dir():
        pytest.skip(f'no bags: {folder} is not there')
    return folder


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Return a function that starts a process; whatever still runs when the test ends is ended.

    ``start('-m', 'segnode.ros.segment_node', '--ros-args', ..., env={'NAME': 'value'})`` runs this
    Python; with ``executable=`` another program.
    """
    with contextlib.ExitStack() as stack:
        def start_process(*arguments: object, executable: str = sys.executable,
                          env: dict[str, str] | None = None,
                          cwd: str | Path | None = None) -> Process:
            process = Process([executable, *map(str, arguments)], env or {}, cwd)
            stack.callback(process.end)
            return process
        yield start_process

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The style checks of ROS 2 (ament), where they are installed; scripts/test runs ruff and mypy."""

from __future__ import annotations

import pytest

FOLDERS = ('segnode', 'training', 'test', 'benchmark', 'launch', 'scripts', 'setup.py')
# The rest of what ament_pep257 ignores by default is in its own list; ours is in pyproject.toml.
IGNORED_DOCSTRING_CODES = (
    'D100', 'D101', 'D102', 'D103', 'D104', 'D105', 'D106', 'D107', 'D203', 'D212', 'D404',
    'D205', 'D213', 'D400', 'D401', 'D406', 'D407', 'D413', 'D415', 'D417')


def paths(project):
    """What is checked: our own sources, no build folders."""
    return [str(project / name) for name in FOLDERS if (project / name).exists()]


@pytest.mark.linter
def test_ament_flake8(project):
    flake8 = pytest.importorskip('ament_flake8.main', reason='ament_flake8 is not installed')
    code = flake8.main(['--config', str(project / 'setup.cfg'), *paths(project)])
    assert code == 0, 'ament_flake8 found something; its output is above'


@pytest.mark.linter
def test_ament_pep257(project):
    pep257 = pytest.importorskip('ament_pep257.main', reason='ament_pep257 is not installed')
    code = pep257.main(['--ignore', *IGNORED_DOCSTRING_CODES, '--', *paths(project)])
    assert code == 0, 'ament_pep257 found something; its output is above'


@pytest.mark.linter
def test_ament_xmllint(project):
    xmllint = pytest.importorskip('ament_xmllint.main', reason='ament_xmllint is not installed')
    code = xmllint.main([str(project / 'package.xml'), str(project / 'config')])
    assert code == 0, 'ament_xmllint found something; its output is above'

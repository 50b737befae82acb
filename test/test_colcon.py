# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The package the ROS way: colcon builds and installs it, the installed executables run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

COPIED = ('segnode', 'training', 'config', 'launch', 'resource', 'requirements', 'package.xml',
          'setup.py', 'setup.cfg', 'pyproject.toml', 'LICENSE', 'CHANGELOG.rst', 'README.md')


@pytest.fixture(scope='module')
def install_base(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the package as `colcon build` installed it."""
    for module in ('colcon_core', 'colcon_ros', 'colcon_python_setup_py'):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f'{module} is not installed')
    workspace = tmp_path_factory.mktemp('workspace')
    source = workspace / 'src' / 'segnode'
    source.mkdir(parents=True)
    for name in COPIED:
        path = project / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(path, source / name)
    build = subprocess.run(
        [sys.executable, '-m', 'colcon', '--log-base', str(workspace / 'log'), 'build',
         '--packages-select', 'segnode'],
        cwd=workspace, env=without_the_source_tree(), capture_output=True, text=True, timeout=300)
    assert build.returncode == 0, build.stdout + build.stderr
    return workspace / 'install'


def without_the_source_tree() -> dict[str, str]:
    """Environment in which only what is installed can be imported, with this Python first."""
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    environment['PATH'] = os.pathsep.join([str(Path(sys.executable).parent),
                                           environment.get('PATH', '')])
    return environment


def sourced(install_base: Path, command: str) -> list[str]:
    """Shell command line that runs a command as a ROS user does, after sourcing the workspace."""
    return ['-c', f'unset PYTHONPATH; export PATH="{Path(sys.executable).parent}:$PATH"; '
                  f'. "{install_base}/setup.sh" && {command}']


def test_layout(install_base):
    package = install_base / 'segnode'
    index = package / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'segnode'
    assert index.read_bytes() == b''
    for name in ('package.xml', 'launch/segment.launch.py', 'launch/camera.launch.py',
                 'config/fastdds.xml', 'config/segment.yaml', 'config/segment.rviz',
                 'config/transport.sh'):
        assert (package / 'share' / 'segnode' / name).is_file(), name
    for name in ('segment', 'player', 'recorder', 'tool', 'train'):
        script = package / 'lib' / 'segnode' / name
        assert os.access(script, os.X_OK), name
        assert script.read_text().splitlines()[0] == '#!/usr/bin/env python3'


def test_weights_and_label_sets_are_installed(install_base, project):
    (site,) = (install_base / 'segnode').glob('lib/python3*/site-packages/segnode')
    for folder in ('weights', 'label_sets'):
        expected = {path.name for path in (project / 'segnode' / folder).glob('*')
                    if path.suffix in ('.yaml', '.safetensors', '.onnx')}
        assert expected
        assert {path.name for path in (site / folder).glob('*')} >= expected


def test_installed_node_segments_what_the_installed_player_plays(install_base, start, tmp_path):
    """`segment`, `player` and `recorder` as installed, three processes, over DDS."""
    pytest.importorskip('rclpy')

    def installed(name, arguments):
        executable = install_base / 'segnode' / 'lib' / 'segnode' / name
        return start(*sourced(install_base, f'exec "{executable}" {arguments}'), executable='sh',
                     cwd=tmp_path)

    recorder = installed('recorder', f'--ros-args -p out:={tmp_path}/out -r image:=image_raw')
    node = installed('segment', '--ros-args -p model:=fsffnet -r image:=image_raw')
    player = installed('player', '--ros-args -p frames:=5 -p rate:=2.0 '
                                 '-p wait_for_subscribers:=2')
    node.wait_for('active', 60)
    assert player.wait(60) == 0, player.output
    assert recorder.wait(30) == 0, recorder.output
    assert node.stop() == 0, node.output
    assert 'frames out          5' in recorder.output, recorder.output
    assert (tmp_path / 'out' / 'segmentation.png').stat().st_size > 10_000


def test_installed_tool_answers_without_ros(install_base):
    done = subprocess.run(
        ['sh', *sourced(install_base, f'"{install_base}/segnode/lib/segnode/tool" models')],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 'fsffnet' in done.stdout

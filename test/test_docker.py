# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What can be said of docker/ without Docker: it copies, installs and runs what there is."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import shlex
import subprocess
from typing import Any
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from segnode.ros.camera_drivers import CAMERA_ARGUMENTS
from segnode.ros.launch_arguments import ARGUMENTS

NAMES = ('Dockerfile', 'Dockerfile.l4t')
# What builds the package or brings the rest; rosdep reads package.xml for the packages themselves.
TOOLS = {'python3-venv', 'python3-colcon-common-extensions', 'python3-rosdep', 'ca-certificates',
         'curl'}
JETSON = {'python3-libnvinfer'}


@pytest.fixture(params=NAMES)
def steps(project: Path, request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """Return instruction and arguments of each step of a Dockerfile."""
    text = (project / 'docker' / request.param).read_text()
    lines = '\n'.join(line for line in text.splitlines() if not line.lstrip().startswith('#'))
    joined = re.sub(r'\\\n\s*', ' ', lines)
    return [(step.split(None, 1)[0], step.split(None, 1)[1])
            for step in joined.splitlines() if step.strip()]


def of(steps: list[tuple[str, str]], instruction: str) -> list[str]:
    """Return the arguments of the steps with an instruction."""
    return [arguments for name, arguments in steps if name == instruction]


def installed(steps: list[tuple[str, str]], command: str) -> list[str]:
    """Return what a command, such as 'apt-get install', is given, without options."""
    found = []
    for run in of(steps, 'RUN'):
        for part in re.split(r'&&|;', run):
            words = shlex.split(part)
            if ' '.join(words[:2]) == command:
                found += [word for word in words[2:] if not word.startswith(('-', '$'))]
    return found


def test_everything_that_is_copied_is_there(
        project: Path, steps: list[tuple[str, str]]) -> None:
    """And nothing that the package needs is missing: what test_colcon.py builds from."""
    from test_colcon import COPIED
    sources = [source for copy in of(steps, 'COPY') for source in copy.split()[:-1]]
    for source in sources:
        path = project / source
        assert path.is_dir() if source.endswith('/') else path.is_file(), source
    assert {source.rstrip('/') for source in sources} == {*COPIED, 'docker/entrypoint.sh'}


def test_folders_keep_their_names(steps: list[tuple[str, str]]) -> None:
    """COPY takes what is in a folder, so that the target has to name it again."""
    for copy in of(steps, 'COPY'):
        *sources, target = copy.split()
        if sources[0].endswith('/'):
            assert len(sources) == 1 and target == f'src/segnode/{sources[0]}'


def test_pip_installs_what_requirements_say(
        project: Path, steps: list[tuple[str, str]]) -> None:
    """With the same limits; NumPy alone is held where ROS has it."""
    listed = {line.strip() for name in ('demo', 'ray')
              for line in (project / 'requirements' / f'{name}.txt').read_text().splitlines()}
    wanted = installed(steps, 'pip install')
    assert 'numpy<2' in wanted and any(name.startswith('onnxruntime') for name in wanted)
    assert set(wanted) - {'numpy<2'} <= listed


def test_apt_installs_tools_alone(project: Path, steps: list[tuple[str, str]]) -> None:
    """The dependencies come from package.xml by rosdep."""
    root = ElementTree.parse(project / 'package.xml').getroot()
    packages = {str(element.text).replace('_', '-') for element in root.iter('exec_depend')}
    (distribution,) = {match for match in ('humble', 'jazzy')
                       if re.search(f'{match}', ' '.join(map(' '.join, steps)))}
    wanted = {name for name in installed(steps, 'apt-get install') if not name.startswith('/')}
    of_ros = {name for name in wanted if name.startswith('ros-')}
    assert of_ros <= {f'ros-{distribution}-{name}' for name in packages | {'ros-base'}}
    assert wanted - of_ros <= TOOLS | JETSON
    assert 'python3-venv' in wanted
    assert any('rosdep install' in run and '--dependency-types exec' in run
               for run in of(steps, 'RUN'))


def test_what_runs_gets_signals_and_no_privileges(steps: list[tuple[str, str]]) -> None:
    """Exec form, a signal that `ros2 launch` hands on, and no step as root behind USER."""
    assert of(steps, 'STOPSIGNAL') == ['SIGINT']
    (entrypoint,) = map(json.loads, of(steps, 'ENTRYPOINT'))
    (command,) = map(json.loads, of(steps, 'CMD'))
    assert entrypoint == ['/entrypoint.sh']
    check_launch(command)
    (health,) = of(steps, 'HEALTHCHECK')
    assert json.loads(health.partition('CMD ')[2])[:4] == [
        '/entrypoint.sh', 'python3', '-m', 'segnode.ros.check']
    names = [name for name, _ in steps]
    assert of(steps, 'USER') == ['segnode']
    assert not {'RUN', 'COPY'} & set(names[names.index('USER'):])


def check_launch(command: list[str]) -> None:
    """Check that a command line launches a file that there is, with arguments that there are."""
    assert command[:3] == ['ros2', 'launch', 'segnode']
    arguments = {argument.name: argument for argument in ARGUMENTS}
    if command[3] == 'camera.launch.py':
        arguments.update({argument.name: argument for argument in CAMERA_ARGUMENTS})
    else:
        assert command[3] == 'segment.launch.py'
    for part in command[4:]:
        name, _, value = part.partition(':=')
        assert name in arguments
        assert not arguments[name].choices or value in arguments[name].choices


@pytest.fixture
def services(project: Path) -> dict[str, dict[str, Any]]:
    """Return the services of compose.yaml."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(
        (project / 'docker' / 'compose.yaml').read_text())['services']
    return found


def test_compose(project: Path, services: dict[str, dict[str, Any]]) -> None:
    """Each service builds a file that there is, launches one, restarts, and shares memory."""
    for name, service in services.items():
        build = service['build']
        context = project / 'docker' / build['context']
        assert (context / build['dockerfile']).is_file()
        text = (context / build['dockerfile']).read_text()
        assert all(f'ARG {argument}' in text for argument in build['args']), name
        check_launch(service['command'])
        assert service['restart'] == 'unless-stopped'
        assert service['network_mode'] == service['ipc'] == 'host'
        assert service['init'] is True
        assert service['profiles'], 'without one it would start beside any other'


def test_compose_images_and_profiles_are_not_shared(services: dict[str, dict[str, Any]]) -> None:
    """What one profile builds is no other's."""
    for key in ('image', 'profiles'):
        assert len({str(service[key]) for service in services.values()}) == len(services)


def test_entrypoint_becomes_the_command(project: Path, tmp_path: Path) -> None:
    """Its environment is set up; its process id is that of the command, which gets the signals."""
    script = (project / 'docker' / 'entrypoint.sh').read_text().replace('/opt/ros', str(tmp_path))
    for folder, variable in (('jazzy', 'FIRST'), ('install', 'SECOND')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'setup.bash').write_text(
            f'export {variable}=$((${{FIRST:-0}} + 1))\n')
    process = subprocess.Popen(
        ['bash', '-c', script, 'entrypoint', 'sh', '-c', 'echo $$ $FIRST $SECOND "$@"', 'sh',
         'a b'],
        env={**os.environ, 'ROS_DISTRO': 'jazzy', 'SEGNODE_INSTALL': str(tmp_path / 'install')},
        stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=120)
    assert (process.returncode, output) == (0, f'{process.pid} 1 2 a b\n')
    assert script.rstrip().endswith('exec "$@"')
    assert os.access(project / 'docker' / 'entrypoint.sh', os.X_OK)


def test_entrypoint_fails_where_there_is_no_ros(project: Path, tmp_path: Path) -> None:
    """At once, rather than with a command that finds nothing."""
    done = subprocess.run(
        ['bash', str(project / 'docker' / 'entrypoint.sh'), 'true'],
        env={**os.environ, 'ROS_DISTRO': 'segnode_test_has_none'}, capture_output=True,
        timeout=120)
    assert done.returncode != 0

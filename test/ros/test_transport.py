# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile, who loads it, and what reliability to ask for."""

import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import textwrap
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from segnode.errors import SegnodeError
from segnode.ros.transport import (
    check_shared_memory,
    decide_reliability,
    loaded_profile,
    own_setting,
    PROFILE_VARIABLES,
    recommended_environment,
    segment_size,
)

PROJECT = Path(__file__).resolve().parents[2]
PROFILE = PROJECT / 'config' / 'fastdds.xml'
SCRIPT = PROJECT / 'config' / 'transport.sh'
FRAME = 1024 * 2048 * 3
SEGMENT = segment_size(PROFILE) or 0
BOTH = {'FASTRTPS_DEFAULT_PROFILES_FILE': str(PROFILE),
        'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILE)}
SHELLS = [shell for shell in ('sh', 'bash', 'dash', 'zsh') if shutil.which(shell)]


def clean_environment(**more):
    """Return this environment without anything that chooses a transport."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(('FASTRTPS_', 'FASTDDS_', 'RMW_', 'ROS_'))}
    environment.update(more)
    return environment


def profile_with(tmp_path, size):
    path = tmp_path / 'fastdds.xml'
    path.write_text(f'<dds><profiles><segment_size>{size}</segment_size></profiles></dds>')
    return path


# ------------------------------------------------------------------ recommended_environment

@pytest.mark.parametrize('distribution, names', [
    ('humble', ['FASTRTPS_DEFAULT_PROFILES_FILE']),
    ('jazzy', ['FASTRTPS_DEFAULT_PROFILES_FILE']),
    ('kilted', ['FASTDDS_DEFAULT_PROFILES_FILE']),
    ('rolling', ['FASTDDS_DEFAULT_PROFILES_FILE']),
    ('', ['FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'])])
def test_the_variable_of_each_generation(distribution, names):
    environment = recommended_environment(PROFILE, environment={'ROS_DISTRO': distribution})
    assert sorted(environment) == names
    assert set(environment.values()) == {str(PROFILE)}


def test_a_generation_can_be_asked_for():
    for generation, name in PROFILE_VARIABLES.items():
        assert recommended_environment(PROFILE, generation, {'ROS_DISTRO': 'jazzy'}) == {
            name: str(PROFILE)}
    with pytest.raises(ValueError, match='fastdds3'):
        recommended_environment(PROFILE, 'fastdds3', {})


@pytest.mark.parametrize('name, value', [
    ('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml'),
    ('FASTDDS_DEFAULT_PROFILES_FILE', '/mine.xml'),
    ('FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA'),
    ('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')])
def test_the_users_own_setting_wins(name, value):
    assert recommended_environment(PROFILE, environment={name: value}) == {}
    assert name in str(own_setting({name: value}))


def test_empty_and_harmless_settings_are_none():
    environment = {'FASTRTPS_DEFAULT_PROFILES_FILE': '', 'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',
                   'ROS_LOCALHOST_ONLY': '1'}
    assert own_setting(environment) is None
    assert recommended_environment(PROFILE, environment=environment) == BOTH


def test_localhost_only_is_kept_on_humble():
    environment = {'ROS_LOCALHOST_ONLY': '1', 'ROS_DISTRO': 'humble'}
    assert recommended_environment(PROFILE, environment=environment) == {}
    assert 'ROS_LOCALHOST_ONLY' in str(own_setting(environment))


def test_the_process_environment_is_the_default(monkeypatch):
    for name in (*BOTH, 'FASTDDS_BUILTIN_TRANSPORTS', 'RMW_IMPLEMENTATION', 'ROS_DISTRO'):
        monkeypatch.delenv(name, raising=False)
    assert recommended_environment(PROFILE) == BOTH
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    assert recommended_environment(PROFILE) == {}


@pytest.mark.parametrize('environment, path', [
    ({}, None), ({'FASTDDS_DEFAULT_PROFILES_FILE': ''}, None),
    ({'FASTDDS_DEFAULT_PROFILES_FILE': '/mine.xml'}, '/mine.xml'),
    ({'FASTRTPS_DEFAULT_PROFILES_FILE': '/mine.xml'}, '/mine.xml')])
def test_the_profile_of_a_process_is_found(environment, path):
    assert loaded_profile(environment) == path


def test_relative_paths_become_absolute(monkeypatch):
    monkeypatch.chdir(PROJECT / 'test')
    assert recommended_environment('../config/fastdds.xml', environment={}) == BOTH


def test_a_missing_profile_is_an_error(tmp_path):
    with pytest.raises(SegnodeError, match='there is no Fast DDS profile'):
        recommended_environment(tmp_path / 'none.xml', environment={})


# ------------------------------------------------------------------ shared memory

def test_the_segment_holds_several_frames():
    assert SEGMENT >= 8 * FRAME


@pytest.mark.parametrize('text', [None, '<dds>', '<dds><segment_size/></dds>',
                                  '<dds><segment_size>many</segment_size></dds>'])
def test_an_unreadable_profile_is_one_sentence(tmp_path, text):
    path = tmp_path / 'profile.xml'
    if text is not None:
        path.write_text(text)
    with pytest.raises(SegnodeError, match='cannot read the Fast DDS profile'):
        segment_size(path)
    warning = str(check_shared_memory(path))
    assert warning.startswith('cannot read the Fast DDS profile') and '\n' not in warning


def test_a_users_profile_need_not_set_a_segment(tmp_path):
    path = tmp_path / 'profile.xml'
    path.write_text('<dds/>')
    assert segment_size(path) is None
    assert check_shared_memory(path) is None


def test_warning_when_the_segment_does_not_fit(tmp_path):
    warning = str(check_shared_memory(profile_with(tmp_path, 1 << 50)))
    assert '/dev/shm has' in warning and '1140850688 MB' in warning
    assert '--ipc=host' in warning and '--shm-size' in warning
    assert check_shared_memory(profile_with(tmp_path, 1 << 10)) is None
    assert 'is not there' in str(check_shared_memory(PROFILE, tmp_path / 'none'))


def test_the_bookkeeping_counts_too(tmp_path):
    stat = os.statvfs(tmp_path)
    free = stat.f_bavail * stat.f_frsize
    assert 'will get lost' in str(check_shared_memory(profile_with(tmp_path, free), tmp_path))


# ------------------------------------------------------------------ reliability

def endpoint(reliability):
    return SimpleNamespace(qos_profile=SimpleNamespace(reliability=reliability))


@pytest.mark.parametrize('offers, expected', [
    ([], 'best_effort'), (['RELIABLE'], 'reliable'), (['reliable', 'RELIABLE'], 'reliable'),
    (['RELIABLE', 'BEST_EFFORT'], 'best_effort'), (['BEST_EFFORT'], 'best_effort'),
    (['UNKNOWN'], 'best_effort'), (['SYSTEM_DEFAULT', 'RELIABLE'], 'best_effort')])
def test_decide_reliability(offers, expected):
    assert decide_reliability(endpoint(offer) for offer in offers) == expected
    rclpy_qos = pytest.importorskip('rclpy.qos')
    policies = [rclpy_qos.ReliabilityPolicy[offer.upper()] for offer in offers]
    assert decide_reliability([endpoint(policy) for policy in policies]) == expected


# ------------------------------------------------------------------ the profile itself

def test_profile_has_what_every_fast_dds_reads():
    """Names and nesting that the parsers of Fast DDS 2.6, 2.14 and 3.2 have in common."""
    space = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'
    root = ElementTree.parse(PROFILE).getroot()
    for element in root.iter():
        element.tag = element.tag.replace(space, '')
    assert root.tag == 'dds'
    descriptors = root.findall('profiles/transport_descriptors/transport_descriptor')
    kinds = {descriptor.findtext('type'): descriptor.findtext('transport_id', '')
             for descriptor in descriptors}
    assert set(kinds) == {'SHM', 'UDPv4'}
    (participant,) = root.findall('profiles/participant')
    assert participant.get('is_default_profile') == 'true'
    used = [element.text for element in participant.findall('rtps/userTransports/transport_id')]
    assert used == [kinds['SHM'], kinds['UDPv4']]
    assert participant.findtext('rtps/useBuiltinTransports') == 'false'
    # 2.6 refuses any element that it does not know.
    for descriptor in descriptors:
        assert {element.tag for element in descriptor} <= {
            'transport_id', 'type', 'segment_size', 'port_queue_capacity',
            'healthy_check_timeout_ms', 'maxInitialPeersRange'}


def test_fast_dds_loads_the_profile():
    pytest.importorskip('rclpy')
    program = textwrap.dedent("""
        import pathlib, re
        import rclpy
        rclpy.init()
        node = rclpy.create_node('transport_test')
        maps = pathlib.Path('/proc/self/maps').read_text()
        sizes = [int(end, 16) - int(start, 16) for start, end in re.findall(
            r'^([0-9a-f]+)-([0-9a-f]+) .* /dev/shm/fast(?:rtps|dds)_[0-9a-f]+$', maps, re.M)]
        print(max(sizes))
        node.destroy_node()
        rclpy.shutdown()
    """)
    for discovery in ('LOCALHOST', 'SUBNET'):
        environment = clean_environment(
            ROS_DOMAIN_ID=os.environ['ROS_DOMAIN_ID'], ROS_AUTOMATIC_DISCOVERY_RANGE=discovery,
            RMW_IMPLEMENTATION='rmw_fastrtps_cpp')
        environment.setdefault('AMENT_PREFIX_PATH', sys.prefix)
        environment.update(recommended_environment(PROFILE, environment={}))
        result = subprocess.run([sys.executable, '-c', program], env=environment, timeout=120,
                                capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        size = int(result.stdout.split()[-1])
        # Mapped whole, and with no more bookkeeping than check_shared_memory expects.
        assert SEGMENT < size <= SEGMENT * 17 // 16
        assert 'rror' not in result.stderr


# ------------------------------------------------------------------ config/transport.sh

def source(shell, script=SCRIPT, options='', folder='/', **environment):
    """Source the script; return exit code, variables of Fast DDS and what it said."""
    command = f'. {script}; echo "status $?"; env'
    result = subprocess.run(
        [shell, *options.split(), '-c', command], env=clean_environment(**environment),
        capture_output=True, text=True, cwd=folder, timeout=120)
    found = dict(re.findall(r'^(FAST\w+)=(.*)$', result.stdout, re.M))
    status = re.search(r'^status (\d)$', result.stdout, re.M)
    return int(status.group(1)) if status else result.returncode, found, result.stderr


@pytest.mark.parametrize('shell', SHELLS)
@pytest.mark.parametrize('options', ['', '-e', '-u', '-eu'])
def test_script_sets_the_profile(shell, options):
    assert source(shell, options=options)[:2] == (0, BOTH)


@pytest.mark.parametrize('shell', SHELLS)
def test_script_works_from_anywhere(shell, tmp_path):
    assert source(shell, script='./transport.sh', folder=SCRIPT.parent)[:2] == (0, BOTH)
    assert source(shell, script='../config/transport.sh', folder=PROJECT / 'test')[:2] == (0, BOTH)
    odd = tmp_path / 'a folder'
    shutil.copytree(SCRIPT.parent, odd, ignore=shutil.ignore_patterns('training'))
    status, found, _ = source(shell, script='"./a folder/transport.sh"', folder=tmp_path)
    assert status == 0 and set(found.values()) == {str((odd / 'fastdds.xml').resolve())}


@pytest.mark.parametrize('shell', SHELLS)
@pytest.mark.parametrize('distribution, names', [
    ('humble', ['FASTRTPS_DEFAULT_PROFILES_FILE']), ('jazzy', ['FASTRTPS_DEFAULT_PROFILES_FILE']),
    ('kilted', ['FASTDDS_DEFAULT_PROFILES_FILE'])])
def test_script_and_python_agree_on_the_variable(shell, distribution, names):
    status, found, _ = source(shell, ROS_DISTRO=distribution)
    assert status == 0 and sorted(found) == names
    assert found == recommended_environment(PROFILE, environment={'ROS_DISTRO': distribution})


@pytest.mark.parametrize('shell', SHELLS)
@pytest.mark.parametrize('settings', [
    {'FASTRTPS_DEFAULT_PROFILES_FILE': '/mine.xml'},
    {'FASTDDS_DEFAULT_PROFILES_FILE': '/mine.xml'},
    {'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'},
    {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'},
    {'ROS_LOCALHOST_ONLY': '1', 'ROS_DISTRO': 'humble'}])
def test_script_keeps_the_users_setting(shell, settings):
    status, found, said = source(shell, **settings)
    assert status == 0
    assert found == {name: value for name, value in settings.items() if name.startswith('FAST')}
    assert said.startswith('segnode: ') and len(said.splitlines()) == 1
    assert own_setting(settings) is not None


@pytest.mark.parametrize('shell', SHELLS)
def test_script_warns_of_little_shared_memory(shell, tmp_path):
    path = profile_with(tmp_path, 1 << 50)
    status, found, said = source(shell, SEGNODE_FASTDDS_PROFILE=str(path))
    assert status == 0 and set(found.values()) == {str(path)}
    assert '/dev/shm has' in said and '1140850688 MB' in said and '--shm-size' in said
    small = profile_with(tmp_path, 1 << 10)
    assert source(shell, SEGNODE_FASTDDS_PROFILE=str(small))[2] == ''


@pytest.mark.parametrize('shell', SHELLS)
def test_script_without_a_profile_says_so(shell, tmp_path):
    lonely = tmp_path / 'transport.sh'
    shutil.copy(SCRIPT, lonely)
    status, found, said = source(shell, script=lonely)
    assert status == 1 and found == {}
    assert said.startswith('error: fastdds.xml was not found')


@pytest.mark.parametrize('shell', SHELLS)
def test_script_leaves_nothing_else_behind(shell):
    command = f'. {SCRIPT}; set; command -v _segnode_transport; command -v _segnode_profile'
    result = subprocess.run([shell], input=command, env=clean_environment(), timeout=120,
                            capture_output=True, text=True, cwd='/')
    assert '_segnode' not in result.stdout and result.stderr == ''
    assert f"FASTDDS_DEFAULT_PROFILES_FILE='{PROFILE}'" in result.stdout.replace(
        f'={PROFILE}', f"='{PROFILE}'")


# ------------------------------------------------------------------ the benchmark

def benchmark(*arguments):
    result = subprocess.run(
        [sys.executable, str(PROJECT / 'benchmark' / 'transport.py'), '--json', '-', *arguments],
        capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)['rows']


def test_benchmark_of_small_frames():
    pytest.importorskip('rclpy')
    # A subscriber that is discovered late has missed the first ones.
    for _ in range(4):
        row, = benchmark('--frames', '10', '--rate', '30', '--height', '48', '--width', '64',
                         '--profile', 'both', '--reliability', 'reliable')
        assert row['error'] is None
        assert 0 < row['received'] <= row['frames'] == 10
        assert 0 < row['median_ms'] <= row['p95_ms']
        if row['received'] == 10:
            break
    assert row['received'] == 10


@pytest.mark.slow
@pytest.mark.parametrize('profile, reliability', [('neither', 'reliable'),
                                                  ('both', 'best_effort')])
def test_no_frame_is_lost(profile, reliability):
    """Every frame arrives; a machine that is busy with other things gets time and three tries."""
    pytest.importorskip('rclpy')
    tries: list[int] = []
    while len(tries) < 3 and 60 not in tries:
        row, = benchmark('--profile', profile, '--reliability', reliability, '--rate', '7.5')
        assert row['error'] is None
        tries.append(row['received'])
    assert max(tries) == 60, tries

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""
How camera frames get from one process to another without loss (Fast DDS, rmw_fastrtps).

With its defaults Fast DDS keeps 512 KiB of shared memory per process, and a best-effort image
larger than that is lost more often than not. Two remedies live here: the profile
config/fastdds.xml, which gives a process room for several frames, and asking for reliable
delivery where every publisher offers it. Nothing of ROS is imported.

The segment belongs to the process that PUBLISHES: loading the profile in the receiving process
alone changes nothing (benchmark/transport.py measures it).
"""

from collections.abc import Iterable, Mapping
import os
from pathlib import Path
from typing import Any, Union
from xml.etree import ElementTree

from segnode.errors import SegnodeError

#: The variable that names the default profile file, by generation of Fast DDS: 2.x (Humble, Iron,
#: Jazzy) reads the first one, 3.x (Kilted and later) the second one.
PROFILE_VARIABLES: dict[str, str] = {
    'fastrtps': 'FASTRTPS_DEFAULT_PROFILES_FILE',
    'fastdds': 'FASTDDS_DEFAULT_PROFILES_FILE',
}

_DISTRIBUTIONS_OF_FASTRTPS = ('foxy', 'galactic', 'humble', 'iron', 'jazzy')

#: History depth to subscribe an image topic with, by reliability. A reliable reader with a depth
#: of 1 forgets a frame that is still being repaired as soon as the next one arrives: 45 frames of
#: 60 came through without the profile, and 60 with a depth of 5 or more (benchmark/transport.py
#: --subscriber-depth). "Newest frame wins" belongs behind the subscription, in the mailbox.
SUBSCRIPTION_DEPTH: dict[str, int] = {'reliable': 10, 'best_effort': 5}

_SHARED_MEMORY = '/dev/shm'

PathLike = Union[str, 'os.PathLike[str]']


def recommended_environment(
        profile_path: PathLike,
        generation: str = 'auto',
        environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Return the variables that make a process load the profile.

    They must be set before the process creates its first ROS context.

    Args:
        profile_path: config/fastdds.xml or another profile.
        generation: 'fastrtps' (Fast DDS 2), 'fastdds' (Fast DDS 3), or 'auto': after $ROS_DISTRO,
            both where that does not tell (each generation ignores the other's variable).
        environment: what is set already; default `os.environ`.

    Returns:
        Name -> value; empty where `own_setting` has something to say: the user's settings win.

    Raises:
        SegnodeError: there is no such profile.
        ValueError: no such generation.
    """
    if environment is None:
        environment = os.environ
    if generation != 'auto' and generation not in PROFILE_VARIABLES:
        raise ValueError(f'generation {generation!r} is not one of auto, '
                         f'{", ".join(PROFILE_VARIABLES)}')
    path = Path(profile_path).resolve()
    if not path.is_file():
        raise SegnodeError(f'there is no Fast DDS profile {path}')
    if own_setting(environment) is not None:
        return {}
    generations: tuple[str, ...] = (generation,)
    if generation == 'auto':
        distribution = environment.get('ROS_DISTRO', '')
        generations = tuple(PROFILE_VARIABLES)
        if distribution:
            known = distribution in _DISTRIBUTIONS_OF_FASTRTPS
            generations = ('fastrtps',) if known else ('fastdds',)
    return {PROFILE_VARIABLES[name]: str(path) for name in generations}


def loaded_profile(environment: Mapping[str, str] | None = None) -> str | None:
    """Return the path of the profile that a process with this environment loads, or None."""
    if environment is None:
        environment = os.environ
    return next((path for name in PROFILE_VARIABLES.values() if (path := environment.get(name))),
                None)


def own_setting(environment: Mapping[str, str] | None = None) -> str | None:
    """
    Return why the profile must not be set, in one sentence, or None.

    The user's own profile or choice of transports wins, another middleware reads no profile of
    Fast DDS, and on Humble the profile's UDP transport would leave the machine although
    ROS_LOCALHOST_ONLY forbids it (newer distributions limit discovery another way).
    """
    if environment is None:
        environment = os.environ
    for name in (*PROFILE_VARIABLES.values(), 'FASTDDS_BUILTIN_TRANSPORTS'):
        if environment.get(name):
            return f'{name} is set already and stays as it is.'
    middleware = environment.get('RMW_IMPLEMENTATION', '')
    if middleware and 'fastrtps' not in middleware:
        return f'RMW_IMPLEMENTATION is {middleware}, which reads no Fast DDS profile.'
    if environment.get('ROS_LOCALHOST_ONLY') == '1' and environment.get('ROS_DISTRO') == 'humble':
        return ('ROS_LOCALHOST_ONLY is 1, and on Humble the Fast DDS profile would open the '
                'network again.')
    return None


def segment_size(profile_path: PathLike) -> int | None:
    """
    Return the bytes of shared memory that each process loading the profile asks for.

    None where the profile says nothing about it (a user's own profile need not).

    Raises:
        SegnodeError: the file is missing or is no XML.
    """
    try:
        root = ElementTree.parse(os.fspath(profile_path)).getroot()
        sizes = [int(element.text or '') for element in root.iter()
                 if element.tag.rsplit('}', 1)[-1] == 'segment_size']
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise SegnodeError(f'cannot read the Fast DDS profile {profile_path}: {error}') from error
    return max(sizes, default=None)


def check_shared_memory(profile_path: PathLike, mount: PathLike = _SHARED_MEMORY) -> str | None:
    """
    Return a warning when the profile's segment does not fit into shared memory, else None.

    Fast DDS then goes on without shared memory, and large best-effort frames get lost. A profile
    that cannot be read gives a warning too, never an exception: it may be the user's own.
    """
    try:
        size = segment_size(profile_path)
    except SegnodeError as error:
        return f'{error}.'
    if size is None:
        return None
    needed = size + size // 16  # Fast DDS adds 48 bytes of bookkeeping for each KiB
    try:
        stat = os.statvfs(mount)
    except OSError:
        return f'{mount} is not there, so Fast DDS has no shared memory and loses large frames.'
    free, total = stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize
    if free >= needed:
        return None
    return (f'{mount} has {free >> 20} of {total >> 20} MB free, but the shared-memory segment of '
            f'each ROS process takes {needed >> 20} MB, so large frames will get lost: start the '
            'container with --ipc=host or a larger --shm-size, or make room there.')


def decide_reliability(publishers: Iterable[Any]) -> str:
    """
    Return how to subscribe: 'reliable' when every publisher offers it, else 'best_effort'.

    A reliable subscription gets nothing from a best-effort publisher, so one such publisher (or
    one whose offer is unknown, or none at all) is enough for best effort, which every publisher
    serves.

    Args:
        publishers: what `Node.get_publishers_info_by_topic` returns.
    """
    offers = [_reliability_name(publisher) for publisher in publishers]
    return 'reliable' if offers and all(name == 'RELIABLE' for name in offers) else 'best_effort'


def _reliability_name(publisher: Any) -> str:
    """Return the name of the policy that an endpoint offers (an enumeration in rclpy)."""
    policy = publisher.qos_profile.reliability
    return str(getattr(policy, 'name', policy)).upper()

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A ROS domain of one's own on this machine, so that a demo or a test run meets no other.

Needs no rclpy: the domain is claimed before anything of ROS starts.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import fcntl
import os
from pathlib import Path
import stat
import sys
import tempfile

from segnode.errors import SegnodeError

# Domain ids whose ports stay below Linux' ephemeral range are 0 to 101
# (ROS 2 documentation, "The ROS_DOMAIN_ID"); the low ones are what people choose by hand.
DOMAIN_IDS = range(30, 102)


@contextlib.contextmanager
def claimed_domain() -> Iterator[int]:
    """Yield a domain id that no other user of this function on this machine holds meanwhile.

    Raises:
        SegnodeError: all of them are taken, or somebody else has laid hands on them.
    """
    folder = Path(tempfile.gettempdir()) / f'segnode_domains_{os.getuid()}'
    folder.mkdir(mode=0o700, exist_ok=True)
    # Anybody may make a folder of this name there, with links to other files in it.
    if not stat.S_ISDIR(folder.lstat().st_mode) or folder.lstat().st_uid != os.getuid():
        raise SegnodeError(f'{folder} is not a folder of this user: delete it, or set TMPDIR')
    start = os.getpid() % len(DOMAIN_IDS)
    for domain_id in [*DOMAIN_IDS[start:], *DOMAIN_IDS[:start]]:
        with open(folder / str(domain_id), 'a') as lock:
            try:
                # The kernel lets go of the lock when this process ends, however it ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield domain_id
            return
    raise SegnodeError('every ROS domain id that this program may use is taken: '
                       'stop another demo or test run')


def local_environment(domain_id: int) -> dict[str, str]:
    """Environment variables that keep ROS 2 on this machine, in the given domain.

    AMENT_PREFIX_PATH is where rclpy looks its own resources up; where ROS 2 comes as wheels that
    is the virtual environment itself.
    """
    # Humble knows only the older of the two switches; later ones warn about it.
    humble = os.environ.get('ROS_DISTRO') == 'humble'
    return {
        'ROS_DOMAIN_ID': str(domain_id),
        **({'ROS_LOCALHOST_ONLY': '1'} if humble
           else {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}),
        'AMENT_PREFIX_PATH': os.environ.get('AMENT_PREFIX_PATH') or sys.prefix,
    }

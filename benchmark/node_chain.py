# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Camera, node and listener, each a process of its own over real DDS."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
import sys
import time
from typing import Any

from benchmark.node_trial import Trial
from benchmark.peers import environment, node_command, Peer, peer, PROFILE, ROOT, started
from benchmark.soak import sample
from segnode.errors import SegnodeError

START_TIMEOUT = 180.0  # s for the node to be active; an engine may have to be built first
WARM_UP = (10.0, 10)  # Hz and number of the first images, which are not counted
WARM_UP_LIMIT = 30.0  # s for their masks
SILENCE = 0.5  # s without a mask after which the rest of a trial's are lost ...
SILENCE_FRAMES = 3  # ... or so many of its periods, where these are longer
BOOKS_TIMEOUT = 5.0  # s; diagnostics come once a second


@dataclass(frozen=True)
class Setup:
    """What is measured.

    Args:
        images: .npy file of the camera's images, uint8 (N, H, W, 3) BGR.
        parameters: of the node.
        reliability: that the camera offers.
        module: that runs the node.
    """

    images: Path
    parameters: dict[str, Any]
    reliability: str = 'reliable'
    module: str = 'segnode.ros.segment_node'


class Chain(contextlib.AbstractContextManager['Chain']):
    """The three processes of one setup, from the first mask on."""

    def __init__(self, setup: Setup, domain: int) -> None:
        """Start them and wait until masks come.

        Raises:
            SegnodeError: none do.
        """
        with contextlib.ExitStack() as stack:
            variables = environment(domain, PROFILE)
            self._camera: Peer = stack.enter_context(peer(
                'benchmark.node_ends', 'camera', setup.images, setup.reliability,
                variables=variables))
            self._listener: Peer = stack.enter_context(peer(
                'benchmark.node_ends', 'listener', variables=variables))
            self._node = stack.enter_context(started(
                node_command('--log-level', 'warn', module=setup.module, **setup.parameters),
                variables, cwd=ROOT, stdout=sys.stderr))
            self._wait_for_masks()
            self._stack = stack.pop_all()

    def __exit__(self, *exception: object) -> None:
        """End them."""
        self._stack.close()

    def trial(self, rate: float, seconds: float, *, books: bool = False) -> Trial:
        """Send images at a rate for so long and wait for their masks.

        Args:
            rate: in Hz.
            seconds: at least two images are sent, however short.
            books: ask the node, too, what it has counted, which takes up to a second.
        """
        before = self._books() if books else {}
        self._listener.ask('clear')
        frames = max(2, round(rate * seconds))
        begun, used = time.monotonic(), self._cpu_seconds()
        sent = self._camera.ask('play', 60.0 + 10.0 * frames / rate, rate=rate, frames=frames)
        silence = max(SILENCE, SILENCE_FRAMES / rate)
        came = self._listener.ask('collect', expected=frames, silence=silence, limit=30.0)
        cpu, watched = self._cpu_seconds() - used, time.monotonic() - begun
        after = self._books() if books else {}
        return Trial(
            rate, sent['sent'], [(stamp, at) for stamp, at in came['masks']],
            came['receipt_ms'], cpu, watched,
            {name: count - before.get(name, 0) for name, count in after.items()})

    @property
    def megabytes(self) -> float:
        """Return the memory that the node's process holds."""
        return sample(self._node.pid, 0.0).megabytes

    def _cpu_seconds(self) -> float:
        # Linux' clock of all threads of another process (clock_getcpuclockid(3), which Python
        # lacks); /proc counts in hundredths of a second.
        return time.clock_gettime(~self._node.pid << 3 | 2)

    def _books(self) -> dict[str, int]:
        found = self._listener.ask('books', timeout=BOOKS_TIMEOUT)['books']
        if not found:
            raise SegnodeError('the node wrote no diagnostics')
        return dict(found)

    def _wait_for_masks(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        for end in (self._camera, self._listener):
            while not end.ask('matched', timeout=1.0)['matched']:
                if self._node.poll() is not None or time.monotonic() > deadline:
                    raise SegnodeError('the node did not become active; see its output above')
        # Matched is not yet matched on the other side: until the first mask, images are lost.
        rate, frames = WARM_UP
        deadline = time.monotonic() + WARM_UP_LIMIT
        while not self.trial(rate, frames / rate).arrived:
            if self._node.poll() is not None or time.monotonic() > deadline:
                raise SegnodeError(
                    f'the node gave no mask within {WARM_UP_LIMIT:.0f} s; see its output above')

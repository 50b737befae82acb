# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What stands at the two ends of the node under test: a camera, and a subscriber of its masks.

    python -m benchmark.node_ends camera images.npy reliable
    python -m benchmark.node_ends listener

Both are peers (see ``benchmark.peers``), processes of their own as on a vehicle. Both spare
themselves work that is not the node's: the camera holds its images serialised and only stamps
them, the listener takes masks serialised and only reads their stamps.
"""

from __future__ import annotations

from collections.abc import Callable
import sys
import threading
import time
from typing import Any

import numpy as np

from benchmark.image_cdr import read_stamp, STAMP, stamp_bytes
from benchmark.peers import answer_commands
from benchmark.spinning import Spinner

CAMERA_DEPTH, LISTENER_DEPTH = 10, 10
MATCH_TIMEOUT = 20.0  # s for two processes to discover each other


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait; return False when the condition does not hold within `timeout` s."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Camera:
    """Publishes serialised images at a rate, each with the time of its publication as stamp."""

    def __init__(self, images: str, reliability: str) -> None:
        """Serialise the images and create the publisher.

        Args:
            images: path of a .npy file, uint8 (N, H, W, 3) BGR.
            reliability: of ``segnode.ros.qos.RELIABILITIES``.
        """
        import rclpy
        from rclpy.qos import QoSProfile
        from rclpy.serialization import serialize_message
        from sensor_msgs.msg import Image

        from segnode.ros.image_codec import fill_image
        from segnode.ros.qos import RELIABILITIES
        self._images = []
        for image in np.load(images, allow_pickle=False):
            message = fill_image(Image(), image, 'bgr8')
            message.header.frame_id = 'camera'
            cdr = serialize_message(message)
            self._images.append((cdr[:STAMP.start], cdr[STAMP.stop:]))
        self._node = rclpy.create_node('benchmark_camera')
        self._publisher = self._node.create_publisher(Image, 'image', QoSProfile(
            depth=CAMERA_DEPTH, reliability=RELIABILITIES[reliability]))

    def matched(self, timeout: float) -> dict[str, Any]:
        """Wait for a subscriber."""
        return {'matched': wait_until(
            lambda: bool(self._publisher.get_subscription_count()), timeout)}

    def play(self, rate: float, frames: int) -> dict[str, Any]:
        """Publish so many frames; return the stamps, in ns.

        A frame whose time has passed goes out at once: what the camera cannot keep up with shows
        as a lower rate of its stamps.
        """
        stamps = []
        begun = time.monotonic()
        for index in range(frames):
            time.sleep(max(0.0, begun + index / rate - time.monotonic()))
            before, after = self._images[index % len(self._images)]
            stamps.append(time.time_ns())
            self._publisher.publish(before + stamp_bytes(stamps[-1]) + after)
        return {'sent': stamps}


class Listener:
    """Notes when masks come, and what the node tells of itself."""

    def __init__(self) -> None:
        """Subscribe, and spin in a thread."""
        from diagnostic_msgs.msg import DiagnosticArray
        import rclpy
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import Image
        from std_msgs.msg import Float32
        self._lock = threading.Lock()
        self._masks: list[tuple[int, int]] = []
        self._receipts: list[float] = []
        self._books: dict[str, int] = {}
        self._reported = 0  # ns, stamp of the newest report
        node = rclpy.create_node('benchmark_listener')
        profile = QoSProfile(depth=LISTENER_DEPTH)
        node.create_subscription(Image, 'segmentation/labels', self._mask, profile, raw=True)
        node.create_subscription(
            Float32, 'segmentation/latency/transport', self._receipt, profile)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnostics, profile)
        self._node = node
        self._spinner = Spinner(node)
        self._spinner.start()

    def matched(self, timeout: float) -> dict[str, Any]:
        """Wait for the node's publishers."""
        return {'matched': wait_until(
            lambda: bool(self._node.count_publishers('segmentation/labels')), timeout)}

    def clear(self) -> dict[str, Any]:
        """Forget the masks."""
        with self._lock:
            self._masks, self._receipts = [], []
        return {}

    def collect(self, expected: int, silence: float, limit: float) -> dict[str, Any]:
        """Return what has come since clear(), once nothing more is to be waited for.

        Args:
            expected: as many masks are all that can come.
            silence: s without a mask after which none is waited for.
            limit: s after which none is waited for in any case.

        Returns:
            masks: (stamp, arrival) of each, in ns; receipt_ms: as the node tells it, of the
            frames that it segmented.
        """
        deadline = time.monotonic() + limit
        seen, since = -1, time.monotonic()
        while (now := time.monotonic()) < deadline:
            count = len(self._masks)
            if count != seen:
                seen, since = count, now
            # The node tells of a frame after its mask.
            done = count >= expected and len(self._receipts) >= count
            if done or now - since > silence:
                break
            time.sleep(0.005)
        with self._lock:
            return {'masks': list(self._masks), 'receipt_ms': list(self._receipts)}

    def books(self, timeout: float) -> dict[str, Any]:
        """Return the node's own counts since it became active, as they stand after this call."""
        now = time.time_ns()
        come = wait_until(lambda: self._reported > now, timeout)
        return {'books': dict(self._books) if come else {}}

    def close(self) -> None:
        """End the thread."""
        self._spinner.close()

    def _mask(self, cdr: bytes) -> None:
        now = time.time_ns()
        with self._lock:
            self._masks.append((read_stamp(cdr), now))

    def _receipt(self, message: Any) -> None:
        with self._lock:
            self._receipts.append(message.data)

    def _diagnostics(self, message: Any) -> None:
        self._books = {
            pair.key: int(pair.value) for status in message.status for pair in status.values
            if pair.key.startswith(('frames ', 'dropped: '))}
        stamp = message.header.stamp
        self._reported = stamp.sec * 1_000_000_000 + stamp.nanosec


def main() -> None:
    """Be one of the two until standard input ends."""
    import rclpy
    role, *arguments = sys.argv[1:]
    rclpy.init()
    if role == 'camera':
        camera = Camera(*arguments)
        answer_commands({'matched': camera.matched, 'play': camera.play})
    else:
        listener = Listener()
        answer_commands({'matched': listener.matched, 'clear': listener.clear,
                         'collect': listener.collect, 'books': listener.books})
        listener.close()
    rclpy.shutdown()


if __name__ == '__main__':
    main()

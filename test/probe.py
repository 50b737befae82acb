# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What tests need to talk to a node in another process: publishers, collectors, services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from segnode.ros.image_codec import fill_image

# Seconds for an answer of a process that may only just have been started, on a busy machine.
START = 120.0
# Seconds after which a frame without an answer is followed by another one.
RESEND = 2.0
# Seconds within which a node that says goodbye is gone for its peers. One that does not stays, for
# the 20 s of its lease (Fast DDS, DiscoverySettings::leaseDuration).
GOODBYE = 15.0
# Requests that change nothing, for services whose other requests may not be sent a second time.
HARMLESS: dict[type, Callable[[], Any]] = {
    ChangeState: lambda: ChangeState.Request(transition=Transition(label='none such')),
    SetParameters: SetParameters.Request,
    SetParametersAtomically: SetParametersAtomically.Request,
}
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4
SHUTDOWNS = {'unconfigured': 5, 'inactive': 6, 'active': 7}


def until(condition: Callable[[], Any], timeout: float = 60.0, what: str = '') -> Any:
    """Wait for a true value and return it; fail after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'not within {timeout} s: {what or condition}')
        time.sleep(0.02)


class Collector:
    """Keeps what comes on one topic."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def __len__(self) -> int:
        return len(self.messages)

    def by_stamp(self) -> dict[tuple[int, int], Any]:
        """Return the messages by header stamp."""
        return {stamp_of(message): message for message in list(self.messages)}

    def answer_to(self, sent: Any, timeout: float = 60.0) -> Any:
        """Wait for the message with the header stamp of `sent` and return it.

        For frames after a first answer only (Probe.exchange): before, any one may get lost.
        """
        key = stamp_of(sent)
        return until(lambda: self.by_stamp().get(key), timeout, 'the mask of an image')

    def wait(self, count: int, timeout: float = 60.0) -> list[Any]:
        """Wait until so many messages came."""
        until(lambda: len(self.messages) >= count, timeout, f'{count} messages')
        return list(self.messages)

    def settle(self, seconds: float = 0.5) -> int:
        """Wait until nothing more comes for so long; return how many came in all."""
        count = -1
        while count != len(self.messages):
            count = len(self.messages)
            time.sleep(seconds)
        return count


class Probe:
    """A node of the test process, spinning in its own thread."""

    def __init__(self, context: rclpy.Context) -> None:
        self.node = rclpy.create_node('probe', context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._clients: dict[tuple[type, str], Any] = {}
        self._stop = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self._count = 0

    def _spin(self) -> None:
        while not self._stop:
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        """End the thread and the node."""
        self._stop = True
        self._thread.join(60.0)
        self.node.destroy_node()

    def publisher(self, topic: str = 'image', *, reliable: bool = True, kind: type = Image) -> Any:
        """Return a publisher."""
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        return self.node.create_publisher(kind, topic, QoSProfile(
            depth=5, reliability=reliability))

    @contextlib.contextmanager
    def collect(self, topic: str, kind: type = Image) -> Iterator[Collector]:
        """Collect the messages of a topic while in the block.

        The publisher may match later than this side does, which nobody here can see: the first
        messages may be missed, so tests that count them begin with an exchange().
        """
        collector = Collector()
        subscription = self.node.create_subscription(
            kind, topic, collector.messages.append, QoSProfile(depth=50))
        until(lambda: self.node.count_publishers(topic) > 0, what=f'a publisher of {topic}')
        time.sleep(0.2)  # mostly enough for the publisher's side, and saves the first RESEND
        try:
            yield collector
        finally:
            self.node.destroy_subscription(subscription)

    def header(self) -> Header:
        """Return a header whose stamp is now and unique."""
        self._count += 1
        return Header(
            stamp=self.node.get_clock().now().to_msg(), frame_id=f'camera_{self._count}')

    def image(self, array: np.ndarray, encoding: str = 'bgr8') -> Image:
        """Return an image message."""
        return fill_image(Image(header=self.header()), array, encoding)

    def send(self, publisher: Any, array: np.ndarray) -> Image:
        """Publish an image and return the message."""
        msg = self.image(array)
        publisher.publish(msg)
        return msg

    def exchange(self, publisher: Any, make: Callable[[], Any], *collectors: Collector,
                 timeout: float = START) -> list[Any]:
        """Publish a message, and another every RESEND s, until one is answered everywhere.

        Args:
            publisher: of the messages.
            make: returns a message with a stamp of its own.
            collectors: each must get a message with the same stamp.
            timeout: seconds for all of it.

        Returns:
            The message that was answered, and what each collector got for it.
        """
        sent = {}
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            msg = make()
            sent[stamp_of(msg)] = msg
            publisher.publish(msg)
            again = time.monotonic() + RESEND
            while time.monotonic() < again:
                answers = [collector.by_stamp() for collector in collectors]
                for stamp, msg in sent.items():
                    if all(stamp in answer for answer in answers):
                        return [msg, *(answer[stamp] for answer in answers)]
                time.sleep(0.02)
        raise AssertionError(f'no answer to any of {len(sent)} messages within {timeout} s')

    def send_and_wait(self, publisher: Any, array: np.ndarray,
                      *collectors: Collector) -> list[Any]:
        """Exchange an image; return its message, and what each collector got for it."""
        return self.exchange(publisher, lambda: self.image(array), *collectors)

    def client(self, kind: type, name: str, timeout: float = START) -> Any:
        """Return the client of a service that is there, and whose answers come.

        An answer that the server sends before its writer has discovered this client's reader is
        lost; on a busy machine that happens to the first request of a new client, or to a new
        server. So a client is kept, and given a moment at first; a service whose requests may not
        be sent again is asked for something harmless until it answers.
        """
        deadline = time.monotonic() + timeout
        client = self._clients.get((kind, name))
        if client is None:
            client = self._clients[kind, name] = self.node.create_client(kind, name)
            assert client.wait_for_service(timeout), f'no service {name} within {timeout} s'
            time.sleep(0.2)
        if kind in HARMLESS:
            self._ask(client, HARMLESS[kind](), deadline, repeat=True)
        return client

    def call(self, kind: type, name: str, request: Any, timeout: float = START) -> Any:
        """Call a service and return its response; what is not HARMLESS may be sent repeatedly."""
        deadline = time.monotonic() + timeout
        client = self.client(kind, name, timeout)
        return self._ask(client, request, deadline, repeat=kind not in HARMLESS)

    @staticmethod
    def _ask(client: Any, request: Any, deadline: float, *, repeat: bool) -> Any:
        while True:
            left = max(0.0, deadline - time.monotonic())
            assert client.wait_for_service(left), f'no service {client.srv_name}'
            future = client.call_async(request)
            left = max(0.0, deadline - time.monotonic())
            try:
                until(future.done, min(left, RESEND) if repeat else left,
                      f'an answer of {client.srv_name}')
                return future.result()
            except AssertionError:
                client.remove_pending_request(future)
                if not repeat or time.monotonic() >= deadline:
                    raise

    def state(self, node: str = '/segment', timeout: float = START) -> str:
        """Return the lifecycle state."""
        response = self.call(GetState, f'{node}/get_state', GetState.Request(), timeout)
        return str(response.current_state.label)

    def change(self, transition: int, node: str = '/segment', timeout: float = START) -> bool:
        """Ask for a transition; return whether it succeeded."""
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self.call(ChangeState, f'{node}/change_state', request, timeout).success)

    def until_state(self, label: str, timeout: float = START) -> None:
        """Wait for a lifecycle state, `timeout` s in all."""
        end = time.monotonic() + timeout
        until(lambda: self.state(timeout=end - time.monotonic()) == label, timeout,
              f'state {label}')

    def set_parameter(self, name: str, value: Any) -> tuple[bool, str]:
        """Set a parameter of the node; return success and reason."""
        request = SetParameters.Request()
        request.parameters = [rclpy.parameter.Parameter(name, value=value).to_parameter_msg()]
        result = self.call(SetParameters, '/segment/set_parameters', request).results[0]
        return bool(result.successful), str(result.reason)

    def get_parameter(self, name: str, timeout: float = START) -> Any:
        """Return the value of a parameter of the node."""
        response = self.call(
            GetParameters, '/segment/get_parameters', GetParameters.Request(names=[name]), timeout)
        return value_of(response.values[0])

    def parameters(self) -> dict[str, Any]:
        """Return the descriptors of all parameters of the node, by name."""
        names = self.call(
            ListParameters, '/segment/list_parameters', ListParameters.Request()).result.names
        found = self.call(DescribeParameters, '/segment/describe_parameters',
                          DescribeParameters.Request(names=names)).descriptors
        return {descriptor.name: descriptor for descriptor in found}


def stamp_of(message: Any) -> tuple[int, int]:
    """Return seconds and nanoseconds of the header."""
    return message.header.stamp.sec, message.header.stamp.nanosec


def value_of(value: ParameterValue) -> Any:
    """Return the Python value of a parameter message."""
    return {
        ParameterType.PARAMETER_BOOL: value.bool_value,
        ParameterType.PARAMETER_INTEGER: value.integer_value,
        ParameterType.PARAMETER_DOUBLE: value.double_value,
        ParameterType.PARAMETER_STRING: value.string_value,
        ParameterType.PARAMETER_INTEGER_ARRAY: list(value.integer_array_value),
    }[value.type]


def statuses(collector: Collector) -> list[DiagnosticStatus]:
    """Return the node's statuses in what came on /diagnostics."""
    found: list[DiagnosticStatus] = []
    for array in list(collector.messages):
        assert isinstance(array, DiagnosticArray)
        found += [status for status in array.status if status.name == '/segment: segmentation']
    return found


def facts(status: DiagnosticStatus) -> dict[str, str]:
    """Return the key-value pairs of a status."""
    return {pair.key: pair.value for pair in status.values}

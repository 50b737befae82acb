# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Transitions one at a time, and none while something else needs the node to stand still."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('rclpy')

from probe import until
from segnode.ros.transitions import Transitions


class Service:
    """In place of the change_state service: its transition ends when it is told to."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.end = threading.Event()
        self.callback: Any = self.change

    def change(self, request: Any, response: Any) -> Any:
        self.running.set()
        assert self.end.wait(60)
        self.running.clear()
        response.success = True
        return response


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def transitions(service: Service) -> Transitions:
    logger = SimpleNamespace(warning=lambda text: None)
    node: Any = SimpleNamespace(_service_change_state=service, get_logger=lambda: logger)
    return Transitions(node)


def ask(service: Service, answers: list[bool]) -> threading.Thread:
    """Ask for a transition in a thread."""
    request = SimpleNamespace(transition=SimpleNamespace(label='activate', id=3))
    thread = threading.Thread(target=lambda: answers.append(
        service.callback(request, SimpleNamespace(success=False)).success))
    thread.start()
    return thread


def test_a_second_one_is_refused_and_nothing_else_begins_meanwhile(
        transitions: Transitions, service: Service) -> None:
    answers: list[bool] = []
    first = ask(service, answers)
    assert service.running.wait(60)
    ask(service, answers).join(60)
    assert answers == [False]
    with transitions.unless_under_way() as still:
        assert not still
    service.end.set()
    first.join(60)
    assert answers == [False, True]
    with transitions.unless_under_way() as still:
        assert still


def test_one_that_comes_meanwhile_waits_and_is_not_refused(
        transitions: Transitions, service: Service) -> None:
    answers: list[bool] = []
    service.end.set()
    with transitions.unless_under_way() as still:
        assert still
        thread = ask(service, answers)
        until(thread.is_alive)
        thread.join(0.2)
        assert thread.is_alive() and not answers
    thread.join(60)
    assert answers == [True]

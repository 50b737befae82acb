# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The one-slot mailbox."""

from __future__ import annotations

import threading
import time

from segnode.ros.frame_mailbox import Mailbox


def test_the_newest_wins_and_put_tells_what_it_cost() -> None:
    """Three put, one taken: the last; two replaced."""
    box: Mailbox[int] = Mailbox()
    assert [box.put(number) for number in (1, 2, 3)] == [False, True, True]
    assert box.take(0) == 3
    assert box.take(0) is None


def test_a_waiting_reader_is_woken() -> None:
    """By an item, and by the end."""
    box: Mailbox[str] = Mailbox()
    threading.Timer(0.05, box.put, ['hello']).start()
    assert box.take(5.0) == 'hello'
    threading.Timer(0.05, box.close).start()
    begun = time.monotonic()
    assert box.take(5.0) is None
    assert time.monotonic() - begun < 2.0


def test_a_closed_box_takes_nothing() -> None:
    """What was in it is gone, what comes is refused."""
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.close()
    assert box.put(2) is False
    assert box.take(0) is None and box.closed


def test_nothing_is_lost_between_threads() -> None:
    """Every item is either taken, or its successor's put() says that it was replaced."""
    box: Mailbox[int] = Mailbox()
    taken: list[int] = []

    def read() -> None:
        while not box.closed:
            item = box.take()
            if item is not None:
                taken.append(item)

    reader = threading.Thread(target=read)
    reader.start()
    replaced = sum(box.put(number) for number in range(20000))
    while taken[-1:] != [19999]:
        time.sleep(0.001)
    box.close()
    reader.join(5)
    assert taken == sorted(taken)
    assert len(taken) + replaced == 20000

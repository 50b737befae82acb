# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The mailbox with one slot for each sender."""

from __future__ import annotations

import threading
import time

from segnode.ros.frame_mailbox import Mailbox


def test_the_newest_wins_and_put_tells_what_it_cost() -> None:
    """Three put, one taken: the last; two replaced."""
    box: Mailbox[str, int] = Mailbox()
    assert [box.put('a', number) for number in (1, 2, 3)] == [False, True, True]
    assert box.take(0) == {'a': 3}
    assert box.take(0) == {}


def test_senders_do_not_replace_each_other() -> None:
    """One take gives the newest of each; one that sends nothing is not waited for."""
    box: Mailbox[str, int] = Mailbox()
    assert [box.put(sender, number) for sender, number in (('a', 1), ('b', 2), ('a', 3))] == [
        False, False, True]
    assert list(box.take(0).items()) == [('a', 3), ('b', 2)]
    box.put('b', 4)
    assert box.take(0) == {'b': 4}


def test_a_waiting_reader_is_woken() -> None:
    """By an item, and by the end."""
    box: Mailbox[str, str] = Mailbox()
    threading.Timer(0.05, box.put, ['a', 'hello']).start()
    assert box.take(60.0) == {'a': 'hello'}
    threading.Timer(0.05, box.close).start()
    begun = time.monotonic()
    assert box.take(60.0) == {}
    assert time.monotonic() - begun < 50.0


def test_a_closed_box_takes_nothing() -> None:
    """What was in it is gone, what comes is refused."""
    box: Mailbox[str, int] = Mailbox()
    box.put('a', 1)
    box.close()
    assert box.put('a', 2) is False
    assert box.take(0) == {} and box.closed


def test_nothing_is_lost_between_threads() -> None:
    """Every item is either taken, or its successor's put() says that it was replaced."""
    box: Mailbox[str, int] = Mailbox()
    taken: list[int] = []

    def read() -> None:
        while not box.closed:
            taken.extend(box.take().values())

    reader = threading.Thread(target=read)
    reader.start()
    replaced = sum(box.put('a', number) for number in range(20000))
    while taken[-1:] != [19999]:
        time.sleep(0.001)
    box.close()
    reader.join(60)
    assert taken == sorted(taken)
    assert len(taken) + replaced == 20000

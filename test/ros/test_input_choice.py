# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Raw or compressed, by what is published; no ROS here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from segnode.ros.input_choice import choose, COMPRESSED, RAW, Source, sources, TRANSPORTS

RAW_SOURCE = Source('/cam', RAW)
COMPRESSED_SOURCE = Source('/cam/compressed', COMPRESSED)


def chosen(transport: str, base: str = '/cam', **published: list[str]) -> Source | None:
    """Return the source, given the types published on '<base>' and on '<base>/compressed'."""
    topics = {base: published.get('here', []), f'{base}/compressed': published.get('beside', [])}
    found = choose(sources(base, transport), lambda topic: [
        SimpleNamespace(topic_type=kind) for kind in topics.get(topic, [])])
    if found is None:
        return None
    source, publishers = found
    assert publishers and all(info.topic_type == source.type_name for info in publishers)
    return source


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_nothing_published_is_nothing_chosen(transport: str) -> None:
    """Publishers of types that are no image count for nothing."""
    assert chosen(transport) is None
    assert chosen(transport, here=['std_msgs/msg/String'], beside=['std_msgs/msg/String']) is None


def test_what_is_asked_for_is_taken() -> None:
    """Whatever else is there."""
    both = {'here': [RAW], 'beside': [COMPRESSED]}
    assert chosen('raw', **both) == RAW_SOURCE
    assert chosen('compressed', **both) == COMPRESSED_SOURCE
    assert chosen('raw', beside=[COMPRESSED]) is None
    assert chosen('compressed', here=[RAW]) is None


def test_auto_prefers_raw_and_takes_what_there_is() -> None:
    """Also where the topic named is itself the compressed one."""
    assert chosen('auto', here=[RAW], beside=[COMPRESSED]) == RAW_SOURCE
    assert chosen('auto', beside=[COMPRESSED]) == COMPRESSED_SOURCE
    assert chosen('auto', here=[COMPRESSED]) == Source('/cam', COMPRESSED)
    assert chosen('auto', here=['std_msgs/msg/String', RAW]) == RAW_SOURCE
    assert chosen('auto', here=['std_msgs/msg/String'], beside=[COMPRESSED]) == COMPRESSED_SOURCE
    name = '/cam/compressed'
    assert chosen('auto', name, here=[COMPRESSED]) == COMPRESSED_SOURCE
    assert len(sources(name, 'auto')) == 2


def test_the_suffix_is_put_once() -> None:
    """`image:=/cam/image_raw/compressed` is taken for what is meant."""
    assert sources('/cam/compressed', 'compressed') == (COMPRESSED_SOURCE,)
    assert sources('/cam', 'compressed') == (COMPRESSED_SOURCE,)
    assert sources('/cam', 'raw') == (RAW_SOURCE,)
    assert RAW_SOURCE.compressed is False and COMPRESSED_SOURCE.compressed is True

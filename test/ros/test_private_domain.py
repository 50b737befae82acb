# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Two demos or test runs at once never share a ROS domain."""

from __future__ import annotations

import os

import pytest

from segnode.errors import SegnodeError
from segnode.ros import private_domain
from segnode.ros.private_domain import claimed_domain, local_environment


def test_two_claims_differ_and_are_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    with claimed_domain() as first, claimed_domain() as second:
        assert first != second
        assert {first, second} <= set(private_domain.DOMAIN_IDS)
    with claimed_domain() as again:
        assert again == first


def test_all_taken(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr(private_domain, 'DOMAIN_IDS', range(50, 52))
    with claimed_domain(), claimed_domain():
        with pytest.raises(SegnodeError, match='every ROS domain id'):
            with claimed_domain():
                pass


def test_a_folder_of_somebody_else_is_not_touched(tmp_path, monkeypatch):
    """In a folder that all may write to, its name is known: links there may lead anywhere."""
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    (tmp_path / 'mine').mkdir()
    folder = tmp_path / f'segnode_domains_{os.getuid()}'
    folder.symlink_to(tmp_path / 'mine')
    with pytest.raises(SegnodeError, match=f'{folder} is not a folder of this user'):
        with claimed_domain():
            pass
    folder.unlink()
    folder.mkdir()
    (tmp_path / 'letter').write_text('not to be lost')
    for domain in private_domain.DOMAIN_IDS:
        (folder / str(domain)).symlink_to(tmp_path / 'letter')
    with claimed_domain():
        assert (tmp_path / 'letter').read_text() == 'not to be lost'


def test_tests_run_in_a_domain_of_their_own_on_this_machine():
    domain = int(os.environ['ROS_DOMAIN_ID'])
    assert domain in range(102)
    assert local_environment(domain).items() <= os.environ.items()


@pytest.mark.parametrize('distribution, name', [
    ('humble', 'ROS_LOCALHOST_ONLY'), ('jazzy', 'ROS_AUTOMATIC_DISCOVERY_RANGE')])
def test_each_distribution_gets_the_switch_that_it_knows(monkeypatch, distribution, name):
    monkeypatch.setenv('ROS_DISTRO', distribution)
    environment = local_environment(7)
    assert environment['ROS_DOMAIN_ID'] == '7'
    assert [key for key in environment if key in ('ROS_LOCALHOST_ONLY',
                                                  'ROS_AUTOMATIC_DISCOVERY_RANGE')] == [name]

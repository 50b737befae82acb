# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Samplers: who sees what."""

import pytest

pytest.importorskip('torch')

from training.sampling import EvalSampler, TrainSampler


def test_training_covers_everything_once_and_differs_by_epoch():
    sampler = TrainSampler(10, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(i for _, i in first) == list(range(10)) == sorted(i for _, i in second)
    assert {e for e, _ in first} == {0} and {e for e, _ in second} == {1}
    assert [i for _, i in first] != [i for _, i in second]


def test_training_processes_get_equal_shares():
    shares = [list(TrainSampler(7, 1, rank, 2)) for rank in range(2)]
    assert [len(s) for s in shares] == [4, 4]
    assert {i for s in shares for _, i in s} == set(range(7))


def test_evaluation_repeats_nothing():
    seen = [i for rank in range(3) for i in EvalSampler(7, rank, 3)]
    assert sorted(seen) == list(range(7))
    assert [len(EvalSampler(7, r, 3)) for r in range(3)] == [3, 2, 2]

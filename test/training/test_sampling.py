# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Samplers: who sees what."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip('torch')

from training.sampling import EvalSampler, generator, Pick, TrainSampler


def test_training_covers_everything_once_and_differs_by_epoch():
    sampler = TrainSampler([10], seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(p.frame for p in first) == list(range(10)) == sorted(p.frame for p in second)
    assert {p.epoch for p in first} == {0} and {p.epoch for p in second} == {1}
    assert [p.frame for p in first] != [p.frame for p in second]
    # The order of the released models' runs, and nothing else is asked of the frames.
    order = np.random.default_rng((1, 0)).permutation(10)
    assert first == [Pick(0, int(frame), 0, None) for frame in order]


def test_training_processes_get_equal_shares():
    shares = [list(TrainSampler([3, 4], 1, rank, 2)) for rank in range(2)]
    assert [len(s) for s in shares] == [4, 4]
    assert {pick.frame for share in shares for pick in share} == set(range(7))


def test_evaluation_repeats_nothing():
    seen = [i for rank in range(3) for i in EvalSampler(7, rank, 3)]
    assert sorted(seen) == list(range(7))
    assert [len(EvalSampler(7, r, 3)) for r in range(3)] == [3, 2, 2]


def test_weights_say_how_often_a_source_is_shown():
    sampler = TrainSampler([4, 10, 3], seed=1, weights=[2.5, 0.5, 1.0])
    epochs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        epochs.append(Counter(pick.frame for pick in sampler))
        assert len(sampler) == sum(epochs[-1].values()) == 10 + 5 + 3
        assert sorted(epochs[-1][i] for i in range(4)) == [2, 2, 3, 3]
        assert max(epochs[-1][i] for i in range(4, 14)) == 1
        assert [epochs[-1][i] for i in range(14, 17)] == [1, 1, 1]
    assert epochs[0] != epochs[1]  # another half


def test_a_frame_shown_again_is_augmented_anew():
    sampler = TrainSampler([3], seed=1, weights=[3.0])
    picks = list(sampler)
    assert sorted((pick.frame, pick.repeat) for pick in picks) == [
        (frame, repeat) for frame in range(3) for repeat in range(3)]
    drawn = {generator(1, pick).random() for pick in picks}
    assert len(drawn) == 9
    # The first showing is drawn from seed, epoch and frame, as ever.
    assert generator(4, Pick(2, 5)).random() == np.random.default_rng((4, 2, 5)).random()
    # What only evens out the processes' shares is no new showing.
    shares = [list(TrainSampler([3], 1, rank, 2)) for rank in range(2)]
    assert {pick.repeat for share in shares for pick in share} == {0}


def test_class_uniform_sampling():
    frames, classes = 200, np.zeros((200, 5), bool)
    classes[:, 0] = True
    classes[:150, 1] = True
    classes[:3, 2] = True  # the rare one; 3 and 4 never occur
    sampler = TrainSampler([frames], 7, class_uniform=0.5, classes=classes)
    epochs = []
    for epoch in range(30):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert epochs[-1] == list(sampler) and len(epochs[-1]) == len(sampler) == frames
        shown = Counter(pick.frame for pick in epochs[-1])
        assert {p.repeat for p in epochs[-1]} == set(range(max(shown.values())))
    picks = [pick for epoch in epochs for pick in epoch]
    wanted = Counter(pick.wanted for pick in picks)
    assert set(wanted) == {None, 0, 1, 2}
    # 6000 draws: the standard deviations are 0.6 and 0.5 percent.
    assert wanted[None] / len(picks) == pytest.approx(0.5, abs=0.03)
    assert [wanted[c] / len(picks) for c in range(3)] == pytest.approx([1 / 6] * 3, abs=0.025)
    assert all(classes[pick.frame, pick.wanted] for pick in picks if pick.wanted is not None)
    rest = Counter(pick.frame for pick in picks if pick.wanted is None)
    assert max(rest.values()) < 30 and len(rest) == frames


def test_processes_share_one_class_uniform_epoch():
    classes = np.eye(4, dtype=bool)[np.arange(10) % 4]

    def sampler(rank, world):
        return list(TrainSampler([10], 3, rank, world, class_uniform=0.5, classes=classes))

    whole, shares = sampler(0, 1), [sampler(rank, 2) for rank in range(2)]
    assert [pick for pair in zip(*shares) for pick in pair] == whole
    assert list(TrainSampler([10], 3, classes=classes)) == list(TrainSampler([10], 3))

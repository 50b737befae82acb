# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Classes of one frame of a batch laid over another."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

from segnode.labels import IGNORE, load_label_set  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from training.class_mix import mix_classes  # noqa: E402
from training.config import DataConfig, FitConfig, model_record  # noqa: E402
from training.module import SegmentationModule  # noqa: E402


def batch(count=3, size=(32, 48), classes=(0, 1, 2, 3, 4, IGNORE)):
    """Frames whose pixels say which frame and which class they are."""
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array(classes, np.uint8), (count, *size))
    frame = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None], labels.shape)
    images = np.stack([frame, labels, np.full_like(labels, 7)], -1)
    return torch.from_numpy(images), torch.from_numpy(labels)


def laid_over(before, after):
    """Classes of the neighbour found in each frame, and whether all else is as it was."""
    found = []
    for frame, (image, label) in enumerate(zip(*after)):
        other = (frame - 1) % len(before[1])
        laid = image[..., 0] == other
        taken = set(before[1][other][laid].tolist())
        # All of a class or nothing of it, at its own place, with its own label.
        whole = torch.isin(before[1][other], torch.tensor(sorted(taken), dtype=torch.uint8))
        assert torch.equal(laid, whole)
        assert torch.equal(image[laid], before[0][other][laid])
        assert torch.equal(label[laid], before[1][other][laid])
        assert torch.equal(image[~laid], before[0][frame][~laid])
        assert torch.equal(label[~laid], before[1][frame][~laid])
        found.append(taken)
    return found


def test_half_of_the_neighbours_classes_are_laid_over_a_frame():
    before = batch()
    counts = np.zeros(5)
    for seed in range(200):
        torch.manual_seed(seed)
        for taken in laid_over(before, mix_classes(*before, 1.0)):
            assert len(taken) == 3 and IGNORE not in taken  # of five, rounded up
            counts[list(taken)] += 1
    # Each class in 3 of 5 of the 600; the standard deviation is 12.
    assert np.abs(counts - 360).max() < 60


def test_so_many_frames_are_mixed():
    before = batch()
    mixed = 0
    for seed in range(300):
        torch.manual_seed(seed)
        mixed += sum(map(bool, laid_over(before, mix_classes(*before, 0.25))))
    assert 225 - 65 < mixed < 225 + 65  # of 900; the standard deviation is 13
    assert not any(laid_over(before, mix_classes(*before, 0.0)))


def test_nothing_comes_from_a_frame_without_labels_or_from_a_batch_of_one():
    empty = batch(2, classes=(IGNORE,))
    assert torch.equal(mix_classes(*empty, 1.0)[0], empty[0])
    single = batch(1)
    for given, made in zip(single, mix_classes(*single, 1.0)):
        assert torch.equal(given, made)


def test_one_class_is_a_half_of_one():
    torch.manual_seed(0)
    before = batch(2, classes=(3, IGNORE))
    assert laid_over(before, mix_classes(*before, 1.0)) == [{3}, {3}]


def test_a_training_step_learns_from_the_mixed_batch():
    images, labels = batch(2, (128, 128))
    images = images * 30
    losses = {}
    for name, probability, given in (
        ('mixed', 1.0, (images, labels)), ('plain', 0.0, (images, labels)), ('by hand', 0.0, None),
    ):
        config = FitConfig(
            data=DataConfig(input_size=(128, 128), class_mix=probability),
            network_args={'dropout': 0.0},
        )
        torch.manual_seed(0)
        network = zoo.create('fsffnet', 11, dropout=0.0)
        record = model_record(config, load_label_set('camvid'), '')
        module = SegmentationModule(network, record, config)
        module.log = lambda *args, **kwargs: None
        torch.manual_seed(5)
        losses[name] = module.training_step(
            given or mix_classes(images, labels, 1.0), 0).item()
    assert losses['mixed'] == pytest.approx(losses['by hand'], rel=1e-6)
    assert abs(losses['mixed'] - losses['plain']) > 1e-3

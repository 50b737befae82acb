# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Whole batches on the device are what the loader would have made frame by frame."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from segnode.road_scene import RoadScene  # noqa: E402
from training.augment import Augment, mean_color, View  # noqa: E402
from training.batch_augment import batch_views  # noqa: E402
from training.datasets.source import open_pool  # noqa: E402
from training.device_frames import DeviceFrames  # noqa: E402
from training.sampling import generator, Pick  # noqa: E402


@pytest.fixture(scope='module')
def frames():
    """Return four rendered frames of 180x240 with some noise, and their labels."""
    scene, noise = RoadScene(180, 240, seed=3), np.random.default_rng(0)
    pairs = [scene.frame(20 * index) for index in range(4)]
    return [(cv2.add(image, noise.integers(0, 30, image.shape, np.uint8)), label)
            for image, label in pairs]


def both(frames, augment, views):
    """Return what the loader makes of the views, and what the batch does."""
    loader = [np.stack(arrays) for arrays in zip(
        *(augment.apply(view, *frame) for view, frame in zip(views, frames)))]
    images, labels = (torch.from_numpy(np.stack(a)) for a in zip(*frames))
    padding = np.stack([0 * mean_color(i) if augment.black else mean_color(i) for i, _ in frames])
    device = batch_views(
        images.permute(0, 3, 1, 2).contiguous(), labels, torch.from_numpy(padding),
        range(len(frames)), views, augment.size, augment.black)
    assert device[0].dtype == device[1].dtype == torch.uint8
    return loader, [tensor.numpy() for tensor in device]


@pytest.mark.parametrize('options', [
    {},
    {'jitter': 0.0, 'flip': 1.0},
    {'scale': (0.2, 0.9), 'jitter': 0.0},
    {'scale': (1.2, 4.0), 'jitter': 0.0},
    {'scale_of': 'image', 'scale': (0.4, 1.6)},
    {'size': (128, 128), 'fit': 'letterbox', 'scale': (0.5, 2.0)},
    {'size': (256, 320), 'scale': (1.0, 1.0), 'flip': 0.0, 'hue': 40.0},
    {'white_balance': 0.2, 'gamma': 0.5},
    {'jitter': 0.0, 'scale': (0.2, 0.9), 'white_balance': 0.4},
])
def test_both_paths_agree(frames, options):
    augment = Augment(**{'size': (128, 192), **options})
    for seed in range(6):
        views = [augment.draw(label, np.random.default_rng((seed, index)))
                 for index, (_, label) in enumerate(frames)]
        loader, device = both(frames, augment, views)
        difference = np.abs(loader[0].astype(int) - device[0])
        # The same pixels with the same weights: what differs is how OpenCV rounds, and its own
        # rule for windows that shrink along one side only.
        assert difference.mean() < 0.3 and np.percentile(difference, 99) <= 2, seed
        assert (loader[1] == device[1]).mean() >= 0.99
        # The same pixels are padding: a view with padding is not one pixel off.
        if any(view.target[2:] != augment.size for view in views):
            assert ((loader[1] == 255) == (device[1] == 255)).all()


def test_bars_stay_black_in_every_light(frames):
    """Less contrast lifts black, but what a vehicle sees beside a letterboxed image stays so."""
    augment = Augment((128, 192), (0.4, 0.6), jitter=0.9, hue=30.0, gamma=0.5,
                      fit='letterbox')
    views = [augment.draw(label, np.random.default_rng(index))
             for index, (_, label) in enumerate(frames)]
    for images, labels in both(frames, augment, views):
        assert not images[labels == 255].any() and images[labels != 255].mean() > 20


def test_stretched_both_ways_at_once_is_bounded(frames):
    """Shrunk along one side and enlarged along the other, OpenCV has a rule of its own."""
    augment = Augment((256, 128), (1.0, 1.0), 0.0, 0.0)
    views = [augment.draw(label, np.random.default_rng(0)) for _, label in frames]
    loader, device = both(frames, augment, views)
    assert np.abs(loader[0].astype(int) - device[0]).mean() < 6
    assert (loader[1] == device[1]).mean() >= 0.99


def test_shrinking_averages():
    """A chessboard of single pixels at half size is grey, and no chessboard of another size."""
    board = np.indices((64, 64)).sum(0) % 2 * 255
    image = np.repeat(board[..., None], 3, 2).astype(np.uint8)
    views = [View((0, 0, 64, 64), (0, 0, side, side)) for side in (32, 28)]
    out, _ = batch_views(
        torch.from_numpy(image).permute(2, 0, 1)[None].contiguous(), torch.zeros(1, 64, 64).byte(),
        torch.zeros(1, 3, dtype=torch.uint8), [0, 0], views, (32, 32))
    assert ((out[0] == 127) | (out[0] == 128)).all()
    assert (out[1, :28, :28].float() - 127.5).abs().max() < 30
    assert not out[1, 28:].any()


def test_frames_of_several_sizes(tmp_path):
    """Batches come in the order asked for, with the frames' names, whatever their sizes."""
    rng = np.random.default_rng(0)
    for name, shape in (('a', (40, 60)), ('b', (30, 50)), ('c', (40, 60))):
        for kind, values in (('images', (*shape, 3)), ('labels', shape)):
            folder = tmp_path / 'train' / kind
            folder.mkdir(parents=True, exist_ok=True)
            high = 256 if kind == 'images' else 11
            cv2.imwrite(str(folder / f'{name}.png'), rng.integers(0, high, values, np.uint8))
    pool = open_pool('camvid:train', {'camvid': str(tmp_path)})
    augment = Augment((32, 48), cat_max_ratio=0.9)
    held = DeviceFrames(pool, augment, 5, torch.device('cpu'), progress=False)
    assert held.nbytes == 4 * (2 * 40 * 60 + 30 * 50) + 3 * 3
    picks = [Pick(1, 2), Pick(1, 1, 1), Pick(1, 0, 0, 4), Pick(1, 1)]
    images, labels, names = held.batch(picks)
    assert names == ('camvid/c', 'camvid/b', 'camvid/a', 'camvid/b')
    for position, pick in enumerate(picks):
        image, label = augment(*pool.load(pick.frame), generator(5, pick), pick.wanted)
        assert (labels[position].numpy() == label).mean() > 0.99
        assert np.abs(images[position].numpy().astype(int) - image).mean() < 0.3


def test_all_of_it_runs_on_the_device():
    """On a device without memory of its own, a tensor left on the CPU would be found out."""
    held = DeviceFrames(open_pool('rendered:train-2'), Augment((96, 128), hue=10.0), 1,
                        torch.device('meta'), look=False, progress=False)
    images, labels, _ = held.batch([Pick(0, 0), Pick(0, 1)])
    assert images.device.type == labels.device.type == 'meta'
    assert images.shape == (2, 96, 128, 3) and labels.shape == (2, 96, 128)

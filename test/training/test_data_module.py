# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The loaders of a run: what is in a batch, where frames are kept, what is refused."""

import shutil

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pl = pytest.importorskip('pytorch_lightning')

from segnode.errors import SegnodeError  # noqa: E402
from segnode.labels import load_label_set  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from training.augment import Augment  # noqa: E402
from training.config import check, DataConfig, FitConfig, from_dict, model_record  # noqa: E402
from training.data_module import SegmentationData  # noqa: E402
from training.frames import Frames, plan, sampled_size  # noqa: E402
from training.module import SegmentationModule  # noqa: E402

GB = 10 ** 9


@pytest.fixture(autouse=True)
def dataset(rendered_camvid, monkeypatch):
    """Make camvid 8 rendered frames to train on, 3 to validate on, of 144x192."""
    monkeypatch.setenv('CAMVID_DATASET', str(rendered_camvid))


def config(**data):
    return FitConfig(
        network='espnet_c', batch_size=4, epochs=1,
        data=DataConfig(**{'input_size': (64, 96), **data}))


def batches(data, epochs=(0,)):
    loader = data.train_dataloader()
    found = []
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        found += [data.on_after_batch_transfer(batch, 0) for batch in loader]
    return found


def test_batches_name_their_frames(capsys):
    data = SegmentationData(config())
    images, labels, names = batches(data)[0]
    assert images.shape == (4, 64, 96, 3) and labels.shape == (4, 64, 96)
    order = np.random.default_rng((1, 0)).permutation(8)
    assert list(names) == [data.train.key(index) for index in order[:4]]
    assert names[0].startswith('camvid/train_')
    told = capsys.readouterr().err
    assert told.count('kept decoded and augmented by the loader') == 1, told


def test_a_batch_depends_on_seed_and_epoch_alone():
    """Workers, what came before it, and what is kept make no difference."""
    options = {'class_uniform': 0.5, 'class_uniform_without': ['sky'], 'cat_max_ratio': 0.8}
    whole = batches(SegmentationData(config(**options)), epochs=(0, 1))
    for epochs, more in (((1,), {}), ((1,), {'workers': 2}), ((0, 1), {'cache': 'none'})):
        again = batches(SegmentationData(config(**options, **more)), epochs)
        for (images, labels, names), other in zip(whole[-len(again):], again):
            assert torch.equal(images, other[0]) and torch.equal(labels, other[1])
            assert list(names) == list(other[2])
    assert not torch.equal(whole[0][0], whole[2][0])


def test_frames_on_the_device_give_the_same_batches():
    options = {'class_uniform': 0.5, 'cat_max_ratio': 0.8, 'scale_of': 'image'}
    loader = SegmentationData(config(**options))
    device = SegmentationData(config(**options, augment_on='device'))
    assert device.plan.on_device and not loader.plan.on_device
    first, second = batches(loader, (0, 1)), batches(device, (0, 1))
    assert len(first) == len(second) == 4
    for (images, labels, names), other in zip(first, second):
        assert list(names) == list(other[2]) and images.shape == other[0].shape
        assert (images.float() - other[0].float()).abs().mean() < 0.3
        assert (labels == other[1]).float().mean() > 0.99


def test_a_trainer_learns_the_same_of_either(tmp_path):
    """Same frames in the same order, and nearly the same losses, through the real loop."""
    told = {}
    for augment_on in ('loader', 'device'):
        settings = config(augment_on=augment_on)
        record = model_record(settings, load_label_set('camvid'), '')
        torch.manual_seed(0)
        module = SegmentationModule(zoo.create('espnet_c', 11), record, settings)
        told[augment_on] = watch(module)
        data = SegmentationData(settings)
        pl.Trainer(
            accelerator='cpu', max_epochs=2, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            limit_val_batches=0, use_distributed_sampler=False, default_root_dir=tmp_path,
        ).fit(module, data)
    assert [names for names, _ in told['loader']] == [names for names, _ in told['device']]
    epochs = [told['loader'][i][0] + told['loader'][i + 1][0] for i in (0, 2)]
    assert [sorted(names) for names in epochs] == [sorted(data.train.keys())] * 2
    assert epochs[0] != epochs[1]
    losses = [[loss for _, loss in steps] for steps in told.values()]
    assert losses[0] == pytest.approx(losses[1], rel=0.02) and losses[0] != losses[1]


def watch(module):
    """Return a list that training steps add names and loss to."""
    steps, step = [], module.training_step

    def watched(batch, batch_idx):
        loss = step(batch, batch_idx)
        steps.append((list(batch[2]), loss.item()))
        return loss

    module.training_step = watched
    return steps


def test_what_is_set_is_what_is_drawn():
    given = config(scale=(1.0, 1.0), flip=0.0, jitter=0.0, white_balance=0.3, gamma=0.4)
    assert SegmentationData(given).augment == Augment(
        (64, 96), (1.0, 1.0), 0.0, 0.0, whole=(64, 96), white_balance=0.3, gamma=0.4)


def test_a_wanted_class_is_in_every_crop_that_asks_for_it():
    data = SegmentationData(config(
        class_uniform=1.0, scale=(1.0, 1.0), scale_of='image', flip=0.0, jitter=0.0,
        class_uniform_without=['road', 'building', 'sky', 'tree', 'sidewalk']))
    loader = data.train_dataloader()
    present = data.train.class_histograms() > 0
    drawn = {load_label_set('camvid').names[c] for c in loader.sampler.frames}
    assert 'road' not in drawn and 'car' in drawn
    loader.sampler.set_epoch(3)
    for pick in loader.sampler:
        assert present[pick.frame, pick.wanted]
        _, label, name = loader.dataset[pick]
        assert (label == pick.wanted).any(), (name, pick)


def test_a_class_to_leave_out_must_exist():
    with pytest.raises(SegnodeError, match=r"class_uniform_without names 'train', but the class"):
        SegmentationData(config(class_uniform_without=['train']))
    every = list(load_label_set('camvid').names)
    with pytest.raises(SegnodeError, match='leaves no class to draw'):
        SegmentationData(config(class_uniform=0.5, class_uniform_without=every))


def test_sizes_are_compared_before_training(rendered_camvid, tmp_path):
    shutil.copytree(rendered_camvid, tmp_path / 'data')
    wrong = tmp_path / 'data/train/labels/train_3.png'
    cv2.imwrite(str(wrong), np.zeros((144, 190), np.uint8))
    options = {'roots': {'camvid': str(tmp_path / 'data')}}
    with pytest.raises(SegnodeError, match=r'is 144x192, but .*train_3\.png is 144x190'):
        SegmentationData(config(**options))
    data = SegmentationData(config(**options, check=False))
    with pytest.raises(SegnodeError, match=r'train_3\.png'):
        data.train.load(3)


def test_validation_keeps_the_aspect_and_scores_no_padding():
    """BDD100K's case: 45x80 is to 48x80 what 720x1280 is to 768x1280."""
    settings = config(input_size=(64, 64), eval_size=(64, 128), fit='letterbox')
    record = model_record(settings, load_label_set('camvid'), '')
    assert record.input_size == (64, 128)
    torch.manual_seed(0)
    module = SegmentationModule(zoo.create('espnet_c', 11), record, settings).eval()
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (6, 16, 3), np.uint8), (128, 48))
    truth = rng.integers(0, 11, (48, 128), np.uint8)
    truth[:5] = 255
    padded = np.zeros((1, 64, 128, 3), np.uint8)
    padded[0, 8:56] = image
    with torch.no_grad():
        expected = module.graph(torch.from_numpy(padded))[0, 8:56].numpy()
        module._matrix = np.zeros((11, 12), np.int64)
        predicted = module.validation_step((image, truth), 0)
    if predicted is not None:
        assert np.array_equal(predicted['labels'], expected)
    known = truth < 255
    matrix = np.zeros((11, 12), np.int64)
    np.add.at(matrix, (truth[known], expected[known]), 1)
    assert module._matrix.sum() == 43 * 128 and np.array_equal(module._matrix, matrix)


def test_what_is_kept_where():
    small, large = (GB, 1), (10 * GB, 1)
    chosen = plan(small, small, 16 * GB)
    assert chosen.keep_train and chosen.keep_val and not chosen.on_device
    assert '1.0 GB decoded' in chosen.reason and '16.0 GB are free' in chosen.reason
    assert not plan(large, small, 16 * GB).keep_train and plan(large, small, 16 * GB).keep_val
    # The two together may not take more than a quarter.
    assert plan((3 * GB, 1), (2 * GB, 1), 16 * GB).keep_val is False
    assert plan(large, large, 16 * GB, cache='memory').keep_val
    assert not plan(small, small, 16 * GB, cache='none').keep_train
    assert not plan(small, small, 0).keep_train  # memory unknown

    def gpu(train, **more):
        return plan(train, small, 16 * GB, device='cuda', device_memory=8 * GB, **more)

    assert gpu(small).on_device and not gpu(small).keep_train and gpu(small).keep_val
    assert not gpu(large).on_device and gpu(large, augment_on='device').on_device
    assert not gpu(small, cache='none').on_device and not gpu(small, augment_on='loader').on_device
    assert not gpu((GB, 8)).on_device  # frames of many sizes
    assert 'kept and augmented on cuda' in gpu(small).reason


def test_frames_are_decoded_once_or_each_time():
    data = SegmentationData(config())
    assert sampled_size(data.train) == (8 * 4 * 144 * 192, 1)
    kept, read = Frames(data.train, True), Frames(data.train, False)
    assert kept[1][0] is kept[1][0] and read[1][0] is not read[1][0]
    assert np.array_equal(kept[1][0], read[1][0])
    kept.decode_all(progress=False)
    read.decode_all(progress=False)
    assert len(kept._kept) == 8 and not read._kept


@pytest.mark.parametrize('options, words', [
    ({'scale_of': 'picture'}, "data.scale_of must be one of input, image, not 'picture'"),
    ({'fit': 'pad'}, "data.fit must be one of stretch, letterbox, crop, not 'pad'"),
    ({'cache': 'gpu'}, 'data.cache must be one of auto, memory, none'),
    ({'augment_on': 'cpu'}, 'data.augment_on must be one of auto, loader, device'),
    ({'scale': (1.6, 0.6)}, 'data.scale must be two numbers above 0, the smaller one first'),
    ({'scale': (0.0, 1.0)}, 'data.scale must be two numbers above 0'),
    ({'flip': 1.5}, 'data.flip must be from 0 to 1, not 1.5'),
    ({'hue': -1.0}, 'data.hue must be from 0 to 180'),
    ({'white_balance': 1.5}, 'data.white_balance must be from 0 to 1, not 1.5'),
    ({'gamma': -0.1}, 'data.gamma must be from 0 to 9, not -0.1'),
    ({'class_uniform': 2.0}, 'data.class_uniform must be from 0 to 1'),
    ({'class_mix': 1.5}, 'data.class_mix must be from 0 to 1, not 1.5'),
    ({'cat_max_ratio': 0.0}, 'data.cat_max_ratio must be above 0 and at most 1'),
    ({'weights': [1.0, 2.0]}, 'data.weights must be a number above 0 for each of camvid:train,'),
    ({'train': ['camvid:train', 'camvid:val'], 'weights': [1.0, float('nan')]},
     r'data.weights must be a number above 0 for each of .*, not \[1.0, nan\]'),
    ({'cache': 'none', 'augment_on': 'device'}, 'which data.cache none forbids'),
    ({'eval_size': (100, 100)}, 'multiples of'),
])
def test_values_that_cannot_work(options, words):
    check(config())
    with pytest.raises(SegnodeError, match=words):
        check(config(**options))


def test_the_size_of_validation_travels_as_plain_types():
    given = from_dict({'data': {'eval_size': [128, 256]}})
    assert given.data.network_size == (128, 256) and given.data.input_size == (384, 512)
    assert FitConfig().data.network_size == (384, 512)

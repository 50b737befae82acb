# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Whole runs of ``fit`` in this process: what they learn, write, end with and go on from."""

import dataclasses
from pathlib import Path
import shutil
import types

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

import cv2  # noqa: E402
import yaml  # noqa: E402

from segnode.errors import SegnodeError  # noqa: E402
from segnode.model import Model  # noqa: E402
from segnode.road_scene import RoadScene  # noqa: E402
from training.config import (  # noqa: E402
    DataConfig,
    FitConfig,
    from_dict,
    InitConfig,
    LogConfig,
    LossConfig,
    OptimConfig,
)
from training.fit import _tensorboard as tensorboard_callback  # noqa: E402
from training.fit import build, fit, placed  # noqa: E402
from training.logs.metrics_file import read_metrics  # noqa: E402

SIZE = (96, 128)
STEPS = 180  # with seeds 1 to 3 it comes to 97.7 to 98.0 %


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    """Small tensors: a second thread costs more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def overfitted(tmp_path_factory):
    """Return folder and configuration of a run that saw two frames 180 times."""
    root = tmp_path_factory.mktemp('two_frames')
    scene = RoadScene(*SIZE, seed=1)
    for index in range(2):
        frame = dict(zip(('images', 'labels'), scene.frame(10 * index)))
        for split in ('train', 'val'):  # under other names, since no frame may be in both
            for kind, picture in frame.items():
                (root / split / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / split / kind / f'{split}_{index}.png'), picture)
    config = FitConfig(
        name='overfit', network='separable_unet', epochs=STEPS, batch_size=2, val_every=45,
        keep=2, accelerator='cpu', out=str(root / 'runs'), clip_gradient=5.0,
        data=DataConfig(roots={'camvid': str(root)}, input_size=SIZE, scale=(1.0, 1.0), flip=0.0,
                        jitter=0.0),
        loss=LossConfig(class_weights='median_frequency', lovasz=1.0),
        optim=OptimConfig(lr=0.03, lr_batch=2, weight_decay=0.0, warmup_steps=10, ema_decay=0.9,
                          schedule='cosine'),
        log=LogConfig(every=20, pictures=1),
    )
    return fit(config), config


def test_a_network_overfits_two_rendered_images(overfitted):
    folder, _ = overfitted
    record = Model.load(folder / 'overfit.onnx').record
    assert record.training['miou']['val'] > 0.95
    assert min(record.training['class_iou']['val'].values()) > 0.8  # all 11, however small
    assert record.training['epochs'] == record.training['steps'] == STEPS
    saved = torch.load(folder / 'best.ckpt', weights_only=True)
    assert saved['segnode_images_per_step'] == 2
    assert record.training['images_per_second'] == pytest.approx(
        2 * STEPS / (60 * saved['segnode_minutes']), abs=0.051)


def test_it_leaves_its_recipe_and_checkpoints(overfitted):
    folder, config = overfitted
    assert from_dict(yaml.safe_load((folder / 'recipe.yaml').read_text())) == config
    best = sorted(path.name for path in (folder / 'best').iterdir())
    history = torch.load(folder / 'last.ckpt', weights_only=True)['segnode_history']
    assert [entry['epoch'] for entry in history] == [45, 90, 135, 180]
    top = sorted(history, key=lambda entry: -entry['val_miou'])[:2]
    assert best == sorted(
        f'epoch{e["epoch"] - 1:04}_miou{e["val_miou"]:.4f}.ckpt' for e in top)
    assert torch.load(folder / 'best.ckpt', weights_only=True)['epoch'] == top[0]['epoch'] - 1


def test_metrics_have_a_row_per_epoch(overfitted):
    folder, _ = overfitted
    rows = read_metrics(folder / 'metrics.csv')
    assert [int(row['epoch']) for row in rows] == list(range(1, STEPS + 1))
    assert float(rows[-1]['loss']) < 0.1 * float(rows[0]['loss'])
    for row in (rows[0], rows[-1]):
        parts = [float(row[f'loss/{name}']) for name in ('cross_entropy', 'lovasz')]
        assert float(row['loss']) == pytest.approx(sum(parts), rel=1e-4)
    validated = [row for row in rows if 'val_miou' in row]
    assert [int(row['epoch']) for row in validated] == [45, 90, 135, 180]
    last = validated[-1]
    ious = [float(value) for name, value in last.items() if name.startswith('iou/')]
    assert len(ious) == 11 and np.mean(ious) == pytest.approx(float(last['val_miou']), abs=1e-12)
    # The rate of the step to come: the tenth is past the warm-up, cosine ends at 0.
    assert float(rows[9]['lr']) == pytest.approx(0.03)
    assert float(rows[94]['lr']) == pytest.approx(0.015)
    assert float(rows[-1]['lr']) == pytest.approx(0.0)


def test_tensorboard_events(overfitted):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = overfitted
    events = EventAccumulator(str(folder / 'tensorboard'), {'images': 0, 'scalars': 0}).Reload()
    tags = events.Tags()
    assert {'lr', 'loss/step', 'loss/epoch', 'loss/cross_entropy', 'loss/lovasz', 'val/miou',
            'val/accuracy', 'iou/sky', 'iou/bicyclist'} <= set(tags['scalars'])
    assert [e.step for e in events.Scalars('loss/step')] == list(range(20, STEPS + 1, 20))
    rows = read_metrics(folder / 'metrics.csv')
    told = {e.step: e.value for e in events.Scalars('loss/epoch')}
    assert len(told) == STEPS
    for row in rows:
        assert told[int(row['step'])] == pytest.approx(float(row['loss']), rel=1e-5)
    # One batch per epoch: the step's loss is the epoch's, and the rate the file's.
    for event in events.Scalars('loss/step'):
        assert event.value == pytest.approx(told[event.step], rel=1e-5)
    for event in events.Scalars('lr'):
        assert event.value == pytest.approx(float(rows[event.step - 1]['lr']), abs=1e-8)
    for event in events.Scalars('val/miou'):
        assert event.value == pytest.approx(float(rows[event.step - 1]['val_miou']), rel=1e-6)
    assert set(tags['images']) == {'frames/00000', 'confusion'}
    pictures = events.Images('frames/00000')
    assert [event.step for event in pictures] == [45, 90, 135, 180]
    strip = cv2.imdecode(np.frombuffer(pictures[-1].encoded_image_string, np.uint8), 1)
    image, truth, predicted = np.split(strip, 3, axis=1)
    assert image.shape == (360, 480, 3) and len(np.unique(image.reshape(-1, 3), axis=0)) > 1000
    assert (truth == predicted).all(2).mean() > 0.95
    assert {tuple(color[::-1]) for color in np.unique(predicted.reshape(-1, 3), axis=0)} <= {
        label.color for label in Model.load(folder / 'overfit.onnx').record.label_set.labels}
    confusion = cv2.imdecode(
        np.frombuffer(events.Images('confusion')[-1].encoded_image_string, np.uint8), 1)
    assert min(confusion.shape[:2]) > 300 and confusion.std() > 20


# ---- small runs of a small network ----


@pytest.fixture(scope='module')
def tiny(rendered_camvid, tmp_path_factory):
    """Return a function that makes the configuration of a run of seconds."""
    out = tmp_path_factory.mktemp('tiny')

    def config(name, optim=None, data=None, **changes):
        values = {
            'network': 'espnet_c', 'epochs': 3, 'batch_size': 2, 'val_every': 1,
            'accelerator': 'cpu', 'out': str(out), 'log': LogConfig(tensorboard=False),
            'loss': LossConfig(class_weights='none'),
        }
        return FitConfig(
            name=name,
            optim=OptimConfig(**{'warmup_steps': 2, 'ema_decay': 0.5, **(optim or {})}),
            data=DataConfig(**{'roots': {'camvid': str(rendered_camvid)}, 'input_size': (64, 64),
                               **(data or {})}),
            **{**values, **changes})
    return config


def saved(folder, name='last'):
    return torch.load(folder / f'{name}.ckpt', weights_only=True)


SGD = {'kind': 'sgd', 'lr': 0.05, 'nesterov': True, 'final_factor': 0.1, 'lr_batch': 6}


@pytest.fixture(scope='module')
def unbroken(tiny):
    """Return the folder of a run with SGD, three batches to a step and gradient clipping."""
    return fit(tiny('unbroken', SGD, accumulate=3, clip_gradient=1.0))


def test_accumulated_batches_make_a_step(unbroken, capsys):
    state = saved(unbroken)
    # Eight frames are four batches: a step of three of them, and one of what is left.
    assert state['global_step'] == 3 * 2
    groups = state['optimizer_states'][0]['param_groups']
    assert [group['weight_decay'] for group in groups] == [0.01, 0.0]
    assert all(group['nesterov'] for group in groups)
    # The end of the schedule: a tenth of 0.05, whose six images per step it has.
    assert [group['lr'] for group in groups] == pytest.approx([0.005, 0.005])


def test_stopped_by_the_clock_and_resumed_it_ends_with_the_same_weights(tiny, unbroken, capsys):
    config = tiny('halves', SGD, accumulate=3, clip_gradient=1.0, max_minutes=1e-4)
    folder = fit(config)
    assert 'stopped after 1 of 3 epochs' in capsys.readouterr().out
    assert saved(folder)['epoch'] == 0 and not (folder / 'halves.onnx').exists()
    # An entry that was written after the last checkpoint does not stay.
    with open(folder / 'metrics.csv', 'a') as file:
        file.write('2,4,9,9,9\n')
    # The folder may have gone elsewhere in between.
    moved = dataclasses.replace(config, out=config.out + '/moved', max_minutes=None)
    shutil.move(folder, f'{moved.out}/halves')
    folder = fit(moved, resume=True)
    first, second = saved(unbroken), saved(folder)
    for key in ('state_dict', 'current_model_state'):
        assert first[key].keys() == second[key].keys()
        for name in first[key]:
            assert torch.equal(first[key][name], second[key][name]), name
    assert first['segnode_history'] == second['segnode_history']
    assert saved(unbroken, 'best')['epoch'] == saved(folder, 'best')['epoch']
    rows = [read_metrics(f / 'metrics.csv') for f in (unbroken, folder)]
    for row in (*rows[0], *rows[1]):
        row.pop('minutes')
    assert rows[0] == rows[1] and len(rows[0]) == 3


def test_what_was_best_stays_best_in_another_folder(tiny, unbroken):
    from training.callbacks import checkpoints

    callback = checkpoints(unbroken.parent / 'elsewhere', 1)[0]
    state = next(s for k, s in saved(unbroken)['callbacks'].items() if 'BestCheckpoint' in k)
    assert state['best_model_score'] is not None
    callback.load_state_dict(state)
    assert callback.best_model_score == state['best_model_score']
    assert callback.best_model_path == str(unbroken.parent / 'elsewhere' / 'best.ckpt')
    assert list(callback.best_k_models) == [callback.best_model_path]


@pytest.mark.parametrize('changes, words', [
    ({'network': 'fast_scnn'}, 'network "espnet_c", but network is "fast_scnn" now'),
    ({'network': 'espnet_c', 'network_args': {'p': 2}}, 'network_args.p null, but network_args.p'),
    ({'mean': (0.5, 0.5, 0.5)}, 'mean [0.485, 0.456, 0.406], but mean is [0.5, 0.5, 0.5] now'),
    ({'std': (1.0, 1.0, 1.0)}, 'std [0.229'),
    ({'optim': {'lr': 0.01}}, 'optim.lr 0.05, but optim.lr is 0.01 now'),
    ({'data': {'input_size': (96, 64)}}, 'data.input_size [64, 64], but data.input_size is [96'),
    ({'data': {'label_set': 'cityscapes'}}, 'data.label_set "", but data.label_set is "citysc'),
])
def test_a_run_goes_on_as_what_it_was(tiny, unbroken, changes, words):
    changes = {**changes, 'optim': {**SGD, **changes.get('optim', {})}}
    with pytest.raises(SegnodeError) as caught:
        fit(tiny('unbroken', **changes), resume=True)
    assert words in str(caught.value) and 'last.ckpt was made with' in str(caught.value)


def test_other_classes_are_noticed(tiny, unbroken):
    """As where the folder of the data has another configuration than it had."""
    from training.resume import check_classes

    state = saved(unbroken)
    labels = build(config := tiny('x'), placed(config))[1].train.label_set
    check_classes(labels, state, unbroken)
    state['segnode_label_set']['labels'].pop()
    with pytest.raises(SegnodeError, match=r'made with 10 classes .* but the data has 11 now'):
        check_classes(labels, state, unbroken)


def test_early_stop_and_steps_instead_of_epochs(tiny, capsys):
    # A rate of nothing: the first validation remains the best one.
    folder = fit(tiny('early', {'lr': 1e-12, 'ema_decay': 0.0, 'bn_momentum': 1e-6},
                      epochs=20, early_stop=2))
    assert [entry['epoch'] for entry in saved(folder)['segnode_history']] == [1, 2, 3]
    assert (folder / 'early.onnx').is_file()
    # Four steps are an epoch, so six end in the second one, which is validated as it is.
    folder = fit(tiny('steps', {'schedule': 'poly', 'warmup_epochs': 0.5}, max_steps=6,
                      val_every=100, clip_gradient=None))
    state = saved(folder)
    assert state['global_step'] == 6 and [e['epoch'] for e in state['segnode_history']] == [2]
    assert [float(row['lr']) for row in read_metrics(folder / 'metrics.csv')] == pytest.approx(
        [0.002 * (2 / 4) ** 0.9, 0.0])  # after steps 4 and 6, two of warm-up among them
    assert Model.load(folder / 'steps.onnx').record.training['steps'] == 6


def test_a_run_starts_from_another_ones_weights(tiny, unbroken, capsys):
    optim = {'lr': 1e-12, 'ema_decay': 0.0}
    config = tiny('again', optim, init=InitConfig(str(unbroken / 'best.ckpt')), epochs=1)
    folder = fit(config)
    told = capsys.readouterr().out
    assert 'of 11 classes from unbroken/best.ckpt (camvid)' in told
    before, after = saved(unbroken, 'best')['state_dict'], saved(folder)['state_dict']
    for name in before:
        if name.endswith('weight'):
            assert torch.allclose(before[name], after[name], atol=1e-6), name
    record = Model.load(folder / 'again.onnx').record
    assert record.training['init']['model'] == 'unbroken/best.ckpt'
    assert record.training['recipe']['init']['weights'] == 'unbroken/best.ckpt'
    assert len(record.training['init']['sha256']) == 64
    assert str(unbroken.parent) not in record.to_json()
    # The second sitting does not need it.
    resumed = dataclasses.replace(
        config, epochs=2, init=InitConfig(str(unbroken / 'gone.ckpt')))
    fit(resumed, resume=True)
    assert saved(folder)['segnode_init'] == record.training['init']


def test_a_loss_that_runs_away_names_its_batch(tiny):
    with pytest.raises(SegnodeError, match=r'The loss is (nan|inf) .* files: camvid/train_\d, '):
        fit(tiny('away', {'kind': 'sgd', 'lr': 1e30, 'warmup_steps': 0}))


def test_one_image_at_a_time_is_refused_in_words(tiny):
    with pytest.raises(SegnodeError, match='fast_scnn cannot be trained on one image at a time'):
        fit(tiny('one', network='fast_scnn', batch_size=1))


def test_too_few_frames_for_the_processes(tiny):
    with pytest.raises(SegnodeError, match='camvid:val has 3 frames, fewer than the 4 processes'):
        fit(tiny('many', devices=4))
    with pytest.raises(SegnodeError, match='16-mixed needs a GPU'):
        fit(tiny('half', precision='16-mixed'))


def test_loader_processes_are_counted_per_machine(tiny):
    config = tiny('loaders', data={'workers': 3})
    data = build(config, placed(config))[1]
    for devices, each in ((1, 3), (2, 2), (4, 1)):
        data.trainer = types.SimpleNamespace(
            num_devices=devices, global_rank=0, world_size=devices,
            strategy=types.SimpleNamespace(root_device=torch.device('cpu')))
        assert data.train_dataloader().num_workers == each


def test_without_tensorboard_a_run_says_so(tiny, monkeypatch, capsys):
    config = tiny('plain', log=LogConfig())
    module = build(config, placed(config))[0]
    monkeypatch.setattr('training.logs.tensorboard.installed', lambda name: True)
    assert len(tensorboard_callback(config, Path('x'), module)) == 1
    monkeypatch.setattr('training.logs.tensorboard.installed', lambda name: False)
    capsys.readouterr()
    assert tensorboard_callback(config, Path('x'), module) == []
    assert 'pip install tensorboard' in capsys.readouterr().out


def test_the_sweep_of_rates_leaves_the_run_alone(tiny):
    from training.lr_range import lr_range

    config = tiny('sweep', {'kind': 'sgd', 'lr': 0.1, 'lr_batch': 8}, accumulate=2)
    sweep = lr_range(config, 1e-4, 1e4, 24)
    assert sweep.rates[0] == pytest.approx(1e-4) and sweep.scale == pytest.approx(0.5)
    steps = np.diff(np.log10(sweep.rates))
    assert steps == pytest.approx(np.full(len(steps), 8 / 23))
    assert sweep.losses.min() < 0.9 * sweep.losses[0]
    assert sweep.diverged is not None and sweep.diverged < 1e4
    assert sweep.steepest < sweep.diverged
    assert sweep.suggested == pytest.approx(min(sweep.steepest, sweep.diverged / 10) / 0.5)
    assert not (Path(config.out) / 'sweep').exists()

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Batch-norm statistics over whole training frames against NumPy, and through the commands."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')
from torch import nn  # noqa: E402

from segnode.errors import SegnodeError  # noqa: E402
from segnode.model import Model  # noqa: E402
from training.cli import main  # noqa: E402
from training.config import DataConfig, FitConfig, model_record, OptimConfig  # noqa: E402
from training.datasets.source import open_pool  # noqa: E402
from training.fit import fit  # noqa: E402
from training.precise_bn import take_statistics  # noqa: E402


def pool_of(frames):
    return open_pool(f'rendered:train-{frames}', {}, None, {})


def record_of(pool, size=(96, 128)):
    config = FitConfig(network='fast_scnn', data=DataConfig(input_size=size))
    return model_record(config, pool.label_set, pool.licence)


def prepared(pool, record, indices):
    """Return the network's input for these frames, float64 (N, H, W, 3), by NumPy alone."""
    images = [
        cv2.resize(pool.load(i)[0], record.input_size[::-1], interpolation=cv2.INTER_AREA)
        for i in indices
    ]
    rgb = np.stack(images)[..., ::-1].astype(float)
    return (rgb / 255 - record.mean) / record.std


def test_statistics_are_the_averages_of_spread_batches():
    pool = pool_of(19)
    record = record_of(pool)
    norm = nn.BatchNorm2d(3)
    behind = nn.BatchNorm2d(3)
    network = nn.Sequential(norm, nn.Dropout(0.5), behind)
    nn.init.constant_(norm.running_mean, 100.0)
    assert take_statistics(network, record, pool, 17) == 16
    # 16 of the 19, every second of them in either batch.
    chosen = np.linspace(0, 18, 16).round().astype(int)
    batches = [prepared(pool, record, chosen[k::2]).reshape(-1, 3) for k in (0, 1)]
    mean = np.mean([batch.mean(axis=0) for batch in batches], axis=0)
    variance = np.mean([batch.var(axis=0, ddof=1) for batch in batches], axis=0)
    assert norm.running_mean.numpy() == pytest.approx(mean, abs=1e-4)
    assert norm.running_var.numpy() == pytest.approx(variance, rel=1e-4)
    # The second norm saw what the first normalised by each batch's own: dropout was off.
    assert behind.running_mean.numpy() == pytest.approx(0, abs=1e-4)
    assert behind.running_var.numpy() == pytest.approx(1, abs=1e-3)
    assert norm.momentum == 0.1 and not any(m.training for m in network.modules())


def test_release_says_that_it_took_them(tmp_path, rendered_camvid, monkeypatch, capsys):
    monkeypatch.delenv('CAMVID_DATASET', raising=False)
    config = FitConfig(
        name='run', network='fast_scnn', epochs=1, batch_size=4, out=str(tmp_path), threads=1,
        accelerator='cpu',
        data=DataConfig(input_size=(128, 128), roots={'camvid': str(rendered_camvid)}),
        optim=OptimConfig(warmup_steps=1, precise_bn=8),
    )
    run = fit(config)
    for root in (f'bdd100k={tmp_path}', f'camvd={tmp_path}'):
        assert main(['release', str(run / 'best.ckpt'), str(tmp_path / 'plain'),
                     '--root', root]) == 1
        assert f'--root {root} is of no use: camvid is what is asked for' in (
            capsys.readouterr().err)
    # Without, the data are where the run had them.
    for root in ([], ['--root', f'camvid={rendered_camvid}'], ['--root', str(rendered_camvid)]):
        assert main(['release', str(run / 'best.ckpt'), str(tmp_path / 'plain'),
                     '--precise-bn', '0', *root]) == 0
    assert 'plain: ' in capsys.readouterr().out
    precise = Model.load(run / 'run.safetensors')
    plain = Model.load(tmp_path / 'plain.safetensors')
    taken = [m.record.training['recipe']['optim']['precise_bn'] for m in (precise, plain)]
    assert taken == [8, 0]
    weights = [dict(m.build_network().state_dict()) for m in (precise, plain)]
    differ = {name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])}
    assert differ and all('running_' in name for name in differ)
    # The figure of the record is that of the statistics that it holds.
    assert main(['evaluate', '--model', str(run / 'run.onnx'), '--split', 'val', '--json',
                 '--root', str(rendered_camvid)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result['miou'] == pytest.approx(precise.record.training['miou']['val'], abs=1e-6)


def test_too_few_frames_are_noticed_before_the_run(tmp_path):
    config = FitConfig(
        name='few', network='fast_scnn', out=str(tmp_path), accelerator='cpu',
        data=DataConfig(train='rendered:train-4', val='rendered:val-2', input_size=(96, 128)),
        optim=OptimConfig(precise_bn=100),
    )
    with pytest.raises(SegnodeError, match='8 training frames or more; rendered:train-4 has 4'):
        fit(config)
    assert not Path(tmp_path / 'few' / 'last.ckpt').exists()


def test_auxiliary_heads_keep_theirs():
    """They do not run in evaluation mode, and so have nothing anew."""
    from segnode.networks import zoo

    pool = pool_of(8)
    network = zoo.create('ddrnet23_slim', pool.label_set.num_classes)
    norms = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for norm in norms.values():
        nn.init.constant_(norm.running_mean, 7.0)
    take_statistics(network, record_of(pool, (128, 128)), pool, 8)
    kept = {name for name, m in norms.items() if bool((m.running_mean == 7.0).all())}
    assert kept == {name for name in norms if name.startswith('auxiliary.')} and kept

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``fit --backbone.weights``: what it refuses, what it starts from, what the record says."""

import hashlib
import json
import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

import plain_classifiers as plain  # noqa: E402

from segnode.errors import SegnodeError  # noqa: E402
from segnode.labels import load_label_set  # noqa: E402
from segnode.model import Model  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from segnode.runtimes.graph import DeployGraph  # noqa: E402
from training.config import BackboneConfig, check, DataConfig, FitConfig, model_record  # noqa: E402

PROJECT = Path(__file__).parents[2]


def config(network='swiftnet', **backbone):
    return FitConfig(network=network, backbone=BackboneConfig(**backbone),
                     data=DataConfig(input_size=(128, 128)))


def test_check_names_what_is_wrong(tmp_path):
    file = tmp_path / 'classifier.pth'
    with pytest.raises(SegnodeError, match='There is no file .*classifier.pth'):
        check(config(weights=str(file)))
    check(config(weights=str(file)), resume=True)  # which has no need of it
    file.touch()
    check(config(weights=str(file)))
    with pytest.raises(SegnodeError, match='fsffnet has no backbone') as caught:
        check(config('fsffnet', weights=str(file)))
    for name in ('swiftnet', 'bisenet', 'icnet_full', 'dfanet_b', 'bayesian_segnet'):
        assert name in str(caught.value)
    assert 'fast_scnn' not in str(caught.value)
    with pytest.raises(SegnodeError, match='color_order bgr goes with the weights of a backbone'):
        check(config(color_order='bgr'))
    check(config())


def test_the_check_imports_no_torch():
    code = ('import sys, training.config as c\n'
            'try: c.check(c.FitConfig(backbone=c.BackboneConfig(weights="nosuch")))\n'
            'except c.SegnodeError as error: print(error)\n'
            'assert "torch" not in sys.modules')
    done = subprocess.run([sys.executable, '-c', code], cwd=PROJECT, check=True, timeout=300,
                          env={**os.environ, 'PYTHONPATH': str(PROJECT)}, capture_output=True,
                          text=True)
    assert 'fsffnet has no backbone' in done.stdout


def test_a_backbone_of_bgr_makes_a_model_of_bgr():
    network = zoo.create('fsffnet', 11).eval()
    image = torch.randint(0, 256, (1, 8, 8, 3), dtype=torch.uint8)  # BGR
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for order, values in (('rgb', image.numpy()[..., ::-1]), ('bgr', image.numpy())):
        record = model_record(config(weights='x.pth', color_order=order),
                              load_label_set('camvid'), '')
        assert record.color_order == order
        # Mean and deviation are given for R, G, B in any case.
        m, s = (mean, std) if order == 'rgb' else (mean[::-1], std[::-1])
        fed = DeployGraph(network, record).prepare(image).numpy()
        assert np.abs(fed - ((values / 255 - m) / s).transpose(0, 3, 1, 2)).max() < 1e-5


def fit(*arguments, root):
    return subprocess.run(
        [sys.executable, '-m', 'training', 'fit', *map(str, arguments)], cwd=PROJECT,
        env={**os.environ, 'PYTHONPATH': str(PROJECT), 'CAMVID_DATASET': str(root)},
        capture_output=True, text=True, timeout=300)


def test_a_run_starts_from_the_file_and_says_so(rendered_camvid, tmp_path):
    tensors = plain.Tensors()
    with torch.no_grad():
        plain.resnet(tensors, torch.rand(1, 3, 64, 64).double(), 18, stem=(64, 64, 128))
    file = tmp_path / 'resnet18-deep.pth'
    torch.save(dict(tensors), file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    options = [
        '--network', 'swiftnet', '--network_args.resnet_variant', 's', '--name', 'run',
        '--backbone.weights', file, '--backbone.color_order', 'bgr', '--out', tmp_path,
        '--data.input_size', '[64,64]', '--batch_size', 4, '--val_every', 1,
        '--optim.lr', 1e-12,  # so that the kernels stay what they were at the start
        '--accelerator', 'cpu', '--threads', 1, '--loss.class_weights', 'none',
    ]
    done = fit(*options, '--epochs', 1, root=rendered_camvid)
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(text for text in done.stdout.splitlines() if 'resnet18-deep.pth' in text)
    assert line == (f'backbone resnet18 of swiftnet: {len(tensors) - 2} tensors from '
                    'resnet18-deep.pth (layout resnet_deep_stem), 2 of its classifier left over')

    facts = {'file': 'resnet18-deep.pth', 'sha256': sha256, 'layout': 'resnet_deep_stem'}
    model = Model.load(tmp_path / 'run' / 'run.safetensors')
    record = model.record
    assert record.color_order == 'bgr'
    assert record.training['backbone'] == facts
    assert record.training['recipe']['backbone'] == {
        'weights': 'resnet18-deep.pth', 'color_order': 'bgr'}
    assert str(tmp_path) not in json.dumps(record.training)
    network = model.build_network()
    for name in ('conv1.0', 'layer1.0.conv1', 'layer4.1.conv2'):
        kept = network.get_submodule(f'backbone.{name}').weight
        assert torch.allclose(kept, tensors[f'{name}.weight'], rtol=1e-3, atol=1e-5)

    # The second sitting needs neither the file nor the order of colours said again.
    file.unlink()
    again = [text for text in options if text not in ('--backbone.color_order', 'bgr')]
    done = fit(*again, '--epochs', 2, '--resume', root=rendered_camvid)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'resnet18-deep.pth' not in done.stdout
    last = torch.load(tmp_path / 'run' / 'last.ckpt', weights_only=True)
    assert last['epoch'] == 1 and last['segnode_backbone'] == facts
    assert last['segnode_config']['backbone']['color_order'] == 'bgr'


def test_a_file_of_another_network_ends_in_one_sentence(rendered_camvid, tmp_path):
    file = tmp_path / 'classifier.pth'
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7), 'bn1.weight': torch.zeros(64),
                'layer1.0.conv1.weight': torch.zeros(64, 64, 1, 1)}, file)
    done = fit('--network', 'bisenet', '--backbone', file,  # the short form
               '--out', tmp_path,
               '--data.input_size', '[64,64]', '--loss.class_weights', 'none',
               '--accelerator', 'cpu', root=rendered_camvid)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.count('\n') == 1 and done.stderr.startswith(f'error: {file}: ')

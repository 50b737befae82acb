# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Schedule, weight average and the module's tie to the deploy graph."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

from segnode.errors import SegnodeError  # noqa: E402
from segnode.labels import load_label_set  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from segnode.runtimes.graph import DeployGraph  # noqa: E402
from training.averaging import AveragedWeights, ema_decay  # noqa: E402
from training.config import DataConfig, FitConfig, model_record, OptimConfig  # noqa: E402
from training.module import SegmentationModule, warmup_poly  # noqa: E402


@pytest.fixture
def module():
    torch.manual_seed(0)
    config = FitConfig(data=DataConfig(input_size=(128, 128)))
    record = model_record(config, load_label_set('camvid'), '')
    return SegmentationModule(zoo.create('fsffnet', 11), record, config)


def test_warmup_and_poly_by_hand():
    factors = [warmup_poly(step, 10, 4, 1.0) for step in range(11)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0])
    assert warmup_poly(7, 10, 4, 2.0) == pytest.approx(0.25)
    assert warmup_poly(0, 10, 0, 0.9) == 1.0


def test_average_follows_early_and_remembers_late():
    assert ema_decay(0, 0.998) == 0.1
    assert ema_decay(8, 0.998) == 0.5
    assert ema_decay(10**6, 0.998) == 0.998


def test_average_of_parameters_and_statistics():
    average = AveragedWeights(0.5)._kwargs['multi_avg_fn']
    held, new = [torch.tensor([0.0]), torch.tensor([4.0])], [torch.tensor([1.0])] * 2
    average(held, new, torch.tensor(100))
    assert [t.item() for t in held] == [0.5, 2.5]
    counter = [torch.tensor(3)]
    average(counter, [torch.tensor(7)], torch.tensor(100))
    assert counter[0].item() == 7


def test_training_sees_the_image_as_the_vehicle_does(module):
    images = torch.randint(0, 256, (2, 128, 128, 3), dtype=torch.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = ((images.numpy()[..., ::-1] / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert np.abs(module.graph.prepare(images).numpy() - expected).max() < 1e-5
    module.eval()
    with torch.no_grad():
        labels = module.outputs(images)[0].argmax(1)
        graph = DeployGraph(module.graph.network, _record())
        assert torch.equal(
            graph.eval()(images), labels.repeat_interleave(2, 1).repeat_interleave(2, 2).byte())


def _record():
    return model_record(FitConfig(), load_label_set('camvid'), '')


def test_batch_norm_momentum_is_the_recipes_or_the_networks_own(module):
    momenta = {m.momentum for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}
    config = FitConfig(optim=OptimConfig(bn_momentum=None))
    own = SegmentationModule(zoo.create('fsffnet', 11), _record(), config)
    assert {m.momentum for m in own.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {
        0.01, 0.003}


def test_loss_of_a_perfect_prediction_is_small_and_of_a_wrong_one_large(module):
    labels = torch.randint(0, 11, (1, 8, 8)).repeat_interleave(2, 1).repeat_interleave(2, 2)
    right = torch.nn.functional.one_hot(labels[:, ::2, ::2], 11).permute(0, 3, 1, 2) * 20.0
    assert module.loss(right, labels).item() < 1e-3
    assert module.loss(right.roll(1, 1), labels).item() > 10


def test_auxiliary_outputs_take_part_or_are_refused():
    config = FitConfig(network='bisenetv2', data=DataConfig(input_size=(64, 64)))
    record = model_record(config, load_label_set('camvid'), '')
    module = SegmentationModule(zoo.create('bisenetv2', 11), record, config)
    outputs = module.outputs(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    assert len(outputs) == 5
    labels = torch.randint(0, 11, (1, 4, 4)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    wrong = torch.nn.functional.one_hot((labels[:, ::4, ::4] + 1) % 11, 11)
    assert module.auxiliary_loss(wrong.permute(0, 3, 1, 2) * 20.0, labels).item() > 5
    with pytest.raises(SegnodeError, match='auxiliary false'):
        module.auxiliary_loss(torch.zeros(1, 1, 4, 4), labels)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Schedule, weight average and the module's tie to the deploy graph."""

import dataclasses

from loss_cases import settled
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_lightning')

from segnode.errors import SegnodeError  # noqa: E402
from segnode.export import save_safetensors  # noqa: E402
from segnode.labels import load_label_set  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from segnode.runtimes.graph import DeployGraph  # noqa: E402
from training.averaging import AveragedWeights, ema_decay  # noqa: E402
from training.config import (  # noqa: E402
    DataConfig,
    DistillConfig,
    FitConfig,
    LossConfig,
    model_record,
    OptimConfig,
)
from training.module import SegmentationModule  # noqa: E402


@pytest.fixture
def module():
    torch.manual_seed(0)
    config = FitConfig(data=DataConfig(input_size=(128, 128)))
    record = model_record(config, load_label_set('camvid'), '')
    return SegmentationModule(zoo.create('fsffnet', 11), record, config)


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


def _record(**changes):
    return dataclasses.replace(model_record(FitConfig(), load_label_set('camvid'), ''), **changes)


def test_batch_norm_momentum_is_the_recipes_or_the_networks_own(module):
    momenta = {m.momentum for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}
    config = FitConfig(optim=OptimConfig(bn_momentum=None))
    own = SegmentationModule(zoo.create('fsffnet', 11), _record(), config)
    assert {m.momentum for m in own.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {
        0.01, 0.003}


def batch(count=2, size=64, seed=0):
    """Noise, and labels in large patches with some void: uint8 images and labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 11, (count, 4, 4), dtype=torch.uint8, generator=generator)
    labels[0, 0, 0] = 255
    side = size // 4
    return images, labels.repeat_interleave(side, 1).repeat_interleave(side, 2)


def of(network, loss=None, size=64, **args):
    config = FitConfig(
        network=network, network_args=args, data=DataConfig(input_size=(size, size)),
        loss=loss or LossConfig())
    record = model_record(config, load_label_set('camvid'), '')
    torch.manual_seed(0)
    return SegmentationModule(zoo.create(network, 11, **args), record, config)


def test_loss_of_a_perfect_prediction_is_small_and_of_a_wrong_one_large(module):
    labels = torch.randint(0, 11, (1, 8, 8)).repeat_interleave(2, 1).repeat_interleave(2, 2)
    right = torch.nn.functional.one_hot(labels[:, ::2, ::2], 11).permute(0, 3, 1, 2) * 20.0
    assert list(module.criterion([right], labels)) == ['cross_entropy']
    assert module.criterion([right], labels)['cross_entropy'].item() < 1e-3
    assert module.criterion([right.roll(1, 1)], labels)['cross_entropy'].item() > 10


@pytest.mark.parametrize('network', ['pidnet_s', pytest.param('msfnet', marks=pytest.mark.slow)])
def test_boundary_heads_learn(network):
    """One optimisation step makes the loss smaller, with a gradient in the boundary head."""
    module = of(network, LossConfig(kind='ohem'))
    module.train()
    logged = {}
    module.log = lambda name, value, **options: logged.update({name: value.item()})
    steps = torch.optim.SGD(module.graph.network.parameters(), lr=1e-3)
    loss = module.training_step(batch(), 0)
    names = ['loss', 'loss/ohem', 'loss/auxiliary', 'loss/boundary', 'loss/boundary_main']
    if network == 'msfnet':
        names.remove('loss/auxiliary')
    assert list(logged) == names and logged['loss/boundary'] > 0
    assert logged['loss'] == pytest.approx(sum(logged[name] for name in names[1:]), rel=1e-5)
    loss.backward()
    head = module.graph.network.auxiliary
    head = head['boundary'] if network == 'pidnet_s' else head
    for name, parameter in head.named_parameters():
        # What a bias before a batch normalisation gets is nothing but rounding.
        assert parameter.dim() == 1 or parameter.grad.abs().max() > 0, name
    steps.step()
    before = dict(logged)
    assert module.training_step(batch(), 0).item() < loss.item()
    assert logged['loss/boundary'] < before['loss/boundary']


def test_auxiliary_outputs_take_part():
    module = of('bisenetv2')
    module.train()
    images, labels = batch()
    parts = module.criterion(module.outputs(images), labels.long())
    assert list(parts) == ['cross_entropy', 'auxiliary']
    assert parts['auxiliary'].item() > 4 * 0.4 * 1.5  # four, each near ln 11 or above
    with pytest.raises(SegnodeError, match='bisenetv2 as configured has 4 auxiliary'):
        of('bisenetv2', LossConfig(auxiliary=[1.0]))
    with pytest.raises(SegnodeError, match='bisenetv2 as configured has 0 auxiliary'):
        of('bisenetv2', LossConfig(auxiliary=[1.0]), auxiliary=False)
    assert of('bisenetv2', auxiliary=False).criterion.auxiliary_weights == ()


@pytest.mark.parametrize('kind', ['logits', 'channels'])
def test_a_teacher_distils_into_a_student(kind, tmp_path):
    teacher = of('espnet_c')
    record = _record(network='espnet_c', input_size=(64, 64))
    path = save_safetensors(
        tmp_path / 'teacher.safetensors', settled(teacher.graph.network), record)
    loss = LossConfig(distill=DistillConfig(str(path), kind, 10.0))
    student = of('espnet_c', loss)
    assert not [name for name in student.state_dict() if 'teacher' in name]
    assert len(list(student.parameters())) == len(list(teacher.parameters()))
    average = torch.optim.swa_utils.AveragedModel(student, use_buffers=True)
    assert average.module.criterion.teacher is student.criterion.teacher

    # The same network with the same weights has nothing to learn from itself.
    student.graph.network.load_state_dict(student.criterion.teacher.graph.network.state_dict())
    images, labels = batch()
    student.eval()
    alike = student.criterion(student.outputs(images), labels.long(), images)['distill'].item()
    assert abs(alike) < 1e-5
    with torch.no_grad():
        for parameter in student.graph.network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    student.train()
    steps = torch.optim.Adam(student.graph.network.parameters(), 1e-3)
    values = []
    for _ in range(5):
        value = student.criterion(student.outputs(images), labels.long(), images)['distill']
        steps.zero_grad()
        value.backward()
        steps.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0] and values[0] > 100 * alike, values
    assert not student.criterion.teacher.graph.network.training


def test_a_loss_that_is_not_finite_stops_and_names_the_batch():
    module = of('espnet_c')
    with torch.no_grad():
        next(module.graph.network.parameters()).fill_(float('nan'))
    images, labels = batch()
    with pytest.raises(SegnodeError, match=r'The loss is nan \(cross_entropy nan\) at step 0'):
        module.training_step((images, labels), 3)
    with pytest.raises(SegnodeError, match='batch 3; its files: a.png, b.png'):
        module.training_step((images, labels, ['a.png', 'b.png']), 3)


def test_a_batch_without_labels_changes_nothing():
    module = of('espnet_c', LossConfig(kind='ohem', dice=1.0, lovasz=1.0))
    module.log = lambda *arguments, **options: None
    images, labels = batch()
    loss = module.training_step((images, torch.full_like(labels, 255)), 0)
    loss.backward()
    assert loss.item() == 0.0
    assert all(not p.grad.any() for p in module.graph.network.parameters())

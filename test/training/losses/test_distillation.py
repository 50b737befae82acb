# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Distillation against its definition, and the teacher that it comes from."""

import copy
import dataclasses

from loss_cases import random_case, settled, softmax
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from segnode.errors import SegnodeError  # noqa: E402
from segnode.export import save_safetensors  # noqa: E402
from segnode.labels import load_label_set  # noqa: E402
from segnode.model import Model  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from segnode.record import ModelRecord  # noqa: E402
from training.losses import channel_distillation, logit_distillation, Teacher  # noqa: E402
from training.losses.distillation import labelled_cells, resize_logits  # noqa: E402

LOSSES = {'logits': logit_distillation, 'channels': channel_distillation}


@pytest.fixture(scope='module')
def model_path(tmp_path_factory):
    """Return the path of an ESPNet-C of CamVid's classes, as it is released."""
    torch.manual_seed(0)
    record = ModelRecord('espnet_c', load_label_set('camvid'), (64, 64), std=(0.3, 0.2, 0.1))
    path = tmp_path_factory.mktemp('teacher') / 'small.safetensors'
    return str(save_safetensors(path, settled(zoo.create('espnet_c', 11)), record))


def case():
    student, labels = random_case(3, (4, 5))
    teacher, _ = random_case(3, (4, 5), seed=7)
    return student, teacher, labels != 255


def logits_by_hand(student, teacher, valid, temperature):
    ours, theirs = (softmax(x / temperature, 1) for x in (student, teacher))
    divergence = (theirs * np.log(theirs / ours)).sum(1)
    return temperature**2 * divergence[valid.numpy()].mean()


def channels_by_hand(student, teacher, valid, temperature):
    losses = []
    for image in range(len(student)):
        if not valid[image].any():
            continue
        for channel in range(student.shape[1]):
            ours, theirs = (
                softmax(x[image, channel][valid[image]] / temperature, 0)
                for x in (student, teacher)
            )
            losses.append((theirs * np.log(theirs / ours)).sum())
    return temperature**2 * np.mean(losses)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
@pytest.mark.parametrize('empty', [False, True])
def test_values_by_their_definition(temperature, empty):
    student, teacher, valid = case()
    if empty:
        valid[1] = False
    for loss, by_hand in ((logit_distillation, logits_by_hand),
                          (channel_distillation, channels_by_hand)):
        assert loss(student, teacher, valid, temperature).item() == pytest.approx(
            by_hand(student, teacher, valid, temperature), rel=1e-10)


@pytest.mark.parametrize('kind', LOSSES)
def test_a_student_like_its_teacher_has_nothing_to_learn(kind):
    student, _, valid = case()
    teacher = student.clone()
    student.requires_grad_()
    loss = LOSSES[kind](student, teacher, valid, 2.0)
    loss.backward()
    assert abs(loss.item()) < 1e-12 and student.grad.abs().max() < 1e-12


@pytest.mark.parametrize('kind', LOSSES)
def test_gradient_follows_the_teacher_on_labelled_pixels_alone(kind):
    student, teacher, valid = case()
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: LOSSES[kind](x, teacher, valid, 3.0), student)
    LOSSES[kind](student, teacher, valid, 3.0).backward()
    learnt = student.grad.abs().sum(1) > 0
    assert torch.equal(learnt, valid)


@pytest.mark.parametrize('kind', LOSSES)
def test_size_of_the_gradient_hardly_depends_on_the_temperature(kind):
    """With the factor T² it tends to a limit; without, it would fall to 1/16 from 20 to 80."""
    norms = []
    for temperature in (20.0, 80.0):
        student, teacher, valid = case()
        student.requires_grad_()
        LOSSES[kind](student, teacher, valid, temperature).backward()
        norms.append(student.grad.norm().item())
    assert norms[0] == pytest.approx(norms[1], rel=0.1)


@pytest.mark.parametrize('kind', LOSSES)
def test_all_ignored(kind):
    student, teacher, valid = case()
    student = student.float().requires_grad_()
    loss = LOSSES[kind](student, teacher.float(), valid & False, 4.0)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_teachers_logits_at_the_students_size():
    logits = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert resize_logits(logits, (4, 4)) is logits
    # Averages, not samples: one pixel of sixteen is not overlooked.
    spike = torch.zeros(1, 1, 8, 8)
    spike[0, 0, 0, 0] = 16.0
    small = resize_logits(spike, (2, 2))
    assert small.shape == (1, 1, 2, 2) and 0.1 < small[0, 0, 0, 0] < 16
    flat = resize_logits(torch.ones(1, 1, 8, 8), (2, 2))
    assert torch.allclose(flat, torch.ones(1, 1, 2, 2))
    assert resize_logits(logits, (8, 8))[0, 0, 0].tolist() == [
        0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]


def test_a_cell_with_any_label_takes_part():
    labels = torch.full((1, 4, 4), 255)
    labels[0, 1, 2] = 0
    assert labelled_cells(labels, (2, 2)).tolist() == [[[False, True], [False, False]]]


def test_teacher_sees_images_through_its_own_preprocessing(model_path):
    teacher = Teacher.load(model_path, load_label_set('camvid'), (64, 64))
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    logits = teacher.logits(images)
    assert logits.shape == (1, 11, 8, 8) and not logits.requires_grad
    model = Model.load(model_path)
    mean, std = (np.array(v) for v in (model.record.mean, model.record.std))
    x = torch.from_numpy((images.numpy()[..., ::-1] / 255 - mean) / std).float()
    with torch.no_grad():
        expected = model.build_network()(x.permute(0, 3, 1, 2))
    assert torch.allclose(logits, expected, atol=1e-4) and expected.std() > 0.01


def test_teacher_is_no_part_of_what_holds_it(model_path):
    teacher = Teacher.load(model_path, load_label_set('camvid'), (64, 64))
    holder = torch.nn.Linear(2, 2)
    holder.teacher = teacher
    assert len(list(holder.parameters())) == 2 and len(holder.state_dict()) == 2
    assert copy.deepcopy(holder).teacher is teacher
    holder.train()
    assert not any(module.training for module in teacher.graph.modules())
    assert not any(parameter.requires_grad for parameter in teacher.graph.parameters())


def test_wrong_teachers_are_refused(model_path):
    with pytest.raises(SegnodeError, match='11 classes of camvid, the run has the 19'):
        Teacher.load(model_path, load_label_set('cityscapes'), (64, 64))
    camvid = load_label_set('camvid')
    turned = dataclasses.replace(camvid, labels=camvid.labels[::-1])
    first, last = camvid.names[0], camvid.names[-1]
    with pytest.raises(SegnodeError, match=f'first difference: {first} / {last}'):
        Teacher.load(model_path, turned, (64, 64))
    with pytest.raises(SegnodeError, match='multiples of 8'):
        Teacher.load(model_path, camvid, (60, 64))
    with pytest.raises(SegnodeError, match='nosuch'):
        Teacher.load('nosuch', camvid, (64, 64))

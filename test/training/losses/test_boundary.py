# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Boundary targets drawn by hand, and the loss of a boundary head."""

from loss_cases import check_all_ignored, random_case
import numpy as np
import pytest

torch = pytest.importorskip('torch')
import torch.nn.functional as F  # noqa: E402

from training.losses import balanced_bce, boundary_loss, boundary_target  # noqa: E402
from training.losses.boundary import labels_at_boundary  # noqa: E402


def grid(text):
    """Rows of digits (x is 255) as int64 (1, H, W)."""
    rows = [[255 if c == 'x' else int(c) for c in row] for row in text.split()]
    return torch.tensor(rows)[None]


@pytest.mark.parametrize(('width', 'row'), [
    (1, '00010000'), (2, '00011000'), (3, '00111000'), (4, '00111100'), (6, '01111110')])
def test_widths_of_a_vertical_boundary(width, row):
    labels = grid('00007777 ' * 5)
    assert torch.equal(boundary_target(labels, width), grid(f'{row} ' * 5).byte())
    turned = boundary_target(labels.transpose(1, 2), width)
    assert torch.equal(turned, grid(f'{row} ' * 5).transpose(1, 2).byte())


def test_a_square_and_its_four_neighbours():
    labels = grid('00000 00000 00300 00000 00000')
    assert torch.equal(boundary_target(labels, 2), grid('00000 00100 01110 00100 00000').byte())
    assert torch.equal(boundary_target(labels, 4), grid('01110 11111 11111 11111 01110').byte())


def test_unlabelled_is_no_class():
    """No boundary along the unlabelled column, one where two classes meet, and none is learnt."""
    labels = grid('00x11 00x11 00011 00011')
    assert torch.equal(boundary_target(labels, 2), grid('00x00 00x00 00110 00110').byte())
    assert torch.equal(boundary_target(labels, 4), grid('00x00 01x11 01111 01111').byte())


def test_images_of_a_batch_do_not_touch():
    labels = torch.cat((grid('11 11'), grid('22 22')))
    assert boundary_target(labels, 4).sum() == 0


def test_about_what_canny_and_a_dilation_give():
    """PIDNet's own target on rendered labels; on CamVid's val labels the same IoU is 0.88."""
    cv2 = pytest.importorskip('cv2')
    from segnode.road_scene import RoadScene

    label = RoadScene(144, 192, seed=3).frame(20)[1]
    label[label == 255] = 0
    edges = cv2.dilate(cv2.Canny(label, 0.1, 0.2), np.ones((4, 4), np.uint8)) > 50
    ours = boundary_target(torch.from_numpy(label)[None], 4)[0].numpy() == 1
    assert edges.mean() > 0.05
    assert (ours & edges).sum() / (ours | edges).sum() > 0.8


def by_hand(logits, target):
    """Every term of the sum, in float64."""
    logits, target = logits.detach().numpy().ravel(), target.numpy().ravel()
    positives, negatives = (target == 1).sum(), (target == 0).sum()
    total, loss = positives + negatives, 0.0
    for value, truth in zip(logits, target):
        probability = 1 / (1 + np.exp(-value))
        if truth == 1:
            loss -= negatives / total * np.log(probability)
        elif truth == 0:
            loss -= positives / total * np.log(1 - probability)
    return loss / total


def test_balanced_bce_by_its_definition():
    logits, labels = random_case(1, (5, 7))
    target = torch.where(labels != 255, (logits[:, 0] > 1).long(), labels)
    assert {0, 1, 255} == set(target.unique().tolist())
    assert balanced_bce(-logits, target).item() == pytest.approx(
        by_hand(-logits, target), rel=1e-12)


def test_both_kinds_weigh_the_same():
    """However rare boundaries are, all of them together are worth as much as the rest."""
    target = torch.zeros(1, 10, 10, dtype=torch.long)
    target[0, 0, :4] = 1
    logits = torch.zeros(1, 1, 10, 10, requires_grad=True)
    balanced_bce(logits, target).backward()
    gradient = logits.grad[0, 0]
    assert gradient[target[0] == 1].sum().item() == pytest.approx(
        -gradient[target[0] == 0].sum().item())


def test_compared_at_the_labels_size():
    logits, labels = random_case(1, (2, 3))
    target = torch.randint(0, 2, (2, 8, 12), generator=torch.Generator().manual_seed(0))
    large = F.interpolate(logits, scale_factor=4.0, mode='bilinear', align_corners=False)
    assert boundary_loss(logits, target, 'labels').item() == pytest.approx(
        by_hand(large, target), rel=1e-12)


def test_compared_at_the_logits_size():
    """A boundary anywhere in the cell is one; a cell is ignored where all of it is."""
    target = grid('0000xx0x 0000xxx0 00100000 00000000')
    logits = torch.randn(1, 1, 2, 4, dtype=torch.float64)
    assert boundary_loss(logits, target, 'logits').item() == pytest.approx(
        by_hand(logits, grid('00x0 0100')), rel=1e-12)


def test_labels_where_the_head_is_sure():
    labels = torch.arange(16).reshape(1, 4, 4)
    logits = torch.full((1, 1, 2, 2), -9.0)
    logits[0, 0, 0] = 9.0
    kept = labels_at_boundary(labels, logits, 0.8)
    # Enlarged: 9, 4.5, -4.5, -9 down the rows.
    assert torch.equal(kept[0, :2], labels[0, :2]) and (kept[0, 2:] == 255).all()
    assert (labels_at_boundary(labels, logits, 0.995)[0, 1:] == 255).all()


@pytest.mark.parametrize('size', ['labels', 'logits'])
def test_all_ignored(size):
    check_all_ignored(
        lambda logits, labels: boundary_loss(logits[:, :, ::2, ::2], labels, size), classes=1)


@pytest.mark.parametrize('size', ['labels', 'logits'])
def test_gradient(size):
    logits, labels = random_case(1, (2, 3))
    target = F.interpolate(labels.clamp(max=1)[None].float(), scale_factor=2.0)[0].long()
    assert torch.autograd.gradcheck(
        lambda x: boundary_loss(x, target, size), logits.requires_grad_())

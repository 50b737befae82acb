# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""iIoU by hand, and all four scores against the official evaluator on the same files."""

import numpy as np
from PIL import Image
import pytest

from cityscapes_official import official_scores
from segnode.labels import load_label_set
from training.instance_metrics import AVERAGE_SIZE, InstanceStats
from training.metrics import category_iou, class_iou, confusion_matrix

LABELS = load_label_set('cityscapes')
PERSON, RIDER, CAR, BUS = 11, 12, 13, 15


def test_iiou_by_hand():
    # Two persons of 4 and 2 pixels, a group (raw id alone), one car taken for a bus.
    instances = np.array([[24001] * 4, [24002, 24002, 24, 24], [26000] * 4])
    truth = np.array([[PERSON] * 4, [PERSON] * 4, [CAR] * 4], np.uint8)
    guess = np.array([[PERSON, PERSON, PERSON, RIDER], [0, PERSON, PERSON, PERSON], [BUS] * 4],
                     np.uint8)
    stats = InstanceStats(LABELS)
    stats.add(instances, guess)
    matrix = confusion_matrix(truth, guess, 19)
    average = AVERAGE_SIZE['person']
    found = average * (3 / 4 + 1 / 2)
    scores = stats.class_iiou(matrix)
    assert scores[PERSON] == pytest.approx(found / (2 * average))
    assert scores[CAR] == 0.0
    assert scores[BUS] == 0.0  # four pixels wrongly taken for it, no bus there
    assert np.isnan(scores[0])
    categories = stats.category_iiou(matrix)
    # To take a person for a rider is right for the category.
    assert categories['human'] == pytest.approx(average * (1 + 1 / 2) / (2 * average))
    assert categories['vehicle'] == 1.0
    assert np.isnan(categories['flat'])
    assert category_iou(matrix, LABELS.categories)['vehicle'] == 1.0


def test_counts_of_processes_add_up():
    rng = np.random.default_rng(1)
    frames = [(rng.choice([24001, 24002, 26001, 7], (20, 30)),
               rng.integers(0, 19, (20, 30)).astype(np.uint8)) for _ in range(3)]
    whole, parts = InstanceStats(LABELS), [InstanceStats(LABELS), InstanceStats(LABELS)]
    for index, frame in enumerate(frames):
        whole.add(*frame)
        parts[index % 2].add(*frame)
    assert np.allclose(whole.counts, parts[0].counts + parts[1].counts, rtol=1e-12)


@pytest.mark.slow
def test_scores_are_the_official_evaluators(tmp_path):
    rng = np.random.default_rng(3)
    truth_folder, guess_folder = tmp_path / 'truth', tmp_path / 'guess'
    truth_folder.mkdir()
    guess_folder.mkdir()
    matrix, stats = np.zeros((19, 20), np.int64), InstanceStats(LABELS)
    # 16 would be the train: a class that never occurs, in truth or prediction.
    possible = np.array([i for i in range(19) if i != 16] + [255], np.uint8)
    for frame in range(3):
        ids = np.kron(rng.choice([i for i in range(34) if i != 31], (12, 16)),
                      np.ones((16, 16), int)).astype(np.uint8)
        numbers = np.kron(rng.integers(0, 5, (24, 32)), np.ones((8, 8), int))
        has_instances = (ids >= 24) & (ids <= 33)
        instances = np.where(has_instances & (numbers > 0), ids.astype(int) * 1000 + numbers, ids)
        train = LABELS.raw_to_train[ids]
        noise = rng.random(ids.shape)
        guess = np.where(noise < 0.3, rng.choice(possible, ids.shape), train).astype(np.uint8)
        name = f'town_000000_{frame:06}_gtFine_labelIds.png'
        Image.fromarray(ids).save(truth_folder / name)
        Image.fromarray(instances.astype(np.uint16)).save(
            truth_folder / name.replace('labelIds', 'instanceIds'))
        Image.fromarray(LABELS.train_to_raw[guess]).save(guess_folder / name)
        matrix += confusion_matrix(train, guess, 19)
        stats.add(instances, guess)
    official = official_scores(tmp_path, f'{truth_folder}/*_labelIds.png', guess_folder)
    ours = {
        'classScores': dict(zip(LABELS.names, class_iou(matrix))),
        'classInstScores': dict(zip(LABELS.names, stats.class_iiou(matrix))),
        'categoryScores': category_iou(matrix, LABELS.categories),
        'categoryInstScores': stats.category_iiou(matrix),
    }
    for kind, scores in ours.items():
        theirs = [official[kind][name] for name in scores]
        np.testing.assert_allclose(list(scores.values()), theirs, rtol=0, atol=1e-9, err_msg=kind)
    assert np.isnan(ours['classScores']['train'])
    assert 0.3 < np.nanmean(list(ours['classInstScores'].values())) < 0.9

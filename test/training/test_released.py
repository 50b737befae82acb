# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped model gives, on the real data, the figure that its record states."""

import pytest

from segnode.labels import load_label_set
from segnode.model import Model
from segnode.segmenter import Segmenter

pytest.importorskip('tqdm')

from training.datasets.source import open_pool
from training.evaluate import evaluate


@pytest.mark.slow
@pytest.mark.parametrize('runtime', ['onnx', 'pytorch'])
def test_recorded_miou(data_root, runtime):
    if runtime == 'pytorch':
        pytest.importorskip('torch')
    model = Model.load('fsffnet_camvid')
    pool = open_pool('camvid:val', {'camvid': str(data_root / 'camvid')})
    segmenter = Segmenter.load(model, runtime=runtime)
    result = evaluate(segmenter, pool)
    segmenter.close()
    assert result.frames == 101
    assert result.miou == pytest.approx(model.record.training['miou']['val'], abs=1e-4)
    # The least that this package promises of its first model.
    assert result.miou > 0.65


def test_record_is_complete():
    training = Model.load('fsffnet_camvid').record.training
    assert training['dataset'] == 'camvid' and training['split'] == 'train'
    for key in ('recipe', 'epochs', 'seed', 'minutes', 'hardware', 'date', 'versions', 'history'):
        assert training[key], key
    assert set(training['class_iou']['val']) == set(load_label_set('camvid').names)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Every shipped model gives, on the real data, the figure that its record states."""

from pathlib import Path

import pytest

from segnode import store
from segnode.model import Model
from segnode.segmenter import Segmenter
from segnode.tensor_file import read_tensors

pytest.importorskip('tqdm')

from training.datasets.source import open_pool
from training.evaluate import evaluate

FOLDER = Path(store.__file__).parent / 'weights'
SHIPPED = sorted(path.stem for path in FOLDER.glob('*.safetensors'))
# Percent: the least that this package promises of its first model.
PROMISED = {'fsffnet_camvid': 65.0}
MOST = 12_000_000  # bytes of a file
NODES = 100_000  # bytes of a graph without its weights, at most


def test_there_are_some():
    assert set(PROMISED) <= set(SHIPPED)
    assert SHIPPED == sorted(path.stem for path in FOLDER.glob('*.onnx'))
    for name in SHIPPED:
        weights, graph = ((FOLDER / f'{name}.{kind}').stat().st_size
                          for kind in ('safetensors', 'onnx'))
        tensors, _ = read_tensors(FOLDER / f'{name}.safetensors')
        heads = sum(2 * tensor.size for key, tensor in tensors.items()
                    if key.startswith('auxiliary'))
        # Float16 in both of them; the graph has no statistics of batch norms and no heads that
        # only training uses, but its nodes.
        assert 0.9 * (weights - heads) < graph < weights - heads + NODES
        assert max(weights, graph) < MOST


@pytest.mark.slow
@pytest.mark.parametrize('runtime', ['onnx', 'pytorch'])
@pytest.mark.parametrize('name', SHIPPED)
def test_recorded_miou(data_root, name, runtime):
    if runtime == 'pytorch':
        pytest.importorskip('torch')
    model = Model.load(str(FOLDER / f'{name}.safetensors'))
    dataset = model.record.training['dataset'].partition(':')[0]
    pool = open_pool(f'{dataset}:val', {dataset: str(data_root / dataset)})
    segmenter = Segmenter.load(model, runtime=runtime)
    result = evaluate(segmenter, pool)
    segmenter.close()
    assert result.frames == len(pool) > 0
    training = model.record.training
    assert result.miou == pytest.approx(training['miou']['val'], abs=1e-4)
    class_iou = result.to_dict()['class_iou']
    for one, value in training['class_iou']['val'].items():
        assert class_iou[one] == pytest.approx(value, abs=1e-3), one
    assert 100 * result.miou > PROMISED.get(name, 0.0)


@pytest.mark.parametrize('name', SHIPPED)
def test_record_is_complete(name):
    """What repeats the run, and what it cost."""
    record = Model.load(str(FOLDER / f'{name}.safetensors')).record
    training = record.training
    for key in ('dataset', 'recipe', 'epochs', 'seed', 'minutes', 'hardware', 'date', 'versions',
                'history'):
        assert training[key], key
    assert record.data_licence
    assert set(training['class_iou']['val']) == set(record.label_set.names)
    graph = FOLDER / f'{name}.onnx'
    if graph.exists():
        assert record == Model.load(str(graph)).record

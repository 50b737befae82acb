# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Networks of somebody else in every convention: the labels that NumPy makes of them."""

from __future__ import annotations

import logging
from pathlib import Path
import sys
from typing import Any

import numpy as np
import pytest

from segnode.dependencies import installed
from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes import load_runtime
from segnode.runtimes.base import RuntimeOutput
from segnode.runtimes.cache import entries
from segnode.runtimes.custom_graph import custom_graph
from small_custom import (
    BIAS,
    camvid_names,
    CLASSES,
    CONVENTIONS,
    describe,
    enlarged,
    frames,
    logits,
    SIZE,
    WEIGHTS,
    write_network,
)

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

IMAGES = frames(3)
SAME = 0.999  # share of the pixels; two logits may be equal but for rounding


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def _run(
    folder: Path, description: dict[str, Any] | None = None, *, images: np.ndarray = IMAGES,
    confidence: bool = False, label_stride: int = 1, **network: Any,
) -> RuntimeOutput:
    """Write both files, load them and run the images one by one where they must be."""
    write_network(folder / 'net.onnx', **network)
    model = Model.load(describe(folder / 'mine.yaml', 'net.onnx', **description or {}))
    runtime = load_runtime(
        model, confidence=confidence, label_stride=label_stride, threads=1)
    assert runtime.name == 'onnx'
    if runtime.batch is None:
        return runtime.run(images)
    found = [runtime.run(images[i : i + 1]) for i in range(len(images))]
    return RuntimeOutput(
        np.concatenate([f.labels for f in found]),
        np.concatenate([f.confidence for f in found if f.confidence is not None])
        if confidence else None,
    )


def _expected(convention: str = 'unit rgb', **options: Any) -> np.ndarray:
    return enlarged(logits(IMAGES, convention), SIZE, **options).argmax(1)


def _same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.uint8 and found.shape == expected.shape
    assert len(np.unique(expected)) > 2
    assert (found == expected).mean() >= SAME


@pytest.mark.parametrize('layout', ['nchw', 'nhwc'])
@pytest.mark.parametrize('convention', CONVENTIONS)
def test_preparation(tmp_path: Path, convention: str, layout: str) -> None:
    found = _run(tmp_path, {'input': CONVENTIONS[convention][0]}, layout=layout)
    _same(found.labels, _expected(convention))


@pytest.mark.parametrize('stride', [1, 2, 4, 8, 16])
@pytest.mark.parametrize('output_layout', ['nchw', 'nhwc'])
def test_logits_at_any_stride(tmp_path: Path, stride: int, output_layout: str) -> None:
    found = _run(tmp_path, stride=stride, output_layout=output_layout, confidence=True)
    maps = enlarged(logits(IMAGES, 'unit rgb', stride), SIZE)
    _same(found.labels, maps.argmax(1))
    powers = np.exp(maps - maps.max(1, keepdims=True))
    assert found.confidence is not None and found.confidence.dtype == np.uint8
    assert np.abs(found.confidence - 255 / powers.sum(1)).max() < 0.51


@pytest.mark.parametrize('batch', [1, None])
@pytest.mark.parametrize('size', [(32, 64), (33, 65), (30, 50)])
def test_logits_whose_size_is_no_part_of_the_input(
    tmp_path: Path, size: tuple[int, int], batch: int | None
) -> None:
    images = frames(2, size)
    stride = 8 if size == (33, 65) else 7
    for align in (False, True):
        found = _run(tmp_path, {'output': {'align_corners': align}}, images=images, size=size,
                     batch=batch, stride=stride)
        maps = logits(images, 'unit rgb', stride)
        _same(found.labels, enlarged(maps, size, align_corners=align).argmax(1))


@pytest.mark.parametrize('dtype', ['int64', 'int32', 'uint8', 'float32', 'float16', 'bool'])
@pytest.mark.parametrize('output, layout', [
    ('labels', ''), ('labels1', 'nchw'), ('labels1', 'nhwc')])
def test_labels_of_every_type(tmp_path: Path, dtype: str, output: str, layout: str) -> None:
    stated = {'output': {'kind': 'labels'}} if dtype.startswith('float') else {}
    found = _run(tmp_path, stated, output=output, output_layout=layout, output_dtype=dtype,
                 stride=1)
    expected = logits(IMAGES, 'unit rgb', 1).argmax(1)
    _same(found.labels, expected) if dtype != 'bool' else \
        np.testing.assert_array_equal(found.labels, expected != 0)


@pytest.mark.parametrize('output', ['labels', 'labels1'])
def test_labels_of_a_smaller_size_are_repeated(tmp_path: Path, output: str) -> None:
    expected = logits(IMAGES, 'unit rgb', 8).argmax(1).repeat(8, 1).repeat(8, 2)
    _same(_run(tmp_path, output=output).labels, expected)
    _same(_run(tmp_path, output=output, batch=None).labels, expected)


@pytest.mark.parametrize('output', ['logits', 'labels'])
def test_classes_by_name_and_null_for_none(tmp_path: Path, output: str) -> None:
    stride = 8 if output == 'logits' else 1
    channels = enlarged(logits(IMAGES, 'unit rgb', stride), SIZE).argmax(1)
    none = int(np.bincount(channels.ravel()).argmax())
    names: list[str | None] = [*camvid_names()[::-1]]
    names[none] = None
    table = np.array([255 if n is None else CLASSES - 1 - i for i, n in enumerate(names)])
    found = _run(tmp_path, {'output': {'classes': names}}, output=output, stride=stride)
    _same(found.labels, table[channels])
    assert (found.labels == 255).mean() > 0.1


def test_values_that_are_no_class_are_unlabelled(tmp_path: Path) -> None:
    """The network gives 11 values, the description names the classes of the first 8."""
    found = _run(tmp_path, {'output': {'classes': camvid_names()[:8]}}, output='labels', stride=1)
    expected = logits(IMAGES, 'unit rgb', 1).argmax(1)
    _same(found.labels, np.where(expected < 8, expected, 255))
    assert (found.labels == 255).any()


@pytest.mark.parametrize('value, label', [
    (-1.0, 255), (254.0, 255), (255.0, 255), (1e9, 255), (2.9, 3), (3.0, 3), (10.4, 10)])
def test_float_labels_are_rounded(tmp_path: Path, value: float, label: int) -> None:
    path = tmp_path / 'net.onnx'
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node('ReduceMax', ['input'], ['max'], axes=[1], keepdims=0),
         helper.make_node('Mul', ['max', 'zero'], ['nothing']),
         helper.make_node('Add', ['nothing', 'value'], ['output'])], 'constant',
        [helper.make_tensor_value_info('input', 1, [1, 3, *SIZE])],
        [helper.make_tensor_value_info('output', 1, [1, *SIZE])],
        [onnx.numpy_helper.from_array(np.array(v, np.float32), n)
         for n, v in (('zero', 0), ('value', value))])
    onnx.save(helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), path)
    model = Model.load(describe(tmp_path / 'm.yaml', 'net.onnx', output={'kind': 'labels'}))
    assert (load_runtime(model).run(IMAGES[:1]).labels == label).all()


@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
def test_a_single_channel_is_the_second_of_two_classes(tmp_path: Path, kind: str) -> None:
    names = camvid_names()
    output: dict[str, Any] = {'classes': [names[3], names[8]]}
    if kind == 'logits':
        output['kind'] = kind  # behind a Sigmoid there is no doubt
    found = _run(tmp_path, {'output': output}, classes=1, output=kind, confidence=True)
    first = np.einsum(
        'c,nchw->nhw', WEIGHTS[0].astype(np.float64), _prepared_every(8)) + BIAS[0]
    if kind == 'probabilities':
        first = 1 / (1 + np.exp(-first))
    map_ = enlarged(first[:, None], SIZE)[:, 0]
    chance = map_ if kind == 'probabilities' else 1 / (1 + np.exp(-map_))
    expected = np.where(chance > 0.5, 8, 3)
    assert 0.1 < (expected == 8).mean() < 0.9
    assert (found.labels == expected).mean() >= SAME
    assert found.confidence is not None
    assert np.abs(found.confidence - 255 * np.maximum(chance, 1 - chance)).max() < 0.51


def _prepared_every(stride: int) -> np.ndarray:
    from small_custom import prepared

    return prepared(IMAGES, 'unit rgb')[:, :, ::stride, ::stride]


def test_probabilities_tell_themselves(tmp_path: Path) -> None:
    found = _run(tmp_path, output='probabilities', confidence=True)
    maps = logits(IMAGES, 'unit rgb')
    powers = np.exp(maps - maps.max(1, keepdims=True))
    maps = enlarged(powers / powers.sum(1, keepdims=True), SIZE)
    _same(found.labels, maps.argmax(1))
    assert found.confidence is not None
    assert np.abs(found.confidence - 255 * maps.max(1)).max() < 0.51


@pytest.mark.parametrize('label_stride', [4, 8])
@pytest.mark.parametrize('stride', [1, 4, 8, 16])
def test_labels_at_a_part_of_the_input(tmp_path: Path, label_stride: int, stride: int) -> None:
    found = _run(tmp_path, stride=stride, label_stride=label_stride, confidence=True)
    maps = logits(IMAGES, 'unit rgb', stride)
    size = (SIZE[0] // label_stride, SIZE[1] // label_stride)
    if stride < label_stride:
        factor = label_stride // stride
        n, c, h, w = maps.shape
        maps = maps.reshape(n, c, h // factor, factor, w // factor, factor).mean((3, 5))
    else:
        maps = enlarged(maps, size)
    assert maps.shape[2:] == size
    assert found.labels.shape == (3, *size)
    assert (found.labels == maps.argmax(1)).mean() >= 0.99  # of 96 pixels and more
    assert found.confidence is not None and found.confidence.shape == (3, *size)


def test_labels_of_theirs_at_a_part_of_the_input(tmp_path: Path) -> None:
    found = _run(tmp_path, output='labels', stride=1, label_stride=4)
    expected = logits(IMAGES, 'unit rgb', 1).argmax(1)[:, ::4, ::4]
    assert (found.labels == expected).all()


@pytest.mark.parametrize('types', [{'dtype': 'float16'}, {'output_dtype': 'float64'}])
def test_other_floats(tmp_path: Path, types: dict[str, str]) -> None:
    found = _run(tmp_path, confidence=True, **types)
    assert (found.labels == _expected()).mean() > 0.99


def test_pixels_as_they_are(tmp_path: Path) -> None:
    """A network that takes uint8 has its preparation inside."""
    found = _run(tmp_path, {'input': {'color_order': 'rgb', 'scale': 1}}, dtype='uint8',
                 layout='nhwc')
    x = IMAGES[..., ::-1].transpose(0, 3, 1, 2)[:, :, ::8, ::8].astype(np.float64)
    maps = np.einsum('kc,nchw->nkhw', WEIGHTS, x) + BIAS[:, None, None]
    _same(found.labels, enlarged(maps, SIZE).argmax(1))


@pytest.mark.parametrize('opset, ir_version', [(11, 3), (11, 6), (13, 7), (18, 8), (21, 10)])
def test_every_version_of_the_operators(tmp_path: Path, opset: int, ir_version: int) -> None:
    found = _run(tmp_path, opset=opset, ir_version=ir_version, confidence=True)
    _same(found.labels, _expected())
    (entry,) = entries()
    made = onnx.load(entry.path)
    onnx.checker.check_model(made, full_check=True)
    assert [i.name for i in made.graph.input] == ['image']
    assert _run(tmp_path, opset=opset, output='labels1').labels.shape == (3, *SIZE)


@pytest.mark.parametrize('names', [('image', 'labels'), ('labels', 'image'), (
    'segnode/before/1', 'confidence')])
def test_names_of_theirs_that_are_ours(tmp_path: Path, names: tuple[str, str]) -> None:
    found = _run(tmp_path, names=names, confidence=True)
    _same(found.labels, _expected())


def test_names_inside_of_a_branch(tmp_path: Path) -> None:
    """The body of an If takes tensors of the graph around it by name."""
    helper = onnx.helper
    write_network(tmp_path / 'net.onnx', names=('image', 'labels'))
    model = onnx.load(tmp_path / 'net.onnx')
    bodies = [helper.make_graph(
        [helper.make_node('Mul', ['image', f], [o])], o, [],
        [helper.make_tensor_value_info(o, 1, [1, 3, *SIZE])])
        for f, o in (('two', 'labels_a'), ('one', 'labels_b'))]
    branch = helper.make_node(
        'If', ['no'], ['confidence'], then_branch=bodies[0], else_branch=bodies[1])
    model.graph.node.insert(0, branch)
    model.graph.node[1].input[0] = 'confidence'
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(v), n)
        for n, v in (('no', False), ('one', np.float32(1)), ('two', np.float32(2))))
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / 'net.onnx')
    model = Model.load(describe(tmp_path / 'm.yaml', 'net.onnx'))
    found = load_runtime(model, threads=1).run(IMAGES[:1])
    _same(found.labels, _expected()[:1])


def test_an_open_batch_and_one_that_only_seems_so(tmp_path: Path, caplog: Any) -> None:
    write_network(tmp_path / 'net.onnx', batch=None)
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))
    runtime = load_runtime(model, threads=1)
    assert runtime.batch is None
    _same(runtime.run(IMAGES).labels, _expected())
    write_network(tmp_path / 'net.onnx', batch=None, inner_batch=1)
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))
    with caplog.at_level(logging.INFO, 'segnode'):
        runtime = load_runtime(model, threads=1)
    assert runtime.batch == 1
    assert 'net.onnx takes one image at a time' in caplog.text
    with pytest.raises(ValueError, match='takes 1 images at once, not 3'):
        runtime.run(IMAGES)
    write_network(tmp_path / 'net.onnx', batch=2)
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))
    assert load_runtime(model, threads=1).batch == 2


def test_an_open_size(tmp_path: Path) -> None:
    write_network(tmp_path / 'net.onnx', size=None, batch=None)
    stated = {**CONVENTIONS['unit rgb'][0], 'size': list(SIZE)}
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx', input=stated))
    assert model.record.input_size == SIZE
    _same(load_runtime(model).run(IMAGES).labels, _expected())
    runtime = load_runtime(model, input_size=(48, 40))
    assert runtime.input_size == (48, 40)
    images = frames(2, (48, 40))
    expected = enlarged(logits(images, 'unit rgb'), (48, 40)).argmax(1)
    _same(runtime.run(images).labels, expected)


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    found = _run(tmp_path, external='weights.data')
    assert (tmp_path / 'weights.data').exists()
    _same(found.labels, _expected())


def test_it_is_made_once_and_again_when_anything_changes(tmp_path: Path) -> None:
    _run(tmp_path)
    (entry,) = entries()
    assert entry.path.name.startswith('mine-32x64-')
    made = entry.path.stat().st_mtime_ns
    _run(tmp_path)
    (entry,) = entries()
    assert entry.path.stat().st_mtime_ns == made
    for count, changes in enumerate((
        {'confidence': True}, {'label_stride': 4}, {'stride': 4},
        {'description': {'output': {'align_corners': True}}},
        {'description': {'input': CONVENTIONS['raw bgr'][0]}},
    ), 2):
        _run(tmp_path, **changes)
        assert len(entries()) == count, changes


def test_what_is_made_is_a_model_of_its_own(tmp_path: Path) -> None:
    """Copied elsewhere it needs neither the description nor the file of theirs."""
    _run(tmp_path)
    (entry,) = entries()
    alone = tmp_path / 'alone.onnx'
    alone.write_bytes(entry.path.read_bytes())
    model = Model.load(alone)
    assert model.custom is None and model.record.network == 'custom'
    _same(load_runtime(model).run(IMAGES[:1]).labels, _expected()[:1])
    with pytest.raises(SegnodeError, match='takes images of 32x64 and no others, not 64x64'):
        load_runtime(model, input_size=(64, 64))
    with pytest.raises(SegnodeError, match='for 32x64 with confidence give the .yaml file'):
        load_runtime(model, confidence=True)
    with pytest.raises(SegnodeError, match='is an .onnx file of somebody else, which PyTorch'):
        model.build_network()


@pytest.mark.parametrize('tensor_type, kind', [('uint8', 'Cast')])
def test_it_obeys_tensorrts_rules(tmp_path: Path, tensor_type: str, kind: str) -> None:
    """uint8 input feeds a cast and nothing else; the output comes from one."""
    _run(tmp_path, names=('image', 'labels'), batch=None, confidence=True)
    (entry,) = entries()
    graph = onnx.load(entry.path).graph
    assert {n.op_type for n in graph.node if 'image' in n.input} == {kind}
    ends = {output.name for output in graph.output}
    assert ends == {'labels', 'confidence'}
    assert {n.op_type for n in graph.node if ends & set(n.output)} == {kind}
    assert not {'Shape', 'Loop', 'If'} & {n.op_type for n in graph.node}
    sides = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    assert sides == ['batch', *SIZE, 3]


def test_without_onnx_and_without_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is needed to put it together, unless the file leaves the output's size open."""
    write_network(tmp_path / 'net.onnx', batch=None)
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))
    monkeypatch.setitem(sys.modules, 'onnx', None)
    assert model.custom is not None
    usual = custom_graph(model.custom, model.record, SIZE)
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert custom_graph(model.custom, model.record, SIZE) == usual
    monkeypatch.undo()
    write_network(tmp_path / 'net.onnx', batch=None, size=None)
    stated = {**CONVENTIONS['unit rgb'][0], 'size': list(SIZE)}
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx', input=stated))
    assert model.custom is not None
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(SegnodeError, match=r'does not state the size of .*\[batch, 11, h, w\]'):
        custom_graph(model.custom, model.record, SIZE)


def test_what_shows_only_when_it_runs(tmp_path: Path) -> None:
    def refused(text: str, **options: Any) -> None:
        with pytest.raises(SegnodeError, match=text) as caught:
            load_runtime(Model.load(tmp_path / 'mine.yaml'), **options)
        assert '\n' not in str(caught.value)

    write_network(tmp_path / 'net.onnx', stride=1, output='labels')
    describe(tmp_path / 'mine.yaml', 'net.onnx')
    refused('labels, of which there is no confidence', confidence=True)
    refused('takes images of 32x64 and no others', input_size=(64, 64))
    refused('uncertainty needs a network with Monte Carlo dropout', samples=4)
    refused('which PyTorch cannot run: take the onnx runtime', name='pytorch')
    refused('multiples of 8, not 36x64', label_stride=8) if _open_size(tmp_path) else None
    # A file that states another number of channels than its network has.
    write_network(tmp_path / 'net.onnx', classes=12)
    model = onnx.load(tmp_path / 'net.onnx')
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = 'channels'
    onnx.save(model, tmp_path / 'net.onnx')
    describe(tmp_path / 'mine.yaml', 'net.onnx')
    refused(r'12, 4, 8\], 12 channels, but label_set has 11 classes: name the class of each')
    write_network(tmp_path / 'net.onnx', size=None, inner_batch=1)
    stated = {**CONVENTIONS['unit rgb'][0], 'size': [40, 64]}
    describe(tmp_path / 'mine.yaml', 'net.onnx', input=stated)
    refused('net.onnx does not run at 40x64: ')
    (tmp_path / 'net.onnx').unlink()
    refused('net.onnx cannot be read: No such file')


def _open_size(folder: Path) -> bool:
    write_network(folder / 'net.onnx', size=None)
    stated = {**CONVENTIONS['unit rgb'][0], 'size': [36, 64]}
    describe(folder / 'mine.yaml', 'net.onnx', input=stated)
    return True


def test_a_file_that_changes_after_loading(tmp_path: Path) -> None:
    write_network(tmp_path / 'net.onnx')
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))
    write_network(tmp_path / 'net.onnx', stride=4)
    with pytest.raises(SegnodeError, match='net.onnx has changed since it was loaded'):
        load_runtime(model)


def test_operators_that_the_runtime_does_not_know(tmp_path: Path) -> None:
    write_network(tmp_path / 'net.onnx')
    model = onnx.load(tmp_path / 'net.onnx')
    model.graph.node[0].op_type = 'Convolution'
    onnx.save(model, tmp_path / 'net.onnx')
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))
    with pytest.raises(SegnodeError, match='mine.yaml: net.onnx: .* refuses the graph') as caught:
        load_runtime(model)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('network, options', [
    ({'batch': None}, {}),
    ({'batch': None}, {'confidence': True}),
    ({'batch': None}, {'label_stride': 4}),
    ({'stride': 1}, {'label_stride': 8}),
    ({'layout': 'nhwc', 'output_layout': 'nhwc', 'output': 'probabilities'}, {}),
    ({'batch': None, 'size': (33, 65)}, {}),
    ({'output': 'labels'}, {}),
    ({'output': 'labels1', 'stride': 1, 'batch': None}, {}),
])
def test_tensorrt_builds_it(
    tmp_path: Path, network: dict[str, Any], options: dict[str, Any]
) -> None:
    from segnode.runtimes.tensorrt_build import Binding, build_plan
    from segnode.runtimes.tensorrt_versions import find_tensorrt, TENSORRT_RTX

    if not any(map(installed, TENSORRT_RTX)):
        pytest.skip('TensorRT for RTX is not installed: requirements/tensorrt.txt')
    tensorrt = find_tensorrt(TENSORRT_RTX)
    write_network(tmp_path / 'net.onnx', **network)
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))
    size = model.record.input_size
    assert model.custom is not None
    content = custom_graph(model.custom, model.record, size, **options)
    plan = build_plan(content, {'image': ((1, *size, 3),) * 3}, tensorrt=tensorrt)
    batch = -1 if 'batch' in network else 1
    assert plan.inputs == {'image': Binding('uint8', (batch, *size, 3))}
    stride = options.get('label_stride', 1)
    assert plan.outputs['labels'] == Binding(
        'uint8', (batch, size[0] // stride, size[1] // stride))

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptions of networks of somebody else: what they mean, and a sentence for each mismatch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segnode import store
from segnode.commands.models import main as models
from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from segnode.model import Model
from small_custom import camvid_names, CONVENTIONS, describe, SIZE, write_network

onnx = pytest.importorskip('onnx')

UNIT = CONVENTIONS['unit rgb'][0]


def _refused(path: Path | str, text: str) -> None:
    with pytest.raises(SegnodeError, match=text) as caught:
        Model.load(path)
    assert '\n' not in str(caught.value)


def test_a_model_with_a_record(tmp_path: Path) -> None:
    file = write_network(tmp_path / 'net.onnx')
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))
    assert model.name == 'mine' and model.trained
    assert model.safetensors_path is None and model.onnx_path is None
    assert model.custom is not None and model.custom.file == file
    record = model.record
    assert (record.network, record.input_size, record.color_order) == ('custom', SIZE, 'rgb')
    assert record.label_set == load_label_set('camvid')
    assert record.data_licence == 'made for tests'
    assert record.network_args == {'file': 'net.onnx', 'fixed_size': list(SIZE)}
    assert type(record).from_json(record.to_json()) == record


@pytest.mark.parametrize('convention', CONVENTIONS)
def test_the_record_prepares_as_described(tmp_path: Path, convention: str) -> None:
    entries, (scale, mean, std) = CONVENTIONS[convention]
    write_network(tmp_path / 'net.onnx')
    record = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx', input=entries)).record
    rgb = np.array([10.0, 100.0, 200.0])
    found = (rgb / 255 - record.mean) / record.std
    if entries['color_order'] == 'bgr':
        np.testing.assert_allclose(found[::-1], (rgb[::-1] * scale - mean) / std)
    else:
        np.testing.assert_allclose(found, (rgb * scale - mean) / std)


def test_label_sets_by_name_by_file_and_inside(tmp_path: Path) -> None:
    write_network(tmp_path / 'net.onnx')
    inside = load_label_set('camvid').to_dict()
    (tmp_path / 'set.yaml').write_text(yaml.safe_dump(inside))
    for label_set in ('camvid', 'set.yaml', inside):
        path = describe(tmp_path / 'mine.yaml', 'net.onnx', label_set=label_set)
        assert Model.load(path).record.label_set == load_label_set('camvid')
    for label_set, text in (
        ('city', "mine.yaml: no label set 'city'"), (3, 'label_set must be cityscapes'),
        ('other.yaml', 'cannot read .*other.yaml'), ({'name': 'x'}, 'mine.yaml: label_set: lab'),
    ):
        describe(tmp_path / 'mine.yaml', 'net.onnx', label_set=label_set)
        _refused(tmp_path / 'mine.yaml', text)


@pytest.mark.parametrize('entry, text', [
    ({'color_order': None}, 'input.color_order must be rgb or bgr, not None'),
    ({'color_order': 'gbr'}, "input.color_order must be rgb or bgr, not 'gbr'"),
    ({'scale': '1/0'}, 'input.scale must be a number or a fraction such as 1/255'),
    ({'scale': 0}, 'scale and std must be above 0'),
    ({'scale': True}, 'input.scale must be a number'),
    ({'scale': '1e999'}, 'input.scale must be a number'),
    ({'std': [1, 0, 1]}, 'scale and std must be above 0'),
    ({'mean': [1, 2]}, 'input.mean must be a number, or one for each of 3'),
    ({'mean': [1, 2, 'x']}, "input.mean must be a number or a fraction .*, not 'x'"),
    ({'size': [32]}, r'input.size must be \[height, width\] in pixels, not \[32\]'),
    ({'size': [64, 64]}, r'says that the input is 64x64, but net.onnx takes 32x64 \(height'),
    ({'layout': 'nhwc'}, r"net.onnx takes 'input' float32 \[1, 3, 32, 64\], which as NHWC has 64"),
    ({'layout': 'hwc'}, "input.layout must be nchw or nhwc, not 'hwc'"),
    ({'dtype': 'float16'}, r"says that the input is float16, but net.onnx takes 'input' float32"),
    ({'name': 'data'}, r"says that the input is 'data', but net.onnx takes 'input' float32 \[1"),
    ({'name': 3}, 'input: name must be a text, not 3'),
    ({'means': [1, 2, 3]}, "input has no entry 'means'; did you mean mean"),
])
def test_wrong_inputs(tmp_path: Path, entry: dict[str, Any], text: str) -> None:
    write_network(tmp_path / 'net.onnx')
    _refused(describe(tmp_path / 'mine.yaml', 'net.onnx', input={**UNIT, **entry}), text)


@pytest.mark.parametrize('missing, text', [
    ('color_order', 'mine.yaml: input.color_order is missing: rgb or bgr'),
    ('scale', 'mine.yaml: input.scale is missing: 1/255 for a network of pixels from 0 to 1'),
])
def test_what_must_be_said(tmp_path: Path, missing: str, text: str) -> None:
    write_network(tmp_path / 'net.onnx')
    stated = {key: value for key, value in UNIT.items() if key != missing}
    _refused(describe(tmp_path / 'mine.yaml', 'net.onnx', input=stated), text)


@pytest.mark.parametrize('entry, text', [
    ({'name': 'logits'}, r"says that the output is 'logits', but net.onnx gives 'output' flo"),
    ({'kind': 'mask'}, "output.kind must be logits, probabilities or labels, not 'mask'"),
    ({'layout': 'nhwc'}, r'\[1, 11, 4, 8\], 8 channels, but label_set has 11 classes: name'),
    ({'kind': 'labels'}, r'\[1, 11, 4, 8\], 11 channels, but labels have one at most'),
    ({'align_corners': 1}, 'output.align_corners must be true or false, not 1'),
    ({'classes': ['road', 'sky']}, '11 channels, but output.classes has 2 classes'),
    ({'classes': ['rode']}, r"output.classes\[0\] is 'rode', which is no class of camvid; it has"),
    ({'classes': 'road'}, 'output.classes must be a list'),
    ({'stride': 8}, "output has no entry 'stride'; there is name"),
])
def test_wrong_outputs(tmp_path: Path, entry: dict[str, Any], text: str) -> None:
    write_network(tmp_path / 'net.onnx')
    _refused(describe(tmp_path / 'mine.yaml', 'net.onnx', output=entry), text)


@pytest.mark.parametrize('network, output, text', [
    ({'classes': 19}, {}, r"gives 'output' float32 \[1, 19, 4, 8\], 19 channels, but label_set"),
    ({'classes': 1}, {}, r'\[1, 1, 4, 8\], which may be labels, or the logits or .* output.kind'),
    ({'classes': 1}, {'kind': 'logits'}, '1 channels, but label_set has 11 classes'),
    ({'output': 'labels'}, {'kind': 'logits'}, 'the output is logits, but .* are labels'),
    ({'output': 'labels', 'output_dtype': 'float32'}, {}, 'which may be labels'),
    ({'output': 'labels', 'output_dtype': 'float32'}, {'kind': 'logits'}, 'without channels'),
    ({'opset': 10}, {}, 'is of operator set 10, and segnode takes 11 and newer: export it with'),
    ({'size': None}, {}, 'input.size is missing: net.onnx leaves height and width open'),
])
def test_files_that_do_not_fit(
    tmp_path: Path, network: dict[str, Any], output: dict[str, Any], text: str
) -> None:
    write_network(tmp_path / 'net.onnx', **network)
    _refused(describe(tmp_path / 'mine.yaml', 'net.onnx', output=output), text)


def _change(path: Path, change: Any) -> None:
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)


def test_graphs_that_do_not_fit(tmp_path: Path) -> None:
    info = onnx.helper.make_tensor_value_info
    path = tmp_path / 'net.onnx'
    describe(tmp_path / 'mine.yaml', 'net.onnx')

    def refused(change: Any, text: str) -> None:
        _change(write_network(path), change)
        _refused(tmp_path / 'mine.yaml', text)

    refused(lambda g: g.input.append(info('scale', 1, [])),
            r"takes 'input' float32 \[1, 3, 32, 64\], 'scale' float32 \[\], and a segmentation")
    refused(lambda g: g.input.pop(), 'net.onnx takes nothing, and a segmentation network')
    refused(lambda g: g.output.append(info('t0', 1, [1, 2])),
            r"gives 'output' .*, 't0' float32 \[1, 2\]: say which one it is by output.name")
    refused(lambda g: g.input[0].CopyFrom(info('input', 1, [1, 32, 64])),
            r"takes 'input' float32 \[1, 32, 64\], and what it takes must be \[N, 3, H, W\]")
    refused(lambda g: g.input[0].CopyFrom(info('input', 6, [1, 3, 32, 64])), 'int32')
    refused(lambda g: g.input[0].CopyFrom(info('input', 1, [1, 1, 32, 64])),
            r'which as NCHW has 1 channels, and segnode gives it the 3 of a colour image')
    refused(lambda g: g.output[0].CopyFrom(info('output', 1, [1, 11])),
            r"gives 'output' float32 \[1, 11\], and what it gives must be logits \[N, C, H, W\]")
    refused(lambda g: g.output[0].CopyFrom(info('output', 8, [1, 11, 4, 8])), 'of numbers')


def test_one_output_of_several(tmp_path: Path) -> None:
    path = write_network(tmp_path / 'net.onnx')
    info = onnx.helper.make_tensor_value_info('aux', 1, [1, 11, 4, 8])
    _change(path, lambda g: (g.output.append(info), g.node.append(
        onnx.helper.make_node('Relu', ['output'], ['aux']))))
    model = Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx', output={'name': 'aux'}))
    assert model.custom is not None and model.custom.output.name == 'aux'


def test_pixels_as_they_are_and_yet_prepared(tmp_path: Path) -> None:
    write_network(tmp_path / 'net.onnx', dtype='uint8')
    _refused(describe(tmp_path / 'mine.yaml', 'net.onnx'),
             'uint8 .*, pixels as they are: scale must be 1, without mean and std')


@pytest.mark.parametrize('text, message', [
    ('file: net.onnx\n', 'mine.yaml: label_set is missing'),
    ('file: net.onnx\nlabel_set: camvid\n', 'mine.yaml: input is missing'),
    ('label_set: camvid\ninput: {}\n', 'mine.yaml: file is missing'),
    ('file: 3\nlabel_set: camvid\ninput: {color_order: rgb, scale: 1}\n', 'file must be the path'),
    ('file: net.onnx\nlabel_set: camvid\ninput: 3\n', 'input must be entries of name: value'),
    ('file: net.onnx\nfile: other.onnx\n', 'file is given twice'),
    ('- file\n', 'must be entries of name: value'),
    ('a: [', 'not valid YAML'),
    ('file: net.onnx\nlicense: MIT\n', "has no entry 'license'; did you mean licence"),
    ('file: none.onnx\nlabel_set: camvid\ninput: {color_order: rgb, scale: 1}\n',
     'none.onnx cannot be read: No such file'),
])
def test_wrong_descriptions(tmp_path: Path, text: str, message: str) -> None:
    write_network(tmp_path / 'net.onnx')
    (tmp_path / 'mine.yaml').write_text(text)
    _refused(tmp_path / 'mine.yaml', message)


def test_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / 'net.onnx')
    monkeypatch.setattr(Path, 'read_bytes', lambda _: pytest.fail('it was read'))
    _refused(describe(tmp_path / 'mine.yaml', 'net.onnx'), 'net.onnx cannot be read: it is a pipe')


def test_names_paths_and_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / 'models'
    folder.mkdir()
    monkeypatch.setattr(store, 'folders', lambda: (folder,))
    write_network(folder / 'net.onnx')
    write_network(folder / 'theirs.onnx')
    describe(folder / 'mine.yaml', 'net.onnx')
    describe(folder / 'theirs.yaml', 'theirs.onnx')
    (folder / 'classes.yaml').write_text(yaml.safe_dump(load_label_set('camvid').to_dict()))
    (folder / 'notes.yaml').write_text('a: [')
    describe(folder / 'wrong.yaml', 'nothing.onnx')
    found = {entry.name: entry for entry in store.entries()}
    assert sorted(found) == ['mine', 'theirs', 'wrong']
    assert found['wrong'].model is None and 'nothing.onnx cannot be read' in found['wrong'].error
    for name in ('mine', folder / 'mine', folder / 'mine.yaml'):
        assert Model.load(name) == found['mine'].model
    for name in ('theirs', folder / 'theirs.onnx'):
        assert Model.load(name) == found['theirs'].model
    _refused(folder / 'net.onnx', 'a network of somebody else needs a .yaml file that describes')
    _refused(folder / 'absent.yaml', 'absent.yaml is not there')
    _refused('custom', "there is no model 'custom'; there is mine, theirs, wrong")


def test_classes_may_repeat_and_be_none(tmp_path: Path) -> None:
    write_network(tmp_path / 'net.onnx', classes=4)
    names = [None, 'road', 'car', 'road']
    model = Model.load(describe(tmp_path / 'm.yaml', 'net.onnx', output={'classes': names}))
    assert model.custom is not None
    road, car = camvid_names().index('road'), camvid_names().index('car')
    assert model.custom.classes == (255, road, car, road)


def test_the_models_command_shows_what_it_found(tmp_path: Path, capsys: Any) -> None:
    write_network(tmp_path / 'net.onnx', output='labels', stride=1)
    path = describe(tmp_path / 'mine.yaml', 'net.onnx')
    assert models([str(path)]) == 0
    output = capsys.readouterr().out
    assert "mine: net.onnx takes 'input' float32 [1, 3, 32, 64] as NCHW and gives " \
        "labels 'output' int64 [1, 32, 64]" in output
    assert 'mine: made for tests' in output
    assert models([str(path), '--json']) == 0
    (found,) = json.loads(capsys.readouterr().out)['models']
    assert found['record']['network'] == 'custom'
    assert found['custom']['output_kind'] == 'labels' and found['custom']['input_layout'] == 'nchw'
    describe(tmp_path / 'mine.yaml', 'none.onnx')
    with pytest.raises(SegnodeError, match='none.onnx cannot be read'):
        models([str(path)])

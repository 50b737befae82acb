# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m training convert`` from end to end, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
import sys
from typing import Any

import cv2
import numpy as np
import pytest

from segnode.model import Model
from segnode.onnx_compact import read_deploy_graph
from segnode.runtimes import load_runtime
import small_model

pytest.importorskip('torch')
pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('tqdm')

from training.cli import main
from training.convert import compare, targets


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('XDG_CACHE_HOME', 'XDG_DATA_HOME'):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv('SEGNODE_WEIGHTS', raising=False)


def _convert(*arguments: object) -> int:
    return main(['convert', '--model', str(small_model.stem()), *map(str, arguments)])


def test_float16(tmp_path: Path, capsys: Any) -> None:
    """Without --out it is found by name; agreement alone on a folder of images."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for index, frame in enumerate(small_model.frames(3, (100, 200))):
        cv2.imwrite(str(folder / f'{index}.png'), frame)
    report = tmp_path / 'report.json'
    assert _convert('--to', 'onnx', '--precision', 'fp16', '--data', folder,
                    '--report', report, '--report', tmp_path / 'report.md', '--json') == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(report.read_text())
    assert told['comparison']['frames'] == told['data_frames'] == 3
    assert 0.99 < told['comparison']['agreement'] <= 1
    assert 0 < told['comparison']['mean_difference'] < 0.05 * told['comparison']['spread']
    assert told['comparison']['mean_difference'] <= told['comparison']['max_difference']
    assert told['miou_before'] is told['miou_after'] is told['miou_drop'] is None
    assert 0.9 < told['bytes_after'] / told['bytes_before'] < 1, 'its weights were in float16'
    assert all(ms > 0 for ms in told['milliseconds'].values())
    assert told['machine']['processor'] and told['machine']['versions']['onnxruntime']
    page = (tmp_path / 'report.md').read_text()
    assert '# fsffnet_small in fp16' in page and '| same labels |' in page
    model = Model.load('fsffnet_small_fp16')
    assert model.onnx_path == Path(told['file'])
    assert model.onnx_path.stat().st_size == told['bytes_after']
    assert model.safetensors_path is None
    assert model.weights_sha256 == small_model.model().weights_sha256
    assert model.record.conversion['precision'] == 'fp16'
    assert model.record.conversion['model'] == small_model.NAME
    assert 'miou' not in model.record.training, "the float32 model's is not its own"
    images = small_model.frames(2)
    labels = [load_runtime(one, 'onnx', threads=1).run(images).labels
              for one in (model, small_model.model())]
    assert (labels[0] == labels[1]).mean() > 0.99
    with pytest.raises(SystemExit):
        _convert('--to', 'onnx', '--precision', 'fp8')


def test_int8_on_real_labels(tmp_path: Path, capsys: Any, rendered_camvid: Path) -> None:
    """Calibrated on one split, measured on another; the record says all of it."""
    out = tmp_path / 'made' / 'small'
    assert _convert(
        '--to', 'onnx', '--precision', 'int8', '--calibrate', 'camvid:train', '--frames', 4,
        '--evaluate', 'camvid:val', '--root', rendered_camvid, '--max-drop', 0.2,
        '--out', out, '--min-agreement', 0.5,
    ) == 0
    told = capsys.readouterr().out
    assert 'mean IoU' in told and 'in int8' in told and f'{out}.onnx' in told
    model = Model.load(f'{out}.onnx')
    facts = model.record.conversion
    assert facts['calibration'] | {'ranges': ''} == {
        'data': 'camvid:train', 'frames': 4, 'ranges': ''}
    assert facts['miou_drop'] == pytest.approx(facts['miou_before'] - facts['miou_after'])
    assert facts['miou_drop'] <= 0.2
    assert facts['int8_layers'] + len(facts['float_layers']) > 70
    assert model.record.training['miou'] == {'val': facts['miou_after']}
    assert model.record.miou == facts['miou_after']
    images = small_model.frames(1)
    runtime = load_runtime(model, 'onnx', threads=1)
    expected = load_runtime(small_model.model(), 'onnx', threads=1).run(images).labels
    same = float((runtime.run(images).labels == expected).mean())
    assert 0.5 < same < 1.0, 'int8 changes some labels'
    assert main(['evaluate', '--model', str(model.onnx_path), '--data', 'camvid:val', '--root',
                 str(rendered_camvid), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['miou'] == pytest.approx(facts['miou_after'])
    assert _convert('--to', 'onnx', '--model', model.onnx_path) == 1
    assert 'is a conversion itself: convert fsffnet_small' in capsys.readouterr().err


@pytest.mark.parametrize('given, sentence', [
    ((), 'int8 takes its ranges from real frames: name some with --calibrate'),
    (('--calibrate', 'rendered:train-2'), 'not written before its drop of the mean IoU'),
    (('--calibrate', 'rendered:train-2', '--data', 'rendered:train-4'),
     '2 frames are in both rendered:train-2 and rendered:train-4'),
])
def test_int8_is_never_unmeasured(given: tuple[str, ...], sentence: str, capsys: Any) -> None:
    assert _convert('--to', 'onnx', '--precision', 'int8', *given) == 1
    assert sentence in capsys.readouterr().err


def test_int8_with_the_rest_in_float16(
    tmp_path: Path, capsys: Any, rendered_camvid: Path
) -> None:
    """Measured in that form; some convolutions are kept out of it by name."""
    assert _convert(
        '--to', 'onnx', '--precision', 'int8', '--calibrate', 'camvid:train', '--frames', 2,
        '--data', 'camvid:val', '--limit', 2, '--root', rendered_camvid, '--max-drop', 0.5,
        '--min-agreement', 0.3, '--rest', 'fp16', '--keep-layers', '/network/expand*',
        '--report', tmp_path / 'a.md', '--json',
    ) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['rest'] == 'fp16' and len(told['kept_layers']) > 5
    assert all(name.startswith('/network/expand') for name in told['kept_layers'])
    assert told['miou_drop'] == pytest.approx(told['miou_before'] - told['miou_after'])
    model = Model.load('fsffnet_small_int8_fp16')
    assert str(model.onnx_path) == told['file']
    assert model.record.conversion['kept_layers'] == told['kept_layers']
    assert told['bytes_after'] < 0.8 * told['bytes_before']
    page = (tmp_path / 'a.md').read_text()
    assert 'were kept out; the rest is in fp16' in page and 'as was asked for:' in page


def test_what_is_for_int8_alone(capsys: Any) -> None:
    assert _convert('--to', 'onnx', '--precision', 'fp16', '--rest', 'fp16') == 1
    assert '--rest say what int8 leaves in float, not fp16' in capsys.readouterr().err
    assert _convert('--to', 'onnx', '--keep-layers', 'x') == 1
    assert '--keep-layers and --rest' in capsys.readouterr().err


def test_another_size(tmp_path: Path, capsys: Any) -> None:
    """In float32; the labels are those of the size's own export."""
    assert _convert('--to', 'onnx', '--input-size', '128x128') == 0
    model = Model.load('fsffnet_small_fp32_128x128')
    assert model.record.input_size == (128, 128)
    images = small_model.frames(1, (128, 128))
    expected = load_runtime(small_model.model(), 'onnx', input_size=(128, 128)).run(images)
    assert (load_runtime(model, 'onnx').run(images).labels == expected.labels).all()
    assert '100.000% of 16 frames' in capsys.readouterr().out
    assert model.onnx_path is not None
    content = model.onnx_path.read_bytes()
    assert len(content) < 0.6 * len(read_deploy_graph(model.onnx_path)), 'weights in float16'


def test_what_disagrees_is_not_kept(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(content: bytes) -> bytes:
        import onnx

        model = onnx.load_model_from_string(content)
        tensor = next(t for t in model.graph.initializer if t.name.startswith('network.c1'))
        values = -onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return bytes(model.SerializeToString())

    monkeypatch.setattr(targets, 'in_half_precision', spoiled)
    out = tmp_path / 'made' / 'small'
    assert _convert('--to', 'onnx', '--precision', 'fp16', '--out', out) == 1
    told = capsys.readouterr()
    assert 'nothing is kept: ' in told.err and 'less than 99.000% (--min-agreement)' in told.err
    assert not out.parent.exists()


def test_refusals(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _convert('--to', 'onnx', '--precision', 'bf16') == 1
    assert "onnx has no precision 'bf16'; it has fp32, fp16, int8" in capsys.readouterr().err
    assert _convert('--to', 'onnx', '--report', tmp_path / 'a.html') == 1
    assert 'a .json or a .md file, not a.html' in capsys.readouterr().err
    assert _convert('--to', 'onnx', '--data', tmp_path) == 1
    assert f'there are no images in {tmp_path}' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'openvino', None)
    assert _convert('--to', 'openvino') == 1
    assert 'converting to openvino needs OpenVINO' in capsys.readouterr().err
    monkeypatch.setattr('segnode.runtimes.tensorrt_versions.installed', lambda module: False)
    assert _convert('--to', 'tensorrt') == 1
    assert 'building an engine needs TensorRT' in capsys.readouterr().err


def test_openvino_in_bfloat16(tmp_path: Path, capsys: Any) -> None:
    """The file is the same; its record makes the runtime compute in bfloat16."""
    pytest.importorskip('openvino', reason='OpenVINO, an extra, is not installed')
    assert _convert('--to', 'openvino', '--precision', 'bf16', '--min-agreement', 0.5, '--json',
                    '--report', tmp_path / 'a.json') == 0
    told = json.loads(capsys.readouterr().out)
    assert told['comparison']['max_difference'] >= 0
    runtime = load_runtime(Model.load('fsffnet_small_bf16'), 'openvino')
    assert runtime.details == told['details']['after']
    assert told['details']['before'].endswith('fp32')


def test_an_engine_is_built_of_it(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip('tensorrt_rtx_bindings', reason='TensorRT for RTX is not installed')
    assert _convert('--to', 'tensorrt', '--precision', 'fp16', '--batch', 2, '--json') == 0
    told = json.loads(capsys.readouterr().out)
    assert told['engine']['batch'] == 2 and told['engine']['layers'] > 200
    assert told['engine']['bytes'] > 1e6
    record = Model.load('fsffnet_small_fp16').record
    assert record.conversion['engine'] == told['engine']
    assert told['measured_in'] == record.conversion['measured_in'] == (
        f'{told["details"]["after"]}, for want of a GPU: the engine was built and never run')
    assert told['details']['after'].startswith('ONNX Runtime ')


def test_where_there_is_a_gpu_the_engine_is_measured(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, rendered_camvid: Path
) -> None:
    """With a stand-in that runs the graph in ONNX Runtime and says that it is TensorRT."""
    from standin_gpu import Cuda, Tensorrt

    tensorrt = Tensorrt('10.3.0', Cuda(), real=True)
    monkeypatch.setattr('segnode.runtimes.cuda_driver._load', lambda: tensorrt.cuda)
    monkeypatch.setattr('segnode.runtimes.tensorrt.find_tensorrt', lambda: tensorrt)
    monkeypatch.setattr(targets, 'find_tensorrt', lambda: tensorrt)
    monkeypatch.setattr(targets, 'nvidia_driver', lambda: True)
    given = ('--to', 'tensorrt', '--data', 'camvid:val', '--limit', 2, '--root', rendered_camvid)
    assert _convert(*given, '--precision', 'fp16') == 0
    told = capsys.readouterr().out
    assert 'measured in  ' in told and 'TensorRT 10.3.0, Stand-in GPU, fp16' in told
    assert '; logits in ONNX Runtime' in told and 'logits off by' in told
    record = Model.load('fsffnet_small_fp16').record
    assert record.conversion['engine']['builder'] == 'tensorrt 10.3.0'
    assert record.conversion['agreement'] > 0.99
    monkeypatch.setattr('training.convert.run._Conversion._drop', lambda self, content: 0.0)
    monkeypatch.setattr('training.convert.run._Conversion._miou', lambda self, runtime: (
        0.5 if runtime.details.endswith('int8, CUDA graph') else 0.6))
    assert _convert(*given, '--precision', 'int8', '--calibrate', 'camvid:train', '--frames', 2,
                    '--min-agreement', 0.1) == 1
    assert 'nothing is kept: int8 costs 10.00 points of mean IoU' in capsys.readouterr().err
    assert tensorrt.cuda is not None and tensorrt.cuda.leaks == []


def test_comparing() -> None:
    """Shares, differences and spread of two labellers that are known."""
    logits = np.zeros((1, 2, 2, 2), np.float32)
    logits[0, 0] = [[1, -1], [1, -1]]
    other = logits.copy()
    other[0, 1, 0, 0] = 3.0

    def of(values: np.ndarray) -> Any:
        return lambda image: (values.argmax(1).astype(np.uint8), values)

    found = compare.compare(of(logits), of(other), [np.zeros(1), np.zeros(1)])
    assert found.frames == 2 and found.agreement == found.worst_agreement == 0.75
    assert found.max_difference == 3.0 and found.mean_difference == pytest.approx(3 / 8)
    assert found.spread == pytest.approx(logits.std())
    found = compare.compare(of(logits), lambda image: (np.zeros((1, 2, 2)), None), [np.zeros(1)])
    assert found.agreement == 0.5 and found.max_difference is found.spread is None

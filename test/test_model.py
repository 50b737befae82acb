# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Released models: what is written, what is read back, and a sentence for each mismatch."""

from __future__ import annotations

import hashlib
from pathlib import Path
import pickle
import random
import shutil
import tempfile
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.export import export_onnx, release, save_safetensors
from segnode.labels import load_label_set
from segnode.model import Model, RECORD_KEY
from segnode.onnx_file import read_onnx, with_metadata
from segnode.tensor_file import read_tensors, write_tensors
import small_model

torch = pytest.importorskip('torch')


def _fails(stem: Path | str, text: str) -> None:
    with pytest.raises(SegnodeError, match=text) as caught:
        Model.load(stem)
    assert '\n' not in str(caught.value)


def test_release_writes_a_pair_with_one_record() -> None:
    model = small_model.model()
    assert model.name == small_model.NAME
    assert model.trained
    assert model.record == small_model.record()
    assert model.safetensors_path is not None and model.onnx_path is not None
    content = model.safetensors_path.read_bytes()
    assert model.weights_sha256 == hashlib.sha256(content).hexdigest()
    _, metadata = read_onnx(model.onnx_path)
    assert metadata['weights_sha256'] == model.weights_sha256
    assert metadata[RECORD_KEY] == model.record.to_json()
    # Parameters of 2 bytes and statistics of 4, of which the graph has half.
    assert 2.5e6 < len(content) < 2.7e6
    assert 2.5e6 < model.onnx_path.stat().st_size < 2.6e6


def test_nothing_else_is_left_behind(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    release(small_model.network(), small_model.record(), stem)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f'{small_model.NAME}.onnx', f'{small_model.NAME}.safetensors'
    ]
    assert (stem.with_suffix('.safetensors').stat().st_mode & 0o600) == 0o600


def test_releasing_twice_gives_the_same_files(tmp_path: Path) -> None:
    stem = small_model.stem()
    release(small_model.network(), small_model.record(), tmp_path / stem.name)
    for suffix in ('.safetensors', '.onnx'):
        again = (tmp_path / (stem.name + suffix)).read_bytes()
        assert again == Path(f'{stem}{suffix}').read_bytes()


def test_build_network_has_the_rounded_weights() -> None:
    built = small_model.model().build_network()
    assert not built.training
    original = dict(small_model.network().named_parameters())
    for name, parameter in built.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, original[name].half().float()), name
    buffers = dict(small_model.network().named_buffers())
    for name, buffer in built.named_buffers():
        if buffer.is_floating_point():
            assert torch.equal(buffer, buffers[name]), name


@pytest.mark.parametrize('suffix', ['', '.safetensors', '.onnx'])
def test_load_by_each_path(suffix: str) -> None:
    model = Model.load(f'{small_model.stem()}{suffix}')
    assert model == small_model.model()
    assert Model.load(Path(f'{small_model.stem()}{suffix}')) == model


def test_either_file_serves_alone(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    stem.with_suffix('.onnx').unlink()
    weights = Model.load(stem)
    assert weights.onnx_path is None
    weights.build_network()
    stem = small_model.copy_to(tmp_path)
    stem.with_suffix('.safetensors').unlink()
    graph = Model.load(stem)
    assert graph.record == weights.record
    assert graph.weights_sha256 == weights.weights_sha256
    with pytest.raises(SegnodeError, match='no .safetensors file'):
        graph.build_network()


def test_a_name_with_a_dot(tmp_path: Path) -> None:
    small_model.copy_to(tmp_path, 'fsffnet_v1.2')
    assert Model.load(tmp_path / 'fsffnet_v1.2').onnx_path == tmp_path / 'fsffnet_v1.2.onnx'


@pytest.mark.parametrize('suffix', ['.safetensors', '.onnx'])
def test_damage_anywhere(tmp_path: Path, suffix: str) -> None:
    stem = small_model.copy_to(tmp_path)
    file = stem.with_suffix(suffix)
    content = file.read_bytes()
    rng = random.Random(0)
    for _ in range(40):
        file.write_bytes(content[: rng.randrange(len(content))])
        with pytest.raises(SegnodeError):
            Model.load(stem)
    for _ in range(60):
        spoilt = bytearray(content)
        position = rng.choice([rng.randrange(2000), rng.randrange(len(content)),
                               len(content) - 1 - rng.randrange(2000)])
        spoilt[position] ^= 1 << rng.randrange(8)
        file.write_bytes(spoilt)
        with pytest.raises(SegnodeError) as caught:
            Model.load(stem)
        assert '\n' not in str(caught.value)


def test_a_pair_that_does_not_belong_together(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    other = small_model.record(training={'seed': 1})
    save_safetensors(stem.with_suffix('.safetensors'), small_model.network(), other)
    for path in (stem, stem.with_suffix('.onnx'), stem.with_suffix('.safetensors')):
        _fails(path, 'do not belong together')


def test_the_same_weights_with_another_record(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    content, metadata = read_onnx(stem.with_suffix('.onnx'))
    metadata[RECORD_KEY] = small_model.record(mean=(0.5, 0.5, 0.5)).to_json()
    stem.with_suffix('.onnx').write_bytes(with_metadata(content, metadata))
    _fails(stem, 'do not belong together')


def test_missing_and_wrong_metadata(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    stem.with_suffix('.safetensors').unlink()
    file = stem.with_suffix('.onnx')
    content, metadata = read_onnx(file)
    for spoilt, text in (
        ({**metadata, RECORD_KEY: 'none'}, 'not JSON'),
        ({k: v for k, v in metadata.items() if k != RECORD_KEY}, 'no model record'),
    ):
        file.write_bytes(with_metadata(content, spoilt))
        _fails(stem, text)


def test_pickle_renamed(tmp_path: Path) -> None:
    file = tmp_path / 'a.safetensors'
    torch.save({'weight': torch.ones(2)}, file)
    _fails(file, 'pickle')
    file.write_bytes(pickle.dumps({'weight': 1}))
    _fails(file, 'pickle')


def test_network_and_classes_must_be_the_records(tmp_path: Path) -> None:
    cityscapes = small_model.record(label_set=load_label_set('cityscapes'))
    with pytest.raises(SegnodeError, match='19 classes'):
        save_safetensors(tmp_path / 'a.safetensors', small_model.network(), cityscapes)
    with pytest.raises(SegnodeError, match='is not the fsffnet with 11 classes'):
        save_safetensors(
            tmp_path / 'a.safetensors', torch.nn.Sequential(torch.nn.Conv2d(3, 11, 1)),
            small_model.record(),
        )
    assert not list(tmp_path.iterdir())
    # A file that states it nevertheless, digest and all.
    weights = small_model.model().safetensors_path
    assert weights is not None
    tensors, _ = read_tensors(weights)
    file = tmp_path / 'a.safetensors'
    write_tensors(file, tensors, {RECORD_KEY: cityscapes.to_json()})
    with pytest.raises(SegnodeError, match='does not hold the weights of fsffnet with 19 classes'):
        Model.load(file).build_network()
    other = {'x': np.ones(3, np.float16)}
    write_tensors(file, other, {RECORD_KEY: small_model.record().to_json()})
    with pytest.raises(SegnodeError, match='does not hold the weights'):
        Model.load(file).build_network()


def test_records_of_unknown_networks_and_sizes(tmp_path: Path) -> None:
    file = tmp_path / 'a.safetensors'
    for record, text in (
        (small_model.record(network='unet'), 'there is no network .unet.'),
        (small_model.record(input_size=(100, 256)), 'multiples of 128'),
    ):
        write_tensors(file, {'x': np.ones(3, np.float16)}, {RECORD_KEY: record.to_json()})
        _fails(file, text)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    import copy

    for value in (float('nan'), 1e6):  # the second is infinite in float16
        network = copy.deepcopy(small_model.network())
        with torch.no_grad():
            network.classifier[6].bias[0] = value
        with pytest.raises(SegnodeError, match='not finite'):
            save_safetensors(tmp_path / 'a.safetensors', network, small_model.record())
    assert not list(tmp_path.iterdir())


def test_a_file_changed_after_loading(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    model = Model.load(stem)
    save_safetensors(
        stem.with_suffix('.safetensors'), small_model.network(), small_model.record(training={})
    )
    with pytest.raises(SegnodeError, match='has changed'):
        model.build_network()


def test_export_to_another_size_and_with_confidence(tmp_path: Path) -> None:
    ort = pytest.importorskip('onnxruntime')
    path = export_onnx(
        small_model.model(), path=tmp_path / 'a.onnx', input_size=(256, 128), confidence=True
    )
    model = Model.load(path)
    assert model.record.input_size == (256, 128)
    assert model.weights_sha256 == small_model.model().weights_sha256
    session = ort.InferenceSession(path, providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape == ['batch', 256, 128, 3]
    assert [o.name for o in session.get_outputs()] == ['labels', 'confidence']
    with pytest.raises(SegnodeError, match='multiples of 128'):
        export_onnx(small_model.model(), path=tmp_path / 'b.onnx', input_size=(100, 128))
    assert not (tmp_path / 'b.onnx').exists()


def test_random_weights_are_always_the_same_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model.untrained('fsffnet')
    assert model.record.random and not model.trained
    assert model.record.input_size == (384, 512)
    assert model.record.label_set.name == 'camvid'
    first, second = model.build_network(), Model.untrained('fsffnet').build_network()
    again = second.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in first.state_dict().items())
    other = Model.untrained('fsffnet_cityscapes')
    assert other.record.label_set.num_classes == 19
    assert other.weights_sha256 != model.weights_sha256
    state = torch.random.get_rng_state()
    model.build_network()
    assert torch.equal(state, torch.random.get_rng_state())


class _Biased(torch.nn.Module):
    def __init__(self, network: Any, bias: Any) -> None:
        super().__init__()
        self.network = network
        self.bias = bias

    def forward(self, x: Any) -> Any:
        return self.network(x) + self.bias


def test_an_older_pair_stays_when_a_release_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stem = small_model.copy_to(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    bias = 0.5 * torch.eye(11)[0].view(1, 11, 1, 1)
    # A rewrite of the network that is not the network.
    monkeypatch.setattr(
        'segnode.runtimes.rewrite.simplify', lambda network, size: _Biased(network, bias))
    with pytest.raises(SegnodeError, match='export is not kept'):
        release(small_model.network(), small_model.record(training={}), stem)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_unreadable_file(tmp_path: Path) -> None:
    stem = small_model.copy_to(tmp_path)
    shutil.rmtree(stem.with_suffix('.onnx'), ignore_errors=True)
    stem.with_suffix('.onnx').unlink()
    stem.with_suffix('.onnx').mkdir()  # a folder of that name is no file
    assert Model.load(stem).onnx_path is None


def test_a_release_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, 'Permission denied')

    (tmp_path / 'file').write_text('')
    with pytest.raises(SegnodeError, match='cannot be written'):
        release(small_model.network(), small_model.record(), tmp_path / 'file' / 'a')
    (tmp_path / 'a.safetensors').mkdir()  # the draft cannot take its place
    with pytest.raises(SegnodeError, match='a.safetensors and a.onnx cannot be written: '):
        release(small_model.network(), small_model.record(), tmp_path / 'a')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.safetensors', 'file']
    monkeypatch.setattr(tempfile, 'TemporaryDirectory', refused)
    with pytest.raises(SegnodeError, match='cannot be written: Permission denied'):
        release(small_model.network(), small_model.record(), tmp_path / 'b')
    with pytest.raises(SegnodeError, match='temporary file: Permission denied'):
        export_onnx(small_model.model(), path=tmp_path / 'b.onnx')

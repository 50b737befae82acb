# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Finding models by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from segnode import store
from segnode.errors import SegnodeError
from segnode.export import save_safetensors
from segnode.model import Model
import small_model

pytest.importorskip('torch')


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return three empty folders that are the only ones looked at."""
    made = [tmp_path / name for name in ('own', 'named', 'data/segnode/weights')]
    for folder in made:
        folder.mkdir(parents=True)
    monkeypatch.setenv('SEGNODE_WEIGHTS', str(made[1]))
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))
    monkeypatch.setattr(store, '__file__', str(tmp_path / 'store.py'))
    (tmp_path / 'weights').symlink_to(made[0])
    return made


def _put(folder: Path, name: str, miou: float | None) -> None:
    training = {} if miou is None else {'miou': {'val': miou}}
    record = small_model.record(training=training)
    save_safetensors(folder / f'{name}.safetensors', small_model.network(), record)


def test_folders_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SEGNODE_WEIGHTS', '/a:/b:')
    assert store.folders() == (
        tmp_path / 'weights', Path('/a'), Path('/b'), tmp_path / 'data/segnode/weights',
    )
    monkeypatch.delenv('XDG_DATA_HOME')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert store.folders()[-1] == tmp_path / '.local/share/segnode/weights'


def test_each_folder_is_searched_and_the_first_wins(places: list[Path]) -> None:
    for index, folder in reversed(list(enumerate(places))):
        _put(folder, 'fsffnet_x', index / 10)
        assert Model.load('fsffnet_x').record.miou == index / 10


def test_a_network_is_its_best_model(places: list[Path]) -> None:
    _put(places[2], 'fsffnet_huge', 0.9)
    assert Model.load('fsffnet').name == 'fsffnet_huge'
    for name, miou in (('fsffnet_a', 0.5), ('fsffnet_b', 0.7), ('fsffnet_c', None)):
        _put(places[1], name, miou)
    assert Model.load('fsffnet').name == 'fsffnet_b'
    (places[1] / 'fsffnet_b.safetensors').write_bytes(b'')
    assert Model.load('fsffnet').name == 'fsffnet_a'


def test_one_of_our_own_may_be_preferred(places: list[Path], monkeypatch) -> None:
    """In our own folder alone: in the user's, the figures decide."""
    monkeypatch.setattr(store, 'PREFERRED', {'fsffnet': 'fsffnet_liked', 'fanet': 'fsffnet_a'})
    for folder in places[:2]:
        _put(folder, 'fsffnet_better', 0.9)
        _put(folder, 'fsffnet_liked', 0.4)
    assert Model.load('fsffnet').name == 'fsffnet_liked'
    (places[0] / 'fsffnet_liked.safetensors').write_bytes(b'')
    assert Model.load('fsffnet').name == 'fsffnet_better'
    (places[0] / 'fsffnet_liked.safetensors').unlink()
    assert Model.load('fsffnet').name == 'fsffnet_better'
    (places[0] / 'fsffnet_better.safetensors').unlink()
    assert Model.load('fsffnet').safetensors_path == places[1] / 'fsffnet_better.safetensors'


def test_what_is_preferred_is_there() -> None:
    released = {path.stem for path in (Path(__file__).parents[1] / 'segnode/weights').iterdir()}
    assert set(store.PREFERRED.values()) <= released


def test_only_a_damaged_one(places: list[Path]) -> None:
    (places[0] / 'fsffnet_a.onnx').write_bytes(b'x')
    with pytest.raises(SegnodeError, match='fsffnet_a.onnx is not an ONNX file'):
        Model.load('fsffnet')


def test_unknown_names_list_what_there_is(places: list[Path]) -> None:
    for name in ('fsffnet', 'fsffnet_camvid', 'unet', 'fsffnet-camvid'):
        with pytest.raises(SegnodeError, match='none yet; python -m training fit') as caught:
            Model.load(name)
        assert repr(name) in str(caught.value)
    _put(places[0], 'fsffnet_x', 0.1)
    with pytest.raises(SegnodeError, match='there is fsffnet_x; python -m training fit --config'):
        Model.load('fsffnet_y')
    with pytest.raises(SegnodeError, match='fit --network espnet --name espnet_camvid makes one, '
                       'python -m training import-weights --network espnet FILE makes one'):
        Model.load('espnet')
    with pytest.raises(SegnodeError, match='--network fsffnet --name fsffnet_bdd100k '
                       '--data.train bdd100k:train --data.val bdd100k:val makes one'):
        Model.load('fsffnet_bdd100k')
    with pytest.raises(SegnodeError, match='no model was named'):
        Model.load('')


def test_random_weights_only_when_allowed_and_needed(places: list[Path]) -> None:
    assert Model.load('fsffnet', allow_random_weights=True).record.random
    assert Model.load('fsffnet_cityscapes', allow_random_weights=True).record.random
    with pytest.raises(SegnodeError):
        Model.load('unet', allow_random_weights=True)
    with pytest.raises(SegnodeError):
        Model.load('fsffnet_nowhere', allow_random_weights=True)
    _put(places[0], 'fsffnet_x', 0.1)
    assert not Model.load('fsffnet', allow_random_weights=True).record.random


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    for path in ('nothing.onnx', tmp_path / 'nothing', tmp_path / 'nothing.safetensors'):
        with pytest.raises(SegnodeError, match='nothing'):
            Model.load(path)
    (tmp_path / 'notes.txt').write_text('x')
    with pytest.raises(SegnodeError, match='is no model'):
        Model.load(tmp_path / 'notes.txt')
    with pytest.raises(SegnodeError):
        Model.load(tmp_path)


def test_entries_name_the_damaged(places: list[Path]) -> None:
    _put(places[0], 'fsffnet_x', 0.1)
    (places[1] / 'bad.safetensors').write_bytes(b'PK\x03\x04')
    good, bad = store.entries()
    assert good.model is not None and good.name == 'fsffnet_x'
    assert bad.model is None and 'pickle' in bad.error


def test_what_only_looks_like_a_model_is_not_listed(places: list[Path]) -> None:
    (places[0] / 'fsffnet_folder.onnx').mkdir()
    (places[0] / 'fsffnet_gone.safetensors').symlink_to(places[0] / 'nowhere')
    assert store.entries() == []
    for name in ('fsffnet', 'fsffnet_folder', 'fsffnet_gone'):
        with pytest.raises(SegnodeError, match='none yet'):
            Model.load(name)


@pytest.mark.parametrize('path, text', [
    ('/' + 'a' * 300, 'name too long|neither'),  # Python 3.14 takes it for a missing file
    ('/' + 'a' * 300 + '.onnx', 'name too long|is not there'),
    ('~nosuchuser/x', 'names a home folder that is not known'),
    ('/', 'there is neither'),
])
def test_paths_that_the_system_refuses(path: str, text: str) -> None:
    with pytest.raises(SegnodeError, match=f'(?i){text}') as caught:
        Model.load(path)
    assert '\n' not in str(caught.value)


def test_folders_that_the_system_refuses(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (places[1] / 'fsffnet_x.onnx').write_bytes(b'x')
    really = Path.is_file

    def refused(path: Path) -> bool:
        """Stand for a folder that may be listed but not entered; root may enter any."""
        if path.parent == places[1]:
            raise PermissionError(13, 'Permission denied')
        return really(path)

    monkeypatch.setattr(Path, 'is_file', refused)
    assert store.entries() == []
    with pytest.raises(SegnodeError, match='fsffnet_x.* cannot be read: Permission denied'):
        Model.load(places[1] / 'fsffnet_x')


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def homeless(cls: type) -> Path:
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.setattr(Path, 'home', classmethod(homeless))
    monkeypatch.delenv('XDG_DATA_HOME')
    assert store.folders() == (tmp_path / 'weights', tmp_path / 'named')
    monkeypatch.setenv('SEGNODE_WEIGHTS', '~nosuchuser/weights')
    with pytest.raises(SegnodeError, match='~nosuchuser/weights names a home folder'):
        store.folders()

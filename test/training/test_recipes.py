# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The recipes in config/training: each states its sources, can work, and builds what it names."""

import functools
from pathlib import Path
import re

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip('jsonargparse')

from segnode.labels import load_label_set
from segnode.networks import zoo
from training.commands import fit as fit_command
from training.commands.recipe_options import parse
from training.config import check, from_dict
from training.datasets.label_maps import label_map
from training.datasets.registry import dataset

PROJECT = Path(__file__).parents[2]
RECIPES = {path.stem: path for path in sorted((PROJECT / 'config' / 'training').glob('*.yaml'))}
each = pytest.mark.parametrize('name', RECIPES)

# Keys whose values say themselves where they come from.
PLAIN = {'name', 'network', 'train', 'val', 'scale_of'}
SOURCE = re.compile(r'^# \[(\d)\] (.*)')
CITED = re.compile(r'\[(\d)\]')


@functools.cache
def read(name):
    """Return the recipe as ``fit`` does."""
    return parse(['--config', str(RECIPES[name])], 'fit', 'Train.', fit_command._add_options)[0]


def lines(name):
    """Return the comment at the top and (key, value, comment) of each line below it."""
    text = RECIPES[name].read_text(encoding='utf-8').splitlines()
    count = next(i for i, line in enumerate(text) if not line.startswith('#'))
    values = []
    for line in text[count:]:
        found = re.fullmatch(r'\s*(\w+):\s*([^#]*?)\s*(#.*)?', line)
        assert found, line
        values.append(found.groups(''))
    return text[:count], values


def own_labels(spec):
    """Return the classes that a split's dataset has by itself, wherever it lies."""
    name = spec.partition(':')[0]
    return load_label_set('mapillary') if name == 'mapillary' else dataset(name).label_set(Path())


def specs(given):
    return [given] if isinstance(given, str) else given


@each
def test_every_value_has_its_source(name):
    head, values = lines(name)
    assert head[:2] == [
        '# Copyright 2026 The segnode authors', '# SPDX-License-Identifier: Apache-2.0']
    sources = dict(found.groups() for found in map(SOURCE.match, head) if found)
    # A paper, a repository at a commit, or another file of such a repository.
    known = r'github [\w.-]+/[\w.-]+ [0-9a-f]{7}\b|arXiv \d{4}\.\d{5}|the same repository'
    assert sources and all(re.search(known, text) for text in sources.values()), sources
    assert 'the same repository' not in sources['1']
    cited = set()
    for key, value, comment in values:
        if value and key not in PLAIN:
            assert len(comment) > 2, f'{key}: {value} says not where it comes from'
        cited.update(CITED.findall(comment))
    assert cited <= set(sources), 'a source that is not named'
    in_head = {number for line in head if not SOURCE.match(line) for number in CITED.findall(line)}
    assert set(sources) <= cited | in_head, 'a source that nothing was taken from'
    assert all(len(line) < 100 for line in RECIPES[name].read_text(encoding='utf-8').splitlines())


@each
def test_what_a_recipe_names_exists(name):
    config = read(name)
    check(config)
    assert config.name == name and name.startswith(config.network)
    given = yaml.safe_load(RECIPES[name].read_text(encoding='utf-8'))
    data = config.data
    for spec in (*specs(data.train), *specs(data.val)):
        dataset_name, _, split = spec.partition(':')
        assert split in dataset(dataset_name).counts, spec
    # Nothing of a run's outcome is left to a default that may change.
    assert {'train', 'val', 'input_size', 'scale', 'flip', 'jitter'} <= set(given['data'])
    assert 'class_weights' in given['loss'] and ('epochs' in given) != ('max_steps' in given)
    assert {'lr', 'weight_decay', 'ema_decay', 'bn_momentum'} <= set(given['optim'])
    assert {'batch_size', 'precision', 'val_every', 'seed'} <= set(given)
    wanted = load_label_set(data.label_set or own_labels(specs(data.train)[0]).name)
    for spec in (*specs(data.train), *specs(data.val)):
        label_map(own_labels(spec), wanted)  # raises where no table leads to the classes
    assert set(data.class_uniform_without) <= set(wanted.names)
    low, high = data.scale
    assert 0.2 <= low <= high <= 2.5


@each
def test_what_a_recipe_starts_from_fits(name):
    config = read(name)
    start = config.init.weights
    if start is None:
        return
    found = re.fullmatch(r'runs/(\w+)/\1\.safetensors', start)
    if found is None:  # a released model
        assert (PROJECT / 'segnode' / 'weights' / f'{start}.safetensors').is_file()
        return
    before = read(found[1])
    assert (before.network, before.network_args) == (config.network, config.network_args)
    assert (before.mean, before.std) == (config.mean, config.std)


@each
def test_a_recipe_builds_its_network_and_loss(name):
    torch = pytest.importorskip('torch')
    from training.losses import Criterion
    from training.optimizers import optimizer

    config = read(name)
    labels = load_label_set(config.data.label_set or own_labels(specs(config.data.train)[0]).name)
    with torch.device('meta'):
        network = zoo.create(config.network, labels.num_classes, **config.network_args)
        network.train()
        height, width = config.data.input_size
        outputs = network(torch.empty(2, 3, height, width))
        criterion = Criterion(config.loss, config.network, network)
    main, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    stride = zoo.network_info(config.network).output_stride
    assert main.shape == (2, labels.num_classes, height // stride, width // stride)
    assert len(auxiliary) == len(criterion.kinds)
    made = optimizer(network, zoo.network_info(config.network), config.optim, config.optim.lr)
    decays = {group['weight_decay'] for group in made.param_groups}
    assert decays == {0.0, config.optim.weight_decay}


def test_a_wrong_key_in_a_recipe_is_refused(tmp_path, capsys):
    text = RECIPES['fsffnet_camvid'].read_text(encoding='utf-8')
    for old, new in (('warmup_steps', 'warmup_stages'), ('enet_c: 1.10', 'enet_c: much'),
                     ('  flip: 0.5', '  flipp: 0.5')):
        path = tmp_path / 'mine.yaml'
        path.write_text(text.replace(old, new))
        with pytest.raises(SystemExit) as ended:
            parse(['--config', str(path)], 'fit', 'Train.', fit_command._add_options)
        assert ended.value.code == 2
        assert new.split(':')[0].strip() in capsys.readouterr().err


def test_recipes_that_differ_in_the_data_alone_agree_in_all_else():
    def without(name, *keys):
        values = yaml.safe_load(RECIPES[name].read_text(encoding='utf-8'))
        return {key: value for key, value in values.items() if key not in ('name', 'data', *keys)}

    assert without('fsffnet_cityscapes') | {'epochs': 500} == without('fsffnet_cityscapes11')
    assert without('fsffnet_cityscapes_authors') == without('fsffnet_bdd100k_authors')
    assert without('fsffnet_camvid_from_cityscapes11', 'init') == without(
        'fsffnet_camvid_from_cityscapes', 'init')
    assert without('scmnet_cityscapes_authors') == without('scmnet_bdd100k_authors')
    assert without('fsffnet_cityscapes_authors', 'network') == without(
        'fanet_cityscapes_authors', 'network')
    assert from_dict(without('swiftnet_cityscapes')).std == (0.1869, 0.1902, 0.1872)


SMALL = ['--max_steps', '2', '--batch_size', '2', '--data.input_size', '[128,128]',
         '--data.workers', '0', '--accelerator', 'cpu', '--precision', '32-true',
         '--log.tensorboard', 'false']


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Return the folder of four training and two validation frames in each dataset's layout.

    Every class is a column, and all occur.
    """
    root = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(1)
    cityscapes = load_label_set('cityscapes')

    def write(path, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture)

    def frame(classes, height, width):
        label = np.repeat(np.arange(width)[None] * classes // width, height, 0).astype(np.uint8)
        image = np.uint8([[40, 9, 7]]) * label[..., None] + rng.integers(
            0, 30, (height, width, 3), np.uint8)
        return image, rng.permuted(label, axis=1) if classes == 19 else label

    raw_ids = np.array([label.raw_ids[0] for label in cityscapes.labels], np.uint8)
    for split, count in (('train', 4), ('val', 2)):
        for index in range(count):
            image, label = frame(19, 128, 256)
            key = f'made_{index:06}_00001{len(split)}'
            city = root / 'cityscapes'
            write(city / 'leftImg8bit' / split / 'made' / f'{key}_leftImg8bit.png', image)
            write(city / 'gtFine' / split / 'made' / f'{key}_gtFine_labelIds.png', raw_ids[label])
            image, label = frame(19, 120, 256)
            bdd = root / 'bdd100k'
            write(bdd / 'images' / '10k' / split / f'{split}{index}.jpg', image)
            write(bdd / 'labels' / 'sem_seg' / 'masks' / split / f'{split}{index}.png', label)
            image, label = frame(11, 120, 160)
            write(root / 'camvid' / split / 'images' / f'{split}{index}.png', image)
            write(root / 'camvid' / split / 'labels' / f'{split}{index}.png', label)
    return root


def run(name, made, out, *options):
    """Train two steps by a recipe and return the model's record."""
    pytest.importorskip('torch')
    pytest.importorskip('pytorch_lightning')
    from segnode.model import Model

    roots = {folder.name: str(folder) for folder in made.iterdir()}
    size = ['--data.eval_size', '[128,256]'] if read(name).data.eval_size else []
    status = fit_command.main([
        '--config', name, *SMALL, *size, '--out', str(out), '--data.roots', str(roots), *options])
    assert status == 0
    return Model.load(out / name / f'{name}.onnx').record


def test_cityscapes_as_11_classes_then_camvid(made, tmp_path, capsys):
    """OHEM, class-uniform sampling, warm-up, averaging; then what the first run leaves."""
    first = run('fsffnet_cityscapes11', made, tmp_path)
    assert first.label_set.names == load_label_set('camvid').names
    assert first.training['recipe']['loss']['kind'] == 'ohem'
    assert first.input_size == (128, 256)
    given = tmp_path / 'fsffnet_cityscapes11' / 'fsffnet_cityscapes11.safetensors'
    second = run('fsffnet_camvid_from_cityscapes11', made, tmp_path, '--init', str(given))
    init = second.training['init']
    assert init['model'] == 'fsffnet_cityscapes11' and init['fresh_tensors'] == 0
    assert 'and 11 of 11 classes from fsffnet_cityscapes11' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize('name, options', [
    ('fsffnet_bdd100k_authors', ()),  # bars of a letterbox, Nesterov, Keras' batch norms
    ('pidnet_s_cityscapes', ()),  # boundary head, auxiliary head, OHEM by number
    ('fast_scnn_cityscapes_adam', ()),  # no auxiliary heads, constant rate
    ('bayesian_segnet_camvid', ('--network_args.width', '0.125')),  # median frequencies
    ('fsffnet_bdd100k_from_camvid', ()),  # the released model, 11 classes to 19
])
def test_two_steps_of_a_recipe(name, options, made, tmp_path):
    record = run(name, made, tmp_path, *options)
    assert record.network == read(name).network
    recipe = record.training['recipe']
    assert recipe['optim'] == yaml.safe_load(
        (tmp_path / name / 'recipe.yaml').read_text())['optim']
    assert recipe['optim']['kind'] == read(name).optim.kind

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The command line of ``fit``: recipes by name, options, and what is wrong with a value."""

import dataclasses
from pathlib import Path

import pytest
import yaml

pytest.importorskip('jsonargparse')

from segnode.errors import SegnodeError
from training import recipes
from training.commands.recipe_options import normalise, parse
from training.config import (
    BackboneConfig,
    check,
    DataConfig,
    FitConfig,
    from_dict,
    InitConfig,
    LogConfig,
    OptimConfig,
)

PROJECT = Path(__file__).parents[2]
RECIPES = sorted((PROJECT / 'config' / 'training').glob('*.yaml'))


def parsed(*argv):
    def add(parser):
        parser.add_argument('--resume', action='store_true')
    return parse(list(argv), 'fit', 'Train.', add)


def test_recipes_are_found_by_name_and_path():
    assert recipes.recipes() == {path.stem: path for path in RECIPES} and RECIPES
    path = PROJECT / 'config' / 'training' / 'fsffnet_camvid.yaml'
    config, options = parsed('--config', 'fsffnet_camvid')
    assert options['resume'] is False and config.name == 'fsffnet_camvid'
    check(config)
    assert config == parsed('--config', str(path))[0] == parsed(f'--config={path.name}')[0]


def test_the_released_recipe_means_what_it_did():
    optim = parsed('--config', 'fsffnet_camvid')[0].optim
    assert optim == OptimConfig(
        kind='adamw', lr=0.003, lr_batch=8, weight_decay=0.02, schedule='poly', power=0.9,
        final_factor=0.0, warmup_steps=150, warmup_epochs=0.0, ema_decay=0.998, bn_momentum=0.1,
        backbone_lr_factor=1.0)


def test_recipes_of_an_installation_are_found(monkeypatch, tmp_path):
    site = tmp_path / 'lib' / 'python3.10' / 'site-packages' / 'training'
    share = tmp_path / 'share' / 'segnode' / 'config' / 'training'
    other = tmp_path / 'other' / 'share' / 'segnode' / 'config' / 'training'
    for folder, name in ((share, 'mine'), (other, 'mine'), (other, 'yours')):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{name}.yaml').touch()
    monkeypatch.setattr(recipes, '__file__', str(site / 'recipes.py'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path / 'other'))
    assert recipes.recipes() == {'mine': share / 'mine.yaml', 'yours': other / 'yours.yaml'}
    assert recipes.find_recipe('config/training/mine.yaml') == share / 'mine.yaml'
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SegnodeError, match='no recipe or file nosuch; recipes are mine, yours'):
        recipes.find_recipe('nosuch')


def test_options_override_and_may_have_hyphens():
    config, options = parsed(
        '--batch-size', '3', '--config', 'fsffnet_camvid', '--optim.weight-decay=0.5',
        '--init', 'a-b.ckpt', '--resume', '--data.roots.my_set', '/data/--x')
    assert (config.batch_size, config.optim.weight_decay) == (3, 0.5)
    assert config.init.weights == 'a-b.ckpt' and options['resume'] is True
    assert config.data.roots == {'my_set': '/data/--x'}
    assert normalise(['--backbone=x.pth', '--', '-1']) == ['--backbone.weights=x.pth', '--', '-1']


def test_print_config_prints_a_recipe(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        parsed('--config', 'fsffnet_camvid', '--epochs', '3', '--print-config')
    assert ended.value.code == 0
    text = capsys.readouterr().out
    values = yaml.safe_load(text)
    assert values['epochs'] == 3 and values['optim']['lr'] == 0.003
    path = tmp_path / 'again.yaml'
    path.write_text(text)
    assert parsed('--config', str(path))[0] == parsed(
        '--config', 'fsffnet_camvid', '--epochs', '3')[0]
    assert from_dict(values) == parsed('--config', str(path))[0]


def test_help_says_all(capsys):
    with pytest.raises(SystemExit) as ended:
        parsed('--help')
    assert ended.value.code == 0
    text = ' '.join(capsys.readouterr().out.split())
    assert 'fsffnet_camvid' in text and '--print-config' in text
    for kind in (FitConfig, OptimConfig, InitConfig, LogConfig):
        for field in dataclasses.fields(kind):
            assert f'{field.name}: ' in kind.__doc__, field.name  # what --help takes its text from
    for option in ('--optim.kind {adamw,adam,sgd}', '--optim.schedule {poly,cosine,constant}',
                   '--max_steps', '--accumulate', '--early_stop', '--log.tensorboard'):
        assert option in text, option


@pytest.mark.parametrize('option', ['--config', '--data', '--optim', '--init.weights'])
def test_a_binary_file_is_refused_in_a_sentence(option, tmp_path):
    path = tmp_path / 'weights.pth'
    path.write_bytes(bytes(range(128, 256)))
    if option == '--init.weights':  # a path, and not read here
        assert parsed(option, str(path))[0].init.weights == str(path)
        return
    for words in ((option, str(path)), (f'{option}={path}',)):
        with pytest.raises(SegnodeError, match=f'^{path} is no YAML file, since it is not text.$'):
            parsed(*words)


@pytest.mark.parametrize('option, value, words', [
    ('--optim.kind', 'lion', ("'adamw', 'adam', 'sgd'", 'optim.kind')),
    ('--optim.lr', 'fast', ('optim.lr', 'float')),
    ('--optim.rate', '1', ('optim.rate',)),
    ('--max_steps', 'many', ('max_steps', 'int')),
])
def test_wrong_options_name_the_key(option, value, words, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(option, value)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert all(word in told for word in words), told


@pytest.mark.parametrize('changes, sentence', [
    ({'epochs': 0}, 'epochs must be above 0, not 0'),
    ({'max_steps': 0}, 'max_steps must be above 0, not 0'),
    ({'accumulate': 0}, 'accumulate must be above 0'),
    ({'clip_gradient': -1.0}, 'clip_gradient must be above 0, not -1.0'),
    ({'early_stop': 0}, 'early_stop must be above 0'),
    ({'max_minutes': float('nan')}, 'max_minutes must be above 0, not nan'),
    ({'keep': 0}, 'keep must be above 0'),
    ({'seed': -1}, 'seed must be from 0 to 4294967295, not -1'),
    ({'seed': 2**32}, 'seed must be from 0 to 4294967295, not 4294967296'),
    ({'std': (0.2, 0.0, 0.2)}, 'std must be above 0, not 0.0'),
    ({'std': (0.2, float('nan'), 0.2)}, 'std must be above 0, not nan'),
    ({'mean': (0.4, float('nan'), 0.4)}, 'mean must be three finite numbers, not [0.4, nan, 0.4]'),
    ({'max_minutes': float('inf')}, 'max_minutes must be finite and above 0, not inf'),
    ({'name': 'a/b'}, "name must be the name of a folder, without \"/\", not 'a/b'"),
    ({'precision': '8'}, "precision must be one of 32-true, bf16-mixed, 16-mixed, not '8'"),
    ({'accelerator': 'tpu'}, "accelerator must be one of auto, cpu, gpu, not 'tpu'"),
    ({'devices': 0}, "devices must be auto or a number above 0, not '0'"),
    ({'log': LogConfig(every=0)}, 'log.every must be above 0, not 0'),
    ({'optim': OptimConfig(kind='lion')}, 'optim.kind must be one of adamw, adam, sgd, not'),
    ({'optim': OptimConfig(schedule='step')}, 'optim.schedule must be one of poly, cosine, const'),
    ({'optim': OptimConfig(lr=0.0)}, 'optim.lr must be above 0, not 0.0'),
    ({'optim': OptimConfig(lr_batch=0)}, 'optim.lr_batch must be above 0, not 0'),
    ({'optim': OptimConfig(ema_decay=1.0)}, 'optim.ema_decay must be 0 or above and below 1, '),
    ({'optim': OptimConfig(final_factor=1.5)}, 'final_factor must be 0 or above and at most 1'),
    ({'optim': OptimConfig(bn_momentum=0.0)}, 'optim.bn_momentum must be null, or above 0 and'),
    ({'optim': OptimConfig(precise_bn=4)}, 'optim.precise_bn must be 0, or 8 frames or more, not'),
    ({'optim': OptimConfig(nesterov=True)}, 'nesterov is a form of sgd, not of optim.kind adamw'),
    ({'optim': OptimConfig(kind='sgd', momentum=0.0, nesterov=True)}, 'needs an optim.momentum'),
    ({'init': InitConfig('x'), 'backbone': BackboneConfig('y'), 'network': 'swiftnet'},
     'init.weights and backbone.weights are both given'),
])
def test_check_names_the_key_and_what_it_may_be(changes, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('y').touch()
    with pytest.raises(SegnodeError) as caught:
        check(FitConfig(data=DataConfig(input_size=(128, 128)), **changes))
    assert sentence in str(caught.value)

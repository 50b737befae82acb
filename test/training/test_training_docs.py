# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""docs/training.md and README: every command line is one that the verbs take."""

import argparse
import importlib
from pathlib import Path
import re
import shlex

import pytest

pytest.importorskip('jsonargparse')
pytest.importorskip('cv2')

from segnode.networks.zoo import NETWORKS
from training.cli import VERBS
from training.commands.recipe_options import parse
from training.config import check
from training.datasets.registry import DATASETS
from training.recipes import recipes

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / 'docs' / 'training.md'
RECIPE_VERBS = ('fit', 'lr-range')


def command_lines(page):
    """Return (verb, arguments) of every ``-m training VERB`` in the fenced parts of a page."""
    found = []
    fenced = re.findall(r'^```(\w*)\n(.*?)^```$', page.read_text('utf-8'), re.S | re.M)
    for block in [text for language, text in fenced if language in ('', 'sh')]:
        for line in block.replace('\\\n', ' ').splitlines():
            if '-m training ' not in line:
                continue
            words = shlex.split(line, comments=True)
            words = words[words.index('training') + 1:]
            ends = [i for i, word in enumerate(words) if word in ('|', '>', '&&', ';', '2>&1')]
            found.append((words[0], words[1:min(ends, default=len(words))]))
    return found


COMMANDS = [(page.name, verb, words) for page in (PAGE, PROJECT / 'README.md')
            for verb, words in command_lines(page)]


class Parsed(Exception):
    """The command line was taken; ends the verb before it does anything."""


@pytest.mark.parametrize('page, verb, words', COMMANDS, ids=lambda value: (
    ' '.join(value)[:60] if isinstance(value, list) else value))
def test_command_line_is_taken(page, verb, words, monkeypatch):
    module = importlib.import_module(f'training.commands.{verb.replace("-", "_")}')
    if verb in RECIPE_VERBS:
        if '--print-config' in words:
            words = [word for word in words if word != '--print-config']
        config, _ = parse(words, verb, '', module._add_options)
        if config.backbone.weights is None:  # a file that is the user's
            check(config)
        return
    take = argparse.ArgumentParser.parse_args

    def parse_args(self, *given):
        take(self, *given)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)
    with pytest.raises(Parsed):
        module.main(words)


def test_a_wrong_command_line_would_be_noticed(tmp_path, monkeypatch):
    page = tmp_path / 'page.md'
    page.write_text('```sh\nsrun python -m training fit \\\n  --epohcs 3 > a\n'
                    'python -m training evaluate --modell x  # why\n```\n')
    for (verb, words), expected in zip(
            command_lines(page), (['--epohcs', '3'], ['--modell', 'x']), strict=True):
        assert words == expected
        with pytest.raises(SystemExit):
            test_command_line_is_taken('', verb, words, monkeypatch)


def rows(heading):
    """Return the first cell of each row of the table below a heading, without its backquotes."""
    text = PAGE.read_text('utf-8').partition(f'## {heading}\n')[2].partition('\n## ')[0]
    cells = re.findall(r'^\| (.*?) \|', text, re.M)[1:]
    return [re.findall(r'`([^`]+)`', cell) for cell in cells]


def test_tables_are_complete():
    assert sorted(name for (name,) in rows('Recipes')) == sorted(recipes())
    assert sorted(name for (name,) in rows('Datasets')) == sorted(DATASETS)
    from training.import_weights.layouts import LAYOUTS

    told = {name for cell in rows('Weights from elsewhere') for name in cell}
    assert told == {name for layout in LAYOUTS for name in layout.networks}
    text = PAGE.read_text('utf-8')
    section = text.partition('## Backbones from ImageNet\n')[2].partition('\n## ')[0]
    named = set(re.findall(r'`(\w+)`', section)) & set(NETWORKS)
    able = {info.name for info in NETWORKS.values() if info.backbone}
    assert named == {name for name in able if not name.startswith('deeplab')}
    for name, found in DATASETS.items():
        if found.needs_folder:
            variable = found.variable or f'{(found.images_of or name).upper()}_DATASET'
            assert f'| `{name}` | `{variable}` |' in text


def test_every_verb_and_option_that_is_told_exists():
    text = PAGE.read_text('utf-8')
    assert not [v for v in VERBS if f'training {v}' not in text and f'`{v}`' not in text]
    from training.config import FitConfig

    told = re.findall(r'`(?:--)?((?:data|loss|optim|log|backbone)\.[a-z_]+)`', text)
    assert len(told) > 15
    for name in told:
        group, _, key = name.partition('.')
        assert hasattr(getattr(FitConfig(), group), key), name

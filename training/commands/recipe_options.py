# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The command line of the verbs that take a recipe: every value of it is an option."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
import re
from typing import Any, TYPE_CHECKING

from segnode.errors import SegnodeError
from training.recipes import find_recipe

if TYPE_CHECKING:
    from training.config import FitConfig

# FILE after these alone is short for the one value that the group is about.
_SHORT = {'--backbone': '--backbone.weights', '--init': '--init.weights'}
_EPILOG = """
A recipe is a YAML file, or the name of one: {recipes}. Options override it, whatever their order;
--data FILE.yaml and the like replace a whole group. --print-config prints what would be run, with
every value, and ends.
"""


def parse(
    argv: list[str], verb: str, description: str, add: Callable[[Any], None]
) -> tuple[FitConfig, dict[str, Any]]:
    """Read a recipe and what overrides it.

    Args:
        argv: what follows the verb.
        verb: for the help.
        description: what it does.
        add: adds the verb's own options to the parser.

    Returns:
        The run, and the values of the verb's own options.

    Raises:
        SegnodeError: a file cannot be read.
        SystemExit: a key or value is wrong (2), or help was asked for (0).
    """
    from jsonargparse import ArgumentParser

    from training.config import FitConfig, from_dict
    from training.recipes import recipes

    parser = ArgumentParser(
        prog=f'python -m training {verb}', description=description,
        epilog=_EPILOG.format(recipes=', '.join(recipes()) or 'none is installed'),
    )
    parser.add_argument('--config', action='config', help='recipe: its name or file')
    add(parser)
    own = {action.dest for action in parser._actions}
    parser.add_class_arguments(FitConfig)
    words = normalise(argv)
    try:
        values = parser.parse_args(words).as_dict()
    except UnicodeDecodeError as error:
        raise SegnodeError(
            f'{_not_text(words)} is no YAML file, since it is not text.'
        ) from error
    options = {name: values.pop(name) for name in own if name in values}
    options.pop('config', None)
    return from_dict(values), options


def normalise(argv: Sequence[str]) -> list[str]:
    """Bring options to the form that the parser knows, recipes first and as paths."""
    words: list[str] = []
    recipe: list[str] = []
    for word in argv:
        name, equals, value = word.partition('=')
        if words and words[-1] == '--config':
            words.pop()
            recipe.append(f'--config={find_recipe(word)}')
        elif name == '--config' and equals:
            recipe.append(f'--config={find_recipe(value)}')
        elif re.fullmatch(r'--[A-Za-z][\w.+-]*', name):
            name = '--' + name[2:].replace('-', '_')  # --batch-size, --print-config
            words.append(_SHORT.get(name, name) + equals + value)
        else:
            words.append(word)
    return recipe + words


def _not_text(words: Sequence[str]) -> str:
    """Name the file among the arguments that is not text."""
    for word in words:
        path = Path(word.partition('=')[2] if word.startswith('--') else word)
        try:
            if path.is_file():
                path.read_text(encoding='utf-8')
        except UnicodeDecodeError:
            return str(path)
        except OSError:
            continue
    return 'A file that is named'

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m segnode VERB`` (``ros2 run segnode tool VERB``): the vehicle's command line."""

from __future__ import annotations

import importlib
import sys

from segnode.errors import SegnodeError

# Verb -> what it does; each is a module of segnode.commands, imported when it is asked for.
VERBS = {
    'models': 'list the models there are, and what is known of them',
    'predict': 'segment images: label, colour and overlay pictures',
    'benchmark': 'measure models and runtimes on this machine, side by side',
    'build': 'build engines for the GPU of this machine, ahead of time',
    'labels': 'list label sets, or the classes of one',
    'cache': 'list or clear what was exported for this machine',
}


def usage() -> str:
    """Return the overview of the verbs."""
    rows = '\n'.join(f'  {verb:9} {text}' for verb, text in VERBS.items())
    return (
        f'usage: python -m segnode VERB [...]\n\n{rows}\n\n'
        'python -m segnode VERB --help says more of one.'
    )


def main(argv: list[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0; 1 after an error of the user's; 2 for a wrong command line; 130 when interrupted.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ('-h', '--help'):
        print(usage())
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        print(f'error: there is no verb {verb!r}\n{usage()}', file=sys.stderr)
        return 2
    try:
        return int(importlib.import_module(f'segnode.commands.{verb}').main(rest))
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())

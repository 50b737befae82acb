# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m training VERB``: nothing heavy is imported before the verb is known."""

from __future__ import annotations

import importlib
import sys

from segnode.errors import SegnodeError

VERBS = {
    'fit': 'train a network as a YAML recipe says',
    'evaluate': 'mean IoU of a released model on a split',
    'release': 'turn a checkpoint into a released model (.safetensors and .onnx)',
    'networks': 'list the networks',
}

# What the "train" extra installs and a machine without it lacks.
EXTRA = ('torch', 'pytorch_lightning', 'jsonargparse', 'tqdm', 'cv2', 'onnxruntime')


def usage() -> str:
    """The overview of the verbs."""
    rows = '\n'.join(f'  {verb:15} {text}' for verb, text in VERBS.items())
    return f'usage: python -m training VERB [...]\n\n{rows}\n\npython -m training VERB --help'


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ('-h', '--help'):
        print(usage())
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        print(f'error: there is no verb "{verb}"\n{usage()}', file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f'training.commands.{verb.replace("-", "_")}')
        return int(module.main(rest))
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except ImportError as error:
        if (error.name or '').partition('.')[0] in EXTRA:
            print(
                f'error: {error.name} is not installed; the training side needs the "train" '
                "extra: pip install '.[train]' in segnode's folder.",
                file=sys.stderr,
            )
            return 1
        raise
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print('stopped; --resume goes on from the last epoch', file=sys.stderr)
        return 130

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m training VERB``: nothing heavy is imported before the verb is known."""

from __future__ import annotations

import importlib
import sys

from segnode.errors import SegnodeError
from training.processes import OneProcessError, rank

VERBS = {
    'check-data': 'look through datasets before training on them',
    'lr-range': 'find the learning rate of a recipe by a sweep over all rates',
    'fit': 'train a network as a YAML recipe says',
    'evaluate': 'score a released model on splits of datasets: JSON, a page, pictures',
    'predict': 'segment images, videos or the frames of a dataset, beside their truth',
    'submit': 'make the files that the servers of Cityscapes and BDD100K take',
    'release': 'turn a checkpoint into a released model (.safetensors and .onnx)',
    'import-weights': 'turn a file of weights from elsewhere into a released model',
    'convert': 'another precision or size of a released model, with what that costs',
    'benchmark': 'measure models and runtimes on this machine, side by side',
    'networks': 'list the networks',
}

# What the "train" extra installs and a machine without it lacks.
EXTRA = (
    'torch', 'pytorch_lightning', 'jsonargparse', 'tqdm', 'cv2', 'onnxruntime', 'PIL',
    'matplotlib',
)


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
        # What all processes of a run say at once, the first one says.
        if rank() == 0 or isinstance(error, OneProcessError):
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
        if rank() == 0:
            goes_on = '; --resume goes on from the last epoch' if verb == 'fit' else ''
            print(f'stopped{goes_on}', file=sys.stderr)
        return 130

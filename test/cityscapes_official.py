# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The official evaluator of Cityscapes, in an environment of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any
import venv

import pytest

# Run by the official package's own interpreter; argv: pattern of the truth, predictions, answer.
OFFICIAL = """
import glob, json, sys
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as official
truth = sorted(glob.glob(sys.argv[1], recursive=True))
official.args.predictionPath = sys.argv[2]
official.args.quiet, official.args.JSONOutput = True, False
guesses = [official.getPrediction(official.args, name) for name in truth]
result = official.evaluateImgLists(guesses, truth, official.args)
keys = ('classScores', 'classInstScores', 'categoryScores', 'categoryInstScores')
json.dump({key: result[key] for key in keys}, open(sys.argv[3], 'w'))
"""


def official_scores(folder: Path, truth: str, predictions: Path) -> dict[str, dict[str, float]]:
    """Return the four scores by name that the official evaluator gives.

    Args:
        folder: to work in.
        truth: pattern of the ``*_gtFine_labelIds.png``.
        predictions: folder in which it is to find a file for each.
    """
    answer = folder / 'official.json'
    subprocess.run([_python(folder), '-c', OFFICIAL, truth, predictions, answer], check=True,
                   timeout=300)
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def _python(folder: Path) -> Path:
    """Return an interpreter that has cityscapesScripts; it does not run with NumPy 2.4."""
    given = os.environ.get('SEGNODE_CITYSCAPES_PYTHON')
    if given:
        return Path(given)
    venv.create(folder / 'official', with_pip=True)
    python = folder / 'official' / 'bin' / 'python'
    done = subprocess.run(
        [python, '-m', 'pip', 'install', '--quiet', 'numpy<2.4', 'cityscapesscripts'],
        capture_output=True, text=True, timeout=300,
        env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'})
    if done.returncode:
        pytest.skip(f'cityscapesscripts cannot be installed: {done.stderr[-200:]}')
    assert sys.prefix not in str(python)
    return python

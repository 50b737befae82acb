# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A result that cannot be written is refused before anything is measured, by every benchmark."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

NEEDS = {'conversions': 'tqdm', 'training_convolutions': 'torch', 'training_throughput': 'torch'}
OTHERS = ('networks', 'node_overhead', 'precisions', 'released_models', 'runtimes', 'soak',
          'transport')


@pytest.mark.parametrize('name', [*NEEDS, *OTHERS])
def test_refused_at_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    module = importlib.import_module(f'benchmark.{name}')
    for file, words in ((tmp_path / 'no' / 'a', 'there is no'), (tmp_path, 'is a folder')):
        with pytest.raises(SystemExit) as ended:
            module.main(['--json', str(file)])
        assert ended.value.code == 2 and words in capsys.readouterr().err

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A headless browser, where there is one: what it makes of a page."""

from __future__ import annotations

from pathlib import Path
import shutil
import subprocess

import pytest

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
FLAGS = (
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--hide-scrollbars',
    # Nothing that the page might ask for elsewhere is found.
    '--host-resolver-rules=MAP * ~NOTFOUND',
)


def browse(page: Path, folder: Path, *options: str) -> str:
    """Open a page and return what the browser prints.

    Args:
        page: the file.
        folder: for the browser's profile, a new one for every call.
        options: more of its flags, such as --dump-dom or --screenshot=FILE.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f'there is no browser here: none of {", ".join(BROWSERS)} is on the PATH')
    done = subprocess.run(
        [found, *FLAGS, f'--user-data-dir={folder}', *options, page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Make a virtual environment with ROS 2 wheels smaller: usage: slim_environment.py VENV.

A wheel cannot hold symbolic links, so the ROS 2 wheels hold every shared library under two or
three names, and their common dependencies once per wheel: 64 MB of copies. They become hard links.
Of no use here are the C++ headers (25 MB), NumPy's own tests (9 MB) and the bytecode of the
installers (10 MB), which is made again when it is needed.
"""

from __future__ import annotations

from collections import defaultdict
import hashlib
import os
from pathlib import Path
import shutil
import sys

SMALLEST = 16384  # bytes; below it linking gains nothing


def link_copies(folder: Path) -> int:
    """Replace files of equal content and mode by hard links; return the bytes saved."""
    by_size = defaultdict(list)
    for path in folder.rglob('*.so*'):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            if status.st_size >= SMALLEST:
                by_size[status.st_size, status.st_mode].append(path)
    saved = 0
    for (size, _), paths in by_size.items():
        first: dict[bytes, Path] = {}
        for path in paths if len(paths) > 1 else ():
            original = first.setdefault(hashlib.sha256(path.read_bytes()).digest(), path)
            if original is path or original.samefile(path):
                continue
            link = path.with_name(path.name + '.link')
            os.link(original, link)
            os.replace(link, path)
            saved += size
    return saved


def main() -> int:
    """Slim the environment named on the command line."""
    venv = Path(sys.argv[1])
    link_copies(venv / 'lib')
    useless = [venv / 'include']
    for packages in venv.glob('lib/python3*/site-packages'):
        for tested in ('numpy', 'sympy'):  # ONNX Runtime for Python 3.10 needs SymPy
            useless += packages.glob(f'{tested}/**/tests')
        for installer in ('pip', 'setuptools', 'pkg_resources'):
            useless += packages.glob(f'{installer}/**/__pycache__')
    for folder in useless:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())

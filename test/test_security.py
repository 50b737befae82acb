# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Nothing is unpickled, evaluated or given to a shell, and nothing is told to strangers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

FOLDERS = ('segnode', 'training', 'benchmark', 'launch', 'scripts', 'docs')
# Modules that turn bytes into code, or code into processes by way of a shell.
FORBIDDEN_MODULES = {'marshal', 'shelve', 'dill', 'cloudpickle', 'joblib', 'pickletools'}
# Of pickle only the names of its errors, which torch raises.
PICKLE_NAMES = {'PickleError', 'UnpicklingError'}
FORBIDDEN_CALLS = {'eval', 'exec', 'compile', '__import__', 'os.system', 'os.popen',
                   'subprocess.getoutput', 'subprocess.getstatusoutput', 'tempfile.mktemp',
                   'yaml.unsafe_load', 'yaml.full_load', 'torch.jit.load', 'torch.hub.load',
                   'pandas.read_pickle', 'numpy.loads'}
RESUMERS = {'fit', 'validate', 'test', 'predict'}  # of Lightning, where they get a ckpt_path
SHELLS = {'sh', 'bash', 'dash', 'zsh', 'cmd', 'powershell'}  # with -c: a shell by another way in
SAFE_LOADERS = {'yaml.SafeLoader', 'yaml.CSafeLoader', 'yaml.BaseLoader', '_StrictLoader'}


def dotted(node: ast.AST) -> str:
    """Return 'a.b.c' for such an expression, with '?' for what is no name in it."""
    if isinstance(node, ast.Name):
        return node.id
    return f'{dotted(node.value)}.{node.attr}' if isinstance(node, ast.Attribute) else '?'


def true(call: ast.Call, name: str) -> bool:
    """Tell whether a call has the keyword argument, and it is the constant True."""
    return any(keyword.arg == name and isinstance(keyword.value, ast.Constant)
               and keyword.value.value is True for keyword in call.keywords)


def not_off(call: ast.Call, name: str) -> bool:
    """Tell whether a call has the keyword argument, and it is not the constant False."""
    return any(keyword.arg == name and not (
        isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in call.keywords)


def keywords(call: ast.Call) -> set[str]:
    """Return the names of the keyword arguments."""
    return {keyword.arg for keyword in call.keywords if keyword.arg}


def complaint(call: ast.Call) -> str:
    """Return what is wrong with a call; empty where nothing is."""
    name = dotted(call.func)
    last = name.rpartition('.')[2]
    if name in FORBIDDEN_CALLS:
        return f'{name}()'
    if not_off(call, 'shell'):
        return f'{name}(shell=...)'
    command = [str(item.value) for argument in call.args
               if isinstance(argument, (ast.List, ast.Tuple))
               for item in argument.elts if isinstance(item, ast.Constant)]
    if '-c' in command and SHELLS & {word.rpartition('/')[2] for word in command}:
        return f'{name}() of a shell'
    if last == 'import_module' and {'pickle', *FORBIDDEN_MODULES} & {
            argument.value for argument in call.args if isinstance(argument, ast.Constant)}:
        return f'{name}() of what unpickles'
    if not_off(call, 'allow_pickle'):
        return f'{name}(allow_pickle=...)'
    loads = name == 'torch.load' or last == 'load_from_checkpoint'
    if loads and not true(call, 'weights_only'):
        return f'{name}() without weights_only=True'
    if last in RESUMERS and 'ckpt_path' in keywords(call) and not true(call, 'weights_only'):
        return f'{name}(ckpt_path=...) without weights_only=True'
    if name == 'yaml.load' and not SAFE_LOADERS & {dotted(loader) for loader in (
            *call.args[1:], *(k.value for k in call.keywords if k.arg == 'Loader'))}:
        return 'yaml.load() without a safe loader'
    return ''


def complaints(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give line and text of all that is wrong with a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split('.')[0] in FORBIDDEN_MODULES:
                    yield node.lineno, f'import {alias.name}'
                elif alias.name == 'pickle' and alias.asname:  # under which it is not looked for
                    yield node.lineno, f'import pickle as {alias.asname}'
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or '').split('.')[0]
            names = {alias.name for alias in node.names}
            if module in FORBIDDEN_MODULES or module == 'pickle' and names - PICKLE_NAMES:
                yield node.lineno, f'from {module} import {", ".join(sorted(names))}'
        elif isinstance(node, ast.Attribute) and dotted(node.value) == 'pickle':
            if node.attr not in PICKLE_NAMES:
                yield node.lineno, f'pickle.{node.attr}'
        elif isinstance(node, ast.Call):
            found = complaint(node)
            if found:
                yield node.lineno, found


def python_files(project: Path) -> list[Path]:
    """Return every Python file that is not a test, whatever its name ends in."""
    found = [project / 'setup.py']
    for folder in FOLDERS:
        for path in (project / folder).rglob('*'):
            if path.suffix == '.py' or path.is_file() and not path.suffix and (
                    path.read_bytes()[:64].startswith(b'#!') and b'python' in
                    path.read_bytes()[:64]):
                found.append(path)
    return found


def test_no_file_unpickles_evaluates_or_calls_a_shell(project: Path) -> None:
    """The whole tree, tests apart: they try what is forbidden."""
    files = python_files(project)
    assert len(files) > 100
    found = [f'{path.relative_to(project)}:{line}: {text}' for path in files
             for line, text in complaints(ast.parse(path.read_text()))]
    assert found == []


def test_our_yaml_loader_is_a_safe_one() -> None:
    """The one that the rule above believes by its name."""
    import yaml

    from segnode import labels
    assert issubclass(labels._StrictLoader, yaml.SafeLoader)
    with pytest.raises(yaml.YAMLError):
        yaml.load('!!python/object/apply:os.getcwd []', Loader=labels._StrictLoader)


def test_shell_scripts_evaluate_nothing_that_comes_from_outside(project: Path) -> None:
    """One eval of a constant text there is: zsh's name for the file that it reads."""
    found = []
    for path in [*(project / 'scripts').iterdir(), *(project / 'config').glob('*.sh')]:
        if path.is_file() and path.suffix in ('', '.sh'):
            found += [line.strip() for line in path.read_text().splitlines()
                      if re.search(r'\beval\b', line) and not line.lstrip().startswith('#')]
    assert found == ["eval '_segnode_here=${(%):-%x}'"]


@pytest.mark.parametrize('code', [
    'import pickle; pickle.loads(b"")', 'from pickle import loads', 'import marshal',
    'import joblib.numpy_pickle', 'torch.load(path)', 'torch.load(path, weights_only=False)',
    'Module.load_from_checkpoint(path)', 'trainer.fit(m, ckpt_path=p)',
    'trainer.fit(m, ckpt_path=p, weights_only=None)', 'yaml.load(text)',
    'yaml.load(text, Loader=yaml.Loader)', 'yaml.load(text, yaml.UnsafeLoader)', 'eval(text)',
    'exec(text)', 'os.system(text)', 'subprocess.run(text, shell=True)',
    'subprocess.run(text, shell=flag)', 'np.load(path, allow_pickle=True)', 'tempfile.mktemp()',
    '__import__(name)',
    'np.load(path, mmap_mode=None, allow_pickle=flag)', 'import pickle as p; p.loads(b"")',
    'importlib.import_module("pickle")', 'subprocess.run(["/bin/sh", "-c", text])',
    'subprocess.Popen(("bash", "-c", text), env=given)',
])
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    """Each of these would be found in the tree."""
    assert list(complaints(ast.parse(code)))


@pytest.mark.parametrize('code', [
    'import pickle\ntry: pass\nexcept pickle.UnpicklingError: pass',
    'network.eval(); create().eval()',
    'from pickle import UnpicklingError', 'torch.load(path, weights_only=True)',
    'trainer.fit(m, ckpt_path=p, weights_only=True)', 'model.fit(x)', 'yaml.safe_load(text)',
    'yaml.load(text, Loader=yaml.SafeLoader)', 'yaml.load(text, yaml.BaseLoader)',
    're.compile(text)', 'np.load(path)',
    'np.load(path, allow_pickle=False)',
    'subprocess.run(["ls"], shell=False)', 'subprocess.run([sys.executable, "-c", code])',
    'importlib.import_module("torch")',
])
def test_the_search_leaves_alone_what_is_safe(code: str) -> None:
    """None of these is a fault."""
    assert list(complaints(ast.parse(code))) == []


# By itself it tells nothing where it takes itself for tested.
TESTED = ('CI', 'GITHUB_ACTIONS', 'TF_BUILD', 'ORT_RUNNING_UNIT_TESTS', 'ORT_DISABLE_TELEMETRY')
SESSION = """
from pathlib import Path
import sys
from segnode.runtimes.session import open_session
open_session(Path(sys.argv[1]).read_bytes(), threads=1)
"""


def test_onnx_runtime_reports_to_nobody(tmp_path: Path) -> None:
    """It keeps what it is going to send, and a number of the machine, in the user's cache."""
    pytest.importorskip('onnxruntime')
    from small_custom import write_network
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    cache = tmp_path / 'cache'
    cache.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in TESTED}
    subprocess.run(
        [sys.executable, '-c', SESSION, str(tmp_path / 'net.onnx')], check=True, timeout=120,
        env={**environment, 'HOME': str(cache), 'XDG_CACHE_HOME': str(cache)})
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize('module, variable, value', [
    ('onnxruntime', 'ORT_DISABLE_TELEMETRY', '1'), ('ray', 'RAY_USAGE_STATS_ENABLED', '0')])
@pytest.mark.parametrize('given', [None, 'as the user says'])
def test_reports_are_off_before_a_library_is_loaded(
        module: str, variable: str, value: str, given: str | None,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user wants them."""
    from segnode import dependencies
    monkeypatch.setenv(variable, given or '')
    if given is None:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(dependencies, 'installed', lambda _: True)
    monkeypatch.setattr(dependencies.importlib, 'import_module', lambda _: os.environ[variable])
    assert dependencies.require(module, 'this test') == (given or value)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the package says of itself agrees: package.xml, setup.py, README.md, CHANGELOG.rst."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import json
from pathlib import Path
import re
from typing import Any
import xml.etree.ElementTree as ElementTree

import pytest

import segnode
from segnode.ros import describe


@pytest.fixture(scope='module')
def setup_arguments(project: Path) -> dict[str, Any]:
    """Keyword arguments of setup() as setup.py gives them, without running setup()."""
    import setuptools
    caught: dict[str, Any] = {}
    patch = pytest.MonkeyPatch()
    try:
        patch.setattr(setuptools, 'setup', lambda **arguments: caught.update(arguments))
        patch.chdir(project)
        spec = importlib.util.spec_from_file_location('segnode_setup', project / 'setup.py')
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    finally:
        patch.undo()
    return caught


@pytest.fixture(scope='module')
def package_xml(project: Path) -> ElementTree.Element:
    """Root of package.xml."""
    return ElementTree.parse(project / 'package.xml').getroot()


def text_of(element: ElementTree.Element, tag: str) -> str:
    """Text of the only child of that tag."""
    (found,) = element.findall(tag)
    return found.text or ''


def test_package_xml_and_setup_py_agree(package_xml, setup_arguments):
    assert package_xml.get('format') == '3'
    for tag in ('name', 'version', 'description', 'license'):
        assert text_of(package_xml, tag) == setup_arguments[tag]
    assert text_of(package_xml, 'maintainer') == setup_arguments['maintainer']
    (maintainer,) = package_xml.findall('maintainer')
    assert maintainer.get('email') == setup_arguments['maintainer_email']
    assert text_of(package_xml, 'export/build_type') == 'ament_python'


def test_version_of_the_module(package_xml):
    assert segnode.__version__ == text_of(package_xml, 'version')


def test_package_xml_leaves_gpu_libraries_to_the_user(package_xml):
    # A rosdep key for one of these would put a CPU build over NVIDIA's own on a Jetson.
    needed = {element.text for element in package_xml if element.tag.endswith('depend')}
    assert not [name for name in needed if re.search('torch|tensorrt|onnx', name or '')]


def test_every_import_of_a_ros_package_is_a_dependency(project, package_xml):
    ros = {'ament_index_python', 'diagnostic_msgs', 'launch', 'launch_ros', 'lifecycle_msgs',
           'rcl_interfaces', 'rclpy', 'sensor_msgs', 'std_msgs', 'std_srvs', 'vision_msgs',
           'cv_bridge', 'builtin_interfaces', 'geometry_msgs'}
    declared = {element.text for element in package_xml if element.tag == 'exec_depend'}
    used = set()
    for path in [*(project / 'segnode').rglob('*.py'), *(project / 'launch').glob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                used.add(node.module.split('.')[0])
    optional = {'cv_bridge'}  # used where installed, for encodings that the own codec lacks
    assert used & ros - declared - optional == set()


def test_entry_points_can_be_imported(setup_arguments):
    pytest.importorskip('rclpy')
    scripts = setup_arguments['entry_points']['console_scripts']
    assert {script.split(' = ')[0] for script in scripts} >= {'segment', 'player', 'recorder',
                                                              'tool', 'train'}
    for script in scripts:
        module, function = script.split(' = ')[1].split(':')
        assert callable(getattr(importlib.import_module(module), function)), script


def test_installed_files_exist(project, setup_arguments):
    installed = dict(setup_arguments['data_files'])
    assert installed['share/ament_index/resource_index/packages'] == ['resource/segnode']
    assert (project / 'resource' / 'segnode').read_bytes() == b''
    assert 'package.xml' in installed['share/segnode']
    assert 'launch/segment.launch.py' in installed['share/segnode/launch']
    assert {'config/fastdds.xml', 'config/segment.yaml', 'config/segment.rviz',
            'config/transport.sh'} <= set(installed['share/segnode/config'])
    for files in installed.values():
        for file in files:
            assert (project / file).is_file(), file
    packages = setup_arguments['packages']
    assert {'segnode', 'segnode.ros', 'segnode.runtimes', 'training'} <= set(packages)
    assert not [name for name in packages if name.split('.')[0] not in ('segnode', 'training')]


def test_data_inside_the_package_is_installed(project, setup_arguments):
    patterns = setup_arguments['package_data']['segnode']
    folder = project / 'segnode'
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    for suffix in ('yaml', 'safetensors', 'onnx'):
        missing = set(folder.rglob(f'*.{suffix}')) - found
        assert not missing, f'not installed: {missing}'
    assert any(path.suffix == '.yaml' for path in found)


def test_scripts_find_the_python_of_the_environment(project):
    config = configparser.ConfigParser()
    config.read(project / 'setup.cfg')
    assert config['build_scripts']['executable'] == '/usr/bin/env python3'
    assert config['install']['install_scripts'] == '$base/lib/segnode'
    assert config['develop']['script_dir'] == '$base/lib/segnode'


def pages(project):
    """Return README.md and the pages that it leads to."""
    return [project / 'README.md', *sorted((project / 'docs').glob('*.md'))]


def test_readme_tables_are_those_of_the_code(project):
    regions = []
    for page in pages(project):
        text = page.read_text()
        regions += [match['name'] for match in describe.REGION.finditer(text)]
        assert text == describe.filled(text), (
            f'out of date: run python -m segnode.ros.describe {page.relative_to(project)}')
    assert sorted(regions) == sorted(describe.TABLES)


def test_readme_names_every_executable(project, setup_arguments):
    readme = (project / 'README.md').read_text()
    for script in setup_arguments['entry_points']['console_scripts']:
        assert f'`{script.split(" = ")[0]}`' in readme


def test_links_and_pictures_of_the_readme_exist(project):
    for page in pages(project):
        for target in re.findall(r'\]\(([^)#]+?)(?:#[^)]*)?\)', page.read_text()):
            if '://' not in target:
                assert (page.parent / target).exists(), (page, target)


@pytest.mark.parametrize('page', [
    'README.md', 'docs/networks.md', 'docs/runtimes.md', 'config/training/records/README.md'])
def test_tables_have_every_released_model(project, page):
    released = {path.stem for path in (project / 'segnode' / 'weights').glob('*.onnx')}
    rows = re.findall(r'^\| `(\w+)`', (project / page).read_text(), re.M)
    assert released and released <= set(rows), released - set(rows)


@pytest.mark.parametrize('page', ['README.md', 'docs/networks.md'])
def test_tables_have_the_measured_figures(project, page):
    """Mean IoU and milliseconds of each released model are those of the file of figures."""
    text = (project / page).read_text()
    measured = json.loads((project / 'docs' / 'released_camvid.json').read_text())['rows']
    for row in measured:
        size = 'x'.join(map(str, row['input_size']))
        line = re.search(rf'^\| `{row["model"]}`.*\| {size} \|.*$', text, re.M)
        cells = [cell.strip() for cell in line[0].split('|')] if line else []
        assert {f'{100 * row["miou"]:.2f}', f'{row["median_ms"]:.1f}'} <= set(cells), line


@pytest.mark.parametrize('figures', ['released_camvid.json', 'conversions_camvid.json'])
def test_figures_are_of_every_released_model(project, figures):
    released = {path.stem for path in (project / 'segnode' / 'weights').glob('*.onnx')}
    measured = json.loads((project / 'docs' / figures).read_text())['rows']
    assert {row['model'] for row in measured} == released


def test_unfilled_describe_region_is_refused():
    with pytest.raises(Exception, match="no table 'nonsense'"):
        describe.filled('<!-- table: nonsense -->\n<!-- end of table -->')


def test_changelog_is_as_catkin_tools_want_it(project):
    """REP-132: the title names the package; then versions or Forthcoming, bullets only."""
    lines = (project / 'CHANGELOG.rst').read_text().splitlines()
    assert lines[1] == 'Changelog for package segnode'
    assert lines[0] == lines[2] == '^' * len(lines[1])
    for index, line in enumerate(lines[3:], 3):
        if line and set(line) == {'-'}:
            assert re.fullmatch(r'Forthcoming|\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)', lines[index - 1])
            assert len(line) == len(lines[index - 1])
        elif line and not (index + 1 < len(lines) and set(lines[index + 1]) == {'-'}):
            assert line.startswith(('* ', '  ')), line


def test_licence_is_whole(project):
    licence = (project / 'LICENSE').read_text()
    assert 'Apache License' in licence and 'END OF TERMS AND CONDITIONS' in licence
    assert len(licence.splitlines()) > 200


def test_every_source_file_names_its_licence(project):
    for folder in ('segnode', 'training', 'test', 'benchmark', 'launch', 'scripts'):
        for path in (project / folder).rglob('*.py'):
            head = path.read_text().splitlines()[:3]
            assert '# SPDX-License-Identifier: Apache-2.0' in head, path

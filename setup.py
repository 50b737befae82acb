# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Package description for colcon (ament_python) and pip."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

package_name = 'segnode'
here = Path(__file__).resolve().parent


def requirements(name):
    """Lines of requirements/NAME.txt, the one place where dependencies are listed."""
    path = here / 'requirements' / f'{name}.txt'
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith('#')]


def files(pattern):
    """Files (no folders) that match, as paths relative to this file."""
    return sorted(path for path in glob(pattern) if Path(path).is_file())


setup(
    name=package_name,
    version='0.1.0',
    packages=find_packages(include=['segnode', 'segnode.*', 'training', 'training.*']),
    package_data={
        'segnode': [
            'label_groupings/*.yaml',
            'label_sets/*.yaml',
            'weights/*.safetensors',
            'weights/*.onnx',
            'py.typed',
        ],
        'training': ['datasets/label_maps/*.yaml', 'report/*.css'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml', 'LICENSE', 'CHANGELOG.rst']),
        ('share/' + package_name + '/config', files('config/*')),
        ('share/' + package_name + '/config/training', files('config/training/*')),
        ('share/' + package_name + '/launch', files('launch/*.launch.py')),
    ],
    install_requires=['setuptools', 'numpy', 'PyYAML'],
    extras_require={
        'demo': requirements('demo'),
        'ros': requirements('demo'),
        'ray': requirements('ray'),
        'torch': requirements('torch'),
        'train': requirements('torch') + requirements('train'),
        'test': requirements('test'),
        'openvino': requirements('openvino'),
        'benchmark': requirements('torch') + requirements('benchmark'),
    },
    python_requires='>=3.10',
    zip_safe=False,  # weights and label sets are read as files
    maintainer='The segnode authors',
    maintainer_email='maintainers@segnode.example',
    description='Road-scene semantic segmentation for ROS 2 vehicles, from dataset to topic.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'segment = segnode.ros.segment_node:main',
            'player = segnode.ros.player_node:main',
            'recorder = segnode.ros.recorder_node:main',
            'segment_points = segnode.ros.points_node:main',
            'segment_bag = segnode.ros.segment_bag:main',
            'tool = segnode.__main__:main',
            'train = training.__main__:main',
        ],
    },
)

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The node where TensorRT runs the network: what it says while it builds, and when a GPU fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import signal
import time
from typing import Any

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('torch')
pytest.importorskip('onnxruntime')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np

from probe import Probe, until
from processes import Process
from segnode.ros.image_codec import decode_image
from segnode.runtimes import load_runtime
import small_model


@pytest.fixture
def start_gpu_node(start: Callable[..., Process], tmp_path: Path) -> Callable[..., Process]:
    """Return a function that starts a node on a GPU; ``tmp_path / 'broken'`` breaks that."""
    def started(**env: str) -> Process:
        return start(
            Path(__file__).parent.parent / 'gpu_node.py', '--ros-args',
            '-p', f'model:={small_model.stem()}', '-p', 'threads:=1',
            env={'XDG_CACHE_HOME': str(tmp_path / 'cache'),
                 'GPU_BREAKS': str(tmp_path / 'broken'), **env})
    return started


def status(collector: Any) -> DiagnosticStatus | None:
    found = [s for m in collector.messages for s in m.status if 'segmentation' in s.name]
    return found[-1] if found else None


def test_a_build_is_told_and_can_be_stopped(
    probe: Probe, start_gpu_node: Callable[..., Process], tmp_path: Path
) -> None:
    node = start_gpu_node(GPU_BUILD_SECONDS='600')
    with probe.collect('/diagnostics', DiagnosticArray) as collected:
        found = until(
            lambda: (s := status(collected)) is not None and ' s, 50 %' in s.message and s,
            90.0, 'a diagnostic of the build')
    assert found.level == DiagnosticStatus.OK and found.message.startswith(
        'building an engine of fsffnet_small in fp16 with TensorRT 10.3.0 for Stand-in GPU, ')
    assert probe.state() == 'configuring'
    begun = time.monotonic()
    assert node.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 50.0, 'it waited for the build'
    assert 'this may take minutes' in node.output and 'Traceback' not in node.output
    left = (tmp_path / 'cache' / 'segnode').rglob('*')
    assert [path for path in left if path.suffix != '.lock'] == []


def test_masks_go_on_when_the_gpu_fails(
    probe: Probe, start_gpu_node: Callable[..., Process], tmp_path: Path
) -> None:
    image = small_model.frames(1)[0]
    expected = load_runtime(small_model.model(), 'onnx', device='cpu').run(image[None]).labels[0]
    node = start_gpu_node()
    camera = probe.publisher()
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as collected:
        found = until(
            lambda: probe.send_and_wait(camera, image, labels)
            and (s := status(collected)) is not None and s.level == DiagnosticStatus.OK
            and 'Hz out' in s.message and s, what='a diagnostic without a warning')
        values = {v.key: v.value for v in found.values}
        assert values['runtime'] == 'tensorrt' and 'CUDA graph' in values['runtime details']
        (tmp_path / 'broken').touch()
        _, answer = probe.send_and_wait(camera, image, labels)
        assert (decode_image(answer)[..., 0] == expected).mean() > 0.99
        found = until(
            lambda: (s := status(collected)) is not None and s.level == DiagnosticStatus.WARN
            and 'tensorrt' in s.message and s, what='a warning')
        assert found.message.startswith(
            "tensorrt failed (CUDA's cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS, ")
        assert 'onnx runs instead' in found.message
        values = {v.key: v.value for v in found.values}
        assert values['runtime'] == 'onnx' and values['dropped: failed in the network'] == '0'
    assert node.stop() == 0
    assert 'runtime tensorrt failed and is given up' in node.output
    assert np.unique(expected).size > 2

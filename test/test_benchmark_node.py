# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the node: its arithmetic, its parts, and a short run of the whole."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import sys
import threading
from typing import Any

import numpy as np
import pytest

from benchmark import null_network
from benchmark.image_cdr import parse_image, read_stamp, STAMP, stamp_bytes
from benchmark.node_chain import Chain, Setup
from benchmark.node_table import text
from benchmark.node_trial import FASTEST, peak, SLOWEST, Trial
from benchmark.peers import environment, node_command, Peer, started
from benchmark.spinning import Spinner
from processes import Process
from segnode.errors import SegnodeError
from segnode.ros.private_domain import claimed_domain

MS = 1_000_000  # ns


def trial(rate: float, frames: int, latencies: dict[int, float], *, camera: float = 1.0,
          **more: Any) -> Trial:
    """Return a trial whose masks came so many ms after the images of these indices.

    The camera reaches the rate times ``camera``.
    """
    sent = [round(index * 1e9 / (rate * camera)) for index in range(frames)]
    masks = [(sent[index], sent[index] + round(ms * MS)) for index, ms in latencies.items()]
    return Trial(rate, sent, masks, **{'receipt_ms': [1.0], 'cpu_seconds': 0.3, 'seconds': 1.0,
                                       **more})


def test_figures_of_a_trial() -> None:
    """Counts add up; a late mask of an earlier trial is nobody's; jitter is of neighbours."""
    found = trial(10.0, 5, {0: 20.0, 1: 30.0, 3: 25.0}, receipt_ms=[1.0, 2.0, 9.0])
    found = Trial(found.rate, found.sent, [(-7, 3), *found.masks, found.masks[0]],
                  found.receipt_ms, found.cpu_seconds, found.seconds, {'frames received': 4})
    summary = found.summary()
    assert (summary['sent'], summary['masks'], summary['dropped']) == (5, 3, 2)
    assert summary['drop_share'] == pytest.approx(0.4)
    assert summary['sent_rate'] == pytest.approx(10.0)
    # From the first arrival, at 20 ms, to the third, at 325 ms.
    assert summary['mask_rate'] == pytest.approx(2 / 0.305, abs=0.01)
    assert summary['latency_ms'] == {'median': 25.0, 'p95': 29.5, 'max': 30.0}
    assert summary['jitter_ms'] == {'median': 7.5, 'p95': 9.75, 'max': 10.0}
    assert summary['receipt_ms'] == {'median': 2.0, 'p95': 8.3, 'max': 9.0}
    assert summary['cpu_ms_per_mask'] == pytest.approx(100.0)
    assert summary['cpu_share'] == pytest.approx(0.3)
    assert summary['books'] == {'frames received': 4}
    json.dumps(summary, allow_nan=False)


def test_a_trial_without_masks() -> None:
    """No figure is made up."""
    found = trial(30.0, 4, {}, receipt_ms=[])
    summary = found.summary()
    assert not found.kept and summary['drop_share'] == 1.0 and summary['masks'] == 0
    assert all(summary[key] is None for key in (
        'latency_ms', 'receipt_ms', 'jitter_ms', 'mask_rate', 'cpu_ms_per_mask'))


@pytest.mark.parametrize('dropped, kept', [(0, True), (4, True), (5, False), (50, False)])
def test_less_than_five_percent(dropped: int, kept: bool) -> None:
    assert trial(10.0, 100, dict.fromkeys(range(100 - dropped), 1.0)).kept is kept


def node_of(
    limit: float, camera_most: float = 1e9
) -> tuple[Callable[[float], Trial], list[float]]:
    """Return a node that keeps up to a rate, with such a camera, and the rates it was tried at."""
    tried: list[float] = []

    def run(rate: float) -> Trial:
        tried.append(rate)
        share = min(1.0, camera_most / rate)
        frames = 100
        masks = frames if rate * share <= limit else round(frames * 0.8)
        return trial(rate, frames, dict.fromkeys(range(masks), 1.0), camera=share)

    return run, tried


@pytest.mark.parametrize('limit', [0.7, 3.0, 9.9, 10.0, 29.0, 47.0, 61.0, 333.0])
@pytest.mark.parametrize('known', [(), (10.0, 30.0, 60.0)])
def test_the_peak_is_found(limit: float, known: tuple[float, ...]) -> None:
    """Within the tolerance below the true one, whether or not fixed rates were tried before."""
    run, tried = node_of(limit)
    before = [run(rate) for rate in known]
    tried.clear()
    found = peak(run, before, 0.05)
    assert found is not None and found.kept and not found.camera_limited
    assert limit / 1.06 <= found.sent_rate <= limit * 1.0001
    assert len(tried) <= 14


def test_the_camera_gives_no_more() -> None:
    """What the camera reached is the answer, and it says so."""
    run, _ = node_of(1e9, camera_most=150.0)
    found = peak(run)
    assert found is not None and found.camera_limited
    assert found.sent_rate == pytest.approx(150.0, rel=1e-3)
    # A camera slower than asked, beside a node that is slower still.
    run, tried = node_of(100.0, camera_most=150.0)
    found = peak(run)
    assert found is not None and not found.camera_limited
    assert 100.0 / 1.06 <= found.sent_rate <= 100.01 and len(tried) < 20


def test_no_rate_is_kept_and_every_rate_is() -> None:
    """The search ends."""
    run, tried = node_of(0.0)
    assert peak(run) is None and min(tried) >= SLOWEST
    run, tried = node_of(1e12)
    found = peak(run)
    assert found is not None and FASTEST / 2 < found.sent_rate <= FASTEST


# ------------------------------------------------------------------------------ the messages

def serialised(height: int, width: int, encoding: str, frame_id: str, **more: Any) -> Any:
    """Return an Image of noise, and the same serialised."""
    pytest.importorskip('rclpy')
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import Image

    from segnode.ros.image_codec import fill_image
    shape = (height, width) if encoding == 'mono8' else (height, width, 3)
    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    message = fill_image(Image(), pixels, encoding)
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = 1_700_000_000, 123_456_789
    for name, value in more.items():
        setattr(message, name, value)
    return message, serialize_message(message)


@pytest.mark.parametrize('encoding', ['bgr8', 'mono8'])
@pytest.mark.parametrize('frame_id', ['', 'a', 'ab', 'abc', 'abcd', 'kamera/\u00fc'])
def test_serialised_images_are_read(encoding: str, frame_id: str) -> None:
    """Each field is what rclpy reads, whatever the texts before it do to the alignment."""
    message, cdr = serialised(5, 7, encoding, frame_id, is_bigendian=1)
    found = parse_image(cdr)
    for name in ('height', 'width', 'encoding', 'is_bigendian', 'step'):
        assert getattr(found, name) == getattr(message, name), name
    assert found.header.frame_id == frame_id
    assert found.header.stamp.sec == 1_700_000_000
    assert read_stamp(cdr) == 1_700_000_000_123_456_789
    assert found.data.tobytes() == bytes(message.data)
    assert found.data.base is not None, 'the pixels were copied'


def test_images_are_stamped() -> None:
    """The camera's way: rclpy reads the new stamp and the old pixels."""
    message, cdr = serialised(4, 4, 'bgr8', 'camera')
    from rclpy.serialization import deserialize_message
    now = 1_799_999_999_000_000_001
    stamped = cdr[:STAMP.start] + stamp_bytes(now) + cdr[STAMP.stop:]
    read = deserialize_message(stamped, type(message))
    assert (read.header.stamp.sec, read.header.stamp.nanosec) == (1_799_999_999, 1)
    assert read.data == message.data and read_stamp(stamped) == now


def test_no_message_is_read_beyond_its_end() -> None:
    """Cut short anywhere, or with any byte changed: an error, or data within the message."""
    _, cdr = serialised(3, 5, 'bgr8', 'camera')
    for length in range(len(cdr) - 8):
        with pytest.raises(ValueError):
            parse_image(cdr[:length])
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(cdr)
        for place in rng.integers(0, 64, 3):
            damaged[place] = rng.integers(0, 256)
        try:
            assert parse_image(bytes(damaged)).data.size <= len(cdr)
        except ValueError:
            refused += 1
    assert 500 < refused < 3000


# ------------------------------------------------------------------------------ the network

def test_the_null_network_is_a_model(tmp_path: Path) -> None:
    """It needs no PyTorch, runs like any other, and its labels are known."""
    pytest.importorskip('onnxruntime')
    from segnode.segmenter import Segmenter
    path = null_network.write(tmp_path, (64, 96))
    segmenter = Segmenter.load(str(path), runtime='onnx', threads=1)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    assert np.array_equal(segmenter.segment(image).labels, image[..., 0] >> 5)
    assert segmenter.model.trained and segmenter.input_size == (64, 96)
    both = np.stack([image, image[::-1]])
    assert np.array_equal(segmenter.runtime.run(both).labels, both[..., 0] >> 5)
    segmenter.close()
    onnx = pytest.importorskip('onnx')
    onnx.checker.check_model(onnx.load(path), full_check=True)


# ------------------------------------------------------------------------------ the processes

def test_the_environment_is_the_benchmarks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's transport nor a discovery server has a say."""
    monkeypatch.setenv('FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA')
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    monkeypatch.setenv('ROS_DISCOVERY_SERVER', 'there')
    found = environment(41, None)
    assert found['ROS_DOMAIN_ID'] == '41'
    assert not {'FASTDDS_BUILTIN_TRANSPORTS', 'FASTRTPS_DEFAULT_PROFILES_FILE',
                'ROS_DISCOVERY_SERVER'} & set(found)
    assert environment(41, Path('/ours.xml'))['FASTRTPS_DEFAULT_PROFILES_FILE'] == '/ours.xml'
    command = node_command('--log-level', 'warn', module='m', model='a', threads=1)
    assert command[-6:] == ['--log-level', 'warn', '-p', 'model:=a', '-p', 'threads:=1']
    assert 'm' in command


def test_a_peer_answers_and_ends(project: Path) -> None:
    """Noise of libraries is passed over; who ends or stays silent is named."""
    code = (
        'import time; from benchmark.peers import answer_commands; print("[noise]", flush=True); '
        'answer_commands({"double": lambda value: {"is": 2 * value}, "end": exit, '
        '"sleep": lambda: time.sleep(60)})')
    command = [sys.executable, '-c', code]
    with started(command, environment(41, None), cwd=project, stdin=-1, stdout=-1) as process:
        near = Peer('camera', process)
        assert near.ask('double', value=21) == {'is': 42}
        with pytest.raises(SegnodeError, match=r"camera of the benchmark did not answer 'sleep'"):
            near.ask('sleep', patience=0.2)
        process.kill()
        process.wait()
        with pytest.raises(SegnodeError, match='ended with code -9'):
            near.ask('double', value=1)
    with started(command, environment(41, None), cwd=project, stdin=-1, stdout=-1) as process:
        assert Peer('camera', process).ask('double', value=1) == {'is': 2}
    assert process.returncode == 0, 'it did not end with its input'


def test_a_node_is_spun_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rclpy = pytest.importorskip('rclpy')
    come = threading.Semaphore(0)
    with claimed_domain() as domain:
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain)
        node = rclpy.create_node('spun', context=context)
        threads: list[threading.Thread] = []
        node.create_timer(0.01, lambda: (threads.append(threading.current_thread()),
                                         come.release()))
        spinner = Spinner(node)
        assert not come.acquire(timeout=0.1), 'it had not been started'
        spinner.start()
        assert come.acquire(timeout=60) and come.acquire(timeout=60)
        spinner.close()
        assert threading.current_thread() not in threads and not threads[0].is_alive()
        node.destroy_node()
        context.try_shutdown()


def test_one_stretch_of_images(tmp_path: Path) -> None:
    """Camera, node and listener for real: each image is in somebody's books."""
    pytest.importorskip('rclpy')
    pytest.importorskip('onnxruntime')
    images = tmp_path / 'images.npy'
    np.save(images, np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8))
    parameters = {'model': null_network.write(tmp_path, (48, 64)), 'threads': 1}
    with claimed_domain() as domain, Chain(Setup(images, parameters), domain) as chain:
        # Slower where the machine is too busy for all of them to come to the node.
        for rate, seconds in ((20.0, 0.5), (5.0, 2.0), (1.0, 10.0)):
            summary = chain.trial(rate, seconds, books=True).summary()
            if summary['books']['frames received'] == 10 == summary['sent']:
                break
        assert chain.megabytes > 20
    assert summary['sent'] == 10 == summary['masks'] + summary['dropped']
    assert summary['masks'] > 0 and summary['cpu_ms_per_mask'] > 0
    assert 0 < summary['receipt_ms']['median'] < summary['latency_ms']['median']
    books = summary['books']
    assert books['frames received'] == 10
    assert books['frames segmented'] + books['dropped: replaced by a newer frame'] == 10
    assert summary['masks'] == books['frames segmented']


def test_a_node_that_fails(tmp_path: Path) -> None:
    """It is told of soon, and nothing is left running."""
    pytest.importorskip('rclpy')
    images = tmp_path / 'images.npy'
    np.save(images, np.zeros((1, 8, 8, 3), np.uint8))
    parameters = {'model': 'fsffnet', 'threads': 'many'}
    with claimed_domain() as domain, pytest.raises(SegnodeError, match='did not become active'):
        Chain(Setup(images, parameters), domain)


# ------------------------------------------------------------------------------ the whole

def answer() -> dict[str, Any]:
    """Return an answer of made-up figures, one of each kind of gap."""
    full = trial(10.0, 20, {i: 5.0 + i % 3 for i in range(20)}).summary()
    none = trial(60.0, 20, {}, receipt_ms=[]).summary()
    ways = {'cpu_ms_per_mask': 8.0, 'receipt_ms': full['receipt_ms'],
            'latency_ms': full['latency_ms']}
    return {
        'benchmark': 'node', 'model': 'fsffnet_camvid', 'runtime': 'onnx', 'threads': 1,
        'reliability': 'reliable', 'network_input': [384, 512], 'quick': False, 'seconds': 1.0,
        'machine': {'processor': 'none', 'usable_cores': 2, 'load': 0.1}, 'load_after': 0.2,
        'rows': [
            {'size': [48, 64], 'network': 'fsffnet_camvid', 'megabytes': 300.0,
             'rates': [full, none], 'peak': {**full, 'camera_limited': False}},
            {'size': [48, 64], 'network': 'null', 'megabytes': 200.0, 'rates': [full, none],
             'peak': {**full, 'camera_limited': True}},
            {'size': [96, 128], 'network': 'null', 'megabytes': 200.0, 'rates': [none],
             'peak': None}],
        'raw': [{'size': [48, 64], 'rate': 15.0, 'rounds': 1, 'message': ways, 'raw': ways,
                 'cpu_ratio': 0.875}],
        'overhead': {'frame': [48, 64], 'ratio_node': 1.02, 'node_ms': {'median': 10.2},
                     'bare_ms': {'median': 10.0}, 'bar': 1.1, 'ratio_round_trip': 1.2},
        'transport': {'size': [48, 64], 'rate': 15.0, 'rows': [
            {'profile': 'both', 'reliability': 'reliable', 'received': 9, 'frames': 10,
             'median_ms': None, 'p95_ms': None, 'error': None}]}}


def test_the_tables() -> None:
    """Every part is there, gaps are dashes, and what the camera limits is said."""
    said = text(answer())
    assert '| 48x64 | fsffnet_camvid | 10.0 | 0.0% | 6.0 | 7.0 | 15.0 | 300 |' in said
    assert '| 48x64 | null | at least 10.0 |' in said
    assert '| 96x128 | null | none kept | - | - | - | - | - |' in said
    assert '| 96x128 | null | 60 | 0 of 20 | - | - | - | - | - | - | - |' in said
    # 8 ms less an eighth, of the 15 ms that the node takes with the model.
    assert '| 48x64 | 8.00 | 8.00 | 0.875 | +6.7% |' in said
    assert '1.020 (10.2 ms' in said and '| both | reliable | 9 of 10 | - | - |' in said
    for block in said.split('\n\n'):
        lines = [line for line in block.splitlines() if line.startswith('|')]
        assert len({line.count('|') for line in lines}) <= 1, block
    alone = {**answer(), 'rows': [], 'overhead': None, 'transport': None}
    assert '| 48x64 | 8.00 | 8.00 | 0.875 | - |' in text(alone)


def test_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('matplotlib', reason='matplotlib is for the benchmark alone')
    from benchmark import plot_node
    file, picture = tmp_path / 'result.json', tmp_path / 'picture.png'
    file.write_text(json.dumps(answer()))
    assert plot_node.main([str(file), str(picture)]) == 0
    assert picture.read_bytes().startswith(b'\x89PNG') and picture.stat().st_size > 10_000
    file.write_text(json.dumps({**answer(), 'rows': []}))
    assert plot_node.main([str(file), str(picture)]) == 1
    assert 'nothing to draw' in capsys.readouterr().err


def test_refusals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured."""
    from benchmark import node
    assert node.main(['--model', 'nothing_of_that_name']) == 1
    assert 'nothing_of_that_name' in capsys.readouterr().err
    for wrong in (['--rates', '0'], ['--seconds', '-1'], ['--size', '12'], ['--parts', 'all']):
        with pytest.raises(SystemExit):
            node.main(wrong)
        assert 'error: ' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    assert node.main(['--plot', 'x.png']) == 1
    assert 'the plot needs matplotlib' in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_run(start: Callable[..., Process], tmp_path: Path) -> None:
    """All parts, through real processes; figures are sane, and the null network is the ceiling."""
    pytest.importorskip('rclpy')
    pytest.importorskip('onnxruntime')
    file = tmp_path / 'node.json'
    process = start('-m', 'benchmark.node', '--quick', '--json', file)
    code = process.wait(400)
    assert code == 0, process.output
    found = json.loads(file.read_text())
    assert found['quick'] and found['load_after'] is not None
    rows = {row['network']: row for row in found['rows']}
    assert list(rows) == ['fsffnet_camvid', 'null']
    for row in rows.values():
        assert [r['rate'] for r in row['rates']] == [10.0, 30.0]
        assert 20 < row['megabytes'] < 5000
        for one in [*row['rates'], row['peak']]:
            assert one['masks'] > 0, one
            assert one['sent'] == one['masks'] + one['dropped']
            books = one['books']
            # The node knows of every image: it got a mask or is in the books of what was dropped.
            assert books['frames received'] == books['frames segmented'] + sum(
                count for name, count in books.items() if name.startswith('dropped: '))
            assert one['masks'] <= books['frames segmented'] <= one['sent']
            assert one['masks'] >= 0.9 * books['frames segmented'], 'masks were lost on the way'
            latency, receipt = one['latency_ms'], one['receipt_ms']
            assert 0 < latency['median'] <= latency['p95'] <= latency['max'] < 10_000
            assert 0 < receipt['median'] < latency['median']
            assert one['jitter_ms']['median'] >= 0
            assert one['cpu_ms_per_mask'] > 0.2 and 0 < one['cpu_share'] < 16
        assert row['peak']['drop_share'] < 0.05
    assert rows['null']['peak']['sent_rate'] > rows['fsffnet_camvid']['peak']['sent_rate']
    (raw,) = found['raw']
    assert 0.2 < raw['cpu_ratio'] < 5
    assert raw['raw']['latency_ms']['median'] > raw['raw']['receipt_ms']['median'] > 0
    assert found['overhead']['frames'] == 5 and found['overhead']['ratio_node'] > 0
    profiles = {row['profile']: row for row in found['transport']['rows']}
    assert list(profiles) == ['neither', 'both']
    assert profiles['both']['received'] > 0 and profiles['both']['error'] is None
    assert '| 480x640 | null |' in process.output

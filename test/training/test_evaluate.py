# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``evaluate``: every figure by hand, any number of processes, and what users type."""

import json
import math

import cv2
import numpy as np
import pytest

pytest.importorskip('tqdm')

from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from segnode.segmenter import Segmentation, Segmenter
import small_cityscapes
import small_model
from training.cli import main
from training.datasets.source import open_pool
from training.evaluate import evaluate, evenly
from training.evaluate_parallel import gpu_of
from training.instance_metrics import AVERAGE_SIZE

CITYSCAPES = load_label_set('cityscapes')


class Says:
    """A segmenter that says what it is told, image by image."""

    def __init__(self, label_set, *labels):
        self.label_set, self.labels = label_set, list(labels)

    def segment(self, bgr):
        return Segmentation(self.labels.pop(0))


@pytest.fixture(scope='module')
def town(tmp_path_factory):
    root = tmp_path_factory.mktemp('town')
    for number in range(5):
        small_cityscapes.add_frame(root, number)
    return root


def pool_of(root):
    return open_pool('cityscapes:val', {'cityscapes': str(root)})


def tiny(tmp_path, *frames):
    """Write frames of given label ids, with their instances where there are any."""
    for number, (ids, instances) in enumerate(frames):
        stem = f'ulm_{number:06}_000019'
        ids = np.asarray(ids, np.uint8)
        small_cityscapes.write(tmp_path / f'leftImg8bit/val/ulm/{stem}_leftImg8bit.png',
                               np.zeros((*ids.shape, 3), np.uint8))
        small_cityscapes.write(tmp_path / f'gtFine/val/ulm/{stem}_gtFine_labelIds.png', ids)
        if instances is not None:
            small_cityscapes.write(tmp_path / f'gtFine/val/ulm/{stem}_gtFine_instanceIds.png',
                                   np.asarray(instances, np.uint16))
    return pool_of(tmp_path)


def test_all_figures_by_hand(tmp_path):
    # Road 7, car 26, bus 28, void 0: two frames of four pixels each.
    pool = tiny(tmp_path, ([[7, 7, 26, 26]], [[7, 7, 26001, 26002]]),
                ([[7, 0, 28, 28]], [[7, 0, 28001, 28001]]))
    says = Says(CITYSCAPES, np.uint8([[0, 0, 13, 15]]), np.uint8([[1, 5, 15, 15]]))
    result = evaluate(says, pool, progress=False)
    told = result.to_dict()
    assert told['frames'] == 2 and told['data'] == ['cityscapes:val']
    iou = {name: value for name, value in told['class_iou'].items() if value is not None}
    # Sidewalk (1) is nowhere in the truth, and was said once.
    assert iou == pytest.approx({'road': 2 / 3, 'sidewalk': 0, 'car': 1 / 2, 'bus': 2 / 3})
    assert told['miou'] == pytest.approx((2 / 3 + 0 + 1 / 2 + 2 / 3) / 4)
    assert told['miou_of_occurring'] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert told['pixel_accuracy'] == pytest.approx(5 / 7)
    assert told['class_accuracy']['road'] == pytest.approx(2 / 3)
    assert told['class_accuracy']['sidewalk'] is None
    assert told['mean_class_accuracy'] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert told['class_precision']['bus'] == pytest.approx(2 / 3)
    assert told['class_pixels']['car'] == 2
    assert told['category_iou']['flat'] == told['category_iou']['vehicle'] == 1
    assert told['mean_category_iou'] == 1
    # One of two cars was found; of the bus two pixels, and one that is a car.
    car, bus = AVERAGE_SIZE['car'], AVERAGE_SIZE['bus']
    assert told['class_iiou']['car'] == pytest.approx(car / (2 * car))
    assert told['class_iiou']['bus'] == pytest.approx(bus / (bus + 1))
    assert told['mean_iiou'] == pytest.approx((1 / 2 + bus / (bus + 1)) / 2)
    assert told['category_iiou']['vehicle'] == 1 and told['category_iiou']['human'] is None
    first, second = told['per_frame']
    assert first == {'key': 'cityscapes/ulm_000000_000019', 'miou': pytest.approx(3 / 4),
                     'pixel_accuracy': 3 / 4}
    assert second['miou'] == pytest.approx(1 / 2)
    assert np.sum(told['confusion_matrix']) == 7 and told['confusion_matrix'][13][15] == 1
    json.dumps(told, allow_nan=False)
    text = {line.split('  ')[0]: line.split()[-3:] for line in result.table().splitlines()}
    assert text['car'] == ['50.00', '50.00', '50.00']
    assert text['pixel accuracy'][-1] == '71.43' and text['frames'][-1] == '2'


def test_iiou_only_where_every_frame_has_instances(tmp_path):
    pool = tiny(tmp_path, ([[26]], [[26001]]), ([[26]], None))
    result = evaluate(Says(CITYSCAPES, np.uint8([[13]]), np.uint8([[13]])), pool, progress=False)
    assert result.instances is None and 'class_iiou' not in result.to_dict()
    assert 'iIoU' not in result.table()


def test_wrong_instances_and_other_classes(tmp_path):
    pool = tiny(tmp_path, ([[26, 26]], [[26001]]))
    with pytest.raises(SegnodeError, match='ulm_000000_000019 is 1x2, but its instances are 1x1'):
        evaluate(Says(CITYSCAPES, np.uint8([[13, 13]])), pool, progress=False)
    with pytest.raises(SegnodeError, match='knows the classes of "camvid", but the data'):
        evaluate(Says(load_label_set('camvid')), pool, progress=False)


def test_frames_come_in_order_and_some_only(town):
    pool = pool_of(town)
    truths = [pool.load(i)[1] for i in range(5)]
    result = evaluate(Says(CITYSCAPES, *truths), pool, progress=False)
    assert result.miou == 1 and [s.index for s in result.scores] == [0, 1, 2, 3, 4]
    some = evaluate(Says(CITYSCAPES, truths[1], truths[3]), pool, indices=[1, 3], progress=False)
    assert [s.key for s in some.scores] == [pool.key(1), pool.key(3)] and some.miou == 1
    assert evenly(5, 2) == [0, 4] and evenly(3, 8) == [0, 1, 2] and evenly(101, 3) == [0, 50, 100]


def run(capsys, *arguments, expect=0):
    try:
        assert main(['evaluate', *map(str, arguments)]) == expect
    except SystemExit as stop:
        assert stop.code == expect
    return capsys.readouterr()


def test_processes_give_the_same_to_the_last_bit(town, tmp_path, capsys):
    """Three processes, five frames: uneven shares, sums of floats."""
    command = ('--model', f'{small_cityscapes.stem()}.onnx', '--data', 'cityscapes:val', '--root',
               town, '--json')
    one = json.loads(run(capsys, *command, '--save', tmp_path / '1').out)
    three = json.loads(run(capsys, *command, '--processes', 3, '--save', tmp_path / '3').out)
    assert one['frames'] == 5 and 0 < one['mean_iiou'] < 1
    for told in (one, three):
        told.pop('inference')
    assert three == one  # equal floats, not close ones
    files = sorted(p.relative_to(tmp_path / '1') for p in (tmp_path / '1').rglob('*.png'))
    assert len(files) == 5 and str(files[0]) == 'cityscapes/aachen_000000_000019.png'
    for name in files:
        assert (tmp_path / '3' / name).read_bytes() == (tmp_path / '1' / name).read_bytes()


def test_an_error_in_another_process_is_told(town, tmp_path, capsys):
    for number in range(3):
        small_cityscapes.add_frame(tmp_path, number)
    pool = pool_of(tmp_path)
    pool.sources[0].samples[1].image.write_bytes(b'no picture')  # the other process's share
    told = run(capsys, '--model', f'{small_cityscapes.stem()}.onnx', '--data', 'cityscapes:val',
               '--root', tmp_path, '--processes', 2, expect=1)
    assert told.err.count('error: ') == 1
    assert 'leftImg8bit.png is not a readable image' in told.err


def test_saved_pictures_are_what_was_scored(town, tmp_path, capsys):
    told = json.loads(run(
        capsys, '--model', small_cityscapes.stem(), '--data', 'cityscapes:val', '--root',
        f'cityscapes={town}', '--save', tmp_path, '--json', '--runtime', 'onnx').out)
    pool, right, total = pool_of(town), 0, 0
    for index in range(5):
        saved = cv2.imread(str(tmp_path / f'{pool.key(index)}.png'), -1)
        truth = pool.load(index)[1]
        right += int((saved == truth)[truth < 19].sum())
        total += int((truth < 19).sum())
    assert told['pixel_accuracy'] == right / total
    assert told['inference']['runtime'] == 'onnx'
    assert told['inference']['input_size'] == [64, 128]


def test_data_are_mapped_to_the_models_classes(town, tmp_path, capsys):
    """A model of CamVid's classes on Cityscapes; together with CamVid itself."""
    model = f'{small_model.stem()}.onnx'
    told = json.loads(run(capsys, '--model', model, '--data', 'cityscapes:val', 'rendered:val-2',
                          '--root', f'cityscapes={town}', '--json').out)
    assert set(told['class_iou']) == set(load_label_set('camvid').names)
    assert told['frames'] == 7 and told['data'] == ['cityscapes:val', 'rendered:val-2']
    assert 'class_iiou' not in told
    own = tmp_path / 'own.yaml'
    own.write_text('from: cityscapes\nto: camvid\nclasses: {sky: sky}\n')
    told = json.loads(run(capsys, '--model', model, '--data', 'cityscapes:val', '--root', town,
                          '--label-map', own, '--json').out)
    assert told['class_pixels']['sky'] > 0 == told['class_pixels']['road']
    told = run(capsys, '--model', f'{small_cityscapes.stem()}.onnx', '--data', 'rendered:val-2',
               expect=1)
    assert 'No table leads from the classes of "camvid"' in told.err


def test_views_from_the_command_line(town, capsys):
    pytest.importorskip('torch')
    command = ('--model', small_cityscapes.stem(), '--data', 'cityscapes:val', '--root', town,
               '--json')
    plain, same, views = (json.loads(run(capsys, *command, *more).out) for more in (
        ('--runtime', 'pytorch'), ('--window', '64x128'), ('--scales', '0.75,1', '--flip')))
    assert same['inference']['window'] == [64, 128] and plain['inference'].get('window') is None
    assert same['miou'] == pytest.approx(plain['miou'], abs=1e-3)
    assert views['inference']['scales'] == [0.75, 1.0] and views['inference']['flip']
    assert views['miou'] != plain['miou']


def test_device_and_precision_are_taken_and_recorded(town, tmp_path, capsys):
    pytest.importorskip('torch')
    command = ('--model', small_cityscapes.stem(), '--data', 'cityscapes:val', '--root', town,
               '--limit', 2, '--json')
    page = tmp_path / 'a.html'
    asked = ('--runtime', 'pytorch', '--device', 'cpu', '--precision', 'fp32')
    told, plain = (json.loads(run(capsys, *command, *more).out) for more in (
        (*asked, '--report', page), ('--runtime', 'pytorch', '--flip', '--device', 'cpu')))
    assert told['inference']['runtime'] == 'pytorch'
    assert told['inference']['device'] == 'cpu' and told['inference']['precision'] == 'fp32'
    assert 'CPU' in told['inference']['details']
    assert '<dt>asked of it</dt><dd>device cpu, precision fp32</dd>' in page.read_text()
    assert plain['inference']['device'] == 'cpu' and 'precision' not in plain['inference']
    auto = json.loads(run(capsys, *command, '--device', 'cpu', '--precision', 'fp32').out)
    assert auto['inference']['runtime'] == 'onnx', 'whose file is in float32'


def test_coarser_labels_are_compared_with_the_whole_truth(town, tmp_path, capsys):
    pytest.importorskip('torch')
    page = tmp_path / 'a.html'
    told = json.loads(run(
        capsys, '--model', small_cityscapes.stem(), '--data', 'cityscapes:val', '--root', town,
        '--json', '--runtime', 'pytorch', '--labels-at', '1/8', '--save', tmp_path, '--report',
        page).out)
    assert told['inference']['labels_at'] == '1/8'
    assert '<dt>labels at</dt><dd>1/8</dd>' in page.read_text()
    pool, right, total = pool_of(town), 0, 0
    segmenter = Segmenter.load(
        small_cityscapes.stem(), runtime='pytorch', labels_at='1/8')
    for index in range(5):
        image, truth = pool.load(index)[:2]
        labels = segmenter.segment(image).labels
        assert labels.shape == (8, 16)
        # The middle of each pixel of the truth lies in one pixel of the labels.
        rows, columns = (
            ((np.arange(side) + 0.5) * small / side).astype(int)
            for side, small in zip(truth.shape, labels.shape))
        large = labels[rows][:, columns]
        saved = cv2.imread(str(tmp_path / f'{pool.key(index)}.png'), -1)
        assert (saved == large).mean() > 0.999
        right += int((large == truth)[truth < 19].sum())
        total += int((truth < 19).sum())
    assert told['pixel_accuracy'] == pytest.approx(right / total, abs=1e-3)


def test_bfloat16_of_openvino(town, capsys):
    pytest.importorskip('openvino', reason='OpenVINO, an extra, is not installed')
    command = ('--model', f'{small_cityscapes.stem()}.onnx', '--data', 'cityscapes:val', '--root',
               town, '--json', '--runtime', 'openvino')
    halved, whole = (json.loads(run(capsys, *command, '--precision', precision).out)
                     for precision in ('bf16', 'fp32'))
    assert halved['inference']['precision'] == 'bf16'
    assert whole['inference']['details'].endswith(', fp32')
    if halved['inference']['details'].endswith(', fp32'):
        pytest.skip('this processor has no bfloat16')
    assert halved['confusion_matrix'] != whole['confusion_matrix']
    assert halved['pixel_accuracy'] == pytest.approx(whole['pixel_accuracy'], abs=0.1)


@pytest.mark.parametrize('arguments, words', [
    (('--runtime', 'onnx', '--flip'), 'only --runtime pytorch gives'),
    (('--scales', '1,x'), 'numbers above 0, 10 at most, with commas'),
    (('--scales', '1,nan'), "'1,nan' is not numbers above 0, 10 at most"),
    (('--scales', '11'), "'11' is not numbers above 0, 10 at most"),
    (('--runtime', 'pytorch', '--device', 'cpu', '--precision', 'bf16'),
     'PyTorch computes in fp32 on the CPU, not in bf16'),
    (('--runtime', 'onnx', '--precision', 'bf16'),
     'the onnx runtime computes in what its file is in, fp32, not in bf16'),
    (('--runtime', 'onnx', '--workspace', '64'), "the onnx runtime has no option 'workspace'"),
    (('--runtime', 'openvino', '--device', 'cuda'), 'openvino runtime runs on cpu, not on cuda'),
    (('--runtime', 'tensorrt', '--device', 'cpu'), 'tensorrt runtime runs on cuda, not on cpu'),
    (('--flip', '--labels-at', '1/4'), '--labels-at does not go with --scales'),
    (('--flip', '--precision', 'fp16'), '--scales, --flip and --window are computed in fp32'),
    (('--precision', 'fp8'), "invalid choice: 'fp8'"),
    (('--limit', '0'), 'whole number of 1 or more'),
    (('--processes', '-1'), 'whole number of 1 or more'),
    (('--window', '64'), 'not HEIGHTxWIDTH'),
    (('--data', 'nosuch:val'), 'There is no dataset "nosuch"'),
    (('--data', 'camvid:val', 'bdd100k:val', '--root', '/x'), 'Whose folder is /x?'),
    (('--data', 'camvid:val', '--root', 'camvd=/x'),
     '--root camvd=/x is of no use: camvid is what is asked for.'),
    (('--report', '/nosuch/a.html'), '/nosuch/a.html cannot be written: there is no /nosuch'),
    (('--data', 'camvid:val', '--root', '/x=y'), 'The camvid folder /x=y does not exist'),
])
def test_wrong_command_lines(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(main(['evaluate', '--model', str(small_model.stem()), *arguments]))
    assert stop.value.code in (1, 2)
    assert words in capsys.readouterr().err


def test_every_process_has_a_gpu_of_its_own():
    assert [gpu_of(rank, {}, 2) for rank in range(4)] == ['0', '1', '0', '1']
    assert [gpu_of(r, {'CUDA_VISIBLE_DEVICES': '3,5,GPU-a'}, 8) for r in (1, 2, 3)] == [
        '5', 'GPU-a', '3']
    assert gpu_of(1, {}, 0) == '' and gpu_of(1, {'CUDA_VISIBLE_DEVICES': ''}, 4) == ''


def test_a_frame_without_truth_has_no_score(tmp_path):
    pool = tiny(tmp_path, ([[0, 0]], None))
    result = evaluate(Says(CITYSCAPES, np.uint8([[1, 2]])), pool, progress=False)
    assert math.isnan(result.miou) and math.isnan(result.scores[0].miou)
    told = result.to_dict()
    assert told['miou'] is None and told['per_frame'][0]['pixel_accuracy'] is None
    assert 'mean' in result.table()

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``--init.weights``: what is taken from a trained model, whatever its classes."""

import dataclasses

import pytest

torch = pytest.importorskip('torch')

from segnode.errors import SegnodeError  # noqa: E402
from segnode.export import save_safetensors  # noqa: E402
from segnode.labels import LabelSet, load_label_set  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from segnode.record import ModelRecord  # noqa: E402
from training.transfer import (  # noqa: E402
    class_dimensions,
    class_mapping,
    load_trained,
    Trained,
    transfer,
)

CAMVID, CITYSCAPES = load_label_set('camvid'), load_label_set('cityscapes')


def record(labels, network='fast_scnn', **changes):
    return ModelRecord(network=network, label_set=labels, input_size=(64, 64), **changes)


def made(labels, network='fast_scnn', seed=0, **args):
    torch.manual_seed(seed)
    network = zoo.create(network, labels.num_classes, **args)
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:  # so that no bias or statistic is another one's
            tensor.copy_(0.5 + torch.rand_like(tensor))
    return network


def trained(labels, network='fast_scnn', **changes):
    return Trained('teacher', 'f' * 64, record(labels, network, **changes),
                   made(labels, network, seed=1).state_dict())


def of(source, target):
    """Say by names which class comes from which."""
    mapping = class_mapping(source, target)
    return {n: source.names[j] if j >= 0 else '' for n, j in zip(target.names, mapping)}


def test_classes_are_found_by_name_then_by_table():
    assert of(CAMVID, CITYSCAPES) == {
        'road': 'road', 'sidewalk': 'sidewalk', 'building': 'building', 'wall': 'building',
        'fence': 'fence', 'pole': 'pole', 'traffic light': 'sign', 'traffic sign': 'sign',
        'vegetation': 'tree', 'terrain': '', 'sky': 'sky', 'person': 'pedestrian',
        'rider': 'bicyclist', 'car': 'car', 'truck': 'car', 'bus': 'car', 'train': '',
        'motorcycle': 'bicyclist', 'bicycle': 'bicyclist'}
    assert of(CITYSCAPES, CAMVID) == {
        'sky': 'sky', 'building': 'building', 'pole': 'pole', 'road': 'road',
        'sidewalk': 'sidewalk', 'tree': 'vegetation', 'sign': 'traffic light', 'fence': 'fence',
        'car': 'car', 'pedestrian': 'person', 'bicyclist': 'rider'}
    assert of(CITYSCAPES, CITYSCAPES) == {name: name for name in CITYSCAPES.names}


def own_set(*names):
    return LabelSet.from_dict({'name': 'own', 'labels': [
        {'name': n, 'color': [i, i, i], 'category': 'x'} for i, n in enumerate(names)]})


def test_a_set_of_ones_own_goes_by_name_and_by_its_table(tmp_path):
    own = own_set('tram', 'sky', 'kerb')
    assert of(CAMVID, own) == {'tram': '', 'sky': 'sky', 'kerb': ''}
    table = tmp_path / 'own.yaml'
    table.write_text('from: camvid\nto: own\nclasses: {kerb: [sidewalk]}\n')
    assert class_mapping(CAMVID, own, [table]) == [-1, 0, CAMVID.names.index('sidewalk')]
    table.write_text('from: camvid\nto: own\nclasses: {kerb: [nosuch]}\n')
    with pytest.raises(SegnodeError, match='has no class'):
        class_mapping(CAMVID, own, [table])


def test_camvid_becomes_cityscapes():
    network, source = made(CITYSCAPES), trained(CAMVID)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    taken = transfer(network, record(CITYSCAPES), source)
    after = network.state_dict()
    heads = {name for name in after if name.startswith(('classifier.3', 'auxiliary.0.2',
                                                         'auxiliary.1.2'))}
    assert set(taken.mapped) == heads and len(heads) == 6 and not taken.fresh
    for name in set(after) - heads:
        assert torch.equal(after[name], source.tensors[name]), name
    for name in heads:
        for index, (new, old) in enumerate(taken.classes.items()):
            expected = (source.tensors[name][CAMVID.names.index(old)] if old
                        else before[name][index])
            assert torch.equal(after[name][index], expected), (name, new)
    assert [name for name, old in taken.classes.items() if not old] == ['terrain', 'train']
    told = str(taken)
    assert told.startswith(f'init: {len(after)} of {len(after)} tensors and 17 of 19 classes from '
                           'teacher (camvid)')
    assert 'vegetation from tree' in told and told.endswith('new: terrain, train')
    facts = taken.to_dict()
    assert facts['model'] == 'teacher' and facts['sha256'] == 'f' * 64
    assert facts['classes']['person'] == 'pedestrian' and 'train' not in facts['classes']


def test_classes_in_another_order_are_not_mistaken():
    """Heads of the same shape are not taken as they are where the classes differ."""
    names = CAMVID.names
    turned = own_set(*names[1:], names[0])
    network, source = made(turned), trained(CAMVID)
    transfer(network, record(turned), source)
    head = source.tensors['classifier.3.weight']
    assert torch.equal(network.state_dict()['classifier.3.weight'], head.roll(-1, 0))


def test_maps_of_classes_within_a_network_keep_its_function():
    """DF1Seg's decoder has a channel per class: it is the same network with its classes turned."""
    turned = own_set(*CAMVID.names[3:], *CAMVID.names[:3])
    source = trained(CAMVID, 'df1seg')
    network = made(turned, 'df1seg')
    taken = transfer(network, record(turned, 'df1seg'), source)
    assert 'node3.fuse.0.weight' in taken.mapped and not taken.fresh  # 2 x 11 channels in
    old = zoo.create('df1seg', 11)
    old.load_state_dict(source.tensors)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected, given = old.eval()(image), network.eval()(image)
    gap = (given - expected.roll(-3, 1)).abs().max()
    assert gap < 1e-5 * expected.abs().max() < (given - expected).abs().max()


def test_what_depends_on_the_classes_otherwise_stays_fresh():
    state = made(CITYSCAPES, 'espnet').state_dict()
    places = class_dimensions(record(CITYSCAPES, 'espnet'), 11, state)
    assert places['up3.weight'] == (1, 1, 0, 0)
    assert places['fuse2.0.0.weight'] == (2,)
    assert places['fuse1.0.weight'][:2] == (1, -1)  # classes and 16 channels of the image
    assert places['fuse2.1.branches.0.weight'][0] == -1  # classes / 5
    assert 'encoder.level2.0.reduce.weight' not in places
    taken = transfer(made(CITYSCAPES, 'espnet'), record(CITYSCAPES, 'espnet'),
                     trained(CAMVID, 'espnet'))
    assert 'fuse1.0.weight' in taken.fresh and 'up3.weight' in taken.mapped
    assert len(taken.whole) > 150 and len(taken.fresh) < 15


def test_a_released_model_without_auxiliary_heads(tmp_path):
    args = {'auxiliary': False}
    network = made(CAMVID, 'ddrnet23_slim', **args)
    path = save_safetensors(tmp_path / 'plain.safetensors', network,
                            record(CAMVID, 'ddrnet23_slim', network_args=args))
    source = load_trained(str(path))
    assert source.name == 'plain' and len(source.sha256) == 64
    target = made(CAMVID, 'ddrnet23_slim', seed=2)
    taken = transfer(target, record(CAMVID, 'ddrnet23_slim'), source)
    assert taken.fresh and all(name.startswith('auxiliary') for name in taken.fresh)
    assert not taken.mapped and all(new == old for new, old in taken.classes.items())
    head = 'head.5.weight'
    assert torch.allclose(target.state_dict()[head], network.state_dict()[head], atol=1e-3)


@pytest.mark.parametrize('changes, words', [
    ({'network': 'espnet_c'}, 'teacher is of the network espnet_c, but the run trains fast_scnn'),
    ({'mean': (0.5, 0.5, 0.5)}, r"give --mean '\[0.5, 0.5, 0.5\]' --std '\[0.229, 0.224, "),
])
def test_what_cannot_be_started_from(changes, words):
    source = trained(CAMVID)
    source = dataclasses.replace(source, record=dataclasses.replace(source.record, **changes))
    with pytest.raises(SegnodeError, match=words):
        transfer(made(CAMVID), record(CAMVID), source)


def test_there_is_no_such_model(tmp_path):
    with pytest.raises(SegnodeError, match='nosuch'):
        load_trained('nosuch')
    with pytest.raises(SegnodeError, match='There is no checkpoint'):
        load_trained(str(tmp_path / 'x.ckpt'))
    torch.save({'segnode_config': {}, 'state_dict': {}}, tmp_path / 'old.ckpt')
    with pytest.raises(SegnodeError, match='old.ckpt is of an older version'):
        load_trained(str(tmp_path / 'old.ckpt'))

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Graphs of half the size: exact there and back, and what of others' graphs is left alone."""

from __future__ import annotations

from pathlib import Path
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.onnx_compact import compact, expanded, read_deploy_graph, stored_weights
from segnode.onnx_edit import operators, take_apart
from segnode.onnx_file import with_metadata
from segnode.runtimes.session import open_session
import small_model

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402

RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 8, 6, 7)).astype(np.float32)
SIDES = ['n', 'c', 'h', 'w']


def halves(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float16)


def model(
    nodes: list[Any], constants: dict[str, np.ndarray], *, inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = ('y',), types: tuple[str, ...] = (),
) -> bytes:
    """Return a graph of float32 x and what is made of it, checked.

    Args:
        nodes: in their order.
        constants: name -> array.
        inputs: the constants that are among the inputs too.
        outputs: of float32.
        types: tensors whose types are noted.
    """
    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, SIDES)

    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, X.shape)]
        + [helper.make_tensor_value_info(n, TensorProto.FLOAT16, constants[n].shape)
           for n in inputs],
        [value(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        value_info=[value(name) for name in types])
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8, producer_name='them')
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def cast(name: str, made: str, to: int = TensorProto.FLOAT, **more: Any) -> Any:
    return node('Cast', name, made, to=to, **more)


def run(content: bytes) -> list[np.ndarray]:
    return list(open_session(content, threads=1).run(None, {'x': X}))


def check_equal(content: bytes) -> bytes:
    """Expand a graph, compare what it gives, and return it."""
    made = expanded(content)
    onnx.checker.check_model(onnx.load_model_from_string(made), full_check=True)
    for found, wanted in zip(run(made), run(content)):
        assert found.dtype == wanted.dtype and (found == wanted).all()
    assert expanded(made) is made
    return made


def messages(content: bytes) -> Any:
    return onnx.load_model_from_string(content)


def constants_of(content: bytes) -> dict[str, np.ndarray]:
    return take_apart(content).constants


def test_the_released_file_is_half_and_the_graph_is_as_exported(tmp_path: Path) -> None:
    pytest.importorskip('torch')
    from segnode.export import _traced
    from segnode.runtimes.graph import deploy_graph

    path = small_model.model().onnx_path
    assert path is not None
    content, graph = path.read_bytes(), read_deploy_graph(path)
    assert len(content) < 0.55 * len(graph)
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    assert list(operators(content)).count('Cast') > 70 + list(operators(graph)).count('Cast')
    types = {array.dtype.name for array in constants_of(graph).values()}
    assert 'float16' not in types and 'float32' in types
    whole = _traced(
        deploy_graph(small_model.model().build_network(), small_model.record(), small_model.SIZE),
        {'image': small_model.frames(1)}, ['labels'])
    assert graph == whole, 'bit for bit'
    before = tmp_path / 'before.onnx'
    before.write_bytes(with_metadata(whole, {}))
    assert read_deploy_graph(before) == before.read_bytes(), 'as it is'
    # ONNX Runtime by itself, without any of this, gives the same labels.
    images = small_model.frames(1)
    labels = [open_session(given, threads=1).run(None, {'image': images})[0]
              for given in (content, graph)]
    assert (labels[0] == labels[1]).all() and len(np.unique(labels[0])) > 2


def test_a_vehicle_needs_no_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_model.model().onnx_path
    assert path is not None
    wanted = read_deploy_graph(path)
    monkeypatch.setitem(sys.modules, 'onnx', None)
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert read_deploy_graph(path) == wanted


def test_float16_of_a_compact_file_is_that_of_its_graph() -> None:
    from segnode.onnx_half import in_half_precision

    path = small_model.model().onnx_path
    assert path is not None
    assert in_half_precision(path.read_bytes()) == in_half_precision(read_deploy_graph(path))


def test_every_kind_of_layer() -> None:
    """Groups, a transposed convolution, a matrix, shared weights, without and with bias."""
    bases = [halves(16, 8, 3, 3), halves(16, 1, 6, 6), halves(80, 8)]
    factors = [RNG.normal(size=(len(base), *[1] * (base.ndim - 1))).astype(np.float32)
               for base in bases]
    bases[0][3] = 0  # a channel of nothing
    bases[0][4, 0] = -0.0
    factors[0][5], factors[0][6] = 0, 1e-20
    scaled = [base.astype(np.float32) * factor for base, factor in zip(bases, factors)]
    constants = {
        'w': scaled[0], 'bias': RNG.normal(size=16).astype(np.float32), 'grouped': scaled[1],
        'up': halves(16, 8, 3, 3).astype(np.float32), 'matrix': scaled[2],
    }
    content = model([
        node('Conv', 'x w bias', 'a', pads=[1] * 4), node('Conv', 'x w', 'b', pads=[1] * 4),
        node('Add', 'a b', 'c'), node('Conv', 'c grouped', 'd', group=16, pads=[3, 3, 2, 2]),
        node('ConvTranspose', 'd up', 'e'), node('MatMul', 'matrix e', 'f'),
        node('MatMul', 'f right', 'y'),
    ], {**constants, 'right': halves(9, 80).astype(np.float32)})
    others = [halves(16, 8, 3, 3), halves(80, 8)]  # of layers that are not in the graph
    small = compact(content, [*others, *bases])
    assert len(small) < 0.62 * len(content)
    held = constants_of(small)
    assert held['w/half'].tobytes() == bases[0].tobytes()
    assert held['w/factors'].shape == (16, 1, 1, 1)
    assert {name for name, array in held.items() if array.dtype == np.float16} == {
        f'{name}/half' for name in ('w', 'grouped', 'up', 'matrix', 'right')}
    assert 'bias' in held
    assert [array.shape for array in stored_weights(small)] == [
        held[name].shape for name in held if name.endswith('/half')]
    onnx.checker.check_model(onnx.load_model_from_string(small), full_check=True)
    assert messages(check_equal(small)) == messages(content)
    assert compact(small, bases) == small, 'once is enough'


def test_factors_are_found_to_their_last_digit() -> None:
    """Layers of one channel: a quotient of two rounded numbers is not always the factor."""
    quotients = []
    for _ in range(50):
        base, factor = halves(1, 8, 8, 8), np.float32(RNG.normal())
        array = base.astype(np.float32) * factor
        place = np.abs(base).argmax()
        quotients.append(array.flat[place] / base.flat[place].astype(np.float32) == factor)
        content = model([node('Conv', 'x w', 'y', pads=[4] * 4)], {'w': array})
        small = compact(content, [halves(1, 8, 8, 8), base])
        assert constants_of(small)['w/half'].tobytes() == base.tobytes()
        assert constants_of(expanded(small))['w'].tobytes() == array.tobytes()
    assert 0 < sum(quotients) < 50


@pytest.mark.parametrize('spoil', ['bit', 'nan', 'infinity', 'sign of zero', 'beyond float16'])
def test_what_is_not_exact_stays_float32(spoil: str) -> None:
    base = halves(16, 8, 3, 3)
    array = base.astype(np.float32) * RNG.normal(size=(16, 1, 1, 1)).astype(np.float32)
    if spoil == 'bit':
        array[7, 2, 1, 1] = np.nextafter(array[7, 2, 1, 1], np.float32(9))
    elif spoil == 'sign of zero':  # of the one, as no factor gives it beside the other
        base[2, 0, 0, :2], array[2, 0, 0, :2] = 0.0, [-0.0, 0.0]
    elif spoil == 'beyond float16':
        base = RNG.normal(size=base.shape).astype(np.float16)
        array = array * 1e6
    else:
        array[7, 2, 1, 1] = np.nan if spoil == 'nan' else np.inf
    content = model([node('Conv', 'x w', 'y')], {'w': array})
    assert compact(content, [base]) == content


def test_what_is_small_or_given_from_outside_stays_float32() -> None:
    graph = helper.make_graph(
        [node('Conv', 'x w', 'a', pads=[1] * 4), node('Conv', 'a v', 'y')], 'g',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, X.shape),
         helper.make_tensor_value_info('w', TensorProto.FLOAT, (16, 8, 3, 3))],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, SIDES)],
        [numpy_helper.from_array(halves(16, 8, 3, 3).astype(np.float32), 'w'),
         numpy_helper.from_array(halves(3, 16, 1, 1).astype(np.float32), 'v')])
    content = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8).SerializeToString()
    assert compact(content) == content == expanded(content)


def test_constants_of_others_that_are_shared() -> None:
    """Cast twice, taken as float16 too, taken in a branch: what is used elsewhere stays."""
    weight = halves(8, 8, 1, 1)
    branch = [
        helper.make_graph([node(op, 'w', f'{op}/out')], op, [],
                          [helper.make_tensor_value_info(f'{op}/out', TensorProto.FLOAT, SIDES)])
        for op in ('Neg', 'Abs')]
    content = model([
        cast('h', 'w'), cast('h', 'v'), node('Mul', 'v s', 'u'), node('Mul', 's u', 't'),
        node('Conv', 'x w', 'a'), node('Conv', 'a t', 'b'),
        cast('b', 'b16', TensorProto.FLOAT16), node('Conv', 'b16 h', 'c'), cast('c', 'd'),
        node('If', 'yes', 'e', then_branch=branch[0], else_branch=branch[1]),
        node('Conv', 'd e', 'y'),
    ], {'h': weight, 's': np.float32([[[[0.3]]]]), 'yes': np.array(True)}, types=('v', 'w'))
    made = take_apart(check_equal(content))
    assert [one.op for one in made.nodes] == [
        'Conv', 'Conv', 'Cast', 'Conv', 'Cast', 'If', 'Conv']
    assert list(made.constants) == ['h', 'w', 't', 'yes']
    assert (made.constants['w'] == weight.astype(np.float32)).all()
    times = np.float32(0.3)
    assert (made.constants['t'] == times * (weight.astype(np.float32) * times)).all()
    noted = onnx.load_model_from_string(expanded(content)).graph.value_info
    assert [value.name for value in noted] == ['w']


@pytest.mark.parametrize('kind', [
    'batch normalisation', 'output', 'float64', 'given from outside', 'their operator',
    'outer product', 'plain constants', 'a cast of what is computed',
])
def test_what_others_may_have_is_left_alone(kind: str) -> None:
    weight = halves(8, 8, 1, 1)
    wide = weight.astype(np.float32)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ('y',)
    if kind == 'batch normalisation':  # it is not folded either: that is not exact
        nodes = [node('Conv', 'x w', 'a'), node('BatchNormalization', 'a s s s s', 'y')]
        constants = {'w': wide, 's': np.full(8, 0.7, np.float32)}
    elif kind == 'output':
        nodes, constants = [cast('h', 'w'), node('Conv', 'x w', 'y')], {'h': weight}
        outputs = ('y', 'w')
    elif kind == 'float64':
        nodes = [cast('h', 'd', TensorProto.DOUBLE), cast('d', 'w'), node('Conv', 'x w', 'y')]
        constants = {'h': weight}
    elif kind == 'given from outside':
        nodes, constants = [cast('h', 'w'), node('Conv', 'x w', 'y')], {'h': weight}
        inputs = ('h',)
    elif kind == 'their operator':
        nodes = [cast('h', 'w', domain='their.own'), node('Conv', 'x w', 'y')]
        constants = {'h': weight}
    elif kind == 'plain constants':
        nodes = [node('Mul', 'v s', 'w'), node('Conv', 'x w', 'y')]
        constants = {'v': wide, 's': np.float32([2])}
    elif kind == 'outer product':
        nodes = [cast('h', 'v'), node('Mul', 'v s', 'w'), node('Add', 'w x', 'y')]
        constants = {'h': halves(6, 1), 's': np.ones((1, 7), np.float32)}
    else:
        nodes = [cast('x', 'h', TensorProto.FLOAT16), node('Add', 'h b', 'k'), cast('k', 'y')]
        constants = {'b': np.ones(1, np.float16)}
    if kind == 'their operator':
        graph = helper.make_graph(nodes, 'g', [], [], [numpy_helper.from_array(weight, 'h')])
        content = helper.make_model(graph).SerializeToString()
    else:
        content = model(nodes, constants, inputs=inputs, outputs=outputs)
    if kind == 'outer product':  # the cast alone
        assert [one.op for one in take_apart(check_equal(content)).nodes] == ['Mul', 'Add']
    else:
        assert expanded(content) is content


def test_damage(tmp_path: Path) -> None:
    graph = model([cast('h', 'w'), node('Conv', 'x w', 'y')], {'h': halves(8, 8, 1, 1)})
    for content in (b'', graph[:-5], b'\x08\x07', b'\xff' * 9):
        with pytest.raises(ValueError):
            expanded(content)
        with pytest.raises(ValueError):
            compact(content)
    wrong = onnx.load_model_from_string(graph)
    wrong.graph.initializer[0].dims[0] = 9
    path = tmp_path / 'wrong.onnx'
    path.write_bytes(with_metadata(wrong.SerializeToString(), {}))
    with pytest.raises(SegnodeError, match='wrong.onnx holds no valid graph: '):
        read_deploy_graph(path)


def test_what_would_be_more_than_onnx_takes_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    content = model([cast('h', 'w'), node('Conv', 'x w', 'y')], {'h': halves(8, 8, 1, 1)})
    assert expanded(content) is not content
    monkeypatch.setattr('segnode.onnx_compact.LARGEST', 300)
    assert expanded(content) is content


def test_one_constant_cast_a_thousand_times_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor time, and what is left of it still runs."""
    nodes = [one for index in range(1000)
             for one in (cast('h', f'w{index}'), node('Abs', f'w{index}', f'a{index}'))]
    content = model([*nodes, node('Conv', 'x w0', 'y')], {'h': halves(100, 8, 3, 3)})
    tracemalloc.start()
    try:
        made = expanded(content)
        assert tracemalloc.get_traced_memory()[1] < 100 * len(content) < 1000 * 4 * 100 * 8 * 9
    finally:
        tracemalloc.stop()
    casts = list(operators(made)).count('Cast')
    assert 900 < casts < 1000 and len(made) < 10 * len(content)
    for found, wanted in zip(run(made), run(content)):
        assert (found == wanted).all()
    monkeypatch.setattr('segnode.onnx_compact.LARGEST', len(content))
    assert expanded(content) is content


@pytest.mark.parametrize('other', ['w/half', 'w/whole', 'w/factors'])
def test_names_that_are_taken(other: str) -> None:
    """By a node or by a constant: the weight stays float32, since ONNX takes no name twice."""
    weight = RNG.normal(size=(100, 8, 1, 1)).astype(np.float16).astype(np.float32)
    conv = node('Conv', 'x w', other)
    content = model([conv, node('Abs', other, 'y')], {'w': weight})
    assert compact(content) == content
    content = model([node('Conv', 'x w', 'z'), node('Add', f'z {other}', 'y')],
                    {'w': weight, other: np.ones(1, np.float32)})
    assert compact(content) == content
    named_otherwise = model([node('Conv', 'x w', 'z'), node('Abs', 'z', 'y')], {'w': weight})
    assert len(compact(named_otherwise)) < 0.7 * len(named_otherwise)

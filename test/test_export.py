# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What an export may differ in from the network that it was made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError

torch = pytest.importorskip('torch')
pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from segnode.export import _check_agreement, _traced  # noqa: E402

# Of 100 rows: at so many the label is a matter of rounding.
ROUGH_ROWS = 4


class _Rough(torch.nn.Module):
    """Labels of which some are decided by the last bits of a product of three.

    Args:
        right_first: multiply from the right, which rounds otherwise.
        wrong_rows: so many of the other rows have another label.
    """

    def __init__(self, right_first: bool = False, wrong_rows: int = 0) -> None:
        super().__init__()
        self.right_first = right_first
        self.wrong_rows = wrong_rows
        self.register_buffer('a', torch.tensor([0.3]))
        self.register_buffer('b', torch.tensor([0.7]))

    def forward(self, image: Any) -> Any:
        x = image.to(torch.float32)
        fine = x * (self.a * self.b) if self.right_first else x * self.a * self.b
        # The spacing of float32 is 2^-19 and more here: the last bit or two decide.
        scaled = fine[:, :ROUGH_ROWS] * 2.0 ** 18
        rough = torch.floor(scaled - 2.0 * torch.floor(scaled / 2.0))
        plain = torch.floor(fine[:, ROUGH_ROWS:] / 16.0) + 2.0
        wrong = plain[:, :self.wrong_rows] + 1.0
        return torch.cat([rough, wrong, plain[:, self.wrong_rows:]], 1).to(torch.uint8)


def _image() -> np.ndarray:
    return np.random.default_rng(3).integers(40, 250, (1, 100, 300), dtype=np.uint8)


def _check(exported: Any) -> None:
    image = _image()
    content = _traced(exported.eval(), {'image': image}, ['labels'])
    _check_agreement(content, _Rough().eval(), image)


def test_equal_graphs_agree() -> None:
    _check(_Rough())


def test_rounding_alone_is_allowed_where_pytorch_is_no_nearer_to_float64() -> None:
    with torch.inference_mode():
        image = torch.from_numpy(_image())
        here, there, exact = (
            graph(image) for graph in (_Rough(), _Rough(right_first=True), _Rough().double()))
    # Any two differ at many of the rough pixels, and at no other.
    for one, other in ((here, there), (here, exact), (there, exact)):
        assert 0.1 < (one != other)[:, :ROUGH_ROWS].float().mean() < 0.8
        assert torch.equal(one[:, ROUGH_ROWS:], other[:, ROUGH_ROWS:])
    _check(_Rough(right_first=True))


def test_more_than_rounding_is_refused() -> None:
    with pytest.raises(SegnodeError, match='its labels differ from those of PyTorch') as caught:
        _check(_Rough(right_first=True, wrong_rows=6))
    assert '\n' not in str(caught.value)

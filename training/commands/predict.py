# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``predict``: the vehicle's verb, which here takes the frames of datasets, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from segnode.commands import predict
from segnode.commands.predict_inputs import Frame, frames_of
from segnode.errors import SegnodeError
from training.commands.arguments import add_root, count, read_roots

if TYPE_CHECKING:
    import numpy as np

    from segnode.labels import LabelSet
    from training.datasets.source import Pool


def main(argv: list[str]) -> int:
    """Segment images, videos or the frames of datasets, beside their truth."""
    parser = predict.command_line('python -m training predict', inputs='*')
    group = parser.add_argument_group('datasets, instead of images')
    group.add_argument('--data', nargs='+', default=[], metavar='DATASET:SPLIT',
                       help='segment these frames, and compare with their truth')
    add_root(group)
    group.add_argument('--limit', type=count, metavar='N',
                       help='N frames, evenly taken from all of them')
    given = parser.parse_args(argv)
    if bool(given.images) == bool(given.data):
        raise SegnodeError('Give images or --data DATASET:SPLIT, one of the two.')
    if not given.data:
        return predict.run(given, frames_of(given.images, given.truth))
    if given.truth:
        raise SegnodeError('--truth goes with images; --data has its own truth.')
    roots = read_roots(given.root, given.data)

    def frames(labels: LabelSet) -> Sequence[Frame]:
        from training.datasets.source import open_pool

        return _frames(open_pool(given.data, roots, labels), given.limit)

    return predict.run(given, frames)


def _frames(pool: Pool, limit: int | None) -> list[Frame]:
    """Return frames of a pool; a picture is named by its key, and its dataset where several."""
    from training.evaluate import evenly

    def reader(index: int) -> Callable[[], tuple[np.ndarray, np.ndarray | None]]:
        return lambda: pool.load(index)

    several = len({source.dataset.name for source in pool.sources}) > 1
    frames = []
    for index in evenly(len(pool), limit):
        key = pool.key(index)
        name = key.replace('/', '_') if several else key.partition('/')[2]
        frames.append(Frame(key, name, reader(index)))
    return frames

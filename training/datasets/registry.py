# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets by name."""

from __future__ import annotations

from segnode.errors import SegnodeError
from training.datasets.base import Dataset
from training.datasets.bdd100k import BDD100K
from training.datasets.camvid import CAMVID
from training.datasets.cityscapes import CITYSCAPES, CITYSCAPES_COARSE
from training.datasets.mapillary import MAPILLARY, MAPILLARY_V2
from training.datasets.rendered import RENDERED

DATASETS: dict[str, Dataset] = {
    d.name: d for d in (
        BDD100K, CAMVID, CITYSCAPES, CITYSCAPES_COARSE, MAPILLARY, MAPILLARY_V2, RENDERED
    )
}


def dataset(name: str) -> Dataset:
    """Return the dataset ``name``.

    Raises:
        SegnodeError: there is none of that name.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise SegnodeError(
            f'There is no dataset "{name}"; there is {", ".join(sorted(DATASETS))}.'
        ) from None

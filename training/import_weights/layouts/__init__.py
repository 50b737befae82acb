# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The layouts that are known, one file per family; a new one is added to the tuple here."""

from __future__ import annotations

from training.import_weights.layout import Layout
from training.import_weights.layouts import (
    bisenet,
    ddrnet,
    espnet,
    fast_scnn,
    icnet,
    pidnet,
    swiftnet,
)

LAYOUTS: tuple[Layout, ...] = (
    *espnet.LAYOUTS,
    *fast_scnn.LAYOUTS,
    *icnet.LAYOUTS,
    *bisenet.LAYOUTS,
    *swiftnet.LAYOUTS,
    *ddrnet.LAYOUTS,
    *pidnet.LAYOUTS,
)


def layouts_for(network: str) -> tuple[Layout, ...]:
    """Return the layouts that serve a network of the zoo."""
    return tuple(layout for layout in LAYOUTS if network in layout.networks)

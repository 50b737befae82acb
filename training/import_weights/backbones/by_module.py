# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Renaming whole modules at once, where a backbone's parts have other names and another order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from training.import_weights.layout import Tensors


def by_module(table: Mapping[str, str]) -> Callable[[Tensors], Tensors]:
    """Return a ``convert`` that renames the modules of ``table`` (theirs -> ours).

    A module's name is a tensor's without its last part. Every name is looked up once, so that no
    replacement runs into another; tensors of other modules stay as they are.
    """

    def convert(tensors: Tensors) -> Tensors:
        renamed: Tensors = {}
        for name, tensor in tensors.items():
            module, dot, kind = name.rpartition('.')
            renamed[table.get(module, module) + dot + kind] = tensor
        return renamed

    return convert


def pairs(theirs: str, ours: str, parts: Mapping[str, str]) -> dict[str, str]:
    """Return ``parts`` (theirs -> ours) with a module's name before each."""
    return {f'{theirs}.{there}': f'{ours}.{here}' for there, here in parts.items()}

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The runtimes: what runs a model's deploy graph on this machine."""

from segnode.runtimes.base import Runtime, RuntimeOutput
from segnode.runtimes.choose import load_runtime, RUNTIMES

__all__ = ['RUNTIMES', 'Runtime', 'RuntimeOutput', 'load_runtime']

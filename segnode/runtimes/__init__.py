# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The runtimes: what runs a model's deploy graph on this machine."""

from segnode.runtimes.base import PRECISIONS, Runtime, RuntimeOutput
from segnode.runtimes.choose import load_runtime, RUNTIMES, UNSET
from segnode.runtimes.session import DEVICES

__all__ = [
    'DEVICES', 'PRECISIONS', 'RUNTIMES', 'Runtime', 'RuntimeOutput', 'UNSET', 'load_runtime']

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The training side of segnode: datasets, fit, evaluate. Never imported by the vehicle side."""

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Measuring how fast models run on this machine, and in how much memory."""

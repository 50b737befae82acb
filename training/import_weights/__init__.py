# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Weights from elsewhere: read a checkpoint, recognise its layout, rename, match, release."""

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The networks: plain ``torch.nn.Module`` classes, one file per architecture."""

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""One file per dataset; every dataset yields images and train-id labels, paired by key."""

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a run says of itself: on the screen, in one CSV file, and to TensorBoard."""

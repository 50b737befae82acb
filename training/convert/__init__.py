# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Released models made smaller and faster for a vehicle, measured against what they come from."""

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Road-scene semantic segmentation for ROS 2 vehicles."""

__version__ = '0.1.0'

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 side: nodes, message conversion and transport around the Segmenter."""

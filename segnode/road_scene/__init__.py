# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A renderer of road scenes made by us, with exact labels: for the demo and for tests."""

from segnode.road_scene.scene import RoadScene

__all__ = ['RoadScene']

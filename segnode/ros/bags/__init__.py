# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Segmenting recorded bags: what `segnode.ros.segment_bag` is made of. Needs no ROS installation.

From what was asked for (`options`) and what lies where (`discovery`), a `job` makes one output: it
reads the `recording` (brought into another form by `convert` where need be), lets the workers of
an `engine` make `masks` of its `cameras`' images, keeps them in a `journal` in the `work_folder`,
and lets `assembly` put them into copies of the storage files (`mcap_file`, `sqlite_file`,
`metadata`). `fleet` does that for many bags, here or on a Ray cluster.
"""

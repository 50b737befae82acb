#!/bin/bash
# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
# Runs a command with ROS 2 and segnode, in this very process: signals reach the command.
set -e
for setup in "/opt/ros/$ROS_DISTRO/setup.bash" "${SEGNODE_INSTALL:-/opt/segnode/install}/setup.bash"; do
    # shellcheck disable=SC1090
    source "$setup" --
done
exec "$@"

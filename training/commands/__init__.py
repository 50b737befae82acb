# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The verbs of the training command line, one file each: ``main(argv)`` -> exit status."""

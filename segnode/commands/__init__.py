# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The verbs of ``python -m segnode``, one module each with ``main(argv) -> exit status``."""

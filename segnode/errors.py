# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The one base class of the errors that a user can mend."""


class SegnodeError(Exception):
    """Something the user gave cannot be used; the text is one sentence that says why."""

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation as one HTML file that stands alone."""

from training.report.page import write_report

__all__ = ['write_report']

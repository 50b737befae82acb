# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The page as a whole: one file, nothing fetched from anywhere, light or dark as the reader is."""

from __future__ import annotations

from collections.abc import Mapping
import datetime
from pathlib import Path
from typing import Any

import segnode
from segnode.errors import SegnodeError
from segnode.files import write_bytes
from segnode.segmenter import Segmenter
from training.datasets.source import Pool
from training.evaluation import Evaluation
from training.multi_view import MultiViewSegmenter
from training.report.frames import frame_sections
from training.report.html import Markup, tag
from training.report.sections import (
    cards,
    categories_section,
    classes_section,
    confusion_section,
    facts_section,
)

STYLE = Path(__file__).with_name('style.css')


def write_report(
    path: Path,
    result: Evaluation,
    segmenter: Segmenter | MultiViewSegmenter,
    pool: Pool,
    inference: Mapping[str, Any],
) -> None:
    """Write an evaluation as one HTML file, whole or not at all.

    Args:
        path: of the file.
        result: of ``evaluate``.
        segmenter: what was evaluated; it segments the frames that are shown once more.
        pool: the frames.
        inference: what ``Inference.describe`` says of it.

    Raises:
        SegnodeError: the file cannot be written, or a frame cannot be read.
    """
    text = page(result, segmenter, pool, inference)
    try:
        write_bytes(path, text.encode('utf-8'))
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error


def page(
    result: Evaluation,
    segmenter: Segmenter | MultiViewSegmenter,
    pool: Pool,
    inference: Mapping[str, Any],
) -> str:
    """Return the page; see ``write_report``."""
    figures = result.to_dict()
    title = f'{segmenter.model.name} on {", ".join(result.data)}'
    made = f'{datetime.date.today().isoformat()} by segnode {segnode.__version__}'
    body = tag(
        'body',
        tag('header', tag('h1', title),
            tag('p', f'Semantic segmentation, evaluated {made}', class_='soft'),
            cards(figures)),
        facts_section(segmenter.model, inference, result),
        classes_section(result, figures),
        categories_section(result, figures),
        confusion_section(result),
        *frame_sections(result, segmenter, pool),
        tag('footer', tag(
            'p', 'All pixels of all frames are counted in one confusion matrix; pixels without a '
            'label count for nothing. IoU is right / (right + wrongly missed + wrongly taken), as '
            'the Cityscapes benchmark defines it for classes, categories and instances (iIoU).')),
    )
    head = tag(
        'head',
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag('title', title),
        tag('style', Markup(STYLE.read_text(encoding='utf-8'))),
    )
    return f'<!DOCTYPE html>\n{tag("html", head, body, lang="en")}\n'

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The frames that a report shows: the worst and the best, as image, truth, prediction, errors."""

from __future__ import annotations

from collections.abc import Sequence
import math

import cv2
import numpy as np

from segnode.fitting import at_size
from segnode.labels import LabelSet
from segnode.pictures import color_picture, error_picture
from training.datasets.source import Pool
from training.evaluate import Segments
from training.evaluation import Evaluation, FrameScore
from training.metrics import class_iou
from training.report.html import histogram, inline_image, Markup, percent, section, swatch, tag

WORST, BEST = 6, 4
WIDTH = 480  # pixels of a picture, at most
BLACK = (0, 0, 0)


def chosen(scores: Sequence[FrameScore]) -> tuple[list[FrameScore], list[FrameScore]]:
    """Return the worst frames, worst first, and the best, best first; none is in both.

    Frames of which nothing is evaluated are neither.
    """
    known = sorted(
        (score for score in scores if not math.isnan(score.miou)), key=lambda score: score.miou
    )
    worst = known[: min(WORST, math.ceil(len(known) * WORST / (WORST + BEST)))]
    best = known[len(worst):][::-1][:BEST]
    return worst, best


def frame_sections(result: Evaluation, segmenter: Segments, pool: Pool) -> list[Markup]:
    """Return the distribution of the frames' scores, and some of the frames."""
    values = [score.miou for score in result.scores if not math.isnan(score.miou)]
    if not values:
        return []
    low, middle, high = np.percentile(values, [10, 50, 90])
    distribution = section(
        'Frames',
        tag('p', f'Mean IoU of each frame over the classes that it has: median '
            f'{percent(middle)}\u00a0%, one frame in ten below {percent(low)}\u00a0%, one in ten '
            f'above {percent(high)}\u00a0%.'),
        histogram(values),
    )
    parts = [distribution]
    worst, best = chosen(result.scores)
    for title, scores in (('Worst frames', worst), ('Best frames', best)):
        if scores:
            shown = (_figure(score, segmenter, pool, result.label_set) for score in scores)
            legend = _legend(result.label_set) if not parts[1:] else ''
            parts.append(section(title, legend, *shown))
    return parts


def _figure(
    score: FrameScore, segmenter: Segments, pool: Pool, labels: LabelSet
) -> Markup:
    image, truth = pool.load(score.index)
    predicted = at_size(segmenter.segment(image).labels, truth.shape)
    pictures = {
        'image': (image, False),
        'truth': (color_picture(truth, labels), True),
        'prediction': (color_picture(predicted, labels), True),
        'errors, red': (error_picture(image, predicted, truth, labels.num_classes), False),
    }
    iou = class_iou(score.matrix)
    iou[score.matrix.sum(1) == 0] = np.nan
    weakest = [
        f'{labels.names[i]} {percent(float(iou[i]), 0)}'
        for i in np.argsort(iou)[:3] if not np.isnan(iou[i])
    ]
    caption = tag(
        'figcaption', tag('b', score.key),
        f' · mean IoU {percent(score.miou)} % · pixel accuracy {percent(score.accuracy)} % · '
        f'weakest: {", ".join(weakest)}',
    )
    panels = (
        tag('div', inline_image(_small(picture, exact), f'{what} of {score.key}',
                                lossless=exact), what)
        for what, (picture, exact) in pictures.items()
    )
    return tag('figure', caption, tag('div', *panels, class_='panels'))


def _small(picture: np.ndarray, exact: bool) -> np.ndarray:
    """Shrink to ``WIDTH``; ``exact`` keeps every pixel's colour one of the picture's own."""
    height, width = picture.shape[:2]
    if width <= WIDTH:
        return picture
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    how = cv2.INTER_NEAREST_EXACT if exact else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size, interpolation=how))


def _legend(labels: LabelSet) -> Markup:
    entries = [tag('span', swatch(label.color), label.name) for label in labels.labels]
    entries.append(tag('span', swatch(BLACK), 'unlabelled, not evaluated'))
    return tag('div', *entries, class_='legend')

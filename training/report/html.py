# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The little HTML that a report is made of; all text is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
import html
import math

import cv2
import numpy as np

# Of a cell that has no value.
NONE = '–'


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(content: object) -> str:
    """Return content as HTML; what is ``Markup`` stays as it is."""
    return content if isinstance(content, Markup) else html.escape(str(content))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """Return an element; an attribute written ``class_`` is ``class``, None leaves one out."""
    given = ''.join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items() if value is not None
    )
    return Markup(f'<{name}{given}>{"".join(map(escaped, content))}</{name}>')


def section(title: str, *content: object) -> Markup:
    """Return a section with its heading."""
    return tag('section', tag('h2', title), *content)


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], **attributes: object
) -> Markup:
    """Return a table whose first column names the rows; cells may be ready-made elements."""
    return tag(
        'div',
        tag(
            'table',
            tag('thead', tag('tr', *(_cell(cell, 'col') for cell in head))),
            tag('tbody', *(
                tag('tr', _cell(row[0], 'row'), *map(_cell, row[1:])) for row in rows
            )),
            **attributes,
        ),
        class_='scroll',
    )


def _cell(content: object, scope: str | None = None) -> Markup:
    if isinstance(content, Markup) and content.startswith(('<td', '<th')):
        return content
    return tag('th', content, scope=scope) if scope else tag('td', content)


def facts(entries: Iterable[tuple[str, object]]) -> Markup:
    """Return names and values, one below the other; what is empty is left out."""
    return tag('dl', *(
        tag('div', tag('dt', name), tag('dd', value))
        for name, value in entries if value not in (None, '', [], {})
    ))


def percent(value: float | None, digits: int = 1) -> str:
    """Return 0..1 in percent, without the sign."""
    if value is None or math.isnan(value):
        return NONE
    return f'{100 * value:.{digits}f}'


def left(content: object) -> Markup:
    """Return a cell whose text is aligned to the left."""
    return tag('td', content, class_='left')


def left_heading(content: object) -> Markup:
    """Return the heading of a column of such cells."""
    return tag('th', content, class_='left', scope='col')


def bar_cell(value: float | None) -> Markup:
    """Return a cell with 0..1 in percent, and a bar of that length beside it."""
    if value is None or math.isnan(value):
        return tag('td', NONE, class_='none')
    return tag('td', tag('span', percent(value)), class_='bar', style=f'--v:{value:.3f}')


def swatch(color: Sequence[int]) -> Markup:
    """Return a small field of an (R, G, B) colour."""
    return tag('i', class_='swatch', style='background:#{:02x}{:02x}{:02x}'.format(*color))


def inline_image(bgr: np.ndarray, alt: str, *, lossless: bool = False) -> Markup:
    """Return an image element that carries its own pixels.

    Args:
        bgr: uint8 (H, W, 3).
        alt: what it shows, in words.
        lossless: PNG, for label colours; else JPEG.
    """
    suffix, kind = ('.png', 'png') if lossless else ('.jpg', 'jpeg')
    options = [] if lossless else [cv2.IMWRITE_JPEG_QUALITY, 82]
    _, content = cv2.imencode(suffix, bgr, options)
    data = base64.b64encode(content.tobytes()).decode('ascii')
    height, width = bgr.shape[:2]
    return Markup(
        f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(alt)}" '
        f'width="{width}" height="{height}">'
    )


def histogram(values: Sequence[float], bins: int = 20) -> Markup:
    """Return a drawing of how often values of 0..1 fall into each of ``bins`` equal parts."""
    counts, edges = np.histogram(values, bins, (0.0, 1.0))
    most = max(1, int(counts.max()))
    width, height, start, floor = 640, 170, 34, 140
    step = (width - start - 16) / bins
    bars = [
        tag('rect', tag('title', f'{100 * low:.0f} to {100 * high:.0f} %: {number} frames'),
            x=f'{start + place * step + 1:.1f}', width=f'{step - 2:.1f}',
            y=f'{floor - 120 * number / most:.1f}', height=f'{120 * number / most:.1f}')
        for place, (number, low, high) in enumerate(zip(counts.tolist(), edges, edges[1:]))
    ]
    marks = [
        tag('text', f'{mark}', x=f'{start + mark / 100 * bins * step:.1f}', y=floor + 18,
            text_anchor='middle')
        for mark in range(0, 101, 20)
    ]
    return tag(
        'svg',
        tag('line', x1=start, x2=width - 16, y1=floor, y2=floor),
        tag('text', most, x=start - 6, y=floor - 115, text_anchor='end'),
        tag('text', 0, x=start - 6, y=floor, text_anchor='end'),
        *bars, *marks,
        viewBox=f'0 0 {width} {height}', role='img', class_='histogram',
        aria_label='frames by their mean IoU in percent',
    )

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The report: well-formed, alone in its file, its figures right, and as a browser shows it."""

import base64
import contextlib
from html.parser import HTMLParser
import json
import re

import cv2
import numpy as np
import pytest

pytest.importorskip('tqdm')

import browser
from segnode.labels import load_label_set
from segnode.pictures import color_picture, error_picture
from segnode.segmenter import Segmenter
import small_cityscapes
from training.cli import main
from training.datasets.source import open_pool
from training.evaluation import Evaluation, FrameScore
from training.report.frames import chosen
from training.report.sections import confusion_section

FRAMES = 4
VOID = {'meta', 'img', 'br', 'hr', 'link', 'input'}
CITYSCAPES = load_label_set('cityscapes')


class Page(HTMLParser):
    """Reads a page; a tag that is not closed, or closed twice, is an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tables, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes), f'{tag}: an attribute twice'
        self.tags.append((tag, given))
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == 'table':
            self.tables.append((given.get('class', ''), []))
        elif tag == 'tr':
            self.tables[-1][1].append([])
        elif tag in ('td', 'th'):
            self.tables[-1][1][-1].append(['', given])

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and {'td', 'th'} & set(self.open[-2:]):
            self.tables[-1][1][-1][-1][0] += data

    def table(self, name):
        """Rows of the table of that class: the text of every cell."""
        (rows,) = (rows for classes, rows in self.tables if name in classes.split())
        return [[cell[0] for cell in row] for row in rows]

    def cells(self, name):
        (rows,) = (rows for classes, rows in self.tables if name in classes.split())
        return rows


@pytest.fixture(scope='module')
def town(tmp_path_factory):
    root = tmp_path_factory.mktemp('town')
    for number in range(FRAMES):
        small_cityscapes.add_frame(root, number)
    return root


@pytest.fixture(scope='module')
def report(town, tmp_path_factory):
    """Return the page's file and the figures of the same run."""
    folder = tmp_path_factory.mktemp('report')
    path, answer = folder / 'report.html', folder / 'answer.json'
    with answer.open('w') as out, contextlib.redirect_stdout(out):
        assert main(['evaluate', '--model', f'{small_cityscapes.stem()}.onnx', '--data',
                     'cityscapes:val', '--root', str(town), '--report', str(path), '--json']) == 0
    return path, json.loads(answer.read_text())


def shown(value, digits=1):
    return '–' if value is None else f'{100 * value:.{digits}f}'


def test_it_stands_alone(report):
    text = report[0].read_text(encoding='utf-8')
    assert text.startswith('<!DOCTYPE html>')
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert not {'script', 'link', 'iframe', 'object', 'base', 'a'} & set(names)
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith('on'), (tag, name)
            if name in ('src', 'href', 'srcset', 'data', 'action', 'poster', 'xlink:href'):
                assert value.startswith('data:image/'), (tag, name, value[:60])
            elif name == 'style':
                assert 'url(' not in value
    style = re.search(r'<style>(.*?)</style>', text, re.S)[1]
    assert 'url(' not in style and '@import' not in style
    assert 'prefers-color-scheme: dark' in style
    assert len(text) < 2_000_000


def test_figures_are_those_of_the_evaluation(report):
    page, told = Page(report[0].read_text(encoding='utf-8')), report[1]
    head, *rows, mean = page.table('classes')
    assert head[:5] == ['class', 'IoU %', 'iIoU %', 'accuracy %', 'precision %']
    assert [row[0] for row in rows] == list(CITYSCAPES.names)
    for name, *cells in rows:
        wanted = [shown(told[f'class_{kind}'][name])
                  for kind in ('iou', 'iiou', 'accuracy', 'precision')]
        assert cells[:4] == wanted
        assert cells[4] == f'{told["class_pixels"][name]:,}'
        assert 0 <= int(cells[6]) <= FRAMES
    assert mean[:4] == ['mean', shown(told['miou']), shown(told['mean_iiou']),
                        shown(told['mean_class_accuracy'])]
    _, *rows, mean = page.table('categories')
    for name, iou, iiou, members in rows:
        assert [iou, iiou] == [shown(told[f'category_{k}'][name]) for k in ('iou', 'iiou')]
        assert members == ', '.join(CITYSCAPES.names[i] for i in CITYSCAPES.categories[name])
    assert mean[1:3] == [shown(told['mean_category_iou']), shown(told['mean_category_iiou'])]
    text = ' '.join(page.text)
    for fact in ('fast_scnn_small on cityscapes:val', 'onnx (ONNX Runtime', 'made for tests',
                 '64x128 (height x width)', f'{shown(told["pixel_accuracy"])} %'):
        assert fact in text, fact


def test_confusion_matrix_holds_every_pixel(report):
    page, told = Page(report[0].read_text(encoding='utf-8')), report[1]
    head, *rows = page.cells('confusion')
    matrix = np.array(told['confusion_matrix'])
    assert [cell[0] for cell in head[1:]] == list(CITYSCAPES.names)
    assert not matrix[:, 19].any()
    for i, row in enumerate(rows):
        assert row[0][0] == CITYSCAPES.names[i]
        for j, (text, attributes) in enumerate(row[1:]):
            pixels = int(re.search(r'([\d,]+) pixels', attributes['title'])[1].replace(',', ''))
            assert pixels == matrix[i, j]
            share = 100 * matrix[i, j] / max(1, matrix[i].sum())
            assert text == (f'{share:.0f}' if share >= 0.5 else '')
            assert attributes['class'] == ('right' if i == j else 'wrong')
    wrong = matrix[:, :19] - np.diag(np.diag(matrix[:, :19]))
    first = page.tables[-1][1][1]
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    assert [cell[0] for cell in first[:3]] == [
        CITYSCAPES.names[i], CITYSCAPES.names[j], f'{wrong.max():,}']


def test_frames_are_shown_with_their_pixels(report, town):
    page, told = Page(report[0].read_text(encoding='utf-8')), report[1]
    pool = open_pool('cityscapes:val', {'cityscapes': str(town)})
    segmenter = Segmenter.load(f'{small_cityscapes.stem()}.onnx')
    order = sorted(told['per_frame'], key=lambda frame: frame['miou'])
    # The worst three, then the best one: of four frames no one is shown twice.
    expected = [order[0], order[1], order[2], order[3]]
    images = [attributes for tag, attributes in page.tags if tag == 'img']
    assert len(images) == 4 * FRAMES
    for place, frame in enumerate(expected):
        panels = images[4 * place:4 * place + 4]
        index = pool.keys().index(frame['key'])
        image, truth = pool.load(index)
        labels = segmenter.segment(image).labels
        wanted = (image, color_picture(truth, CITYSCAPES), color_picture(labels, CITYSCAPES),
                  error_picture(image, labels, truth, 19))
        for attributes, what, picture in zip(
                panels, ('image', 'truth', 'prediction', 'errors'), wanted):
            assert attributes['alt'].startswith(what) and frame['key'] in attributes['alt']
            assert (attributes['height'], attributes['width']) == ('64', '128')
            kind, data = attributes['src'].split(';base64,')
            decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1)
            if kind.endswith('png'):
                assert (decoded == picture).all()
            else:  # JPEG
                assert np.abs(decoded.astype(int) - picture).mean() < 14
    captions = ' '.join(page.text)
    assert f'mean IoU {shown(order[0]["miou"])} %' in captions


def test_errors_are_red_and_the_unlabelled_black():
    image = np.full((1, 4, 3), 100, np.uint8)
    picture = error_picture(image, np.uint8([[1, 1, 2, 0]]), np.uint8([[1, 2, 255, 5]]), 3)
    assert picture.tolist() == [[[90, 90, 90], [48, 48, 230], [0, 0, 0], [0, 0, 0]]]


def score(miou, index):
    """A frame of 100 pixels of class 0, of which some are taken for class 1."""
    right = 0 if np.isnan(miou) else round(100 * miou)
    matrix = np.array([[right, 0 if np.isnan(miou) else 100 - right, 0], [0, 0, 0]])
    return FrameScore(index, f'd/{index}', matrix)


def test_which_frames_are_shown():
    values = [0.5, np.nan, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6, 0.95, 0.05, 0.55]
    worst, best = chosen([score(v, i) for i, v in enumerate(values)])
    assert [s.miou for s in worst] == pytest.approx([0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert [s.miou for s in best] == pytest.approx([0.95, 0.9, 0.8, 0.7])
    assert [len(part) for part in chosen([score(0.5, 0)])] == [1, 0]
    assert chosen([score(np.nan, 0)]) == ([], [])


def test_names_cannot_break_the_page():
    labels = load_label_set('camvid')
    entries = labels.to_dict()
    entries['labels'][0]['name'] = '<script>"&'
    nasty = type(labels).from_dict(entries)
    matrix = np.zeros((11, 12), np.int64)
    matrix[0, 11] = matrix[0, 1] = 3
    page = Page(confusion_section(Evaluation(nasty, (FrameScore(0, 'a', matrix),))))
    assert 'script' not in [tag for tag, _ in page.tags]
    rows = page.table('confusion')
    assert rows[1][0] == '<script>"&' and rows[0][-1] == 'no class' and rows[1][-1] == '50'


def test_in_a_browser(report, tmp_path):
    path, told = report
    # The page has no script; this copy's one tells what the browser made of it.
    probe = """<script>addEventListener('load', () => {
      const broken = [...document.images].filter(i => !i.complete || !i.naturalWidth).length;
      const wide = document.documentElement.scrollWidth > innerWidth + 1;
      document.title = `${document.images.length} images, ${broken} broken, wide ${wide}, ` +
        document.body.innerText.replace(/\\s+/g, ' ');
    });</script>"""
    copy = tmp_path / 'probed.html'
    copy.write_text(path.read_text(encoding='utf-8').replace('</head>', probe + '</head>'),
                    encoding='utf-8')
    for width in (1300, 600):
        dom = browser.browse(copy, tmp_path / f'profile{width}', '--dump-dom',
                             f'--window-size={width},1500')
        title = re.search(r'<title>(.*?)</title>', dom, re.S)[1]
        assert title.startswith(f'{4 * FRAMES} images, 0 broken, wide false')
        for text in ('fast_scnn_small on cityscapes:val', f'{shown(told["miou"])} % mean IoU',
                     'Confusion matrix', 'Worst frames', 'traffic light'):
            assert text in title, text
    pictures = {}
    for scheme, number in (('light', 1), ('dark', 0)):
        shot = tmp_path / f'{scheme}.png'
        browser.browse(path, tmp_path / f'profile_{scheme}', '--window-size=1300,5000',
                       f'--blink-settings=preferredColorScheme={number}', f'--screenshot={shot}')
        pictures[scheme] = cv2.imread(str(shot))
        assert pictures[scheme].shape == (5000, 1300, 3)
        # Not blank: text, bars and pictures, also far down.
        assert pictures[scheme].std() > 10 and pictures[scheme][2000:].std() > 10
        # The colours of the labels are on it as they are.
        red = (pictures[scheme] == (60, 20, 220)).all(-1)  # person, BGR
        assert red.sum() > 100
    corner = {scheme: picture[5, 5].mean() for scheme, picture in pictures.items()}
    assert corner['light'] > 240 and corner['dark'] < 40

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``predict``: images in, label, colour and overlay pictures out."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from segnode.commands.arguments import fraction, image_size, parser, print_json
from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.image_files import is_image_name

if TYPE_CHECKING:
    import numpy as np

    from segnode.segmenter import Segmentation, Segmenter

SAVES = ('labels', 'color', 'overlay', 'side')


def main(argv: list[str]) -> int:
    """Segment every image and write the pictures asked for; 1 if one could not be read."""
    require('cv2', 'predict')
    from segnode.fitting import FITS
    from segnode.runtimes import RUNTIMES

    arguments = parser(
        'predict',
        'Segment images. For each, NAME_labels.png (train ids, 255 unlabelled), NAME_color.png, '
        'NAME_overlay.png and NAME_side.png (image | colours | overlay) are written.',
    )
    arguments.add_argument('images', nargs='+', type=Path, help='images, or folders of images')
    arguments.add_argument('--out', type=Path, default=Path('predictions'),
                           help='folder to write to (default: %(default)s)')
    arguments.add_argument('--model', default='fsffnet',
                           help='name or path of a model (default: %(default)s)')
    arguments.add_argument('--runtime', default='auto', choices=RUNTIMES)
    arguments.add_argument('--input-size', type=image_size, metavar='HxW',
                           help="size that the network works at (default: the model's own)")
    arguments.add_argument('--fit', default='stretch', choices=FITS,
                           help='how an image of another size is brought to it')
    arguments.add_argument('--threads', type=int, default=0,
                           help='on the CPU; 0 = all usable cores but one, 1 to 4')
    arguments.add_argument('--save', nargs='+', choices=SAVES, default=SAVES,
                           help='which pictures to write (default: all)')
    arguments.add_argument('--alpha', type=fraction, default=0.5,
                           help='share of the colours in the overlay (default: %(default)s)')
    arguments.add_argument('--allow-random-weights', action='store_true',
                           help='run a network that nobody trained where there are no weights')
    options = arguments.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format='%(message)s')

    from segnode.segmenter import Segmenter

    paths = _image_paths(options.images)
    segmenter = Segmenter.load(
        options.model, runtime=options.runtime, input_size=options.input_size, fit=options.fit,
        threads=options.threads, allow_random_weights=options.allow_random_weights,
    )
    with contextlib.closing(segmenter):
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SegnodeError(
                f'{options.out} cannot be made: {error.strerror or error}'
            ) from error
        answers: list[dict[str, Any]] = []
        for path, name in zip(paths, _unique_names(paths)):
            answer = _one(path, options.out / name, segmenter, options.save, options.alpha)
            answers.append(answer)
            if 'error' in answer:
                print(f'error: {answer["error"]}', file=sys.stderr)
            elif not options.json:
                print(_line(answer))
    if options.json:
        print_json({
            'model': segmenter.model.name,
            'runtime': segmenter.runtime.name,
            'input_size': list(segmenter.input_size),
            'images': answers,
        })
    return int(any('error' in answer for answer in answers))


def _image_paths(given: list[Path]) -> list[Path]:
    """Return the images given and those in the folders given, in order of name."""
    paths = []
    for path in given:
        try:
            if path.is_dir():
                inside = sorted(filter(is_image_name, path.iterdir()))
                if not inside:
                    raise SegnodeError(f'there are no images in {path}')
                paths += inside
            elif path.is_file():
                paths.append(path)
            else:
                raise SegnodeError(f'there is no {path}')
        except OSError as error:
            raise SegnodeError(f'{path} cannot be read: {error.strerror or error}') from error
    return paths


def _unique_names(paths: list[Path]) -> list[str]:
    """Return a name for each image: its stem, numbered where an earlier image has it."""
    stems = {path.stem for path in paths}
    taken: set[str] = set()
    names = []
    for path in paths:
        name, count = path.stem, 1
        while name in taken or (count > 1 and name in stems):
            count += 1
            name = f'{path.stem}-{count}'
        taken.add(name)
        names.append(name)
    return names


def _one(
    path: Path, stem: Path, segmenter: Segmenter, saves: list[str], alpha: float
) -> dict[str, Any]:
    """Segment one image and write its pictures; an unreadable one is an answer with 'error'."""
    import cv2

    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        return {'image': str(path), 'error': f'{path} cannot be read as an image'}
    found = segmenter.segment(image)
    written = []
    for kind, picture in _pictures(image, found, segmenter, saves, alpha).items():
        target = stem.with_name(f'{stem.name}_{kind}.png')
        if not cv2.imwrite(str(target), picture):
            raise SegnodeError(f'{target} cannot be written')
        written.append(str(target))
    return {
        'image': str(path),
        'size': list(image.shape[:2]),
        'timing_ms': {stage: round(value, 3) for stage, value in found.timing.items()},
        'share': _shares(found.labels, segmenter.label_set.names),
        'written': written,
    }


def _pictures(
    image: np.ndarray, found: Segmentation, segmenter: Segmenter, saves: list[str], alpha: float
) -> dict[str, np.ndarray]:
    from segnode.pictures import color_picture, overlay_picture, side_by_side

    pictures = {'labels': found.labels}
    if {'color', 'side'} & set(saves):
        pictures['color'] = color_picture(found.labels, segmenter.label_set)
    if {'overlay', 'side'} & set(saves):
        pictures['overlay'] = overlay_picture(image, found.labels, segmenter.label_set, alpha)
    if 'side' in saves:
        pictures['side'] = side_by_side(image, pictures['color'], pictures['overlay'])
    return {kind: pictures[kind] for kind in SAVES if kind in saves}


def _shares(labels: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    """Return the share of the pixels that each class has, where it has any."""
    import numpy as np

    counts = np.bincount(labels.ravel(), minlength=256)
    shares = {name: round(counts[i] / labels.size, 4) for i, name in enumerate(names) if counts[i]}
    if counts[255]:
        shares['unlabelled'] = round(counts[255] / labels.size, 4)
    return shares


def _line(answer: dict[str, Any]) -> str:
    main_shares = sorted(answer['share'].items(), key=lambda item: -item[1])[:4]
    shares = ', '.join(f'{name} {share:.0%}' for name, share in main_shares)
    return f'{answer["image"]}: {sum(answer["timing_ms"].values()):.1f} ms; {shares}'

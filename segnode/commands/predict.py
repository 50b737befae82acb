# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``predict``: images and videos in, label, colour and overlay pictures out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import contextlib
import logging
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from segnode.commands.arguments import (
    add_runtime_options,
    add_segmenter,
    fraction,
    print_json,
    runtime_options,
)
from segnode.commands.predict_inputs import Frame, frames_of
from segnode.commands.predict_outputs import (
    pictures,
    Progress,
    SAVES,
    VideoFiles,
    write_picture,
)
from segnode.dependencies import require
from segnode.errors import SegnodeError

if TYPE_CHECKING:
    import numpy as np

    from segnode.labels import LabelSet
    from segnode.segmenter import Segmentation, Segmenter

VIDEO_SAVES = ('overlay',)  # of a video, unless the user says
DESCRIPTION = """
Segment images and videos of any size. For an image, NAME_labels.png (train ids, 255 unlabelled),
NAME_color.png, NAME_overlay.png and NAME_side.png (image | colours | overlay) are written; with
--samples NAME_uncertainty.png too; where the truth is known NAME_compare.png (image | truth |
prediction | errors in red). For a video, NAME_overlay.mp4, and with --save NAME_color.mp4,
NAME_side.mp4, NAME_uncertainty.mp4 and the folder NAME_labels of one PNG for each frame (mp4 would
change the ids); its sound is lost.
"""


def main(argv: list[str]) -> int:
    """Segment every image and write the pictures asked for; 1 if one could not be read."""
    options = command_line('python -m segnode predict').parse_args(argv)
    return run(options, frames_of(options.images, options.truth))


def command_line(program: str, inputs: str = '+') -> argparse.ArgumentParser:
    """Return the parser.

    Args:
        program: what the user typed.
        inputs: '+' where images have to be given, '*' where there may be none.
    """
    require('cv2', 'predict')
    from segnode.uncertainty import MEASURES

    arguments = argparse.ArgumentParser(prog=program, description=DESCRIPTION)
    arguments.add_argument('--json', action='store_true', help='answer in JSON, for programs')
    arguments.add_argument('images', nargs=inputs, type=Path,
                           help='images, folders of images, or videos')
    arguments.add_argument('--out', type=Path, default=Path('predictions'),
                           help='folder to write to (default: %(default)s)')
    add_segmenter(arguments)
    add_runtime_options(arguments)
    arguments.add_argument('--threads', type=int, default=0,
                           help='on the CPU; 0 = all usable cores but one, 1 to 4')
    arguments.add_argument('--samples', type=int, default=0,
                           help='passes of Monte Carlo dropout, 2 to 100, of a network that '
                                'offers it; labels are then those of their mean (default: 0, off)')
    arguments.add_argument('--uncertainty', choices=MEASURES,
                           help='measure that the uncertainty picture shows, black where certain '
                                '(default: entropy)')
    arguments.add_argument('--truth', type=Path, metavar='FOLDER',
                           help="label pictures with the images' stems: train ids, or the colours "
                                "of the model's label set")
    arguments.add_argument('--save', type=_kinds, action='extend', metavar='KIND[,KIND...]',
                           help=f'which pictures to write, of {", ".join(SAVES)} (default: all; '
                                'of a video the overlay)')
    arguments.add_argument('--alpha', type=fraction, default=0.5,
                           help='share of the colours in the overlay (default: %(default)s)')
    return arguments


def _kinds(text: str) -> list[str]:
    kinds = text.split(',')  # not words: an image behind them would be taken for one of them
    for kind in kinds:
        if kind not in SAVES:
            raise argparse.ArgumentTypeError(f'{kind!r} is none of {", ".join(SAVES)}')
    return kinds


def run(
    options: argparse.Namespace, frames: Callable[[LabelSet], Sequence[Frame]]
) -> int:
    """Segment frames and write the pictures asked for.

    Args:
        options: of ``command_line``.
        frames: gives what is to be segmented, for the model's classes.

    Returns:
        1 if a frame could not be read, else 0.
    """
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    from segnode.segmenter import Segmenter

    asked = options.uncertainty or 'uncertainty' in (options.save or ())
    if asked and not options.samples:
        raise SegnodeError('there is an uncertainty picture only with --samples, such as 20')
    segmenter = Segmenter.load(
        options.model, runtime=options.runtime, input_size=options.input_size, fit=options.fit,
        labels_at=options.labels_at, samples=options.samples, roi=options.roi,
        rotation=options.rotation, ego_mask=options.ego_mask,
        label_grouping=options.label_grouping, threads=options.threads,
        allow_random_weights=options.allow_random_weights, **runtime_options(options),
    )
    with contextlib.closing(segmenter):
        given = frames(segmenter.model.record.label_set)
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SegnodeError(
                f'{options.out} cannot be made: {error.strerror or error}'
            ) from error
        answers: list[dict[str, Any]] = []
        for frame in given:
            work = _video if frame.video else _image
            try:
                answer = work(frame, segmenter, options)
            except _UnreadableError as error:
                answer = {'image': frame.source, 'error': str(error)}
            answers.append(answer)
            if 'error' in answer:
                print(f'error: {answer["error"]}', file=sys.stderr)
            elif not options.json:
                print(_line(answer))
        summary = {
            'model': segmenter.model.name,
            'runtime': segmenter.runtime.name,
            'details': segmenter.runtime.details,
            'input_size': list(segmenter.input_size),
            'images': answers,
        }
    if options.json:
        print_json(summary)
    return int(any('error' in answer for answer in answers))


class _UnreadableError(SegnodeError):
    """One frame cannot be read; the others can be gone on with."""


def _image(frame: Frame, segmenter: Segmenter, options: argparse.Namespace) -> dict[str, Any]:
    """Segment one image and write its pictures."""
    try:
        image, truth = frame.load()
    except SegnodeError as error:
        raise _UnreadableError(str(error)) from error
    if truth is not None and segmenter.grouping is not None:
        truth = segmenter.grouping.apply(truth)
    found = segmenter.segment(image)
    made = pictures(
        image, found, truth, segmenter.label_set, saves=options.save or SAVES,
        alpha=options.alpha, measure=options.uncertainty or 'entropy',
    )
    written = []
    for kind, picture in made.items():
        written.append(str(options.out / f'{frame.name}_{kind}.png'))
        write_picture(Path(written[-1]), picture)
    answer: dict[str, Any] = {
        'image': frame.source,
        'size': list(image.shape[:2]),
        'timing_ms': {stage: round(value, 3) for stage, value in found.timing.items()},
        'share': _shares(_counts(found.labels), segmenter.label_set.names),
        **_mean_uncertainty(found),
    }
    if truth is not None:
        answer['pixel_accuracy'] = _accuracy(found.labels, truth, segmenter.label_set)
    return {**answer, 'written': written}


def _video(frame: Frame, segmenter: Segmenter, options: argparse.Namespace) -> dict[str, Any]:
    """Segment a video frame by frame."""
    from segnode.video import VideoReader

    assert frame.video is not None
    try:
        reader = VideoReader(frame.video)
    except SegnodeError as error:
        raise _UnreadableError(str(error)) from error
    counts: Any = 0
    times: dict[str, float] = {}
    size: list[int] = []
    number = 0
    progress = Progress(frame.video.name, reader.count, options.json)
    saves = options.save or VIDEO_SAVES
    with VideoFiles(options.out, frame.name, reader.rate, saves) as files:
        for image in reader:
            found = segmenter.segment(image)
            files.add(pictures(
                image, found, None, segmenter.label_set, saves=saves, alpha=options.alpha,
                measure=options.uncertainty or 'entropy',
            ))
            counts = counts + _counts(found.labels)
            for stage, value in found.timing.items():
                times[stage] = times.get(stage, 0.0) + value
            size = list(image.shape[:2])
            number += 1
            progress.show(number)
    return {
        'image': frame.source,
        'frames': number,
        'rate': round(reader.rate, 3),
        'size': size,
        'timing_ms': {stage: round(value / number, 3) for stage, value in times.items()},
        'share': _shares(counts, segmenter.label_set.names),
        'written': [str(path) for path in files.paths.values()],
    }


def _accuracy(found: np.ndarray, truth: np.ndarray, labels: LabelSet) -> float | None:
    """Return correct / evaluated pixels; None where nothing is evaluated."""
    from segnode.fitting import at_size

    known = truth < labels.num_classes
    found = at_size(found, truth.shape)
    return round(float((found == truth)[known].mean()), 6) if known.any() else None


def _counts(labels: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.bincount(labels.ravel(), minlength=256)


def _shares(counts: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    """Return the share of the pixels that each class has, where it has any."""
    total = int(counts.sum())
    shares = {name: round(int(counts[i]) / total, 4) for i, name in enumerate(names) if counts[i]}
    if counts[255]:
        shares['unlabelled'] = round(int(counts[255]) / total, 4)
    return shares


def _mean_uncertainty(found: Segmentation) -> dict[str, dict[str, float]]:
    """Return the mean of every measure over the image; nothing where nothing was sampled."""
    from segnode.uncertainty import MEASURES

    if found.uncertainty is None:
        return {}
    means = {m: float(getattr(found.uncertainty, m).mean()) for m in MEASURES}
    return {'uncertainty': {measure: round(mean, 6) for measure, mean in means.items()}}


def _line(answer: dict[str, Any]) -> str:
    main_shares = sorted(answer['share'].items(), key=lambda item: -item[1])[:4]
    shares = ', '.join(f'{name} {share:.0%}' for name, share in main_shares)
    frames = f'{answer["frames"]} frames, ' if 'frames' in answer else ''
    right = answer.get('pixel_accuracy')
    accuracy = '' if right is None else f'; {right:.1%} right'
    each = ' each' if frames else ''
    return (f'{answer["image"]}: {frames}{sum(answer["timing_ms"].values()):.1f} ms{each}; '
            f'{shares}{accuracy}')

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""One conversion from beginning to end: made, measured, and kept only if it is good enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
import datetime
import json
from pathlib import Path
import tempfile
import time
from typing import Any

import numpy as np

from segnode.benchmarking.machine import machine
from segnode.benchmarking.timing import take_turns
from segnode.dependencies import versions
from segnode.errors import SegnodeError
from segnode.files import user_folder, write_bytes
from segnode.model import Model, RECORD_KEY, WEIGHTS_KEY
from segnode.onnx_file import with_metadata
from segnode.record import ModelRecord
from segnode.runtimes import Runtime
from segnode.runtimes.base import GRAPH_VERSION, working_size
from segnode.runtimes.onnx import graph_path
from segnode.segmenter import Segmenter
from training.convert.compare import compare, Comparison
from training.convert.frames import Frames
from training.convert.report import Report
from training.convert.targets import find_target, Job, Made, OnnxTarget
from training.convert.torch2trt import convert_torch2trt
from training.datasets.source import refuse_overlap
from training.evaluate import evaluate

# Share of pixels that must keep their label, by precision.
MIN_AGREEMENT = {'fp32': 0.999, 'fp16': 0.99, 'bf16': 0.99, 'int8': 0.95}
MAX_DROP = 0.005  # of the mean IoU that int8 may cost, 0..1
COMPARED = 32  # frames on which logits and labels are compared
ROUNDS = 20  # of the timing


@dataclass(frozen=True)
class Options:
    """What is asked for beside model, target and precision.

    Args:
        stem: where to, a path without suffix; by default MODEL_PRECISION in the user's data
            folder, where it is found by name.
        input_size: (H, W); by default the model's own.
        batch: images that an engine takes at once.
        calibration: frames for int8.
        data: frames that it is measured with.
        fit: how images are brought to the input size.
        min_agreement: share of equal labels below which nothing is kept; by default
            ``MIN_AGREEMENT`` of the precision.
        max_drop: of the mean IoU that int8 may cost, 0..1.
        threads: on the CPU; 0 = default.
        progress: show bars.
    """

    data: Frames
    stem: Path | None = None
    input_size: tuple[int, int] | None = None
    batch: int = 1
    calibration: Frames | None = None
    fit: str = 'stretch'
    min_agreement: float | None = None
    max_drop: float = MAX_DROP
    threads: int = 0
    progress: bool = True


def convert(model: Model, target: str, precision: str, options: Options) -> Report:
    """Convert a model, measure it beside what it comes from, and keep it.

    Raises:
        SegnodeError: something is missing, a figure is not good enough, or the file cannot be
            written; nothing is left behind then.
    """
    maker = find_target(target, precision)
    _check(model, precision, options)
    if target == 'torch2trt':
        return convert_torch2trt(
            model, precision, options, _least(precision, options), ROUNDS, COMPARED)
    size = working_size(model.record, options.input_size)
    content = graph_path(model, size).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        return _Conversion(model, maker, precision, size, content, options, Path(folder)).run()


def _least(precision: str, options: Options) -> float:
    """Return the share of pixels that must keep their label."""
    given = options.min_agreement
    return MIN_AGREEMENT[precision] if given is None else given


def _check(model: Model, precision: str, options: Options) -> None:
    if model.record.conversion:
        source = model.record.conversion.get('model', 'what it was converted from')
        raise SegnodeError(f'model {model.name} is a conversion itself: convert {source}')
    if precision != 'int8':
        return
    if options.calibration is None:
        raise SegnodeError(
            'int8 takes its ranges from real frames: name some with --calibrate DATASET:SPLIT or '
            '--calibrate FOLDER, such as --calibrate camvid:train'
        )
    if not options.data.labelled:
        raise SegnodeError(
            'int8 is not written before its drop of the mean IoU is measured: name labelled '
            'frames with --data DATASET:SPLIT, such as --data camvid:val'
        )
    if options.calibration.pool is not None and options.data.pool is not None:
        refuse_overlap(options.calibration.pool, options.data.pool)


class _Conversion:
    """The steps, with what they all need."""

    def __init__(
        self, model: Model, maker: OnnxTarget, precision: str, size: tuple[int, int],
        content: bytes, options: Options, folder: Path,
    ) -> None:
        self.model, self.maker, self.precision, self.size = model, maker, precision, size
        self.content, self.options, self.folder = content, options, folder
        self.job = Job(
            content, precision, size, batch=options.batch, fit=options.fit,
            calibration=options.calibration, drop_of=self._drop, max_drop=options.max_drop,
            threads=options.threads,
        )
        self.miou_before: float | None = None

    def run(self) -> Report:
        data = self.options.data
        if data.labelled:
            self.miou_before = self._miou(self.content, 'fp32')
        start = time.monotonic()
        made = self.maker.make(self.job)
        seconds = time.monotonic() - start
        comparison = compare(
            self.maker.labeller(self.content, 'fp32'),
            self.maker.labeller(made.content, self.precision),
            data.spread(COMPARED).images(self.size, self.options.fit),
        )
        least = _least(self.precision, self.options)
        if comparison.agreement < least:
            raise SegnodeError(
                f'nothing is kept: {comparison.agreement:.3%} of the pixels have the same label '
                f'as before, less than {least:.3%} (--min-agreement)'
            )
        after = self._miou(made.content, self.precision) if data.labelled else None
        record = self._record(made, comparison, after)
        final = self._file(made.content, record)
        draft = self._draft(final)
        before = self._draft(self._file(self.content, self._plain_record('fp32')))
        runtimes = {name: self.maker.load(one, self.job)
                    for name, one in (('before', before), ('after', draft))}
        try:
            milliseconds = self._milliseconds(runtimes)
            details = {name: runtime.details for name, runtime in runtimes.items()}
        finally:
            for runtime in runtimes.values():
                runtime.close()
        path = self._stem().with_name(self._stem().name + '.onnx')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, final)
        except OSError as error:
            raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error
        return Report(
            model=self.model.name, target=self.maker.name, precision=self.precision,
            input_size=self.size, batch=self.options.batch, file=path,
            bytes_before=len(self.content), bytes_after=len(final),
            convert_seconds=round(seconds, 1), data=data.name, data_frames=len(data),
            comparison=comparison, miou_before=self.miou_before, miou_after=after,
            milliseconds=milliseconds, details=details, facts=made.facts, machine=machine(),
        )

    def _drop(self, content: bytes) -> float:
        assert self.miou_before is not None
        return self.miou_before - self._miou(content, self.precision)

    def _miou(self, content: bytes, precision: str) -> float:
        """Return the mean IoU on the data, 0..1, by the call that a vehicle makes."""
        data = self.options.data
        assert data.pool is not None
        record = self._plain_record(precision)
        runtime = self.maker.load(self._draft(self._file(content, record)), self.job)
        segmenter = Segmenter(self.model, runtime, self.options.fit)
        try:
            return evaluate(
                segmenter, data.pool, indices=data.indices, progress=self.options.progress).miou
        finally:
            segmenter.close()

    def _plain_record(self, precision: str) -> ModelRecord:
        """Return a record for a file that is only measured; it names what it is measured in."""
        training = {**self.model.record.training}
        if precision != 'fp32':
            training['conversion'] = {'precision': precision}
        return replace(self.model.record, input_size=self.size, training=training)

    def _record(
        self, made: Made, comparison: Comparison, miou: float | None
    ) -> ModelRecord:
        data = self.options.data
        conversion: dict[str, Any] = {
            'model': self.model.name,
            'target': self.maker.name,
            'precision': self.precision,
            'data': data.name,
            'data_frames': len(data),
            **{name: value for name, value in comparison.to_dict().items() if name != 'frames'},
            'date': datetime.date.today().isoformat(),
            'versions': versions('segnode', 'onnx', 'onnxruntime'),
            **made.facts,
        }
        training = dict(self.model.record.training)
        # What was measured of the model that it comes from is not true of this one.
        training.pop('miou', None)
        training.pop('class_iou', None)
        if miou is not None and self.miou_before is not None:
            conversion['miou_before'] = self.miou_before
            conversion['miou_after'] = miou
            conversion['miou_drop'] = self.miou_before - miou
            if data.whole and data.pool is not None:
                split = '+'.join(source.split for source in data.pool.sources)
                training['miou'] = {split: miou}
        training['conversion'] = json.loads(json.dumps(conversion))
        return replace(self.model.record, input_size=self.size, training=training)

    def _file(self, content: bytes, record: ModelRecord) -> bytes:
        return with_metadata(content, {
            RECORD_KEY: record.to_json(),
            WEIGHTS_KEY: self.model.weights_sha256,
            'segnode_graph_version': str(GRAPH_VERSION),
            'segnode_versions': json.dumps(versions('segnode', 'onnx')),
        })

    def _draft(self, content: bytes) -> Model:
        """Return a model of a file that lies in the folder for drafts."""
        path = Path(tempfile.mkdtemp(dir=self.folder)) / f'{self.model.name}.onnx'
        path.write_bytes(content)
        return Model.load(path)

    def _stem(self) -> Path:
        if self.options.stem is not None:
            return self.options.stem
        folder = user_folder('XDG_DATA_HOME', '.local/share')
        if folder is None:
            raise SegnodeError('this user has no home to write to: name a file with --out')
        name = f'{self.model.name}_{self.precision}'
        if self.size != self.model.record.input_size:
            name += f'_{self.size[0]}x{self.size[1]}'
        return folder / 'segnode' / 'weights' / name

    def _milliseconds(self, runtimes: dict[str, Runtime]) -> dict[str, float]:
        """Return the median of each for one run of ``batch`` images, taking turns."""
        frames = self.options.data.spread(4).images(self.size, self.options.fit)
        images = [np.repeat(image, self.options.batch, 0) for image in frames]
        times = take_turns(
            {name: lambda batch, runtime=runtime: runtime.run(batch).labels  # type: ignore[misc]
             for name, runtime in runtimes.items()},
            images, ROUNDS,
        )
        return {name: measured.summary()['median_ms'] for name, measured in times.items()}

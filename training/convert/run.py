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
from segnode.onnx_compact import compact, read_deploy_graph, stored_weights
from segnode.onnx_file import read_onnx, with_metadata
from segnode.record import ModelRecord
from segnode.runtimes import Runtime
from segnode.runtimes.base import GRAPH_VERSION, working_size
from segnode.runtimes.onnx import graph_path
from segnode.segmenter import Segmenter
from training.convert.compare import compare, Comparison
from training.convert.frames import Frames
from training.convert.report import Report
from training.convert.targets import find_target, Job, OnnxTarget
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
        keep: names of convolutions that int8 leaves in float whatever they cost, ``*`` for any
            part of one.
        rest: 'fp32' or 'fp16': what int8 leaves is in.
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
    keep: tuple[str, ...] = ()
    rest: str = 'fp32'
    threads: int = 0
    progress: bool = True


def convert(model: Model, target: str, precision: str, options: Options) -> Report:
    """Convert a model, measure it beside what it comes from, and keep it.

    Raises:
        SegnodeError: something is missing, a figure is not good enough, or the file cannot be
            written; nothing is left behind then.
    """
    maker = find_target(target, precision)
    _check(model, maker, precision, options)
    if target == 'torch2trt':
        return convert_torch2trt(
            model, precision, options, _least(precision, options), ROUNDS, COMPARED)
    size = working_size(model.record, options.input_size)
    path = graph_path(model, size)
    with tempfile.TemporaryDirectory() as folder:
        return _Conversion(model, maker, precision, size, path, options, Path(folder)).run()


def _least(precision: str, options: Options) -> float:
    """Return the share of pixels that must keep their label."""
    given = options.min_agreement
    return MIN_AGREEMENT[precision] if given is None else given


def _check(model: Model, maker: OnnxTarget, precision: str, options: Options) -> None:
    if model.record.conversion:
        source = model.record.conversion.get('model', 'what it was converted from')
        raise SegnodeError(f'model {model.name} is a conversion itself: convert {source}')
    if precision != 'int8':
        if options.keep or options.rest != 'fp32':
            raise SegnodeError(
                f'--keep-layers and --rest say what int8 leaves in float, not {precision}')
        return
    if options.rest not in maker.rests:
        raise SegnodeError(
            f'what int8 leaves is in {" or ".join(maker.rests)} for {maker.name}, not in '
            f'{options.rest}'
        )
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
        path: Path, options: Options, folder: Path,
    ) -> None:
        self.model, self.maker, self.precision, self.size = model, maker, precision, size
        self.options, self.folder = options, folder
        # All at once: the result may take the file's place, and a cached export may go meanwhile.
        self.content = read_deploy_graph(path)
        stored, _ = read_onnx(path)
        self.weights, self.bytes_before = stored_weights(stored), len(stored)
        self.job = Job(
            self.content, precision, size, batch=options.batch, fit=options.fit,
            calibration=options.calibration, drop_of=self._drop, max_drop=options.max_drop,
            keep=options.keep, rest=options.rest, threads=options.threads,
        )
        self._searched_before: float | None = None

    def run(self) -> Report:
        data = self.options.data
        start = time.monotonic()
        made = self.maker.make(self.job)
        seconds = time.monotonic() - start
        runtimes: dict[str, Runtime] = {}
        try:
            for name, content, precision in (
                ('before', self.content, 'fp32'), ('after', made.content, self.precision),
            ):
                runtimes[name] = self.maker.load(self._draft(content, precision), self.job)
            comparison = compare(
                self.maker.labeller(self.content, 'fp32', runtimes['before']),
                self.maker.labeller(made.content, self.precision, runtimes['after']),
                data.spread(COMPARED).images(self.size, self.options.fit),
            )
            least = _least(self.precision, self.options)
            if comparison.agreement < least:
                raise SegnodeError(
                    f'nothing is kept: {comparison.agreement:.3%} of the pixels have the same '
                    f'label as before, less than {least:.3%} (--min-agreement)'
                )
            miou = {name: self._miou(one) if data.labelled else None
                    for name, one in runtimes.items()}
            self._check_drop(miou['before'], miou['after'])
            milliseconds = self._milliseconds(runtimes)
            details = {name: runtime.details for name, runtime in runtimes.items()}
            facts = {**made.facts, **self.maker.facts(runtimes['after'], self.job)}
        finally:
            for runtime in runtimes.values():
                runtime.close()
        final = self._file(
            compact(made.content, self.weights),
            self._record(facts, comparison, miou['before'], miou['after']))
        path = self._stem().with_name(self._stem().name + '.onnx')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, final)
        except OSError as error:
            raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error
        return Report(
            model=self.model.name, target=self.maker.name, precision=self.precision,
            input_size=self.size, batch=self.options.batch, file=path,
            bytes_before=self.bytes_before, bytes_after=len(final),
            convert_seconds=round(seconds, 1), data=data.name, data_frames=len(data),
            comparison=comparison, miou_before=miou['before'], miou_after=miou['after'],
            milliseconds=milliseconds, details=details, facts=facts, machine=machine(),
        )

    def _drop(self, content: bytes) -> float:
        """Return the drop of the mean IoU of a draft."""
        if self._searched_before is None:
            self._searched_before = self._searched(self.content, 'fp32')
        return self._searched_before - self._searched(content, self.precision)

    def _searched(self, content: bytes, precision: str) -> float:
        runtime = self.maker.load_for_search(self._draft(content, precision), self.job)
        try:
            return self._miou(runtime)
        finally:
            runtime.close()

    def _check_drop(self, before: float | None, after: float | None) -> None:
        """Refuse int8 that costs too much where it is measured, if not where it was searched."""
        if self.precision != 'int8' or before is None or after is None:
            return
        most = self.options.max_drop
        if before - after > most:
            raise SegnodeError(
                f'nothing is kept: int8 costs {100 * (before - after):.2f} points of mean IoU, '
                f'more than the {100 * most:.2f} that --max-drop allows'
            )

    def _miou(self, runtime: Runtime) -> float:
        """Return the mean IoU on the data, 0..1, by the call that a vehicle makes."""
        data = self.options.data
        assert data.pool is not None
        segmenter = Segmenter(self.model, runtime, self.options.fit)
        return evaluate(
            segmenter, data.pool, indices=data.indices, progress=self.options.progress).miou

    def _plain_record(self, precision: str) -> ModelRecord:
        """Return a record for a file that is only measured; it names what it is measured in."""
        training = {**self.model.record.training}
        if precision != 'fp32':
            training['conversion'] = {'precision': precision}
        return replace(self.model.record, input_size=self.size, training=training)

    def _record(
        self, facts: dict[str, Any], comparison: Comparison, before: float | None,
        miou: float | None,
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
            **facts,
        }
        training = dict(self.model.record.training)
        # What was measured of the model that it comes from is not true of this one.
        training.pop('miou', None)
        training.pop('class_iou', None)
        if miou is not None and before is not None:
            conversion['miou_before'] = before
            conversion['miou_after'] = miou
            conversion['miou_drop'] = before - miou
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

    def _draft(self, content: bytes, precision: str) -> Model:
        """Return a model of a graph that lies in the folder for drafts."""
        path = Path(tempfile.mkdtemp(dir=self.folder)) / f'{self.model.name}.onnx'
        path.write_bytes(self._file(content, self._plain_record(precision)))
        return Model.load(path)

    def _stem(self) -> Path:
        if self.options.stem is not None:
            return self.options.stem
        folder = user_folder('XDG_DATA_HOME', '.local/share')
        if folder is None:
            raise SegnodeError('this user has no home to write to: name a file with --out')
        name = f'{self.model.name}_{self.precision}'
        if self.options.rest != 'fp32':
            name += f'_{self.options.rest}'
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

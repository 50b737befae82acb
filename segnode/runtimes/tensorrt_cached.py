# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""From a graph to an engine on this GPU: built once, kept, compared with ONNX Runtime.

A strongly typed TensorRT is given a graph in float16, any other may choose float16 by itself. An
engine that nobody asked for in float16 falls back to float32 where it gives other labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import hashlib
import logging
import platform
from typing import Any

import numpy as np

from segnode.dependencies import installed
from segnode.errors import SegnodeError
from segnode.onnx_edit import operators, precision_of
from segnode.onnx_half import in_half_precision
from segnode.runtimes.base import MIN_AGREEMENT
from segnode.runtimes.cache import kept, recall, remember
from segnode.runtimes.cache_entry import Kept
from segnode.runtimes.cuda_driver import Device
from segnode.runtimes.progress import working
from segnode.runtimes.session import open_session
from segnode.runtimes.tensorrt_build import build_plan, Plan, Profile
from segnode.runtimes.tensorrt_engine import Engine
from segnode.runtimes.tensorrt_versions import BuildOptions, Library, Progress
from segnode.sample_image import sample_image
from segnode.uncertainty import MEASURES

_LOG = logging.getLogger('segnode')

# Part of every engine's key: raise it with any change to how engines are built.
BUILD_VERSION = 1
# Of a class's probability over the passes; a network that samples goes far beyond somewhere.
_SOME_VARIANCE = 1e-6


@dataclass(frozen=True)
class EngineSource:
    """What an engine is made of.

    Args:
        name: of the model.
        content: of its ``.onnx`` file.
        profile: name of its input -> smallest, usual and largest (N, H, W, 3).
        library: that builds.
        trained: False where no label means anything, and none need agree.
        threads: of ONNX Runtime.
        dla_core: None for the GPU.
        workspace: bytes of scratch memory; 0 for TensorRT's default.
    """

    name: str
    content: bytes
    profile: Profile
    library: Library
    trained: bool = True
    threads: int = 1
    dla_core: int | None = None
    workspace: int = 0

    def engine(self, precision: str) -> tuple[Engine, dict[str, Any]]:
        """Return an engine, and what is known of it, its precision for one.

        Args:
            precision: 'fp32', 'fp16', 'int8' or 'auto'.

        Raises:
            SegnodeError: see ``TensorrtRuntime``.
        """
        stated = precision_of(self.content)
        if stated != 'fp32':
            if precision not in ('auto', stated):
                raise SegnodeError(
                    f'the graph of {self.name} is in {stated}, and cannot be built in {precision}')
            return self._made(stated, strict=False)
        if precision == 'int8':
            raise SegnodeError(
                f'the graph of {self.name} is not quantised: python -m training convert '
                '--precision int8 makes one that is'
            )
        if precision != 'auto':
            return self._made(precision, strict=precision == 'fp32')
        if 'Loop' in operators(self.content):
            # Of a network that samples no two runs can be compared, and differences between its
            # passes, which are what is asked for, are small.
            return self._made('fp32', strict=True)
        try:
            return self._made('fp16', strict=True)
        except _Unfaithful as error:
            _LOG.warning('%s; it is built in float32 instead', error)
        except _NoHalf as error:
            _LOG.info('it is built in float32: %s', error)
        return self._made('fp32', strict=True)

    def _made(self, precision: str, strict: bool) -> tuple[Engine, dict[str, Any]]:
        """Return an engine of one precision.

        Args:
            precision: of the engine.
            strict: refuse one that gives other labels than ONNX Runtime; else that is a warning.
        """
        gpu = Device()
        engines: list[Engine] = []
        try:
            made_from = self._made_from(precision, gpu)
            kernels_from = {**made_from, 'driver': gpu.driver_version}
            (_, _, most), = self.profile.values()
            name = f'{self.name}-{most[1]}x{most[2]}-{most[0]}-{precision}'
            kernels = recall(name, '.kernels', kernels_from) if self.library.rtx else b''

            def load(plan: bytes) -> None:
                engines.append(Engine(
                    self.library, plan, Device(), dla_core=self.dla_core, kernels=kernels))
                if engines[-1].kernels is not None and engines[-1].kernels.empty:
                    with working(f'compiling the kernels of {self.name} for {gpu.name}'):
                        _run_once(engines[-1])

            def make() -> tuple[bytes, dict[str, Any]]:
                plan = self._built(precision, gpu)
                load(plan.content)
                return plan.content, self._facts(plan, precision, gpu, engines[-1])

            found: Kept = kept(name, '.engine', made_from, make, load)
            self._judge(found.facts, precision, strict)
            engine = engines[-1]
            if not engine.warm:
                _run_once(engine)
            if engine.kernels is not None:  # they were compiled then
                news = engine.kernels.news()
                if news:
                    remember(name, '.kernels', kernels_from, news)
        except BaseException:
            for engine in engines:
                engine.close()
            raise
        finally:
            gpu.close()
        return engine, {**found.facts, 'precision': precision, 'path': found.path}

    def _built(self, precision: str, gpu: Device) -> Plan:
        content = self.content
        if precision == 'fp16' and self.library.strongly_typed and precision_of(content) == 'fp32':
            try:
                content = in_half_precision(content)
            except SegnodeError as error:
                raise _NoHalf(str(error)) from error
        options = BuildOptions(
            fp16=precision != 'fp32', int8=precision == 'int8', workspace=self.workspace,
            dla_core=self.dla_core, capability=gpu.capability,
        )
        return built_with_timings(
            self.library, gpu, f'{self.name} in {precision}',
            lambda timings, progress: build_plan(
                content, self.profile, tensorrt=self.library.module, options=options,
                timings=timings, progress=progress),
        )

    def _facts(
        self, plan: Plan, precision: str, gpu: Device, engine: Engine
    ) -> dict[str, Any]:
        facts: dict[str, Any] = {
            'builder': plan.builder, 'gpu': gpu.name, 'precision': precision,
            'layers': plan.layers, 'build_seconds': round(plan.seconds, 2),
            'bytes': len(plan.content),
        }
        found = _run_once(engine)
        if 'uncertainty' in found:
            _check_chance(found['uncertainty'], self.library)
        elif installed('onnxruntime'):
            labels = found['labels']
            session = open_session(self.content, threads=self.threads)
            image = sample_image((engine.input_shape[0], engine.input_shape[1]))
            if engine.min_batch == engine.max_batch:
                image = np.repeat(image, engine.max_batch, 0)
            expected = session.run(['labels'], {engine.input: image})[0]
            facts['agreement'] = round(float((labels[: len(expected)] == expected).mean()), 5)
        return facts

    def _judge(self, facts: dict[str, Any], precision: str, strict: bool) -> None:
        agreement = facts.get('agreement')
        if not isinstance(agreement, (int, float)) or agreement >= MIN_AGREEMENT:
            return
        said = (f'the engine of {self.name} in {precision} gives the labels of ONNX Runtime '
                f'for only {agreement:.2%} of the pixels of a test image')
        if strict and self.trained:
            raise _Unfaithful(said)
        _LOG.warning('%s', said)

    def _made_from(self, precision: str, gpu: Device) -> dict[str, str]:
        """Return all that an engine depends on."""
        return {
            'onnx_sha256': hashlib.sha256(self.content).hexdigest(),
            'precision': precision,
            'shapes': str(dict(self.profile)),
            'dla_core': str(self.dla_core),
            'workspace': str(self.workspace),
            **machine(self.library, gpu),
        }


def machine(library: Library, gpu: Device) -> dict[str, str]:
    """Return what an engine is bound to, whatever it was made from."""
    return {
        'library': library.name,
        'gpu': gpu.name,
        'compute_capability': '.'.join(map(str, gpu.capability)),
        'platform': f'{platform.system()} {platform.machine()}',
        'build_version': str(BUILD_VERSION),
    }


def built_with_timings(
    library: Library, gpu: Device, what: str, build: Callable[[bytes, Progress], Plan]
) -> Plan:
    """Build with what earlier builds measured on this GPU, telling how far it is.

    Args:
        library: that builds.
        gpu: that it builds for.
        what: is built, in words.
        build: takes the timings and what is to be told of the progress.
    """
    timings_from = machine(library, gpu)
    what = f'building an engine of {what} with {library.title} for {gpu.name}'
    with working(what) as work:
        def progress(phase: str, share: float) -> None:
            work.detail = f'{100 * share:.0f} %'

        _LOG.info('%s; this may take minutes', what)
        plan = build(recall('timings', '.timings', timings_from), progress)
    if plan.timings:
        remember('timings', '.timings', timings_from, plan.timings)
    _LOG.info('built in %.1f s: %d layers, %.1f MB',
              plan.seconds, plan.layers, len(plan.content) / 1e6)
    return plan


def _run_once(engine: Engine) -> dict[str, np.ndarray]:
    height, width = engine.input_shape[:2]
    return engine.run(np.repeat(sample_image((height, width)), engine.max_batch, 0))


def _check_chance(uncertainty: np.ndarray, library: Library) -> None:
    """Refuse an engine whose passes are all the same, for it would never doubt anything.

    Args:
        uncertainty: float32 (N, 3, h, w), the variance first.
        library: for the sentence.
    """
    if not (uncertainty[:, MEASURES.index('variance')] > _SOME_VARIANCE).any():
        raise SegnodeError(
            f'{library.name} draws the same random numbers in every pass, so it cannot measure '
            'uncertainty: take the onnx or the pytorch runtime'
        )


class _Unfaithful(SegnodeError):
    """An engine gives other labels than it should."""


class _NoHalf(SegnodeError):
    """A graph cannot be turned into float16."""

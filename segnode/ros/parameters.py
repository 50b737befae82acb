# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the segment node: one table that everything else is derived from.

The table itself needs no ROS, so that the launch file, the tables in the README and the tests can
read it anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import math
import re
from typing import Any

from segnode.errors import SegnodeError
from segnode.record import FIT_CHOICES
from segnode.ros.input_choice import TRANSPORTS
from segnode.runtimes import DEVICES, PRECISIONS, RUNTIMES
from segnode.runtimes.base import LABELS_AT
from segnode.uncertainty import DEFAULT_SAMPLES, MAX_SAMPLES, MEASURES, MIN_SAMPLES
from segnode.view import checked_roi, ROTATIONS, WHOLE

Value = Any  # bool | int | float | str | list[int] | list[float] | list[str]
# Images that a runtime can be built for at once (MAX_BATCH of tensorrt and torch2trt).
MOST_CAMERAS = 16
# Of a camera, in characters: a topic with its namespace must not exceed 247 (rcl).
LONGEST_NAME = 64
# Parameters that a camera may have a value of its own for, as CAMERA.NAME.
OF_A_CAMERA = ('roi', 'rotation', 'ego_mask')


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter: its type is that of its default value."""

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False
    of_model: bool = False  # a change is a new model, which is built beside the one that runs
    constraint: str = ''
    check: Callable[[Value], bool] | None = None  # beside what the fields above say

    @property
    def type_name(self) -> str:
        """Return the type as ROS users write it: bool, integer, double, string, ... array."""
        if isinstance(self.default, bool):
            return 'bool'
        if isinstance(self.default, int):
            return 'integer'
        if isinstance(self.default, float):
            return 'double'
        if isinstance(self.default, str):
            return 'string'
        kinds = {int: 'integer array', float: 'double array', str: 'string array'}
        return kinds[type(self.default[0])]

    @property
    def changes(self) -> str:
        """Return when it may be changed, in words."""
        if self.read_only:
            return 'at start only'
        return 'at any time, with a new model' if self.of_model else 'at any time'

    @property
    def allowed(self) -> str:
        """Return what values are allowed, in words; empty when the type says it all."""
        if self.choices:
            return 'one of ' + ', '.join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f'{self.minimum:g} to {self.maximum:g}'
        return self.constraint

    def refusal(self, value: Value) -> str | None:
        """Return one sentence that says why `value` cannot be taken, or None when it can."""
        told = f"parameter '{self.name}' must be {self.allowed}, not {value!r}."
        if self.choices and value not in self.choices:
            return told
        if isinstance(self.default, float) and not math.isfinite(value):
            return told
        if self.minimum is not None and self.maximum is not None:
            if not self.minimum <= value <= self.maximum:
                return told
        if self.check is not None and not self.check(value):
            return told
        return None


def _are_cameras(names: Sequence[str]) -> bool:
    """Tell whether these are names that topics may have, each once; or ['']."""
    tokens = all(re.fullmatch('[A-Za-z][A-Za-z0-9_]*', name) and '__' not in name
                 and len(name) <= LONGEST_NAME and name not in (*BY_NAME, 'segmentation')
                 for name in names)
    return list(names) == [''] or (
        tokens and len(set(names)) == len(names) and 0 < len(names) <= MOST_CAMERAS)


def _is_size(value: Sequence[int]) -> bool:
    return len(value) == 2 and (min(value) > 0 or tuple(value) == (0, 0))


def _is_roi(value: Sequence[float]) -> bool:
    try:
        checked_roi(value)
    except SegnodeError:
        return False
    return True


PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        'cameras', [''],
        "Names of several cameras that share this node's model: the newest images of all go "
        'through the network together, and every topic is there for each, CAMERA/image to '
        'CAMERA/segmentation/labels. Given at start, CAMERA.roi, CAMERA.rotation and '
        "CAMERA.ego_mask hold for one of them in place of the common values. ['']: one camera, "
        'whose topics begin without a name.',
        read_only=True, check=_are_cameras,
        constraint='different names of letters, digits and single underscores, a letter first, '
        f'{LONGEST_NAME} characters at most, none that of a parameter or segmentation; '
        f'{MOST_CAMERAS} cameras at most'),
    ParameterSpec(
        'model', 'fsffnet',
        'Released model by name, the path of a .safetensors or .onnx file, or that of a .yaml '
        'file that describes an ONNX network of your own.',
        of_model=True, constraint='a name or a path', check=lambda value: bool(value.strip())),
    ParameterSpec(
        'runtime', 'auto',
        'What runs the network; auto takes the fastest that this machine can run.',
        choices=tuple(RUNTIMES), of_model=True),
    ParameterSpec(
        'device', 'auto',
        'Where pytorch and onnx run: on the CPU, on a CUDA GPU, or (onnx alone) in TensorRT '
        'inside of ONNX Runtime; auto takes CUDA where it works.',
        choices=DEVICES, of_model=True),
    ParameterSpec(
        'precision', 'auto',
        'What the runtime computes in, where it has a choice: tensorrt fp32, fp16 and int8, '
        'torch2trt fp32 and fp16, pytorch on a GPU fp32, fp16 and bf16, openvino fp32 and bf16; '
        'auto leaves it to the runtime.',
        choices=PRECISIONS, of_model=True),
    ParameterSpec(
        'compile', False,
        'Let pytorch compile the network (torch.compile), which takes up to minutes at every '
        'start.',
        of_model=True),
    ParameterSpec(
        'dla_core', -1,
        "Core of a Jetson's deep learning accelerators that tensorrt builds for; -1 is the GPU.",
        minimum=-1, maximum=7, of_model=True),
    ParameterSpec(
        'workspace', 0,
        'MiB of scratch memory that an operation of tensorrt may take; 0 is all that there is.',
        minimum=0, maximum=100000, of_model=True),
    ParameterSpec(
        'input_size', [0, 0],
        "Network input height and width in pixels; [0, 0] is the model's own.",
        of_model=True, constraint='[height, width] with both above 0, or [0, 0]', check=_is_size),
    ParameterSpec(
        'fit', 'model',
        'How an image of another shape is brought to the network input size; model is as the '
        'model was validated.',
        choices=FIT_CHOICES, of_model=True),
    ParameterSpec(
        'labels_at', 'image',
        "Size of all masks but the overlay: the image's, that of the network's input, or 1/4 or "
        '1/8 of the latter, which is faster and coarser. They show the whole image in any case.',
        choices=tuple(LABELS_AT), of_model=True),
    ParameterSpec(
        'label_grouping', '',
        'Built-in label grouping (driving) or the path of a .yaml file: groups to give in place '
        "of the model's classes, in all masks and in label_info; empty: the classes.",
        of_model=True),
    ParameterSpec(
        'roi', list(WHOLE),
        'Region of the image that the network is to see, in pixels, or as fractions of the image '
        'where height and width are at most 1 (0.0 and 1.0 then, for ROS refuses lists of '
        'integers and doubles); labels are 255 elsewhere.',
        of_model=True, constraint='[top, left, height, width] inside of the image',
        check=_is_roi),
    ParameterSpec(
        'rotation', 0,
        'Degrees clockwise by which the image is turned before the network, and the masks turned '
        'back, for a camera that is mounted turned: 90 where the sky is on the left.',
        of_model=True, constraint='one of ' + ', '.join(map(str, ROTATIONS)),
        check=lambda value: value in ROTATIONS),
    ParameterSpec(
        'ego_mask', '',
        'Path of a picture that is nonzero where the vehicle itself is seen, of any size; labels '
        'are 255 there. Empty: none.',
        of_model=True),
    ParameterSpec(
        'threads', 0,
        'CPU threads of the runtime; 0 leaves the choice to it.',
        minimum=0, maximum=256, of_model=True),
    ParameterSpec(
        'confidence', False,
        'Also compute and publish the confidence image.',
        of_model=True),
    ParameterSpec(
        'min_confidence', 0.0,
        "Softmax of a pixel's label below which it is 255, in all masks; 0 keeps every label. "
        'Above 0 the network computes the confidence, whether or not it is published.',
        minimum=0.0, maximum=1.0),
    ParameterSpec(
        'uncertainty', 'none',
        'Measure of segmentation/uncertainty, from Monte Carlo dropout; only with a network that '
        'offers it, such as bayesian_segnet. Each image then takes as many passes as samples, and '
        'all masks are those of their mean.',
        choices=('none', *MEASURES), of_model=True),
    ParameterSpec(
        'samples', DEFAULT_SAMPLES,
        'Passes of Monte Carlo dropout per image, where uncertainty is not none.',
        minimum=MIN_SAMPLES, maximum=MAX_SAMPLES, of_model=True),
    ParameterSpec(
        'allow_random_weights', False,
        'Run an untrained network when the model has no weights; every diagnostic then warns.',
        of_model=True),
    ParameterSpec(
        'input_transport', 'auto',
        "raw subscribes to 'image'; compressed to 'image/compressed' (JPEG or PNG); auto to what "
        'is published, raw where both are.',
        choices=TRANSPORTS, read_only=True),
    ParameterSpec(
        'image_reliability', 'auto',
        'Reliability asked of the image publishers; auto asks for reliable when all of them '
        'offer it and for best effort otherwise.',
        choices=('auto', 'reliable', 'best_effort'), read_only=True),
    ParameterSpec(
        'lazy', False,
        'Subscribe to images and calibration only while somebody subscribes to what is made of '
        'them: a driver that is lazy too then rests with the node, but no diagnostic tells '
        'meanwhile whether images come.'),
    ParameterSpec(
        'image_bits', 16,
        'Bits in use of 16-bit images: 2^bits is white. 12 for a driver that hands on the 12 bits '
        'of its sensor unshifted.',
        minimum=8, maximum=16),
    ParameterSpec(
        'autostart', True,
        'Configure and activate without being told; false waits for a lifecycle manager.',
        read_only=True),
    ParameterSpec(
        'image_timeout', 5.0,
        'Seconds without an image after which the node warns; 0 never warns.',
        minimum=0.0, maximum=86400.0),
    ParameterSpec(
        'stale_age', 10.0,
        'Seconds since the newest image was taken after which the diagnostics are STALE; 0 never.',
        minimum=0.0, maximum=86400.0),
    ParameterSpec(
        'warn_rate', 0.0, 'Masks per second below which the diagnostics warn; 0 never.',
        minimum=0.0, maximum=1000.0),
    ParameterSpec(
        'error_rate', 0.0, 'Masks per second below which they are an ERROR; 0 never.',
        minimum=0.0, maximum=1000.0),
    ParameterSpec(
        'warn_latency', 0.0,
        "Milliseconds from the image's stamp to its mask, as 95th percentile of 5 s, above which "
        'the diagnostics warn; 0 never. Counted from receipt where stamps are of another clock.',
        minimum=0.0, maximum=60000.0),
    ParameterSpec(
        'error_latency', 0.0, 'Milliseconds above which they are an ERROR; 0 never.',
        minimum=0.0, maximum=60000.0),
    ParameterSpec(
        'warn_drop_share', 1.0,
        'Share of the images replaced by newer ones, undecodable or failed above which the '
        'diagnostics warn; 1 never.',
        minimum=0.0, maximum=1.0),
    ParameterSpec(
        'error_drop_share', 1.0, 'Share above which they are an ERROR; 1 never.',
        minimum=0.0, maximum=1.0),
    ParameterSpec(
        'max_rate', 0.0,
        'Most images segmented per second, in Hz; 0 is no limit.',
        minimum=0.0, maximum=1000.0),
    ParameterSpec(
        'overlay_alpha', 0.5,
        'Weight of the class colours in the overlay; 0 is the image alone, 1 the colours alone.',
        minimum=0.0, maximum=1.0),
    ParameterSpec('publish_labels', True, 'Publish segmentation/labels when subscribed to.'),
    ParameterSpec('publish_color', True, 'Publish segmentation/color when subscribed to.'),
    ParameterSpec('publish_overlay', True, 'Publish segmentation/overlay when subscribed to.'),
    ParameterSpec(
        'publish_compressed', True,
        'Publish segmentation/labels/compressed and segmentation/overlay/compressed when '
        'subscribed to.'),
    ParameterSpec('publish_latency', True, 'Publish segmentation/latency/* when subscribed to.'),
    ParameterSpec(
        'png_level', 1,
        'Effort of the lossless PNG of the labels: 0 is fastest, 9 smallest.',
        minimum=0, maximum=9),
    ParameterSpec(
        'jpeg_quality', 85,
        'Quality of the JPEG of the overlay.',
        minimum=1, maximum=100),
)

BY_NAME: dict[str, ParameterSpec] = {spec.name: spec for spec in PARAMETERS}
# What a model is made of; the least confidence, because it takes a graph that gives one.
MODEL_VALUES: tuple[str, ...] = (
    *(spec.name for spec in PARAMETERS if spec.of_model), 'min_confidence')


def spec_of(name: str) -> ParameterSpec | None:
    """Return what is known of a parameter, be it a camera's own; None of one that is not ours."""
    camera, _, common = name.rpartition('.')
    if not camera:
        return BY_NAME.get(name)
    if common not in OF_A_CAMERA:
        return None
    spec = BY_NAME[common]
    return replace(spec, name=name, description=f'{spec.description} Of the camera {camera}.')


def markdown_table() -> str:
    """Return the table for the README."""
    lines = ['| parameter | type | default | allowed | can change | description |',
             '|---|---|---|---|---|---|']
    for spec in PARAMETERS:
        default = {True: 'true', False: 'false'}.get(spec.default, spec.default) \
            if isinstance(spec.default, bool) else spec.default
        lines.append(
            f'| `{spec.name}` | {spec.type_name} | `{default}` | {spec.allowed} | '
            f'{spec.changes} | {spec.description} |')
    return '\n'.join(lines) + '\n'

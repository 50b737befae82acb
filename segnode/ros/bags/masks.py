# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""From image messages to serialised masks: the work of one worker."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from segnode.errors import SegnodeError
from segnode.fitting import at_size
from segnode.labels import LabelSet
from segnode.pictures import blend
from segnode.ros.bags.cameras import Camera
from segnode.ros.bags.compression import compress
from segnode.ros.bags.engine import Engine, Lent
from segnode.ros.bags.journal import MaskMessage, Part, PartMaker
from segnode.ros.bags.metadata import NewTopic
from segnode.ros.bags.options import BagOptions
from segnode.ros.bags.recording import RawMessage, typestore
from segnode.ros.calibration import CAMERA_INFO_TYPE, fitted
from segnode.ros.frame_sources import COMPRESSED_TYPE, IMAGE_TYPE
from segnode.ros.image_codec import decode_compressed, decode_image, DecodeError, encode_image
from segnode.segmenter import Segmentation

PART_BYTES = 16 << 20  # of masks, not compressed; more of them begin another part
_PNG_EFFORT = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class Picked(NamedTuple):
    """An image message to segment.

    Args:
        number: of the message in its topic, from 0 on.
        message: as recorded.
        calibration: the camera_info of its stamp, else the newest then, where the masks are to
            have one of theirs.
    """

    number: int
    message: RawMessage
    calibration: bytes | None = None


@dataclass(frozen=True)
class Task:
    """Consecutive image messages of one storage file.

    Args:
        file: index of the storage file.
        messages: in their order.
    """

    file: int
    messages: list[Picked]


@dataclass(frozen=True)
class Decoded:
    """An image message that could be decoded."""

    message: RawMessage
    header: Any
    image: np.ndarray  # uint8 (H, W, 3) BGR
    calibration: Any = None  # CameraInfo


class MaskMaker:
    """Makes the masks of tasks; may be used by many threads at once.

    Args:
        cameras: the topics that are segmented.
        options: what was asked for.
        packed: whether each message is compressed by itself, as in rosbag2's mode 'message'.
        stopped: raises when the work is to end.
    """

    def __init__(
        self, cameras: list[Camera], options: BagOptions, packed: bool,
        stopped: Callable[[], None],
    ) -> None:
        self._cameras = {camera.topic: camera for camera in cameras}
        self._options = options
        self._packed = packed
        self._stopped = stopped
        self._store = typestore()

    def run(self, task: Task, engine: Engine) -> list[tuple[Part, bytes]]:
        """Segment the messages of a task; return its parts, each with its compressed body."""
        done: list[tuple[Part, bytes]] = []
        maker = PartMaker(task.file)
        with engine.segmenter() as lent:
            for first in range(0, len(task.messages), engine.batch):
                self._stopped()
                batch = task.messages[first:first + engine.batch]
                self._batch(batch, lent, engine.fixed_batch, maker)
                if maker.size >= PART_BYTES:
                    done.append(maker.finish())
                    maker = PartMaker(task.file)
        if maker.part.frames:
            done.append(maker.finish())
        return done

    def _batch(
        self, batch: list[Picked], lent: Lent, fixed: int | None,
        maker: PartMaker,
    ) -> None:
        """Decode, segment and encode some messages, and add them to a part in their order."""
        segmenter = lent.segmenter
        decoded: list[Decoded | DecodeError] = []
        for number, message, calibration in batch:
            try:
                one = self._decoded(message, calibration)
            except DecodeError as error:
                decoded.append(error)
                continue
            try:  # the image is fine: what was asked for is not
                lent.view(message.topic).region((one.image.shape[0], one.image.shape[1]))
            except SegnodeError as error:
                raise SegnodeError(f'message {number} of {message.topic}: {error}') from error
            decoded.append(one)
        try:
            images = [segmenter.fitted(item.image, lent.view(item.message.topic))
                      for item in decoded if isinstance(item, Decoded)]
            # A runtime that takes a fixed number gets it; what the repeats give is left out.
            filling = [images[-1]] * (fixed - len(images)) if fixed and images else []
            found = iter(segmenter.run([*images, *filling]))
        except SegnodeError:
            raise
        except Exception as error:  # no memory, a driver that is gone, ...
            number, message, _ = batch[0]
            raise SegnodeError(
                f'the {segmenter.runtime.name} runtime failed at message {number} of '
                f'{message.topic}: {" ".join(str(error).split())[:200]}') from error
        for (number, message, _), item in zip(batch, decoded):
            if isinstance(item, Decoded):
                maker.frame(
                    message.time, self._masks(item, next(found), segmenter.label_set))
            else:
                maker.skip(message.topic, number, message.time, str(item))

    def _decoded(self, message: RawMessage, calibration: bytes | None) -> Decoded:
        """Decode a message; whatever is wrong with it is a DecodeError."""
        try:
            fields: Any = self._store.deserialize_cdr(message.data, message.msgtype)
        except Exception as error:  # of struct, of NumPy, of Unicode, ...
            reason = ' '.join(str(error).split())[:200]
            raise DecodeError(f'it is damaged ({type(error).__name__}: {reason})') from error
        decode = decode_image if message.msgtype == IMAGE_TYPE else decode_compressed
        image = decode(fields, self._options.image_bits)
        return Decoded(message, fields.header, image, self._calibration(calibration))

    def _calibration(self, data: bytes | None) -> Any:
        """Return the CameraInfo; None where there is none, or it is damaged."""
        if data is None:
            return None
        try:
            return self._store.deserialize_cdr(data, CAMERA_INFO_TYPE)
        except Exception:  # of struct, of NumPy, of Unicode, ...: the masks are fine without
            return None

    def _masks(
        self, decoded: Decoded, found: Segmentation, label_set: LabelSet
    ) -> list[MaskMessage]:
        """Return the serialised masks of an image."""
        camera = self._cameras[decoded.message.topic]
        masks = camera.masks
        pictures = self._pictures(decoded.image, found, label_set, masks)
        made: list[tuple[NewTopic, bytes]] = []
        for output, topic in masks.items():
            if topic.msgtype == IMAGE_TYPE:
                data = self._image(decoded.header, pictures[output])
            else:
                data = self._png(decoded.header, pictures[output])
            made.append((topic, data))
        if camera.camera_info is not None and decoded.calibration is not None:
            info = fitted(decoded.calibration, pictures['labels'].shape)
            info.header = decoded.header
            data = bytes(self._store.serialize_cdr(info, CAMERA_INFO_TYPE))
            made.append((camera.camera_info, data))
        return [
            MaskMessage(topic.channel, decoded.message.time,
                        compress(data) if self._packed else data)
            for topic, data in made]

    def _pictures(
        self, image: np.ndarray, found: Segmentation, label_set: LabelSet, wanted: Collection[str]
    ) -> dict[str, np.ndarray]:
        """Return what is wanted, by output: uint8 (h, w), or (h, w, 3) RGB."""
        made = {'labels': found.labels_above(self._options.min_confidence)}
        if 'color' in wanted:
            made['color'] = label_set.colorize(made['labels'])
        if 'overlay' in wanted:  # of the image's size, whatever that of the labels is
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            labels = at_size(made['labels'], rgb.shape[:2])
            colors = made.get('color')
            if colors is None or labels is not made['labels']:
                colors = label_set.colorize(labels)
            made['overlay'] = blend(rgb, colors, labels, self._options.alpha)
        if found.confidence is not None:
            made['confidence'] = found.confidence
        if found.uncertainty is not None:
            made['uncertainty'] = found.uncertainty.scaled(self._options.uncertainty)
        return made

    def _image(self, header: Any, picture: np.ndarray) -> bytes:
        """Return a serialised Image: mono8 of (H, W), rgb8 of (H, W, 3)."""
        height, width = picture.shape[:2]
        encoding, pixel = ('mono8', 1) if picture.ndim == 2 else ('rgb8', 3)
        message = self._store.types[IMAGE_TYPE](
            header=header, height=height, width=width, encoding=encoding, is_bigendian=0,
            step=pixel * width, data=np.ascontiguousarray(picture).reshape(-1))
        return bytes(self._store.serialize_cdr(message, IMAGE_TYPE))

    def _png(self, header: Any, labels: np.ndarray) -> bytes:
        """Return a serialised CompressedImage with the labels as a lossless PNG."""
        data = np.frombuffer(encode_image('.png', labels, _PNG_EFFORT), np.uint8)
        message = self._store.types[COMPRESSED_TYPE](
            header=header, format='mono8; png compressed mono8', data=data)
        return bytes(self._store.serialize_cdr(message, COMPRESSED_TYPE))

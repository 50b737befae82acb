# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Messages that no camera should send, in any number, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
import random

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from segnode.ros.image_codec import ENCODINGS

SIDES = (0, 1, 2, 3, 5, 31, 64, 255, 4096, 65535, 2**16, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
TEXTS = ('', 'bgr8', 'BGR8', 'rgb8\n[ERROR] x', '\x1b[2J', 'jpeg', 'bayer_rggb', '32FC1', '64FC4',
         'é' * 300, '8UC1024', 'yuv420', '../../etc/passwd', '%s%n', "';drop", 'mono8 ')
MAGICS = (b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n', b'BM', b'RIFF', b'\x80\x04\x95', b'')


def images(good: Image, count: int, seed: int) -> Iterator[Image]:
    """Give images with fields that contradict each other; a few of them are right by chance.

    Args:
        good: a right one, whose header they take.
        count: how many.
        seed: of their choice.
    """
    rng = random.Random(seed)
    for _ in range(count):
        side = rng.choice((
            lambda: rng.choice(SIDES), lambda: rng.randrange(0, 300),
            lambda: rng.randrange(0, 2**32)))
        height, width = side(), side()
        encoding = rng.choice(ENCODINGS) if rng.random() < 0.7 else rng.choice(TEXTS)
        step = rng.choice((width, 3 * width, width * 3 + 7, rng.randrange(0, 2**32), 0)) % 2**32
        size = rng.choice((0, 1, 100, min(height * step, 20_000), min(height * step, 20_000) + 1,
                           rng.randrange(0, 20_000)))
        yield Image(
            header=Header(stamp=good.header.stamp, frame_id=good.header.frame_id), height=height,
            width=width, encoding=encoding, is_bigendian=rng.randrange(0, 256), step=step,
            data=rng.randbytes(size))


def compressed(good: CompressedImage, count: int, seed: int) -> Iterator[CompressedImage]:
    """Give compressed images cut short, spoilt, or made of noise behind a true beginning."""
    rng = random.Random(seed)
    whole = bytes(good.data)
    for _ in range(count):
        data = bytearray(whole)
        kind = rng.randrange(4)
        if kind == 0:
            data = data[:rng.randrange(len(data))]
        elif kind == 1:
            for _ in range(rng.randrange(1, 30)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        elif kind == 2:
            data = bytearray(rng.choice(MAGICS) + rng.randbytes(rng.randrange(0, 3000)))
        else:  # the sizes in the header
            at = rng.randrange(2, min(200, len(data) - 4))
            data[at:at + 4] = rng.choice((b'\xff' * 4, b'\x7f\xff\xff\xff', b'\0' * 4))
        yield CompressedImage(
            header=Header(stamp=good.header.stamp, frame_id=good.header.frame_id),
            format=rng.choice(TEXTS), data=bytes(data))


def malformed(good: Image, count: int, seed: int) -> Iterator[bytes]:
    """Give serialised images (CDR) that are none: for a publisher's `publish(bytes)`.

    Cut short, lengths of 2^32, other byte orders and encapsulations, texts that are no UTF-8,
    noise. The middleware throws most of them away; what it lets through is an image with any
    values at all.
    """
    rng = random.Random(seed)
    whole = serialize_message(good)
    for _ in range(count):
        data = bytearray(whole)
        kind = rng.randrange(5)
        if kind == 0:
            data = data[:rng.randrange(4, len(data))]
        elif kind == 1:
            for _ in range(rng.randrange(1, 20)):
                data[rng.randrange(0, 80)] = rng.randrange(256)
        elif kind == 2:
            data = bytearray(rng.randbytes(rng.randrange(0, 400)))
        elif kind == 3:
            at = 4 * rng.randrange(1, 20)
            data[at:at + 4] = (2**32 - 1 - rng.randrange(3)).to_bytes(4, 'little')
        else:
            data[0:4] = bytes(rng.randrange(256) for _ in range(4))
        yield bytes(data)

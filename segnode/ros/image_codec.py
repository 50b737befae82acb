# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""
Camera messages to BGR arrays and back, without cv_bridge.

Works on any object with the fields of `sensor_msgs/msg/Image` or `CompressedImage`, so nothing
of ROS is imported. A `bgr8` image is a view of the message's own bytes; everything else costs
one conversion. Whatever a driver sends, the only exception that leaves `decode_image` and
`decode_compressed` is `DecodeError`.

Names of the encodings: sensor_msgs/include/sensor_msgs/image_encodings.hpp; format texts of
compressed images: compressed_image_transport (image_transport_plugins).
"""

import array
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from segnode.errors import SegnodeError
from segnode.picture_size import jpeg_size, MAX_PIXELS, png_size


class DecodeError(SegnodeError):
    """An image message that cannot be decoded; the text says what is wrong with it."""


class _Packed(NamedTuple):
    """An encoding whose pixels lie one after the other in a row."""

    channels: int                # bytes per pixel
    conversion: int | None    # cv2 colour code that leads to BGR; None: it is BGR already
    even_width: bool = False     # two neighbouring pixels share their colour
    least_side: int = 1          # cv2 leaves smaller images black


# OpenCV names a Bayer pattern after the second and third pixel of the second row, ROS after the
# first two pixels of the first two rows: RGGB of a camera is BG of OpenCV.
_PACKED: dict[str, _Packed] = {
    'bgr8': _Packed(3, None),
    '8UC3': _Packed(3, None),
    'rgb8': _Packed(3, cv2.COLOR_RGB2BGR),
    'rgba8': _Packed(4, cv2.COLOR_RGBA2BGR),
    'bgra8': _Packed(4, cv2.COLOR_BGRA2BGR),
    '8UC4': _Packed(4, cv2.COLOR_BGRA2BGR),
    'mono8': _Packed(1, cv2.COLOR_GRAY2BGR),
    '8UC1': _Packed(1, cv2.COLOR_GRAY2BGR),
    'bayer_rggb8': _Packed(1, cv2.COLOR_BayerBG2BGR, least_side=3),
    'bayer_bggr8': _Packed(1, cv2.COLOR_BayerRG2BGR, least_side=3),
    'bayer_gbrg8': _Packed(1, cv2.COLOR_BayerGR2BGR, least_side=3),
    'bayer_grbg8': _Packed(1, cv2.COLOR_BayerGB2BGR, least_side=3),
    'uyvy': _Packed(2, cv2.COLOR_YUV2BGR_UYVY, even_width=True),
    'yuv422': _Packed(2, cv2.COLOR_YUV2BGR_UYVY, even_width=True),       # old name of uyvy
    'yuyv': _Packed(2, cv2.COLOR_YUV2BGR_YUY2, even_width=True),
    'yuv422_yuy2': _Packed(2, cv2.COLOR_YUV2BGR_YUY2, even_width=True),  # old name of yuyv
}
# 16-bit encodings, each with the one of 8 bits that it is decoded as once it is scaled down. The
# scale is fixed (see `decode_image`): a fixed one keeps the same surface at the same grey in every
# frame, which stretching each frame to its own range would not.
_SIXTEEN_BIT: dict[str, str] = {
    'mono16': 'mono8',
    '16UC1': '8UC1',
    'rgb16': 'rgb8',
    'bgr16': 'bgr8',
    '16UC3': '8UC3',
    'rgba16': 'rgba8',
    'bgra16': 'bgra8',
    '16UC4': '8UC4',
    'bayer_rggb16': 'bayer_rggb8',
    'bayer_bggr16': 'bayer_bggr8',
    'bayer_gbrg16': 'bayer_gbrg8',
    'bayer_grbg16': 'bayer_grbg8',
}
_TWO_PLANES = {'nv12': cv2.COLOR_YUV2BGR_NV12, 'nv21': cv2.COLOR_YUV2BGR_NV21}

#: The encodings that `decode_image` decodes itself.
ENCODINGS: tuple[str, ...] = (*_PACKED, *_SIXTEEN_BIT, *_TWO_PLANES)

#: A compressed image that claims more pixels than this is refused before memory is allocated
#: for them (a few kilobytes of PNG can ask for gigabytes).
MAX_COMPRESSED_PIXELS = MAX_PIXELS

#: So is one that claims more pixels than its bytes can hold. JPEG spends at least one bit on a
#: block of 64 pixels; deflate shrinks at most 1032 times, which makes 8256 one-bit pixels of a
#: byte of PNG.
MAX_PIXELS_PER_BYTE = {'JPEG': 1_000, 'PNG': 10_000}

_CHANNELS_OUT = {'mono8': 1, '8UC1': 1, 'rgb8': 3, 'bgr8': 3, '8UC3': 3}


def decode_image(msg: Any, bits: int = 16) -> np.ndarray:
    """
    Return the picture of an Image message.

    Args:
        msg: anything with height, width, encoding, is_bigendian, step and data.
        bits: of a 16-bit encoding, how many are in use, 8 to 16: its values are divided by
            2 ** (bits - 8), and what then exceeds 255 is white. No message says it: some drivers
            shift the 10 or 12 bits of their sensor up to 16, others do not.

    Returns:
        uint8 (height, width, 3), BGR. For bgr8 and 8UC3 a view of `msg.data` (rows keep their
        padding as strides): treat it as read-only and keep it no longer than the message.
        Transparency is dropped.

    Raises:
        DecodeError: for any message that is damaged or in an encoding that is not supported.

    nv12 and nv21: `height` is the number of picture rows and the data hold half as many rows
    of colour after them (step * height * 3 / 2 bytes, as camera drivers send it); where the data
    hold only step * height bytes, `height` counts both planes (as OpenCV does).
    """
    return _guarded(_decode_image, msg, bits)


def decode_compressed(msg: Any, bits: int = 16) -> np.ndarray:
    """
    Return the picture of a CompressedImage message.

    JPEG and PNG are told apart by their bytes; `format` only says whether the channels were
    swapped before compression ('rgb8; jpeg compressed rgb8') and names the image in errors. An
    EXIF orientation is ignored: the mask must fit the pixels as the camera delivers them.

    Args:
        msg: anything with format and data.
        bits: of a 16-bit PNG, as for `decode_image`.

    Returns:
        uint8 (height, width, 3), BGR.

    Raises:
        DecodeError: for data that are damaged, truncated or of another kind.
    """
    return _guarded(_decode_compressed, msg, bits)


def fill_image(msg: Any, array_: np.ndarray, encoding: str) -> Any:
    """
    Put an array into an Image message; the header stays the caller's.

    Args:
        msg: Image message (or anything with its fields), changed in place.
        array_: uint8 (H, W) for mono8 and 8UC1, uint8 (H, W, 3) for rgb8, bgr8 and 8UC3.
        encoding: one of those names.

    Returns:
        The message, with height, width, encoding, is_bigendian, step and data set.

    Raises:
        ValueError: array and encoding do not fit each other.

    The bytes go through `array.array.frombytes`: assigning a NumPy array to `data` copies
    element by element (hundreds of milliseconds for a full-HD image).
    """
    channels = _CHANNELS_OUT.get(encoding)
    shape = array_.shape[:2] + ((3,) if channels == 3 else ())
    if channels is None or array_.dtype != np.uint8 or array_.shape != shape or array_.ndim < 2:
        raise ValueError(f'an array {array_.dtype} {array_.shape} is no {encoding} image')
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(array_).data)
    msg.height, msg.width = array_.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = 0
    msg.step = array_.shape[1] * channels
    msg.data = data
    return msg


def encode_image(extension: str, image: np.ndarray, options: list[int]) -> 'array.array[int]':
    """
    Compress an image, for the `data` of a CompressedImage message.

    Args:
        extension: '.jpg' or '.png'.
        image: uint8 (H, W) or (H, W, 3) BGR.
        options: as cv2.imencode takes them.

    Returns:
        The file's bytes as `array.array`, the one type that a message takes without a look at
        every byte.

    Raises:
        ValueError: OpenCV cannot write such an image.
    """
    done, encoded = cv2.imencode(extension, image, options)
    if not done:
        raise ValueError(f'OpenCV could not write a {extension} image of {image.shape}')
    data = array.array('B')
    data.frombytes(encoded.data)
    return data


def _guarded(decode: Callable[[Any, int], np.ndarray], msg: Any, bits: int) -> np.ndarray:
    """Call the decoder; turn whatever else it raises into a DecodeError."""
    if not 8 <= bits <= 16:
        raise ValueError(f'bits must be 8 to 16, not {bits}')
    try:
        return decode(msg, bits)
    except DecodeError:
        raise
    # Everything that a camera may send wrong is checked below with its own sentence. This is
    # for what no list foresees (odd types, no memory): a frame must never end the node.
    except Exception as error:
        reason = ' '.join(str(error).split())[:200]
        raise DecodeError(
            f'cannot decode the image: {type(error).__name__}: {reason}') from error


def _bytes_of(msg: Any) -> np.ndarray:
    """Return the message's data as uint8 (n,), without a copy."""
    data = msg.data
    if isinstance(data, (list, tuple)):  # what a hand-made message may hold
        data = bytes(data)
    try:
        flat = memoryview(data).cast('B')
    except TypeError:
        raise DecodeError(
            f'the data are a {type(data).__name__}, not contiguous bytes') from None
    if not flat.nbytes:
        raise DecodeError('the image has no data')
    return np.frombuffer(flat, np.uint8)


def _number(msg: Any, name: str) -> int:
    """Return an integer field (also a NumPy integer) as int; it is never negative."""
    value = getattr(msg, name)
    if isinstance(value, (int, np.integer)) and value >= 0:
        return int(value)
    raise DecodeError(f'{name} is {str(value)[:40]!r}, not a number of pixels or bytes')


def _view(data: np.ndarray, offset: int, shape: tuple[int, ...], step: int) -> np.ndarray:
    """Return rows of pixels as a view that leaves the padding out (NumPy checks the bounds)."""
    strides = (step, shape[2], 1) if len(shape) == 3 else (step, 1)
    return np.ndarray(shape, np.uint8, data, offset, strides)  # type: ignore[call-overload]


def _decode_image(msg: Any, bits: int) -> np.ndarray:
    encoding = msg.encoding
    height, width = _number(msg, 'height'), _number(msg, 'width')
    step = _number(msg, 'step')
    if not height or not width:
        raise DecodeError(f'the image has no pixels (height {height}, width {width})')
    if not isinstance(encoding, str) or encoding not in ENCODINGS:
        return _through_cv_bridge(msg, f'encoding {str(encoding)[:40]!r}', 'imgmsg_to_cv2',
                                  ', '.join(ENCODINGS))
    data = _bytes_of(msg)

    if encoding in _TWO_PLANES:
        return _decode_two_planes(data, height, width, step, encoding)

    sixteen = encoding in _SIXTEEN_BIT
    packed = _PACKED[_SIXTEEN_BIT.get(encoding, encoding)]
    bytes_per_pixel = packed.channels * (2 if sixteen else 1)
    _check_step(step, width, bytes_per_pixel, encoding)
    if data.size != step * height:
        raise DecodeError(
            f'the data hold {data.size} bytes, but {height} rows with a step of {step} are '
            f'{step * height}')

    if packed.even_width and width % 2:
        raise DecodeError(f'a {encoding} image needs an even width, this one has {width}')
    if min(height, width) < packed.least_side:
        raise DecodeError(f'a {encoding} image needs at least {packed.least_side} rows and '
                          f'columns, this one has {height} and {width}')
    shape = (height, width) if packed.channels == 1 else (height, width, packed.channels)
    if sixteen:
        values: np.ndarray = np.ndarray(
            (height, width * packed.channels), '>u2' if msg.is_bigendian else '<u2', data, 0,
            (step, 2))
        pixels = _eight_bits(values, bits).reshape(shape)
    else:
        pixels = _view(data, 0, shape, step)
    if packed.conversion is None:
        return pixels
    return cv2.cvtColor(pixels, packed.conversion)


def _eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Return 16-bit values of which `bits` are in use as uint8 of the same shape."""
    shifted = np.right_shift(values, bits - 8)
    if bits < 16:
        np.minimum(shifted, 255, out=shifted)
    return shifted.astype(np.uint8)


def _decode_two_planes(data: np.ndarray, height: int, width: int, step: int,
                       encoding: str) -> np.ndarray:
    """Decode nv12 or nv21: a plane of brightness, then one of colour with half the rows."""
    _check_step(step, width, 1, encoding)
    if 2 * data.size == 3 * step * height:
        picture_rows = height
    elif data.size == step * height and height % 3 == 0:
        picture_rows = height // 3 * 2
    else:
        raise DecodeError(
            f'the data hold {data.size} bytes, but {encoding} with {height} rows and a step of '
            f'{step} needs {step * height * 3 // 2}')
    if width % 2 or picture_rows % 2:
        raise DecodeError(f'a {encoding} image needs an even width and height, this one has '
                          f'{width} and {picture_rows}')
    brightness = _view(data, 0, (picture_rows, width), step)
    color = _view(data, step * picture_rows, (picture_rows // 2, width // 2, 2), step)
    return cv2.cvtColorTwoPlane(brightness, color, _TWO_PLANES[encoding])


def _check_step(step: int, width: int, bytes_per_pixel: int, encoding: str) -> None:
    if step < width * bytes_per_pixel:
        raise DecodeError(f'the step of {step} bytes is too small for {width} pixels of '
                          f'{encoding} ({width * bytes_per_pixel} bytes)')


def _decode_compressed(msg: Any, bits: int) -> np.ndarray:
    described = str(msg.format)[:60]
    data = _bytes_of(msg)
    start = data[:8].tobytes()
    if start.startswith(b'\xff\xd8'):
        kind, size = 'JPEG', jpeg_size(data)
    elif start == b'\x89PNG\r\n\x1a\n':
        kind, size = 'PNG', png_size(data)
    else:
        return _through_cv_bridge(msg, f'compressed image of format {described!r}',
                                  'compressed_imgmsg_to_cv2', 'JPEG, PNG')
    if size is None:
        raise DecodeError(f'the {kind} image is truncated or damaged ({data.size} bytes)')
    height, width = size
    if height * width > min(MAX_COMPRESSED_PIXELS, MAX_PIXELS_PER_BYTE[kind] * data.size):
        raise DecodeError(f'the {kind} image claims {width}x{height} pixels, which is too much '
                          f'for {data.size} bytes')
    flags = (cv2.IMREAD_UNCHANGED if kind == 'PNG'
             else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error:
        image = None
    if image is None or image.size == 0:
        raise DecodeError(f'the {kind} image is damaged ({data.size} bytes)')
    if image.dtype == np.uint16:
        image = _eight_bits(image, bits)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 4:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    if 'compressed rgb' in described:
        return cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return image


def _through_cv_bridge(msg: Any, what: str, method: str, supported: str) -> np.ndarray:
    """Let cv_bridge decode what is not decoded here; it is imported only for that."""
    try:
        from cv_bridge import CvBridge
    except Exception:  # absent, or built for another NumPy, which shows as other errors too
        raise DecodeError(f'{what} is not supported (supported: {supported}; more where '
                          'cv_bridge is installed)') from None
    try:
        image = np.asarray(getattr(CvBridge(), method)(msg, 'bgr8'))
    except Exception as error:
        reason = ' '.join(str(error).split())[:200]
        raise DecodeError(f'{what} is not supported and cv_bridge cannot decode it either: '
                          f'{reason}') from error
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DecodeError(f'{what} is not supported and cv_bridge made no picture of it')
    return image

# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays and back: every encoding, every fault."""

import array
import random
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace
import zlib

import cv2
import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.ros.image_codec import (
    decode_compressed,
    decode_image,
    DecodeError,
    ENCODINGS,
    fill_image,
)

BYTES_PER_PIXEL = {
    'rgb8': 3, 'bgr8': 3, '8UC3': 3, 'rgba8': 4, 'bgra8': 4, '8UC4': 4, 'mono8': 1, '8UC1': 1,
    'mono16': 2, '16UC1': 2, 'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1,
    'bayer_grbg8': 1, 'uyvy': 2, 'yuv422': 2, 'yuyv': 2, 'yuv422_yuy2': 2, 'nv12': 1, 'nv21': 1,
    'rgb16': 6, 'bgr16': 6, '16UC3': 6, 'rgba16': 8, 'bgra16': 8, '16UC4': 8, 'bayer_rggb16': 2,
    'bayer_bggr16': 2, 'bayer_gbrg16': 2, 'bayer_grbg16': 2}
# Of 16 bits, with the encoding of 8 that holds the more significant bytes.
SIXTEEN_BIT = {name: {'mono16': 'mono8', '16UC1': '8UC1', '16UC3': '8UC3', '16UC4': '8UC4'}.get(
    name, name.replace('16', '8')) for name in BYTES_PER_PIXEL if '16' in name}
TWO_PLANES = ('nv12', 'nv21')


def plain_message(encoding, pixels, width, height, *, padding=0, big=0, data_type=bytes):
    """Return an Image-like object from rows of packed bytes (rows, bytes of a row)."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=big, step=padded.shape[1],
        data=data_type(padded.tobytes()))


def noise_message(encoding, height=24, width=32, **options):
    """Return a message full of noise that does not repeat itself."""
    rows = height * 3 // 2 if encoding in TWO_PLANES else height
    noise = np.random.default_rng(7).integers(
        0, 256, (rows, width * BYTES_PER_PIXEL[encoding]), np.uint8)
    return plain_message(encoding, noise, width, height, **options)


def one(encoding, *pixels, **options):
    """Decode one row of pixels, each given as its bytes."""
    row = np.array([[byte for pixel in pixels for byte in pixel]], np.uint8)
    return decode_image(plain_message(encoding, row, len(pixels), 1, **options)).tolist()[0]


def test_the_list_of_encodings_is_the_promised_one():
    assert issubclass(DecodeError, SegnodeError)
    assert sorted(ENCODINGS) == sorted(BYTES_PER_PIXEL)


# ------------------------------------------------------------------ values computed by hand

@pytest.mark.parametrize('encoding, pixel, bgr', [
    ('rgb8', (10, 20, 30), [30, 20, 10]),
    ('bgr8', (10, 20, 30), [10, 20, 30]),
    ('8UC3', (10, 20, 30), [10, 20, 30]),
    ('rgba8', (10, 20, 30, 99), [30, 20, 10]),
    ('bgra8', (10, 20, 30, 99), [10, 20, 30]),
    ('8UC4', (10, 20, 30, 99), [10, 20, 30]),
    ('mono8', (77,), [77, 77, 77]),
    ('8UC1', (77,), [77, 77, 77]),
    ('mono16', (0xFF, 0x4D), [0x4D, 0x4D, 0x4D]),  # 0x4DFF, little endian
    ('16UC1', (0xFF, 0x4D), [0x4D, 0x4D, 0x4D]),
    ('rgb16', (0xFF, 10, 0xFF, 20, 0xFF, 30), [30, 20, 10]),
    ('bgr16', (0xFF, 10, 0xFF, 20, 0xFF, 30), [10, 20, 30]),
    ('16UC3', (0xFF, 10, 0xFF, 20, 0xFF, 30), [10, 20, 30]),
    ('rgba16', (0xFF, 10, 0xFF, 20, 0xFF, 30, 0xFF, 99), [30, 20, 10]),
    ('bgra16', (0xFF, 10, 0xFF, 20, 0xFF, 30, 0xFF, 99), [10, 20, 30]),
    ('16UC4', (0xFF, 10, 0xFF, 20, 0xFF, 30, 0xFF, 99), [10, 20, 30]),
])
def test_a_pixel_of_each_packed_encoding(encoding, pixel, bgr):
    assert one(encoding, pixel, pixel) == [bgr, bgr]


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
def test_both_byte_orders(encoding):
    assert one(encoding, (0x12, 0x34), (0x00, 0xFF)) == [[0x34] * 3, [0xFF] * 3]
    assert one(encoding, (0x12, 0x34), (0x00, 0xFF), big=1) == [[0x12] * 3, [0x00] * 3]
    assert one('mono8', (0x12,), (0x34,), big=1) == [[0x12] * 3, [0x34] * 3]  # has no order


@pytest.mark.parametrize('bits, value, grey', [
    (16, 0x4DFF, 0x4D), (16, 0xFFFF, 255), (12, 0x0ABC, 0xAB), (12, 0x0FFF, 255),
    (12, 0x1000, 255), (12, 0xFFFF, 255), (10, 0x03FC, 255), (10, 0x0200, 128), (8, 77, 77),
    (8, 300, 255)])
def test_bits_in_use_of_sixteen(bits, value, grey):
    for order, big in (('little', 0), ('big', 1)):
        row = np.array([list(value.to_bytes(2, order))], np.uint8)
        message = plain_message('mono16', row, 1, 1, big=big)
        assert decode_image(message, bits).tolist() == [[[grey] * 3]]
    deep = np.full((3, 4), value, np.uint16)
    message = compressed(deep, '.png', 'mono16; png compressed ')
    assert (decode_compressed(message, bits) == grey).all()


@pytest.mark.parametrize('bits', [7, 17, 0, -1])
def test_impossible_bits(bits):
    with pytest.raises(ValueError, match='8 to 16'):
        decode_image(noise_message('mono16'), bits)


@pytest.mark.parametrize('encoding', SIXTEEN_BIT)
@pytest.mark.parametrize('big', [0, 1])
@pytest.mark.parametrize('padding', [0, 3])
def test_sixteen_bits_are_the_picture_of_their_eight(encoding, big, padding):
    channels = BYTES_PER_PIXEL[encoding] // 2
    values = np.random.default_rng(3).integers(0, 1 << 12, (24, 32 * channels), np.uint16)
    deep = values.astype('>u2' if big else '<u2').view(np.uint8)
    eight = plain_message(SIXTEEN_BIT[encoding], (values >> 4).astype(np.uint8), 32, 24)
    message = plain_message(encoding, deep, 32, 24, big=big, padding=padding)
    assert (decode_image(message, 12) == decode_image(eight)).all()


# BT.601 with 16..235: Y 81, U 90, V 240 is pure red; Y 145, U 54, V 34 pure green.
@pytest.mark.parametrize('encoding, red, green', [
    ('uyvy', (90, 81, 240, 81), (54, 145, 34, 145)),
    ('yuv422', (90, 81, 240, 81), (54, 145, 34, 145)),
    ('yuyv', (81, 90, 81, 240), (145, 54, 145, 34)),
    ('yuv422_yuy2', (81, 90, 81, 240), (145, 54, 145, 34)),
])
def test_packed_yuv_colours(encoding, red, green):
    row = np.array([red + green], np.uint8)
    image = decode_image(plain_message(encoding, row, 4, 1)).astype(int)
    assert np.abs(image[0, :2] - [0, 0, 255]).max() <= 2
    assert np.abs(image[0, 2:] - [0, 255, 0]).max() <= 2


@pytest.mark.parametrize('encoding, chroma', [('nv12', (90, 240)), ('nv21', (240, 90))])
@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('height_counts_both_planes', [False, True])
def test_two_plane_yuv_colours(encoding, chroma, padding, height_counts_both_planes):
    # Rows 0-1 red, rows 2-3 green: a wrong chroma offset would mix the two.
    green = (54, 34) if encoding == 'nv12' else (34, 54)
    rows = np.array([[81] * 4, [81] * 4, [145] * 4, [145] * 4,
                     chroma * 2, green * 2], np.uint8)
    message = plain_message(encoding, rows, 4, 6 if height_counts_both_planes else 4,
                            padding=padding)
    image = decode_image(message).astype(int)
    assert image.shape == (4, 4, 3)
    assert np.abs(image[:2] - [0, 0, 255]).max() <= 2
    assert np.abs(image[2:] - [0, 255, 0]).max() <= 2


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_of_a_plain_colour(pattern):
    level = {'r': 200, 'g': 120, 'b': 40}
    cell = np.array([[level[pattern[0]], level[pattern[1]]],
                     [level[pattern[2]], level[pattern[3]]]], np.uint8)
    image = decode_image(plain_message(f'bayer_{pattern}8', np.tile(cell, (4, 5)), 10, 8))
    assert (image == [40, 120, 200]).all()


# ------------------------------------------------------------------ against rosbags-image

@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('big', [0, 1])
def test_same_as_rosbags_image(encoding, big):
    rosbags_image = pytest.importorskip('rosbags.image')
    message = noise_message(encoding, height=24, width=32, big=big)
    if encoding in TWO_PLANES:
        message.height = 36  # rosbags-image counts the rows of both planes
    if encoding not in SIXTEEN_BIT:
        message.is_bigendian = 0  # rosbags-image has a code path only for 16 bits
    image = decode_image(message)
    if encoding.startswith(('8UC', '16UC')):  # there it returns the array as it is
        theirs = rosbags_image.message_to_cvimage(message)
        if encoding.startswith('16'):
            theirs = (theirs >> 8).astype(np.uint8)
        expected = np.stack([theirs] * 3, -1) if theirs.ndim == 2 else theirs[..., :3]
    else:
        expected = rosbags_image.message_to_cvimage(message, 'bgr8')
    assert image.dtype == np.uint8 and image.shape == expected.shape == (24, 32, 3)
    # rosbags-image scales by 255/65535, after it has interpolated Bayer; here it is 1/256, before.
    tolerance = 2 if 'bayer' in encoding and '16' in encoding else int(encoding.endswith('16'))
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize('suffix, options', [('.jpg', [cv2.IMWRITE_JPEG_QUALITY, 90]),
                                             ('.png', [])])
def test_compressed_same_as_rosbags_image(suffix, options):
    rosbags_image = pytest.importorskip('rosbags.image')
    picture = decode_image(noise_message('bgr8'))
    message = compressed(picture, suffix, f'rgb8; {suffix[1:]} compressed bgr8', options)
    assert (decode_compressed(message)
            == rosbags_image.message_to_cvimage(message, 'bgr8')).all()


# ------------------------------------------------------------------ rows, views, data types

@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('padding', [1, 2, 5, 64])
def test_padded_rows(encoding, padding):
    tight = decode_image(noise_message(encoding))
    padded = decode_image(noise_message(encoding, padding=padding))
    assert padded.shape == tight.shape and (padded == tight).all()


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('data_type', [
    bytes, bytearray, memoryview, list, tuple, lambda raw: array.array('B', raw),
    lambda raw: np.frombuffer(raw, np.uint8)])
def test_any_kind_of_data(encoding, data_type):
    assert (decode_image(noise_message(encoding, data_type=data_type))
            == decode_image(noise_message(encoding))).all()


@pytest.mark.parametrize('encoding', ['bgr8', '8UC3'])
@pytest.mark.parametrize('padding', [0, 7])
def test_bgr_is_a_view(encoding, padding):
    message = noise_message(encoding, padding=padding, data_type=lambda raw: array.array('B', raw))
    image = decode_image(message)
    assert np.shares_memory(image, np.frombuffer(message.data, np.uint8))
    message.data[message.step * 3 + 4 * 3 + 1] ^= 0xFF
    before = noise_message(encoding, padding=padding).data[message.step * 3 + 4 * 3 + 1]
    assert image[3, 4, 1] == before ^ 0xFF


def test_a_view_costs_no_copy():
    message = plain_message('bgr8', np.zeros((1024, 2048 * 3), np.uint8), 2048, 1024)
    decode_image(message)
    took = []
    for _ in range(20):
        start = time.perf_counter()
        decode_image(message)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.5e-3  # copying 6.3 MB takes longer than that; the view some 10 us


# ------------------------------------------------------------------ faults

def fault(match, **changes):
    """Expect one sentence about a bgr8 message with some of its fields changed."""
    message = noise_message(changes.get('encoding', 'bgr8'))
    vars(message).update(changes)
    with pytest.raises(DecodeError, match=match) as caught:
        decode_image(message)
    assert '\n' not in str(caught.value)


def test_faults():
    fault('hold 10 bytes', data=b'0123456789')
    fault('no data', data=b'')
    fault('no data', data=array.array('B'))
    fault('no pixels', height=0)
    fault('no pixels', width=0)
    fault('step of 95 bytes is too small for 32 pixels of bgr8', step=95)
    fault('step of 0 bytes is too small', step=0)
    fault('2304 bytes, but 24 rows with a step of 97', step=97)
    fault('even width', encoding='uyvy', width=31)
    fault('even width', encoding='yuv422_yuy2', width=31)
    fault('even width', encoding='nv12', width=31)
    fault("height is '-1'", height=-1)
    fault("width is 'wide'", width='wide')
    fault("step is 'None'", step=None)
    fault('a float, not contiguous bytes', data=1.5)
    fault('a NoneType, not contiguous bytes', data=None)
    fault('a int, not contiguous bytes', data=10 ** 15)


def test_odd_height_of_two_planes():
    message = noise_message('nv12', height=24)
    message.height, message.data = 3, message.data[:32 * 9 // 2]
    with pytest.raises(DecodeError, match='even width and height'):
        decode_image(message)


@pytest.mark.parametrize('shape', [(2, 8), (8, 2), (1, 1)])
def test_bayer_needs_its_neighbours(shape):
    height, width = shape
    message = plain_message('bayer_grbg8', np.ones(shape, np.uint8), width, height)
    with pytest.raises(DecodeError, match='at least 3 rows and columns'):
        decode_image(message)


@pytest.mark.parametrize('field, value', [
    ('height', 2 ** 32 - 1), ('width', 2 ** 32 - 1), ('step', 2 ** 32 - 1), ('height', 2 ** 70)])
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_absurd_sizes(field, value, encoding):
    fault('bytes', encoding=encoding, **{field: value})


def test_all_sizes_absurd_at_once():
    # 2^16 * 2^16 wraps to 0 in 32 bits
    fault('bytes', height=2 ** 16, width=2 ** 14, step=2 ** 16)
    fault('bytes', height=2 ** 32 - 1, width=2 ** 32 - 1, step=2 ** 32 - 1)


@pytest.mark.parametrize('encoding', ['', 'BGR8', 'yuv444', '32FC1', 'nv24', 'mono32', 'é'])
def test_unknown_encoding_names_itself_and_the_supported_ones(encoding):
    try:
        import cv_bridge  # noqa: F401
        pytest.skip('cv_bridge is installed and decodes some of these')
    except ImportError:
        pass
    with pytest.raises(DecodeError) as caught:
        decode_image(SimpleNamespace(**dict(vars(noise_message('bgr8')), encoding=encoding)))
    assert repr(encoding) in str(caught.value)
    assert all(name in str(caught.value) for name in ENCODINGS)


def test_missing_fields():
    for name in vars(noise_message('bgr8')):
        message = noise_message('mono16')
        delattr(message, name)
        with pytest.raises(DecodeError, match=name):
            decode_image(message)
    with pytest.raises(DecodeError):
        decode_image(None)
    with pytest.raises(DecodeError):
        decode_compressed(None)


def test_cv_bridge_is_decoded_with_where_it_is_installed():
    pytest.importorskip('cv_bridge')
    depth = np.arange(24 * 32, dtype=np.float32).reshape(24, 32) % 255
    image = decode_image(plain_message('32FC1', depth, 32, 24))
    assert image.dtype == np.uint8 and image.shape == (24, 32, 3)


def test_a_broken_cv_bridge_is_as_good_as_none(tmp_path):
    # cv_bridge built for NumPy 1 raises all sorts of errors when NumPy 2 is there.
    (tmp_path / 'cv_bridge.py').write_text('raise AttributeError("_ARRAY_API not found")')
    program = textwrap.dedent("""
        import sys
        from types import SimpleNamespace
        from segnode.ros.image_codec import decode_image, DecodeError
        good = SimpleNamespace(height=1, width=1, step=3, encoding='bgr8', is_bigendian=0,
                               data=b'abc')
        decode_image(good)
        assert 'cv_bridge' not in sys.modules and 'rclpy' not in sys.modules
        good.encoding = '32FC1'
        try:
            decode_image(good)
        except DecodeError as error:
            print(error)
    """)
    result = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path.insert(0, {str(tmp_path)!r})\n{program}'],
        capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "encoding '32FC1' is not supported" in result.stdout


# ------------------------------------------------------------------ compressed

def compressed(picture, suffix, text, options=()):
    done, data = cv2.imencode(suffix, picture, list(options))
    assert done
    return SimpleNamespace(format=text, data=array.array('B', data.tobytes()))


@pytest.fixture(scope='module')
def picture():
    """A smooth image in colour: JPEG changes it little."""
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], -1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize('text', [
    'rgb8; jpeg compressed bgr8', 'bgr8; jpeg compressed bgr8', 'jpeg', 'jpg', '', 'png'])
def test_jpeg_formats(picture, text):
    image = decode_compressed(compressed(picture, '.jpg', text, [cv2.IMWRITE_JPEG_QUALITY, 95]))
    assert image.shape == picture.shape and image.dtype == np.uint8
    assert np.abs(image.astype(int) - picture).mean() < 4


@pytest.mark.parametrize('text', ['bgr8; png compressed bgr8', 'rgb8; png compressed bgr8', 'png'])
def test_png_formats(picture, text):
    assert (decode_compressed(compressed(picture, '.png', text)) == picture).all()


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_channels_swapped_before_compression(picture, suffix):
    straight = decode_compressed(compressed(picture, suffix, 'rgb8; x compressed bgr8'))
    swapped = decode_compressed(compressed(picture, suffix, 'rgb8; x compressed rgb8'))
    assert (swapped == straight[..., ::-1]).all()


def test_grey_and_deep_and_transparent_png(picture):
    grey = picture[..., 0]
    expected = np.stack([grey] * 3, -1)
    assert (decode_compressed(compressed(grey, '.png', 'mono8; png compressed '))
            == expected).all()
    deep = grey.astype(np.uint16) * 256 + 255
    assert (decode_compressed(compressed(deep, '.png', 'mono16; png compressed '))
            == expected).all()
    deep_color = picture.astype(np.uint16) * 256 + 255
    assert (decode_compressed(compressed(deep_color, '.png', 'bgr16; png compressed bgr16'))
            == picture).all()
    transparent = np.dstack([picture, grey])
    assert (decode_compressed(compressed(transparent, '.png', 'png')) == picture).all()


def test_grey_jpeg(picture):
    grey = picture[..., 1]
    image = decode_compressed(compressed(grey, '.jpg', 'mono8; jpeg compressed mono8'))
    assert image.shape == picture.shape
    assert np.abs(image[..., 0].astype(int) - grey).mean() < 3
    assert (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()


def test_exif_orientation_is_ignored(picture):
    data = compressed(picture, '.jpg', 'jpeg').data.tobytes()
    exif = (b'Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01'
            b'\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00')  # 6: turn right
    turned = data[:2] + b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif + data[2:]
    naive = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert naive is not None and naive.shape == (64, 48, 3)
    image = decode_compressed(SimpleNamespace(format='jpeg', data=turned))
    assert image.shape == (48, 64, 3)


def test_padding_after_the_end_is_allowed(picture):
    for suffix in ('.jpg', '.png'):
        message = compressed(picture, suffix, 'jpeg')
        message.data.frombytes(b'\0' * 64)
        assert decode_compressed(message).shape == picture.shape


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_truncated_at_every_byte(picture, suffix):
    whole = compressed(picture, suffix, 'x').data.tobytes()
    end = len(whole) if suffix == '.jpg' else len(whole) - 4  # the last 4 are IEND's check sum
    for length in range(0, end, 1 if end < 3000 else 7):
        with pytest.raises(DecodeError) as caught:
            decode_compressed(SimpleNamespace(format='x', data=whole[:length]))
        assert '\n' not in str(caught.value)


def test_truncated_jpeg_with_a_thumbnail_is_still_truncated(picture):
    thumbnail = compressed(picture[::4, ::4], '.jpg', '').data.tobytes()
    data = compressed(picture, '.jpg', '').data.tobytes()
    comment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    whole = data[:2] + comment + data[2:]
    assert decode_compressed(SimpleNamespace(format='jpeg', data=whole)).shape == picture.shape
    with pytest.raises(DecodeError, match='JPEG image is truncated'):
        decode_compressed(SimpleNamespace(format='jpeg', data=whole[:-40]))


@pytest.mark.parametrize('data', [b'', b'\xff\xd8', b'\xff\xd8\xff\xd9', b'hello world' * 9,
                                  b'\x89PNG\r\n\x1a\n' + b'\0' * 100, 3, None, 'text'])
def test_not_an_image(data):
    with pytest.raises(DecodeError):
        decode_compressed(SimpleNamespace(format='jpeg', data=data))


def test_absurd_compressed_sizes(picture):
    png = bytearray(compressed(picture, '.png', 'png').data)
    png[16:24] = (100_000).to_bytes(4, 'big') * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, 'big')
    with pytest.raises(DecodeError, match='claims 100000x100000 pixels'):
        decode_compressed(SimpleNamespace(format='png', data=png))
    jpeg = bytearray(compressed(picture, '.jpg', 'jpeg').data)
    frame = jpeg.index(b'\xff\xc0')
    jpeg[frame + 5:frame + 9] = b'\xff\xff\xff\xff'
    with pytest.raises(DecodeError, match='claims 65535x65535 pixels'):
        decode_compressed(SimpleNamespace(format='jpeg', data=jpeg))


def test_other_compression_names_itself(picture):
    try:
        import cv_bridge  # noqa: F401
        pytest.skip('cv_bridge is installed and may decode it')
    except ImportError:
        pass
    depth = SimpleNamespace(format='16UC1; compressedDepth png', data=b'\0' * 12 + b'\x89PNG')
    with pytest.raises(DecodeError, match="'16UC1; compressedDepth png' is not supported"):
        decode_compressed(depth)


# ------------------------------------------------------------------ fuzz

def junk(generator, good):
    """Return something for a field: mostly near the good value, sometimes nonsense."""
    choice = generator.random()
    if choice < 0.4:
        return good
    if choice < 0.7 and isinstance(good, int):
        return max(0, good + generator.randint(-2, 2))
    return generator.choice([
        0, 1, 2, 3, 5, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 63, -1, None, '', 'x', 1.5, b'', [],
        {}, float('nan'), np.uint32(7), np.zeros(3), True, object()])


def test_fuzz_raw_messages():
    generator = random.Random(11)
    decoded = 0
    for _ in range(6000):
        encoding = generator.choice(ENCODINGS)
        message = noise_message(encoding, height=2 * generator.randint(1, 5),
                                width=2 * generator.randint(1, 5),
                                padding=generator.choice([0, 0, 3]))
        for name in ('height', 'width', 'step', 'encoding', 'is_bigendian'):
            if generator.random() < 0.3:
                setattr(message, name, junk(generator, getattr(message, name)))
        if generator.random() < 0.3:
            message.data = generator.choice([
                message.data[:generator.randint(0, len(message.data))], message.data + b'x',
                list(message.data), [300], ['a'], None, 'text', 9, object(),
                np.arange(20.0), np.arange(64, dtype=np.uint8)[::2], array.array('H', [1, 2, 3])])
        try:
            image = decode_image(message)
        except DecodeError as error:
            assert str(error) and '\n' not in str(error)
        else:
            decoded += 1
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            assert image.shape[1] == message.width
            int(image.sum())  # every byte is readable
    assert decoded > 500


def test_fuzz_compressed_messages(picture):
    generator = random.Random(12)
    sources = [compressed(picture, suffix, '').data.tobytes() for suffix in ('.jpg', '.png')]
    sources.append(compressed(picture[..., 0], '.jpg', '', [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
                   .data.tobytes())
    for _ in range(1500):
        data = bytearray(generator.choice(sources))
        for _ in range(generator.randint(0, 8)):
            data[generator.randrange(len(data)) if generator.random() < 0.6
                 else generator.randrange(min(200, len(data)))] = generator.randrange(256)
        if generator.random() < 0.2:
            del data[generator.randrange(len(data)):]
        text = generator.choice(['jpeg', 'png', '', None, 7, 'rgb8; jpeg compressed rgb8', '\0\n'])
        try:
            image = decode_compressed(SimpleNamespace(format=text, data=bytes(data)))
        except DecodeError as error:
            assert str(error) and '\n' not in str(error)
        else:
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


# ------------------------------------------------------------------ arrays to messages

@pytest.mark.parametrize('encoding', ['mono8', '8UC1', 'rgb8', 'bgr8', '8UC3'])
def test_fill_image_and_back(encoding, picture):
    source = picture if encoding in ('rgb8', 'bgr8', '8UC3') else picture[..., 0]
    message = fill_image(SimpleNamespace(header='mine'), source, encoding)
    assert message.header == 'mine' and message.encoding == encoding
    assert (message.height, message.width, message.is_bigendian) == (48, 64, 0)
    assert message.step == 64 * (3 if source.ndim == 3 else 1)
    assert isinstance(message.data, array.array) and message.data.typecode == 'B'
    assert message.data.tobytes() == np.ascontiguousarray(source).tobytes()
    back = decode_image(message)
    expected = {'rgb8': picture[..., ::-1]}.get(encoding, picture)
    if source.ndim == 2:
        expected = np.stack([source] * 3, -1)
    assert (back == expected).all()


@pytest.mark.parametrize('view', [
    lambda a: a[::2, ::3], lambda a: a[:, ::-1], lambda a: np.asfortranarray(a),
    lambda a: a[..., ::-1]])
def test_fill_image_takes_any_layout(view, picture):
    array_ = view(picture)
    message = fill_image(SimpleNamespace(), array_, 'bgr8')
    assert (decode_image(message) == array_).all()


@pytest.mark.parametrize('bad, encoding', [
    (np.zeros((4, 4), np.uint8), 'rgb8'), (np.zeros((4, 4, 3), np.uint8), 'mono8'),
    (np.zeros((4, 4, 4), np.uint8), 'rgb8'), (np.zeros((4, 4), np.uint16), 'mono8'),
    (np.zeros(4, np.uint8), 'mono8'), (np.zeros((4, 4), np.uint8), 'mono16')])
def test_fill_image_refuses_what_does_not_fit(bad, encoding):
    with pytest.raises(ValueError, match=encoding):
        fill_image(SimpleNamespace(), bad, encoding)


def test_fill_image_does_not_keep_the_array(picture):
    source = picture.copy()
    message = fill_image(SimpleNamespace(), source, 'bgr8')
    source[:] = 0
    assert (decode_image(message) == picture).all()


# ------------------------------------------------------------------ real messages

@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('padding', [0, 5])
def test_real_messages(encoding, padding):
    messages = pytest.importorskip('sensor_msgs.msg')
    plain = noise_message(encoding, padding=padding, big=1)
    message = messages.Image(
        height=plain.height, width=plain.width, encoding=plain.encoding, step=plain.step,
        is_bigendian=1, data=array.array('B', plain.data))
    assert (decode_image(message) == decode_image(plain)).all()
    if encoding == 'bgr8':
        assert np.shares_memory(decode_image(message), np.frombuffer(message.data, np.uint8))


def test_real_messages_filled(picture):
    messages = pytest.importorskip('sensor_msgs.msg')
    message = messages.Image()
    message.header.frame_id = 'camera'
    message.header.stamp.sec = 5
    fill_image(message, picture, 'rgb8')
    assert message.header.frame_id == 'camera' and message.header.stamp.sec == 5
    assert message.step == 192 and message.data.tobytes() == picture.tobytes()
    assert (decode_image(message) == picture[..., ::-1]).all()


def test_real_compressed_message(picture):
    messages = pytest.importorskip('sensor_msgs.msg')
    plain = compressed(picture, '.png', 'rgb8; png compressed bgr8')
    message = messages.CompressedImage(format=plain.format, data=plain.data)
    assert (decode_compressed(message) == picture).all()
    with pytest.raises(DecodeError, match='no data'):
        decode_compressed(messages.CompressedImage())
    with pytest.raises(DecodeError, match='no pixels'):
        decode_image(messages.Image())


def test_serialized_and_read_back(picture):
    pytest.importorskip('rclpy')
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import Image
    message = fill_image(Image(), picture, 'bgr8')
    again = deserialize_message(serialize_message(message), Image)
    image = decode_image(again)
    assert (image == picture).all()
    assert np.shares_memory(image, np.frombuffer(again.data, np.uint8))

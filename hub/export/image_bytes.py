"""Encoded pictures to pixels, by one TensorFlow graph for training, prediction and serving alike.

Reads JPEG (gray, RGB, CMYK, progressive; turned upright by its EXIF orientation), PNG (every colour type and bit depth,
transparency laid on white) and uncompressed BMP. TensorFlow's default JPEG transform is fast and up to 5 grey levels
off; the accurate one asked for here gives what libjpeg gives elsewhere.
"""

import os
import pathlib

import numpy as np
import tensorflow as tf

MAX_PIXELS = 100_000_000  # a larger picture is refused before it is decoded
_REFUSED = {  # (where, signature) of formats worth naming in a refusal
    (0, b"GIF8"): "GIF",
    (8, b"WEBP"): "WebP",
    (0, b"II*\0"): "TIFF",
    (0, b"MM\0*"): "TIFF",
    (4, b"ftyphei"): "HEIC",
    (4, b"ftypmif1"): "HEIC",
    (4, b"ftypavif"): "AVIF",
    (0, b"\0\0\0\x0cJXL "): "JPEG XL",
    (0, b"\xff\x0a"): "JPEG XL",
    (0, b"%PDF"): "PDF",
}


def resize(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """`[H, W, C]` or `[N, H, W, C]` in 0..255 to float32 of `height` x `width`: bilinear, antialiased when it shrinks.

    The result keeps to whole grey levels, so that a crop stored as uint8 and one computed while serving are equal.
    """
    return tf.round(tf.image.resize(image, (height, width), antialias=True))


def decode_batch(strings: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """`[N]` encoded pictures to float32 `[N, height, width, 3]`, RGB in 0..255. Errors as `decode`."""
    spec = tf.TensorSpec((height, width, 3), tf.float32)
    return tf.map_fn(lambda data: resize(decode(data), height, width), strings, fn_output_signature=spec)


def decode(data: tf.Tensor) -> tf.Tensor:
    """One encoded picture, a string scalar, to float32 `[H, W, 3]`, RGB in 0..255.

    Graph operations only, for `tf.data` and for a signature of a SavedModel.

    Raises:
        tf.errors.InvalidArgumentError: no JPEG, PNG or BMP, damaged, cut short, or over `MAX_PIXELS`.
    """
    head = _bytes(data, 0, 34)
    kinds = tf.stack([_starts(head, b"\xff\xd8\xff"), _starts(head, b"\x89PNG\r\n\x1a\n"), _starts(head, b"BM")])
    known = _require(tf.reduce_any(kinds), "The picture is neither a JPEG nor a PNG nor a BMP file.")
    with tf.control_dependencies(known):
        which = tf.argmax(kinds, output_type=tf.int32)
    image = tf.switch_case(which, [lambda: _jpeg(data), lambda: _png(data, head), lambda: _bmp(data, head)])
    return tf.ensure_shape(image, (None, None, 3))


def read_image(source: str | os.PathLike | bytes) -> np.ndarray:
    """The picture at a path, or in bytes, as `decode` gives it.

    Raises:
        ValueError: one sentence that says what is wrong with the file and what would do.
    """
    name = "The picture" if isinstance(source, bytes) else os.fspath(source)
    data = source if isinstance(source, bytes) else _file(pathlib.Path(source))
    if not data:
        raise ValueError(f"{name} is empty (0 bytes); a JPEG, PNG or BMP file is needed.")
    if not data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")):
        raise ValueError(f"{name} is {_guess(data)}; a JPEG, PNG or BMP file is needed.")
    try:
        return decode(tf.constant(data)).numpy()
    except tf.errors.InvalidArgumentError as error:
        if "megapixels" in error.message:
            limit = MAX_PIXELS // 1_000_000
            raise ValueError(f"{name} has more than {limit} megapixels; make the picture smaller.") from error
        raise ValueError(
            f"{name} is damaged, cut short or of a rare kind ({len(data):,} bytes received); save the picture again."
        ) from error


def _file(path: pathlib.Path) -> bytes:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a picture in it.")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist; name a JPEG, PNG or BMP file.") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error


def _guess(data: bytes) -> str:
    for (start, signature), name in _REFUSED.items():
        if data[start:].startswith(signature):
            return f"a {name} file"
    text = not data[:256].translate(None, bytes(range(32, 127)) + b"\t\r\n")
    return "a text file" if text else "not a picture this hub can read"


def _jpeg(data: tf.Tensor) -> tf.Tensor:
    shape = tf.image.extract_jpeg_shape(data)
    with tf.control_dependencies(_affordable(shape[0], shape[1])):
        image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.cast(_upright(image, _orientation(data)), tf.float32)


def _png(data: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    depth, colour = head[24], head[25]  # of the IHDR chunk
    with tf.control_dependencies(_affordable(_number(head[20:24], True), _number(head[16:20], True))):
        data = tf.identity(data)

    def deep() -> tf.Tensor:
        return tf.cast(tf.io.decode_png(data, channels=4, dtype=tf.uint16), tf.float32) / 257

    def palette() -> tf.Tensor:
        pixels = tf.cast(tf.io.decode_png(data), tf.float32)  # 4 channels where the palette has transparency, else 3
        return tf.concat([pixels, tf.fill(tf.shape(pixels[..., :1]), 255.0)], axis=-1)[..., :4]

    def shallow() -> tf.Tensor:
        pixels = tf.cast(tf.io.decode_png(data, channels=4), tf.float32)
        # At 1, 2 and 4 bits the decoder writes an opaque alpha as the largest number of so many bits.
        alpha = tf.where((depth < 8) & (pixels[..., 3:] > 0), 255.0, pixels[..., 3:])
        return tf.concat([pixels[..., :3], alpha], axis=-1)

    rgba = tf.case([(tf.equal(depth, 16), deep), (tf.equal(colour, 3), palette)], default=shallow)
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


def _bmp(data: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    header, bits = _number(head[14:18], False), _number(head[28:30], False)
    width, height = (tf.bitcast(tf.cast(_number(head[at : at + 4], False), tf.uint32), tf.int32) for at in (18, 22))
    plain = (header >= 40) & (header <= 124) & ((bits == 8) | (bits == 24) | (bits == 32))
    plain &= _number(head[30:34], False) == 0
    checks = _require(plain, "The BMP is compressed or has neither 8 nor 24 nor 32 bits a pixel.")
    with tf.control_dependencies(checks + _affordable(tf.abs(height), width)):
        pixels = tf.io.decode_bmp(data)  # of 8 bits: indices of the palette

    def palette() -> tf.Tensor:
        bgrx = tf.reshape(_bytes(data, tf.cast(14 + header, tf.int32), 1024), (256, 4))
        return tf.gather(bgrx[:, 2::-1], tf.cast(pixels[..., 0], tf.int32))

    return tf.cast(tf.cond(bits == 8, palette, lambda: tf.cast(pixels[..., :3], tf.int32)), tf.float32)


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """`image` as it should be seen; `orientation` is EXIF's (CIPA DC-008, tag 0x0112)."""

    def among(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values, tf.int64))

    image = tf.cond(among(5, 6, 7, 8), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def _orientation(data: tf.Tensor) -> tf.Tensor:
    """What a JPEG's EXIF says of its orientation; only 2..8 mean a turn."""

    def step(at: tf.Tensor, tiff: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        segment = _bytes(data, at, 10)  # 0xFF, marker, length, payload
        exif = (segment[1] == 0xE1) & _starts(segment[4:], b"Exif\0\0")
        last = (segment[0] != 0xFF) | (segment[1] == 0xDA)  # the scan begins
        length = tf.where(segment[1] == 0xFF, 1, 2 + segment[2] * 256 + segment[3])  # a fill byte, or a segment
        return at + length, tf.where(exif, at + 10, tiff), ~(exif | last)

    start = (tf.constant(2), tf.constant(0), tf.constant(True))
    tiff = tf.while_loop(lambda at, tiff, more: more, step, start, parallel_iterations=1)[1]
    header = _bytes(data, tiff, 8)
    big = _starts(header, b"MM\0*")
    valid = big | _starts(header, b"II*\0")
    beyond = tf.cast(tf.strings.length(data), tf.int64)
    directory = tiff + tf.cast(tf.minimum(_number(header[4:], big), beyond), tf.int32)
    count = tf.cast(_number(_bytes(data, directory, 2), big), tf.int32)
    fields = tf.reshape(_bytes(data, directory + 2, 12 * count), (-1, 12))  # tag, type, count, value
    is_long = _number(fields[:, 2:4], big) == 4
    value = tf.where(is_long, _number(fields[:, 8:], big), _number(fields[:, 8:10], big))
    value = tf.reduce_max(tf.where(_number(fields[:, :2], big) == 0x0112, value, 0))
    return tf.where(valid, value, tf.constant(1, tf.int64))


def _bytes(data: tf.Tensor, start: int | tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """int32 `[count]`: bytes of `data` from `start`, zeros past its end."""
    part = tf.strings.substr(data, tf.minimum(start, tf.strings.length(data)), count)
    numbers = tf.cast(tf.io.decode_raw(part, tf.uint8), tf.int32)
    numbers = tf.pad(numbers, [[0, count - tf.shape(numbers)[0]]])
    return tf.reshape(numbers, (count,))


def _number(digits: tf.Tensor, big_endian: bool | tf.Tensor) -> tf.Tensor:
    """int64 unsigned integers whose bytes are the last axis of `digits`."""
    digits = tf.cast(tf.where(big_endian, digits[..., ::-1], digits), tf.int64)
    return tf.reduce_sum(digits * tf.constant([256**k for k in range(digits.shape[-1])], tf.int64), axis=-1)


def _starts(numbers: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.reduce_all(numbers[: len(signature)] == tf.constant(tuple(signature)))


def _affordable(height: tf.Tensor, width: tf.Tensor) -> list[tf.Operation]:
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return _require(pixels <= MAX_PIXELS, f"The picture has more than {MAX_PIXELS // 1_000_000} megapixels.")


def _require(condition: tf.Tensor, message: str) -> list[tf.Operation]:
    """What `tf.control_dependencies` takes so that nothing after it runs unless `condition` holds."""
    check = tf.debugging.Assert(condition, [message])
    return [] if check is None else [check]

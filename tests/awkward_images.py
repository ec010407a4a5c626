"""Pictures that image readers disagree about, made from a seed, and files that are no pictures."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image


def scene(height: int = 37, width: int = 53, seed: int = 0) -> np.ndarray:
    """uint8 `[height, width, 3]`: smooth colours with a hard-edged bright corner, so that no two corners are alike."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 256, (4, 5, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    image[: height // 3, : width // 4] = (250, 20, 40)
    return image


def encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int, big_endian: bool = False, field: str = "H") -> bytes:
    """The payload of an APP1 segment with one field, the orientation, of type SHORT (`H`) or LONG (`I`)."""
    order = ">" if big_endian else "<"
    kind = {"H": 3, "I": 4}[field]
    value = struct.pack(order + field, orientation).ljust(4, b"\0")
    directory = struct.pack(order + "HHHI", 1, 0x0112, kind, 1) + value + bytes(4)
    return b"Exif\0\0" + (b"MM" if big_endian else b"II") + struct.pack(order + "HI", 42, 8) + directory


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG from its raw scan lines (each led by its filter byte), for what no writer writes."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def upright() -> dict[str, bytes]:
    """Name -> JPEG, one per EXIF orientation and byte order, and one whose APP1 comes late and holds a LONG."""
    rgb = Image.fromarray(scene())
    made = {
        f"exif_{value}_{'mm' if big else 'ii'}.jpg": encode(rgb, "JPEG", quality=92, exif=exif(value, big))
        for value in range(1, 9)
        for big in (False, True)
    }
    plain = encode(rgb, "JPEG", quality=92)
    other = b"\xff\xe1" + struct.pack(">H", 2 + 30) + b"http://ns.adobe.com/xap/1.0/\0 "
    app1 = exif(6, big_endian=True, field="I")
    hidden = b"\xff\xff\xff\xe1" + struct.pack(">H", 2 + len(app1)) + app1  # led by two fill bytes
    return made | {"exif_long_after_xmp.jpg": plain[:2] + other + hidden + plain[2:]}


def awkward_images() -> dict[str, bytes]:
    """Name -> encoded picture that every reader here must accept."""
    rgb, rng = scene(), np.random.default_rng(1)
    image, gray = Image.fromarray(rgb), Image.fromarray(rgb[..., 1])
    alpha = Image.fromarray(cv2.resize(rng.integers(0, 256, (3, 3), np.uint8), rgb.shape[1::-1]))
    rgba, gray_alpha = image.copy(), Image.merge("LA", (gray, alpha))
    rgba.putalpha(alpha)
    deep = cv2.resize(rng.integers(0, 65536, (4, 5, 3), np.uint16), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    made = {
        "rgb.png": encode(image, "PNG"),
        "gray.png": encode(gray, "PNG"),
        "gray_alpha.png": encode(gray_alpha, "PNG"),
        "rgba.png": encode(rgba, "PNG"),
        "palette.png": encode(image.quantize(32), "PNG"),
        "palette_2_bits.png": encode(image.quantize(4), "PNG", bits=2),
        "palette_clear.png": encode(image.quantize(32), "PNG", transparency=3),
        "palette_veiled.png": encode(image.quantize(8), "PNG", transparency=bytes((0, 15, 90, 255, 3, 1, 128, 254))),
        "palette_2_bits_veiled.png": encode(image.quantize(4), "PNG", bits=2, transparency=bytes((3, 15, 90, 255))),
        "gray_clear.png": encode(gray, "PNG", transparency=int(rgb[0, 0, 1])),
        "1_bit.png": encode(gray.convert("1"), "PNG"),
        "4_bits.png": png(4, 2, 4, 0, b"\0\x07\xaf" + b"\0\xf0\x18"),
        "16_bit_gray.png": cv2.imencode(".png", deep[..., 0])[1].tobytes(),
        "16_bit_rgb.png": cv2.imencode(".png", deep)[1].tobytes(),
        "rgb.jpg": encode(image, "JPEG", quality=92),
        "gray.jpg": encode(gray, "JPEG", quality=80),
        "cmyk.jpg": encode(image.convert("CMYK"), "JPEG", quality=92),
        "progressive.jpg": encode(image, "JPEG", quality=60, progressive=True),
        "full_chroma.jpg": encode(image, "JPEG", quality=40, subsampling=0),
        "rgb.bmp": encode(image, "BMP"),
        "rgba.bmp": encode(rgba, "BMP"),
        "gray.bmp": encode(gray, "BMP"),
        "palette.bmp": encode(image.quantize(16), "BMP"),
        "one_row.png": encode(Image.fromarray(rgb[:1]), "PNG"),
        "one_column.png": encode(Image.fromarray(rgb[:, :1]), "PNG"),
        "one_pixel.png": encode(Image.fromarray(rgb[:1, :1]), "PNG"),
        "one_row.jpg": encode(Image.fromarray(rgb[:1]), "JPEG"),
        "one_column.jpg": encode(Image.fromarray(rgb[:, :1]), "JPEG"),
        "one_pixel.jpg": encode(Image.fromarray(rgb[:1, :1]), "JPEG"),
        "one_pixel.bmp": encode(Image.fromarray(rgb[:1, :1]).quantize(2), "BMP"),
    }
    return made | upright()


def huge_image() -> bytes:
    """A JPEG of 6000 x 4000."""
    return cv2.imencode(".jpg", scene(4000, 6000, seed=2), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def broken_images() -> dict[str, bytes]:
    """Name -> bytes that no reader may accept."""
    rgb = Image.fromarray(scene())
    made = {name: encode(rgb, kind) for name, kind in (("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"))}
    flipped = bytearray(made["png"])
    flipped[len(flipped) // 2] ^= 0xFF
    bomb = png(20_000, 20_000, 1, 0, bytes(20_000 * 2501))
    return {
        "empty.png": b"",
        "text.jpg": b"These are words, not pixels.\n",
        "noise.png": bytes(np.random.default_rng(3).integers(128, 256, 400, np.uint8)),
        "cut.png": made["png"][:-40],
        "signature_only.png": made["png"][:8],
        "bad_checksum.png": bytes(flipped),
        "cut.jpg": made["jpg"][: len(made["jpg"]) // 2],
        "signature_only.jpg": made["jpg"][:3],
        "cut.bmp": made["bmp"][:-40],
        "signature_only.bmp": b"BM",
        "packed.bmp": made["bmp"][:30] + b"\1" + made["bmp"][31:],
        "bomb.png": bomb,
        "animation.gif": encode(rgb, "GIF"),
        "scan.tif": encode(rgb, "TIFF"),
        "web.webp": encode(rgb, "WEBP"),
    }

"""Photographs from files, as they are meant to be seen."""

import os
import warnings

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 150_000_000  # a larger photo is refused before it is decoded
_KINDS = "a JPEG, PNG, BMP, TIFF or WebP file"


def read(path: str | os.PathLike) -> np.ndarray:
    """A photo, turned as its EXIF data says: uint8 RGB [H, W, 3]; grey has three equal channels, 16 bits become 8, what
    is transparent is white, and of several frames the first is taken.

    Raises:
        ValueError: one sentence: no such file, damaged, cut short, of another kind, over 150 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is another one
            picture = Image.open(path)
        with picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            return np.ascontiguousarray(ImageOps.exif_transpose(_rgb(picture)))
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} has more than {MAX_PIXELS // 1_000_000} megapixels; make it smaller.") from error
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist; name {_KINDS}.") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder; name a picture in it.") from error
    except Exception as error:  # Pillow's readers raise whatever the damaged bytes lead to
        raise ValueError(f"{path} is cut short, damaged or not {_KINDS}; save the picture again.") from error


def _rgb(picture: Image.Image) -> Image.Image:
    """`picture` with 8 bits of red, green and blue, its EXIF data kept."""
    exif = picture.getexif()
    if picture.mode.startswith("I"):  # 16 bits
        high = (np.asarray(picture).clip(0, 65535).astype(np.uint32) + 128) // 257
        picture = Image.fromarray(high.astype(np.uint8))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    picture.load()
    picture.info["exif"] = exif.tobytes()
    return picture

"""DICOM files of one gray picture, as it should look on a screen: bones bright, 0 to 255.

The order is DICOM's grayscale pipeline (PS3.4, N.2): stored values, modality LUT or rescale, VOI LUT or window,
MONOCHROME1 turned over. A file without a usable window shows its values from the 0.5th to the 99.5th percentile.
Pixels that the file marks as padding are black. Needs the package pydicom.
"""

import io
import math
import os
import pathlib
import re
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hub.export.image_bytes import MAX_PIXELS

PERCENTILES = (0.5, 99.5)  # what black and white are where the file has no window
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_NEEDS = {  # end of a transfer syntax's UID, from its start -> the package that decodes it
    "4.5": "pylibjpeg-libjpeg",  # JPEG
    "4.7": "pylibjpeg-libjpeg",  # JPEG, lossless
    "4.8": "pylibjpeg-libjpeg",  # JPEG-LS
    "4.9": "pylibjpeg-openjpeg",  # JPEG 2000
    "4.20": "pylibjpeg-openjpeg",  # JPEG 2000, high-throughput
}
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


class Facts(NamedTuple):
    """What the header says; "" or -1 where it says nothing."""

    modality: str = ""  # CR, DX ...
    body_part: str = ""  # CHEST ...
    view: str = ""  # PA, AP, LL ...
    age: int = -1  # full years
    sex: str = ""  # M, F or O
    patient: str = ""


@dataclass(frozen=True)
class DicomFilm:
    """A picture and what is known of it."""

    pixels: np.ndarray  # float32 [H, W], 0..255, bones bright
    facts: Facts


class _RefusedError(ValueError):
    """A sentence for the user; nothing wraps it."""


def read_dicom(source: str | os.PathLike | bytes) -> DicomFilm:
    """The picture at a path, or in bytes.

    Raises:
        ValueError: one sentence: not DICOM, cut short, damaged, compressed in a way that no installed package reads,
            coloured, of several frames, of more than `MAX_PIXELS` pixels, or without pixels.
    """
    name, data = _bytes(source)
    return _careful(name, data, lambda dataset: DicomFilm(_shown(dataset, _stored(name, dataset)), _facts(dataset)))


def read_facts(source: str | os.PathLike | bytes) -> Facts:
    """The header alone; the picture is not decoded.

    Raises:
        ValueError: one sentence: not DICOM, or its header is damaged.
    """
    return _careful(*_bytes(source), _facts)


def _bytes(source: str | os.PathLike | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "The DICOM file", source
    try:
        return os.fspath(source), pathlib.Path(source).read_bytes()
    except OSError as error:
        raise _RefusedError(f"{os.fspath(source)} cannot be read: {error.strerror}.") from error


def _careful(name: str, data: bytes, use: Any) -> Any:
    """`use(dataset)`; whatever damaged bytes lead to becomes one sentence."""
    try:
        import pydicom
    except ImportError as error:
        raise _RefusedError(
            f"{name} is a DICOM file, which needs pydicom: pip install 'keras-application-hub[dicom]'."
        ) from error
    if _DEFLATED in data:  # a few bytes could inflate to any size
        raise _RefusedError(f"{name} is deflated as a whole, which is not read; save it uncompressed or as JPEG 2000.")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # pydicom remarks on values that break the standard and do no harm
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)  # old files have no preamble
            if "SOPClassUID" in dataset or "Rows" in dataset or "Modality" in dataset:
                return use(dataset)
        except _RefusedError:
            raise
        except Exception as error:
            raise _broken(name, data) from error
    raise _broken(name, data)


def _broken(name: str, data: bytes) -> _RefusedError:
    return _RefusedError(f"{name} is cut short, damaged or no DICOM file ({len(data):,} bytes received).")


def _stored(name: str, dataset: Any) -> np.ndarray:
    """Stored values, integers [H, W]."""
    from pydicom.pixels import get_decoder

    if "PixelData" not in dataset:
        raise _RefusedError(f"{name} has no pixels; a DICOM file of one gray picture is needed, whole.")
    colours, frames = dataset.get("PhotometricInterpretation"), int(dataset.get("NumberOfFrames") or 1)
    if colours not in ("MONOCHROME1", "MONOCHROME2") or dataset.get("SamplesPerPixel", 1) != 1:
        raise _RefusedError(f"{name} is coloured ({colours}); a gray picture, MONOCHROME1 or MONOCHROME2, is needed.")
    if frames != 1:
        raise _RefusedError(f"{name} has {frames} frames; a single picture is needed.")
    size = int(dataset.Rows), int(dataset.Columns)
    if math.prod(size) > MAX_PIXELS:
        raise _RefusedError(f"{name} has more than {MAX_PIXELS // 1_000_000} megapixels; make the picture smaller.")
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None) or _guessed(dataset)
    if syntax.is_compressed:
        package = next((p for end, p in _NEEDS.items() if syntax.startswith(f"1.2.840.10008.1.2.{end}")), None)
        advice = f"pip install {package}" if package else "save it uncompressed or as JPEG 2000"
        try:
            available = get_decoder(syntax).is_available
        except NotImplementedError:
            available = False
        if not available:
            raise _RefusedError(f"{name} is compressed as {syntax.name}, which nothing installed decodes; {advice}.")
        try:
            _same_size(dataset, size)
            stored = dataset.pixel_array
        except Exception as error:
            raise _RefusedError(
                f"{name} has damaged {syntax.name} pixels, or some that the installed packages do not decode; {advice}."
            ) from error
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
        stored = dataset.pixel_array
    if stored.shape != size or stored.dtype.kind not in "iu":
        raise ValueError(f"{stored.dtype} {stored.shape}")
    return stored


def _guessed(dataset: Any) -> Any:
    """The transfer syntax of a file that names none: as its elements were read."""
    from pydicom import uid

    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _same_size(dataset: Any, size: tuple[int, int]) -> None:
    """A codestream that states another size than the header would be decoded to any amount of memory."""
    from pydicom.encaps import generate_frames

    data = next(generate_frames(dataset.PixelData, number_of_frames=1))
    at = max(0, data.find(b"\xff\x4f\xff\x51")) + 2  # JPEG 2000, perhaps in boxes; else the start of a JPEG
    while data[at : at + 1] == b"\xff" and len(data) > at + 20:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        stated = None
        if marker == 0x51:  # JPEG 2000: width and height from the origin of the reference grid
            width, height, left, top = (int.from_bytes(data[at + k : at + k + 4]) for k in (6, 10, 14, 18))
            stated = height - top, width - left
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            stated = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        if stated is not None:
            if stated != size:
                raise ValueError(f"{stated} in the codestream, {size} in the header")
            return
        at += 2 + length


def _shown(dataset: Any, stored: np.ndarray) -> np.ndarray:
    """float32 [H, W] in 0..255: each stored value is looked up in a table of what it looks like."""
    low, high = int(stored.min()), int(stored.max())
    if high - low < 1 << 20:
        values, where = np.arange(low, high + 1), stored.astype(np.int64) - low
    else:
        values, where = np.unique(stored, return_inverse=True)
    padding = _padding(dataset, values)
    shown = _rescaled(dataset, values)
    if dataset.get("VOILUTSequence") and dataset.VOILUTSequence[0].get("LUTData") is not None:
        item = dataset.VOILUTSequence[0]
        shown = _looked_up(dataset, item, shown) * (255 / (2 ** int(item.LUTDescriptor[2]) - 1))
    else:
        shown = _windowed(dataset, shown, where, padding)
    shown = np.clip(shown, 0, 255)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 255 - shown
    shown[padding] = 0
    return shown.astype(np.float32)[where.reshape(stored.shape)]


def _padding(dataset: Any, values: np.ndarray) -> np.ndarray:
    """Whether a stored value stands for no measurement (PS3.3, C.7.5.1.1.2)."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(values.shape, bool)
    last = dataset.get("PixelPaddingRangeLimit")
    first, last = sorted((int(first), int(first if last is None else last)))
    return (values >= first) & (values <= last)


def _rescaled(dataset: Any, values: np.ndarray) -> np.ndarray:
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(dataset, dataset.ModalityLUTSequence[0], values)
    slope, intercept = (_number(dataset, word) for word in ("RescaleSlope", "RescaleIntercept"))
    return values * (slope or 1.0) + (intercept or 0.0)


def _looked_up(dataset: Any, item: Any, values: np.ndarray) -> np.ndarray:
    """Values through a LUT of the file; pydicom's own wraps around where a long table holds 8-bit entries."""
    count, first, _ = (int(number) for number in item.LUTDescriptor)
    table = item.LUTData
    if isinstance(table, bytes):
        table = np.frombuffer(table, "<u2" if dataset.original_encoding[1] else ">u2")
    table = np.asarray(table, np.float64)[: count or 65536]
    return table[np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)]


def _windowed(dataset: Any, values: np.ndarray, where: np.ndarray, padding: np.ndarray) -> np.ndarray:
    from pydicom import Dataset
    from pydicom.pixels import apply_windowing

    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    function = function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"
    center, width = (_number(dataset, word) for word in ("WindowCenter", "WindowWidth"))
    if center is not None and width is not None and (width >= 1 or (width > 0 and function != "LINEAR")):
        window = Dataset()  # of 16 bits, whatever the file has: the answer lies in 0..65535
        window.PhotometricInterpretation, window.BitsStored, window.PixelRepresentation = "MONOCHROME2", 16, 0
        window.WindowCenter, window.WindowWidth, window.VOILUTFunction = center, width, function
        return apply_windowing(values, window) / 257
    seen = values[where.ravel()][~padding[where.ravel()]]
    low, high = np.percentile(seen, PERCENTILES) if seen.size else (0, 0)
    return (values - low) * (255 / (high - low)) if high > low else np.zeros(values.shape)


def _number(dataset: Any, word: str) -> float | None:
    """The first value of an element, where it is a finite number."""
    value = dataset.get(word)
    if value is None or value == "":
        return None
    value = float(value if not hasattr(value, "__len__") else value[0])
    return value if math.isfinite(value) else None


def _facts(dataset: Any) -> Facts:
    def text(word: str) -> str:
        return str(dataset.get(word) or "").strip()

    age = re.fullmatch(r"(\d{1,4})([DWMY]?)", text("PatientAge").upper())
    return Facts(
        text("Modality").upper(),
        text("BodyPartExamined").upper(),
        text("ViewPosition").upper(),
        int(int(age[1]) * _YEARS[age[2] or "Y"] + 1e-9) if age else -1,
        text("PatientSex").upper(),
        text("PatientID"),
    )

"""One chest film from DICOM, PNG, JPEG or BMP, with the pixels that a served model sees of the same file."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from hub.data import dicom
from hub.export import image_bytes

INVALID_FILM, INVALID_DICOM, FAILED = -1, -2, -3  # CAD4TB's codes
SMALLEST = 64  # pixels of the shorter side
FLATTEST = 8  # grey levels between the 1st and the 99th percentile
COLOUR = 6.0  # grey levels, see `_colour`: tinted scans measured up to 2.1, 20 of 23 colour photographs 8 to 105
YOUNGEST = 15  # years: the World Health Organization recommends computer-aided reading from this age on (2021)
_MODALITIES = ("", "CR", "DX", "DR", "RG", "RF", "OT", "SC")  # projections; CT, MR and others are slices
_CHEST = ("CHEST", "THORAX", "TORAX", "LUNG", "UNKNOWN", "OTHER")
_LATERAL = ("LL", "RL", "LAT", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO")


class FilmError(ValueError):
    """A file that is no frontal chest film, in one sentence.

    Attributes:
        code: -1 not a valid PA chest film, -2 invalid DICOM, -3 processing failed.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def read_film(source: str | os.PathLike | bytes, size: int | None = None) -> np.ndarray:
    """A film, float32 [H, W] in 0..255, bones bright; with `size`, [size, size] in whole grey levels.

    With `size`, the pixels are those that the string signature of an exported model computes from the same PNG, JPEG
    or BMP. Frontal films of either direction pass, PA and AP: only PA ones tell the true size of the heart.

    Raises:
        FilmError: one sentence that says what is wrong with the file, and a code.
    """
    data, name = _bytes(source)
    if is_dicom(source, data):
        try:
            film = dicom.read_dicom(source)
        except ValueError as error:
            raise FilmError(str(error), INVALID_DICOM) from error
        _refuse_other_pictures(name, film.facts)
        pixels = film.pixels[..., None]
    else:
        try:
            pixels = image_bytes.read_image(source)
        except ValueError as error:
            raise FilmError(str(error), FAILED) from error
    if min(pixels.shape[:2]) < SMALLEST:
        high, wide = pixels.shape[:2]
        raise FilmError(f"{name} has {wide} x {high} pixels; a film has {SMALLEST} or more each way.", INVALID_FILM)
    if pixels.shape[-1] == 3:
        if (colour := _colour(pixels)) > COLOUR:
            raise FilmError(
                f"{name} is a coloured picture ({colour:.0f} grey levels apart from a tint); a chest film is gray.",
                INVALID_FILM,
            )
        if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2]):
            pixels = pixels[..., :1]
    if size is not None:
        pixels = image_bytes.resize(pixels, size, size)
    gray = tf.image.rgb_to_grayscale(pixels).numpy() if pixels.shape[-1] == 3 else np.asarray(pixels)
    gray = gray[..., 0] if size is None else np.rint(gray[..., 0])
    low, high = np.percentile(gray, (1, 99))
    if high - low < FLATTEST:
        raise FilmError(f"{name} is empty: nearly all of its pixels have grey level {low:.0f}.", INVALID_FILM)
    return gray


def is_dicom(source: str | os.PathLike | bytes, data: bytes) -> bool:
    """Whether a file is meant to be DICOM, by its magic or its name."""
    named = not isinstance(source, bytes) and os.fspath(source).lower().endswith((".dcm", ".dicom"))
    return named or data[128:132] == b"DICM"


def _bytes(source: str | os.PathLike | bytes) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, "The film"
    try:
        with open(source, "rb") as file:
            return file.read(132), os.fspath(source)
    except FileNotFoundError as error:
        raise FilmError(f"{source} does not exist; name a DICOM, PNG, JPEG or BMP file.", FAILED) from error
    except IsADirectoryError as error:
        raise FilmError(f"{source} is a folder; name a film in it.", FAILED) from error
    except OSError as error:
        raise FilmError(f"{pathlib.Path(source)} cannot be read: {error.strerror}.", FAILED) from error


def _refuse_other_pictures(name: str, facts: dicom.Facts) -> None:
    if facts.modality not in _MODALITIES:
        raise FilmError(f"{name} is of modality {facts.modality}; a chest film (CR or DX) is needed.", INVALID_FILM)
    if facts.body_part and not any(word in facts.body_part for word in _CHEST):
        raise FilmError(f"{name} shows {facts.body_part}; a film of the CHEST is needed.", INVALID_FILM)
    if facts.view in _LATERAL or facts.view.startswith("LAT"):
        raise FilmError(f"{name} is a film in view {facts.view}; a frontal one, PA, is needed.", INVALID_FILM)
    if 0 <= facts.age < YOUNGEST:
        raise FilmError(
            f"{name} is of a patient aged {facts.age}; computer-aided reading is for {YOUNGEST} years and more.",
            INVALID_DICOM,
        )


def _colour(pixels: np.ndarray) -> float:
    """How far channels lie apart beyond what one tint explains, in grey levels.

    A tinted scan has one colour per grey level, so each channel's distance from the mean is nearly a parabola in it.
    Three quarters of the pixels count, those that fit best, so that a coloured label does no harm.
    """
    step = max(1, min(pixels.shape[:2]) // 128)
    sample = pixels[::step, ::step].reshape(-1, 3).astype(np.float64)
    gray = sample.mean(-1)
    basis = np.stack([np.ones_like(gray), gray / 255, (gray / 255) ** 2], axis=-1)
    apart = sample - gray[:, None]
    fits = np.ones(len(gray), bool)
    for _ in range(4):  # the fit, and the pixels it is made from, in turns
        left = np.abs(apart - basis @ np.linalg.lstsq(basis[fits], apart[fits], rcond=None)[0]).max(-1)
        limit = np.percentile(left, 75)
        fits = left <= limit
    return float(limit)

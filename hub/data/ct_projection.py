"""CT projection: chest films projected from a real chest CT, with lung masks and signs of tuberculosis (generator A).

Paper: Gopalakrishnan and Golland, "Fast Auto-Differentiable Digitally Reconstructed Radiographs for Solving Inverse
    Problems in Intraoperative Imaging", CLIP 2022, arXiv:2208.12737
Slug: ct_projection
Idea: X-ray path lengths through a CT are a radiograph of real anatomy; its labels, projected too, outline the lungs.
Differs: not the paper's renderer, of whose package only the CT and its labels are used (one patient, source not
  stated). Rays add slices that are sheared, magnified and bent in their planes on a coarse grid: turns of up to 10
  degrees, a point source and a smooth bend, exact for parallel rays only. Bones keep still when the lungs breathe. Arms
  are up; contrast agent and a tumour of this patient are painted out. Signs are drawn as density in 3-D; sex and age
  in the readings are invented, for one body.
Checked: path lengths of a cube, a ball and a tilted slab, masks disjoint and darker than their surroundings, signs
  change their region only, layout read back (tests/test_ct_projection.py).
"""

import functools
import os
import pathlib
from collections.abc import Callable

import cv2
import numpy as np

from hub.data import chest_archives, ct_lesions, ct_rays, film_look, tb_lesions, thorax_frame, thorax_phantom
from hub.data.ct_volume import Volume, volume
from hub.data.ct_volume import available as available
from hub.data.thorax_anatomy import Solids
from hub.data.thorax_frame import Frame
from hub.data.thorax_phantom import KINDS, Phantom
from hub.registry import register

STRENGTH = (0.55, 1.25)  # of a sign's density, whatever the class
_FINE = 200  # pixels: a smaller film is shrunk from one of at least so many


@register("ct_projection")
def film(index: int, seed: int = 0, size: int = 256, kind: str | None = None) -> Phantom:
    """Film `index` of `seed`, whatever was drawn before.

    Args:
        index: non-negative.
        seed: non-negative; another seed gives other films of the one body.
        size: pixels of a side, at least 48.
        kind: one of `thorax_phantom.KINDS`; by default drawn, 45 % tuberculosis.

    Raises:
        ValueError: an argument is not as said, or the CT is not installed.
    """
    if index < 0 or seed < 0 or size < 48 or kind not in (None, *KINDS):
        raise ValueError(
            f"A film needs index and seed >= 0, size >= 48 and kind None or one of {', '.join(KINDS)}. "
            f"Received: index={index}, seed={seed}, size={size}, kind={kind!r}."
        )
    body = volume()
    of_body, of_signs, of_look = (np.random.default_rng([part, ord("c"), seed, index]) for part in range(3))
    person = thorax_frame.patient(of_body)
    signs = thorax_phantom._signs(of_signs, kind)
    side = int(of_signs.integers(2))
    loss = of_signs.uniform(0.05, 0.15) * (np.arange(2) == side) * ("fibrosis" in signs)
    heart = of_signs.uniform(1.2, 1.4) if "large_heart" in signs else 1.0
    pose = ct_rays.Pose(
        *np.deg2rad(of_body.uniform((-10, -6), (10, 6))),
        source=of_body.uniform(1500, 1800),
        depth=of_body.uniform(0.85, 1.15),
        bend=of_body.normal(0, 6, (4, 4, 4, 2)),
        breath=of_body.uniform(0.9, 1.1),
        heart=heart * of_body.uniform(0.95, 1.05),
        shrink=tuple(loss),
    )
    rays = ct_rays.maps(body, pose)
    paths = ct_rays.project(body, pose, rays, "soft")
    bone = ct_rays.project(body, pose, rays, "bone")
    right, left = ct_rays.visible(paths, body, rays)
    view, take = _window(of_body, body, right | left, size)
    named, others = _signs(of_signs, ct_lesions.Site(body, side), signs)
    named, others = ([take(ct_rays.project(body, pose, rays, "soft", part)) for part in parts]
                     for parts in (named, others))  # fmt: skip
    water, air, bone = map(take, (paths[..., 0], paths[..., 1] + paths[..., 2], bone))
    right, left = (take(mask.astype(np.float32)) > 0.5 for mask in (right, left))
    left &= ~right

    water = water + sum(named) + sum(others) + film_look.wires(of_look, view)
    if "ecg_leads" in signs:
        place = tb_lesions.Site(view, person, Solids(water, air, right, left), side)
        water = water + tb_lesions.ecg_leads(of_signs, place)
    image = expose(of_look, np.clip(water, 0, None), np.clip(bone, 0, None), view)
    image, field = film_look.stick(of_look, image, str(of_look.choice(["a", "b"])))
    lungs = (left | right) & field
    lesion = np.zeros_like(lungs)
    for path in map(np.abs, named):
        lesion |= lungs & (path > max(2.0, 0.12 * float(path.max())))
    return Phantom(image, left & field, right & field, int(signs[0] in tb_lesions.TB), signs[0], signs, lesion,
                   person.sex, person.age, f"ct-{seed}-{index}")  # fmt: skip


def _signs(rng: np.random.Generator, site: ct_lesions.Site, names: list[str]) -> tuple[list[np.ndarray], ...]:
    """What the signs that name the film add to the volume, and what the others add."""
    parts: tuple[list[np.ndarray], ...] = ([], [])
    for name in names:
        if draw := {**ct_lesions.TB, **ct_lesions.OTHER}.get(name):
            added = ct_lesions.bounded(rng.uniform(*STRENGTH) * draw(rng, site), site, name == "granuloma")
            parts[name not in ct_lesions.TB and name != names[0]].append(added)
    return parts


def _window(
    rng: np.random.Generator, body: Volume, lungs: np.ndarray, size: int
) -> tuple[Frame, Callable[[np.ndarray], np.ndarray]]:
    """A film around the lungs [Z', X] (square pixels), and what takes a projection's grid to its pixels."""
    broad = body.step[2]
    rows, columns = (np.flatnonzero(lungs.any(axis)) for axis in (1, 0))
    wide, tall = np.ptp(columns) * broad, np.ptp(rows) * broad
    scale = size * rng.uniform(0.72, 0.93) / wide, size * rng.uniform(0.76, 0.95) / tall
    scale = scale[0], float(np.clip(scale[1], 0.85 * scale[0], min(1.18 * scale[0], 0.97 * size / tall)))
    free = size / np.array(scale) - (wide, tall)
    angle = rng.uniform(-1, 1) * np.deg2rad(4)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.diag(scale) @ turn
    top = rows[0] * broad  # of the lungs, below the volume's upper end
    above = min(rng.uniform(0.15, 0.6) * free[1], top + 6)
    middle = np.array([(columns[0] + columns[-1]) / 2 * broad + rng.uniform(-0.25, 0.25) * free[0],
                       top - above + size / scale[1] / 2])  # fmt: skip
    x, y = np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 2)
    apex = np.array([(columns[0] + columns[-1]) / 2 * broad, top])
    u, v = np.linalg.inv(matrix) @ np.stack([x.ravel(), y.ravel()]) + (middle - apex)[:, None]
    u, v = (part.astype(np.float32).reshape(size, size) for part in (u, v))
    fold = -(-_FINE // size)
    fine = np.linalg.inv(matrix) / fold  # pixels of the fine film -> mm

    def take(grid: np.ndarray) -> np.ndarray:
        step = np.array([broad, broad * lungs.shape[0] / grid.shape[0]])
        origin = middle - fine.sum(1) * (size * fold - 1) / 2
        affine = np.column_stack([fine, origin]) / step[:, None]
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        found = cv2.warpAffine(grid, affine, (size * fold,) * 2, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return found if fold == 1 else cv2.resize(found, (size, size), interpolation=cv2.INTER_AREA)

    return Frame(u, v, matrix, middle - apex, np.zeros((1, 5))), take


def expose(rng: np.random.Generator, water: np.ndarray, bone: np.ndarray, view: Frame) -> np.ndarray:
    """Uint8 [S, S], bones bright, from paths in mm of water: Beer-Lambert, scatter, blur, photons, display curve."""
    size = view.size
    primary = np.exp(-rng.uniform(0.017, 0.021) * (water + rng.uniform(0.8, 1.4) * bone))
    small = cv2.resize(primary, (64, 64), interpolation=cv2.INTER_AREA)
    haze = cv2.GaussianBlur(small, (0, 0), rng.uniform(25, 40) * view.scale * 64 / size)
    light = primary + rng.uniform(0.15, 0.35) * cv2.resize(haze, (size, size))
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 0.9) * size / 256)
    photons = np.exp(rng.uniform(np.log(1e4), np.log(1e5))) * (256 / size) ** 2
    grain = np.random.default_rng(rng.integers(2**63))
    density = -np.log(np.maximum(grain.poisson(photons * light), 1) / photons).astype(np.float32)
    grey = 1 - np.exp(-rng.uniform(0.25, 0.45) * np.clip(density, 0, None))
    body = grey[(water > 20) & (view.v > 0)]
    low, high = np.percentile(body if len(body) > 99 else grey, [2, rng.uniform(95, 99.8)])
    low *= rng.uniform(0.55, 1.0)
    grey = np.clip((grey - low) / (high - low), 0, 1.0)
    if (sharpen := rng.uniform(-0.5, 0.8)) > 0:
        grey = np.clip(grey + sharpen * (grey - cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.01, 0.05) * size)), 0, 1)
    grey = cv2.pow(grey.astype(np.float32), float(np.exp(rng.normal(0.05, 0.25))))
    image = np.rint(rng.uniform(0, 20) + grey * rng.uniform(195, 235)).astype(np.uint8)
    if rng.random() < 0.3:
        image = cv2.createCLAHE(rng.uniform(1.0, 2.5), (int(rng.integers(4, 9)),) * 2).apply(image)
    return image


def write_montgomery(folder: str | os.PathLike, count: int, seed: int, size: int = 256, start: int = 0) -> pathlib.Path:
    """Films `start` to `start + count - 1` as a new `MontgomerySet` inside `folder`; its path.

    File number is index + 1. All films are of one body, although the layout counts each as a patient.

    Raises:
        ValueError: it is there already, `count` is not positive, or the CT is not installed.
    """
    volume()  # the processes that draw find it in the cache
    draw = functools.partial(film, seed=seed, size=size)
    return chest_archives.write(pathlib.Path(folder, "MontgomerySet"), chest_archives.montgomery, draw, count, start)


def contract_example(make: Callable) -> None:
    """Two disjoint lungs on their sides, whatever was drawn before; without the CT, a sentence."""
    if not available():
        try:
            make(0)
        except ValueError as error:
            assert "pip install" in str(error)
            return
        raise AssertionError("a film was drawn without the CT")
    films = [make(index, 5, 96) for index in range(3)]
    assert np.array_equal(films[2].image, make(2, 5, 96).image) and not np.array_equal(films[2].image, films[1].image)
    for drawn in films:
        assert drawn.image.shape == (96, 96) and drawn.image.dtype == np.uint8
        assert not (drawn.left & drawn.right).any() and 0.08 < (drawn.left | drawn.right).mean() < 0.6
        assert np.nonzero(drawn.right)[1].mean() < np.nonzero(drawn.left)[1].mean()  # as one faces the patient
        assert not (drawn.lesion & ~(drawn.left | drawn.right)).any()

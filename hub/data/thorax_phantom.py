"""Thorax phantom: an endless, labelled sample of chest films with exact lung masks, drawn from a seed (generator B).

Paper: Rahman et al., "Reliable Tuberculosis Detection Using Chest X-Ray With Deep Learning, Segmentation and
    Visualization", IEEE Access 8, 2020, doi:10.1109/ACCESS.2020.3031384
Slug: tb_chest_xray
Idea: path lengths through analytic solids (cage, lungs, heart, ribs, vessels) and signs of tuberculosis, then X-rays,
    scatter, grain, display curves, borders and side letters.
Differs: the paper uses radiographs of patients; here they are drawn, in the layouts of the Montgomery and Shenzhen
    archives. Anatomy, signs and frequencies are plausible, not measured.
Checked: seed and order independence, masks disjoint and darker than their surroundings, signs inside the lungs, no
    class in global grey values, both layouts read back (tests/test_thorax_phantom.py).
"""

import functools
import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hub.data import chest_archives, film_look, tb_lesions, thorax_anatomy, thorax_bones, thorax_frame
from hub.data.film_look import draw_marker as draw_marker
from hub.registry import register

TB_SHARE = 0.45
PLAIN_SHARE = 0.4  # of the negatives; the others show something that is no tuberculosis
STRENGTH = (1.5, 2.8)  # a factor on the tissue of a sign: how hard the task is
KINDS = ("plain", *tb_lesions.NOT_TB, *tb_lesions.TB)


@dataclass(frozen=True)
class Phantom:
    """One film of one patient."""

    image: np.ndarray  # uint8 [S, S], bones bright
    left: np.ndarray  # bool [S, S] visible lung on the patient's left, the image's right; no heart, no diaphragm
    right: np.ndarray
    label: int  # 1 tuberculosis
    kind: str  # one of KINDS: the leading sign
    lesions: list[str]  # all signs
    lesion: np.ndarray  # bool [S, S] where the leading signs are, within the lungs
    sex: str  # F or M
    age: int
    patient: str


@register("thorax_phantom")
def film(index: int, seed: int = 0, size: int = 256, kind: str | None = None, source: str = "a") -> Phantom:
    """Film `index` of `seed`, whatever was drawn before.

    Args:
        index: non-negative.
        seed: non-negative; another seed gives other patients.
        size: pixels of a side, at least 48; the same film is finer or coarser.
        kind: one of `KINDS`; by default drawn, 45 % tuberculosis.
        source: archive `a` or `b`: other patients, slightly other films, the same diseases.

    Raises:
        ValueError: an argument is not as said.
    """
    if index < 0 or seed < 0 or size < 48 or source not in ("a", "b") or kind not in (None, *KINDS):
        raise ValueError(
            f"A film needs index and seed >= 0, size >= 48, source a or b and kind None or one of {', '.join(KINDS)}. "
            f"Received: index={index}, seed={seed}, size={size}, source={source!r}, kind={kind!r}."
        )
    of_body, of_signs, of_look = (np.random.default_rng([part, ord(source), seed, index]) for part in range(3))
    signs = _signs(of_signs, kind)
    side = int(of_signs.integers(2))
    loss = of_signs.uniform(0.05, 0.15) * (np.arange(2) == side) * ("fibrosis" in signs)
    heart = of_signs.uniform(1.2, 1.4) if "large_heart" in signs else 1.0
    body = thorax_frame.patient(of_body, heart=heart, loss=tuple(loss))
    view = thorax_frame.frame(of_body, body, size)
    solids = thorax_anatomy.solids(body, view)
    bones = thorax_bones.bones(of_body, body, view)
    branches = thorax_bones.vessels(of_body, body, view) * np.clip(solids.air / 40, 0, 1)
    air = thorax_bones.airways(of_body, body, view)
    path = np.clip(solids.soft + branches - air, 0, None) + bones

    site = tb_lesions.Site(view, body, solids, side)
    added, lesion = _opacities(of_signs, site, signs)
    path += added + film_look.wires(of_look, view)
    image = film_look.expose(of_look, path, view, source)
    image, field = film_look.stick(of_look, image, source)
    label = int(signs[0] in tb_lesions.TB)
    return Phantom(image, solids.left & field, solids.right & field, label, signs[0], signs, lesion & field,
                   body.sex, body.age, f"{source}-{seed}-{index}")  # fmt: skip


def _signs(rng: np.random.Generator, kind: str | None) -> list[str]:
    """The leading sign first. Some patients with tuberculosis have another finding too."""
    tb, first, second, other, extra = rng.random(5)
    if kind is None and tb < TB_SHARE:
        kind = _pick(list(tb_lesions.TB), tb_lesions.TB_SHARE, first)
    if kind is None:
        kind = "plain" if first < PLAIN_SHARE else _pick(tb_lesions.NOT_TB, (1,) * len(tb_lesions.NOT_TB), second)
        return [kind]
    if kind not in tb_lesions.TB:
        return [kind]
    rest = [name for name in tb_lesions.TB if name != kind]
    signs = [kind, _pick(rest, (1,) * len(rest), second)] if other < 0.35 else [kind]
    if extra < 0.35:
        signs.append(_pick(("granuloma", "ecg_leads", "large_heart"), (1, 1, 1), extra / 0.35))
    return signs


def _pick(names: list[str] | tuple[str, ...], weights: tuple[float, ...], chance: float) -> str:
    return names[min(int(np.searchsorted(np.cumsum(weights) / sum(weights), chance)), len(names) - 1)]


def _opacities(rng: np.random.Generator, site: tb_lesions.Site, signs: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The path that the signs add, and the region of those that name the film."""
    added = np.zeros_like(site.view.u)
    lesion = np.zeros(added.shape, bool)
    for name in signs:
        if name == "ecg_leads":
            path = tb_lesions.ecg_leads(rng, site)
        elif name in tb_lesions.SIGNS:
            path = tb_lesions.bounded(rng.uniform(*STRENGTH) * tb_lesions.SIGNS[name](rng, site), site)
        else:
            continue
        added += path
        if name != "ecg_leads" and (name in tb_lesions.TB or name == signs[0]):
            lesion |= path > max(2.5, 0.12 * float(path.max()))
    return added, lesion


def write_montgomery(folder: str | os.PathLike, count: int, seed: int, size: int = 256, start: int = 0) -> pathlib.Path:
    """Films `start` to `start + count - 1` of archive a as a new `MontgomerySet` inside `folder`; its path.

    File number is index + 1. Masks lie in ManualMask/leftMask and rightMask (the patient's), the label ends the name.

    Raises:
        ValueError: it is there already, or `count` is not positive.
    """
    draw = functools.partial(film, seed=seed, size=size, source="a")
    return chest_archives.write(pathlib.Path(folder, "MontgomerySet"), chest_archives.montgomery, draw, count, start)


def write_shenzhen(folder: str | os.PathLike, count: int, seed: int, size: int = 256, start: int = 0) -> pathlib.Path:
    """Films of archive b as a new `ChinaSet_AllFiles` inside `folder`, one mask of both lungs per film; its path."""
    draw = functools.partial(film, seed=seed, size=size, source="b")
    return chest_archives.write(pathlib.Path(folder, "ChinaSet_AllFiles"), chest_archives.shenzhen, draw, count, start)


def contract_example(make: Callable) -> None:
    """Two disjoint lungs on their sides, of a plausible share; a film does not depend on those before it."""
    films = [make(index, 5, 96) for index in range(4)]
    assert np.array_equal(films[3].image, make(3, 5, 96).image) and not np.array_equal(films[3].image, films[2].image)
    for drawn in films:
        assert drawn.image.shape == (96, 96) and drawn.image.dtype == np.uint8
        assert not (drawn.left & drawn.right).any() and 0.08 < (drawn.left | drawn.right).mean() < 0.6
        assert np.nonzero(drawn.right)[1].mean() < np.nonzero(drawn.left)[1].mean()  # as one faces the patient
        assert not (drawn.lesion & ~(drawn.left | drawn.right)).any()

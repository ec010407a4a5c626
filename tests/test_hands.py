"""Drawn handwriting: skeletons, writers, fonts, paper, pages, and the written layout."""

import dataclasses
import itertools
import string

import cv2
import numpy as np
import pytest

from hub.data import hand_fonts, hand_letters, hand_pages, hand_paper, hand_strokes, hands
from hub.data.hands import hand

KINDS = pytest.mark.parametrize("kind", hands.KINDS)


def descriptors(image):
    """SIFT [n, 128], square-rooted."""
    _, found = cv2.SIFT_create(contrastThreshold=0.03).detectAndCompute(image, None)
    return np.sqrt(found / found.sum(1, keepdims=True))


# Letters


def test_every_letter_has_a_form_within_its_lines():
    assert set(hand_letters.FORMS) == set(string.ascii_letters + ".,-'")
    assert all(len(hand_letters.FORMS[letter]) >= 2 for letter in "afgrstz" + string.ascii_uppercase)
    for letter in hand_letters.FORMS:
        for form in hand_letters.forms(letter):
            starts = (0, *form.ends[:-1])
            assert all(end - start >= 2 for start, end in zip(starts, form.ends, strict=True)), letter
            assert form.ends[-1] == len(form.points) and not form.link[form.ends[0] :].any()
            assert not form.link[1 : form.ends[0] - 1].any(), letter
            (left, low), (right, high) = form.points.min(0), form.points.max(0)
            assert left >= -6 and right - left <= 36 and low >= -18 and high <= 40, letter
            assert letter not in "acemnorsuvwxz" or (abs(high - 20) <= 2 and (low >= -2 or letter == "z")), letter
            assert letter not in "bdfhkl" + string.ascii_uppercase or high >= 34, letter
            assert letter not in "gjpqy" or low <= -17, letter


def test_a_spline_is_catmull_rom_between_corners():
    """Against the cubic with tangents (next - previous) / 2, one-sided at corners and ends."""
    points = np.random.default_rng(0).normal(size=(6, 2))
    corner = np.array([False, False, True, False, False, False])
    curve = hand_strokes._spline(points, corner)
    assert len(curve) == 5 * hand_strokes.STEPS + 1
    for i, step in itertools.product(range(5), range(hand_strokes.STEPS)):
        before = points[i - 1] if i and not corner[i] else points[i]
        after = points[i + 2] if i < 4 and not corner[i + 1] else points[i + 1]
        t = step / hand_strokes.STEPS
        start, end = (points[i + 1] - before) / 2, (after - points[i]) / 2
        hermite = [2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, 3 * t**2 - 2 * t**3, t**3 - t**2]
        expected = np.dot(hermite, [points[i], start, points[i + 1], end])
        np.testing.assert_allclose(curve[i * hand_strokes.STEPS + step], expected, atol=1e-12)


# Writers


def test_writers_have_their_own_letters():
    """Offsets of 6 % of the x-height about the taught form; every allograph is somebody's."""
    chosen, offsets = {letter: set() for letter in "afgrstz"}, []
    for number in range(80):
        person = hand_strokes.writer(number)
        assert hand_strokes.habit(person, "a") is hand_strokes.habit(hand_strokes.writer(number), "a")
        for letter in chosen:
            own = hand_strokes.habit(person, letter)
            taught = hand_letters.forms(letter)
            which = next(i for i, form in enumerate(taught) if np.array_equal(form.corner, own.corner)
                         and np.array_equal(form.link, own.link) and form.points.shape == own.points.shape
                         and np.abs(form.points - own.points).max() < 12)  # fmt: skip
            chosen[letter].add(which)
            scale = (own.points * taught[which].points).sum(0) / (taught[which].points ** 2).sum(0)
            offsets.append((own.points - scale * taught[which].points).ravel())
    assert all(len(found) >= 2 for found in chosen.values()), chosen
    assert abs(np.concatenate(offsets).std() / (0.06 * hand_letters.X_HEIGHT) - 1) < 0.15


def test_cursive_people_join_and_loop_and_others_print():
    people = sorted((hand_strokes.writer(n) for n in range(60)), key=lambda person: person.cursive)
    pairs = ["an", "th", "in", "er", "ou", "st"]

    def joined(some):
        return np.mean([hand_strokes.joins(person, pair) for person in some for pair in pairs])

    def looped(some):
        return np.mean([hand_strokes.habit(person, letter).cursive for person in some for letter in "bhlrst"])

    assert joined(people[-15:]) > 0.85 and joined(people[:15]) < 0.25
    assert looped(people[-15:]) > looped(people[:15]) + 0.3
    assert not hand_strokes.joins(people[-1], "n.") and not hand_strokes.joins(people[-1], "AN")


def test_slant_and_size_show_in_the_ink():
    """Leaning by s moves the ink of a row by s times its height; words without ascenders are about 36 high."""
    errors = []
    for number in range(8):
        person, leans = hand_strokes.writer(number), []
        for slant in (-15.0, 15.0):
            leaning = dataclasses.replace(person, traits=person.traits | {"slant": slant}, key=(0, number))
            rows, columns = np.nonzero(hand_strokes.ink(leaning, "HHH", np.random.default_rng(1), 36.0)[0] > 127)
            leans.append(np.polyfit(-rows, columns, 1)[0])
        errors.append(leans[1] - leans[0] - 2 * np.tan(np.deg2rad(15)))
    assert abs(np.mean(errors)) < 0.06 and np.abs(errors).max() < 0.2  # a broad nib's ink moves with the direction
    people = [hand_strokes.writer(n) for n in range(40)]
    heights = [hand_strokes.ink(p, "nous", np.random.default_rng(0), 36.0)[0].shape[0] for p in people]
    assert 36 < np.median(heights) < 56


# Words


@KINDS
def test_a_word_depends_on_its_arguments_alone(kind):
    once = hand(5, "garden", 2, 7, kind)
    hand(6, "window", 0, 1, kind)
    assert np.array_equal(once, hand(5, "garden", 2, 7, kind))
    assert once.dtype == np.uint8 and 50 < once.shape[0] < 260 and once.shape[1] > 100
    for other in ((4, "garden", 2, 7), (5, "Garden", 2, 7), (5, "garden", 3, 7), (5, "garden", 2, 8)):
        changed = hand(*other, kind)
        assert changed.shape != once.shape or np.abs(changed.astype(int) - once).max() > 60
    assert not np.array_equal(hand(5, "garden", 2, 7), hand(5, "garden", 2, 7, "fonts"))


@KINDS
def test_words_have_dozens_of_key_points_and_blank_rims(kind):
    counts = []
    for number in range(12):
        image = hand(number, "breakfast", 0, kind=kind)
        counts.append(len(descriptors(image)))
        rim = np.concatenate([image[:2].ravel(), image[-2:].ravel(), image[:, :2].ravel(), image[:, -2:].ravel()])
        assert rim.min() > 190 and image.min() < 160 and 0.03 < (image < 180).mean() < 0.5
    assert np.median(counts) > 60 and min(counts) > 25


def test_every_character_can_be_written():
    for kind, text in itertools.product(hands.KINDS, ("It's", "by-and-by,", "Q.", "-", ".", "fjord", "iii")):
        assert (hand(3, text, 0, kind=kind) < 200).any()
    for letter, font in itertools.product(hand_letters.FORMS, hand_fonts.FONTS):
        person = hand_fonts.writer(0, 0, font)
        assert hand_fonts._glyph(person.face, letter)[0].size, (letter, font)


@KINDS
def test_writers_show_but_not_trivially(kind):
    """Raw SIFT, mean of four words against four other words of ten writers: above chance (10 %), below certainty."""
    learnt, asked = ("harbour", "night", "quality", "stone"), ("fragment", "travel", "window", "journey")
    centres = np.array(
        [np.concatenate([descriptors(hand(w, t, 0, kind=kind)) for t in learnt]).mean(0) for w in range(10)]
    )
    hits = [
        ((descriptors(hand(w, t, 1, kind=kind)).mean(0) - centres) ** 2).sum(1).argmin() == w
        for w in range(10)
        for t in asked
    ]
    assert 0.2 < np.mean(hits) < 0.97


def test_a_hand_varies_less_than_hands_differ():
    """Widths of one word; a third of the spread by construction, with a word's own size."""
    widths = np.array([[hands.drawn(w, "standing", n).ink.shape[1] for n in range(4)] for w in range(20)])
    assert 0.1 < widths.std(1, ddof=1).mean() / widths.mean(1).std() < 0.75


def test_fonts_are_held_out_by_name():
    names = ("stix", "intuitive")
    assert [hand_fonts.font_of(n, names) for n in range(4)] == ["stix", "intuitive", "stix", "intuitive"]
    assert {hand_fonts.writer(n, 0, "stix").face for n in range(5)} == {hand_fonts.writer(9, 3, "stix").face}
    assert not np.array_equal(
        hand(1, "oak", 0, kind="fonts", fonts=names), hand(1, "oak", 0, kind="fonts", fonts=names[:1])
    )


def test_bleeding_paper_keeps_the_ink_where_it_is():
    ink = np.zeros((60, 90), np.uint8)
    ink[20:40, 30:60] = 255
    grey = hand_paper.scanned(ink, np.random.default_rng(0), np.random.default_rng(1)).astype(int)
    assert grey[24:36, 34:56].mean() < 140 < 215 < grey[:14].mean() and np.ptp(grey[:14]) > 2


@pytest.mark.parametrize(
    "wrong", [(-1, "a", 0), (1, "", 0), (1, "two words", 0), (1, "é", 0), (1, "a", -1), (1, "a", 0, -1)]
)
def test_a_wrong_argument_is_refused(wrong):
    with pytest.raises(ValueError, match="A written word needs"):
        hand(*wrong)
    with pytest.raises(ValueError, match="Fonts are some of"):
        hand(1, "a", 0, kind="fonts", fonts=("comic",))


# Pages


@KINDS
def test_a_page_has_its_words_in_their_boxes(kind):
    texts = ["The", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "today"]
    page = hand_pages.page(3, texts, 1, kind, width=900)
    assert np.array_equal(page.image, hand_pages.page(3, texts, 1, kind, width=900).image)
    assert page.image.dtype == np.uint8 and page.image.shape[1] == 900 and page.texts == texts
    outside = page.image < 150
    starts = 0
    for n, (x, y, w, h) in enumerate(page.boxes):
        assert min(x, y) >= 0 and x + w <= 900 and y + h <= page.image.shape[0]
        drawn = hands.drawn(3, texts[n], n, 1, kind)
        dark = page.image[y : y + h, x : x + w] < 180
        assert (dark & (drawn.ink > 200)).sum() > 0.6 * (drawn.ink > 200).sum()
        outside[max(y - 2, 0) : y + h + 2, max(x - 2, 0) : x + w + 2] = False
        starts += n == 0 or x < page.boxes[n - 1][0]
    assert not outside.any() and starts >= 2
    with pytest.raises(ValueError, match="wider"):
        hand_pages.page(3, ["breakfast"], width=200)
    with pytest.raises(ValueError, match="at least one"):
        hand_pages.page(3, [])


def test_word_list():
    words = hand_pages.word_list()
    assert len(words) == len(set(words)) > 1000 and all(w.isascii() and w.islower() and len(w) > 2 for w in words)
    seen, unseen = hand_pages.split_words(0.4, 5)
    assert set(seen) | set(unseen) == set(words) and not set(seen) & set(unseen)
    assert abs(len(unseen) / len(words) - 0.4) < 0.01 and set("".join(unseen)) == set(string.ascii_lowercase)


# On disk


def test_written_layout_in_processes(tmp_path):
    said = []
    target = tmp_path / "iam"
    hand_pages.write(target, (7, 2), words_per_page=9, seed=3, report=said.append)
    assert len(said) == 1 and "4 pages" in said[0] and [p.name for p in tmp_path.iterdir()] == ["iam"]
    forms = [row.split() for row in (target / "forms.txt").read_text().splitlines() if row[0] != "#"]
    assert [row[:2] for row in forms] == [
        ["a01-000u", "007"], ["a01-001u", "007"], ["a01-002u", "002"], ["a01-003u", "002"]
    ]  # fmt: skip
    rows = [row.split(" ", 8) for row in (target / "words.txt").read_text().splitlines() if row[0] != "#"]
    assert len(rows) == 36 and all(len(row) == 9 and row[1] == "ok" for row in rows)
    files = sorted(str(p.relative_to(target)) for p in target.rglob("*.png"))
    assert files == sorted(f"words/a01/{row[0].rsplit('-', 2)[0]}/{row[0]}.png" for row in rows)
    assert rows[0][0] == "a01-000u-00-00" and len({row[0] for row in rows}) == 36
    on = {form: {row[8].lower() for row in rows if row[0].startswith(form)} for form, *_ in forms}
    assert all(len(words) == 9 for words in on.values())
    assert not (on["a01-000u"] | on["a01-002u"]) & (on["a01-001u"] | on["a01-003u"])
    texts = [row[8] for row in rows if row[0].startswith("a01-001u")]
    page = hand_pages.page(7, texts, 3, instance=9)  # one scan for all words of a form
    for row, box in zip(rows[9:18], page.boxes, strict=True):
        assert tuple(map(int, row[3:7])) == box
        form = row[0].rsplit("-", 2)[0]
        image = cv2.imread(str(target / f"words/a01/{form}/{row[0]}.png"), cv2.IMREAD_UNCHANGED)
        x, y, width, height = box
        part = page.image[y : y + height, x : x + width]
        assert cv2.matchTemplate(image, part, cv2.TM_SQDIFF).min() < 1 and image.shape[0] <= height + 20
    with pytest.raises(ValueError, match="exists already"):
        hand_pages.write(target, (1,))


def test_nothing_is_left_of_a_broken_writing(tmp_path):
    for wrong in ({"writers": ()}, {"writers": (1,), "held_out": 1.0}, {"writers": (1,), "pages": 0}):
        with pytest.raises(ValueError, match="Nothing to write"):
            hand_pages.write(tmp_path / "x", **wrong, report=str)
    with pytest.raises(ValueError, match="A written word needs"):
        hand_pages.write(tmp_path / "x", (1,), 1, 3, kind="oops", report=str)
    assert not list(tmp_path.iterdir())

"""The report page of writer identification and the page of a prediction: whole, the same twice, their words counted."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from html_page import Page
from PIL import Image

from applications.writer_identification import page_report
from applications.writer_identification.report import write
from applications.writer_identification.report_pictures import scan
from applications.writer_identification.report_words import LOUD, spoken
from applications.writer_identification.result import Example, Result, Rival, Spoken
from hub.data.hand_pages import page as written_page
from hub.data.hands import hand
from hub.data.keypoint_patches import HALF, keypoint_patches
from hub.evaluation.verification import Verification, open_set, pair_distances, verification

TEXTS = ("harbour", "oak", "yesterday", "Common", "window", "quickly")
RUN = {
    "config": {"model": "siamese", "epochs": 10, "note": "<b>&'\"</b>"},
    "history": {"loss": [0.3, 0.2, 0.15], "val_loss": [0.31, 0.25, 0.2], "word_top1": [0.2, 0.3, 0.4]},
    "device": "CPU, 2 cores",
    "command": "hub run writer_identification --seed 0 && echo '<script>alert(1)</script>'",
    "versions": {"keras": "3.15.1", "tensorflow": "2.21.0"},
    "notes": ["The hands are drawn; never set these figures beside published ones."],
}


def fake(
    writers: int = 12, examples: int = 2, shown: int = 2, seed: int = 0, kind: str = "strokes", spread: float = 1.5
) -> Result:
    """Writers are points, words lie around them, a page is the mean of its words; drawn words to look at."""
    rng = np.random.default_rng(seed)
    per_page = 12
    centre = rng.normal(size=(writers, 16))
    names = np.array([f"{600 + w}" for w in range(writers)])
    words = centre[:, None, None] + 2.4 * spread * rng.normal(size=(writers, 3, per_page, 16))  # three pages each
    pages, own = words.mean(axis=2), np.repeat(names, 3)
    enrolled = pages[:, :2].mean(axis=1)

    def ranks(x: np.ndarray) -> np.ndarray:  # [writers, n, 16] -> rank of the right writer, from 0
        far = np.linalg.norm(x[:, :, None] - enrolled, axis=-1)
        return (far < far[np.arange(writers), :, np.arange(writers)][:, :, None]).sum(axis=-1)

    def top(x: np.ndarray, k: int = 1) -> dict[str, float]:
        per_writer = (ranks(x) < k).mean(axis=1)
        means = rng.choice(per_writer, (200, writers)).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        return {"value": float(per_writer.mean()), "low": float(low), "high": float(high)}

    test, last = words[:, 2], pages[:, 2:]
    pairs = verification(*pair_distances(pages.reshape(-1, 16), own))
    half = np.arange(writers) % 2 == 0
    unknown = open_set(last[:, 0], names, pages[half, :2].reshape(-1, 16), np.repeat(names[half], 2))
    reach, search = pairs.at_far(0.01).threshold, unknown.at_far(0.1).threshold
    metrics = {f"word_top{k}": top(test, k) for k in (1, 5, 10)} | {f"page_top{k}": top(last, k) for k in (1, 5)}
    metrics["page_map"] = {"value": 0.712, "low": 0.64, "high": 0.77}
    metrics["equal_error_rate"] = {"value": pairs.eer, "low": 0.8 * pairs.eer, "high": 1.2 * pairs.eer}
    metrics["open_auroc"] = {"value": 0.871, "low": 0.81, "high": 0.92}
    over = [(str(n), *top(test.reshape(writers, -1, n, 16).mean(axis=2)).values()) for n in (1, 2, 4, 6)]
    over.append(("page", *top(last).values()))
    cmc = {
        name: np.array([(ranks(x) <= k).mean() for k in range(writers)])
        for name, x in (("words", test), ("pages", last))
    }
    flat = test.reshape(-1, 16)
    value = metrics["word_top1"]["value"]
    return Result(
        name="sample (synthetic) <&>",
        writers=writers,
        words=writers * per_page,
        pages=writers,
        enrolled_pages=2 * writers,
        notes=["Word images of two forms are absent & left out."],
        chance=1 / writers,
        metrics=metrics,
        cmc=cmc,
        over_words=over,
        rivals=[
            Rival("raw SIFT, centroids", value - 0.123, 0.7, 0.55),
            Rival("untrained network", value + 0.01, 0.6, 0.5),
        ],
        pairs=pairs,
        unknown=unknown,
        threshold=reach,
        search_threshold=search,
        chosen={**does(pairs, reach, "far", "tar"), **does(unknown, search, "alarm", "found")},
        saliency=np.maximum(rng.gamma(0.7, 1, (3, 24)) - 0.2, 0),
        place=flat @ np.linalg.svd(centre, full_matrices=False)[2][:2].T,
        place_writer=np.repeat(names, per_page),
        examples=[example(i, rng, kind) for i in range(examples)],
        spoken=[speaking(i, rng, kind) for i in range(shown)],
    )


def example(i: int, rng: np.random.Generator, kind: str) -> Example:
    nearest = []
    for n in range(5):
        who = int(rng.choice([i, i + 1, i + 2, i + 3]))
        word = TEXTS[(i + n + 1) % len(TEXTS)]
        nearest.append((f"{600 + who}, “{word}”", who == i, hand(who, word, n, kind=kind)))
    text = TEXTS[i % len(TEXTS)]
    return Example(f"{600 + i}, a01-{i:03d}u, “{text}”", hand(i, text, 9, kind=kind), nearest)


def speaking(i: int, rng: np.random.Generator, kind: str) -> Spoken:
    image = hand(i, TEXTS[i % len(TEXTS)], 3, kind=kind)
    found = keypoint_patches(image, 40)
    evidence = np.sin(found.points[:, 0] / 40 + i) + 0.4 + 0.4 * rng.normal(size=len(found.points))
    return Spoken(
        f"{600 + i}, “{TEXTS[i % len(TEXTS)]}”", image, found.points, np.array(HALF)[found.bins], 0.02 * evidence
    )


def does(curve: Verification, threshold: float, far: str, tar: str) -> dict[str, float]:
    at = int(np.searchsorted(curve.thresholds, threshold, side="right")) - 1
    return {far: float(curve.far[at]), tar: float(curve.tar[at])}


@pytest.fixture(scope="module")
def result() -> Result:
    return fake()


@pytest.fixture(scope="module")
def written(result, tmp_path_factory) -> str:
    path = write(tmp_path_factory.mktemp("run") / "new" / "report.html", results={"sample": result}, **RUN)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture
def words(tmp_path):
    """The words of a page of one result, which must be whole."""

    def of(result: Result) -> str:
        path = write(tmp_path / "r.html", results={"x": result}, **{**RUN, "history": {}})
        return Page(path.read_text("utf-8")).words

    return of


def rows(written: str) -> dict[str, list[str]]:
    """First cell of each row of any table -> the other cells."""
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", written)]
    plain = [[re.sub("<.*?>", " ", cell).replace("\u00a0", " ").strip() for cell in row] for row in cells]
    return {first: rest for first, *rest in plain}


def decoded(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition("base64,")[2])))


def test_page_is_whole_and_needs_nothing_else(written, result):
    page = Page(written)
    assert len(page.images) == sum(1 + len(one.nearest) for one in result.examples)
    assert all(image["alt"] for image in page.images)
    for url in page.urls:
        assert re.match(r"data:image/(png|webp);base64,", url) or url.lstrip("#") in page.ids, url
    assert set(re.findall(r"https?://[^\s\"']+", written)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<script>" not in written and "&lt;script&gt;alert(1)&lt;/script&gt;" in written
    assert "ample (synthetic) &lt;&amp;&gt;" in written and "absent &amp; left out" in written
    assert written.count("<svg") == len(re.findall(r'<svg [^>]*aria-label="[^"]', written))
    assert len(written) < 350_000


def test_same_run_same_bytes(written, tmp_path):
    assert write(tmp_path / "again.html", results={"sample": fake()}, **RUN).read_text(encoding="utf-8") == written


def test_headline_has_figures_intervals_and_chance(written, result):
    said = Page(written).words
    for key, label in (("word_top1", "Word, top-1"), ("page_top1", "Page, top-1"), ("open_auroc", "AUROC")):
        value, low, high = (100 * end for end in result.metrics[key].values())
        assert re.search(rf"{label}\D*{value:.1f} % 95 % interval {low:.1f} to {high:.1f} %", said), label
    assert "one word; a guess 8.3 %" in said and "one word, five names; a guess 41.7 %" in said
    assert "12 writers with 24 enrolled pages; 144 words and 12 pages looked for" in said
    assert "Sample (synthetic) <&>: 12 writers that training never saw, 144 words on 12 pages." in said


def test_ranks_rivals_and_words_are_those_measured(written, result):
    table = rows(written)
    assert table["words"] == [f"{100 * result.cmc['words'][k]:.1f} %" for k in (0, 4, 9)]
    assert table["chance"] == [f"{100 * k / 12:.1f} %" for k in (1, 5, 10)]
    own = [100 * result.metrics[key]["value"] for key in ("word_top1", "word_top5", "page_top1")]
    assert table["this network"] == [f"{value:.1f} %" for value in own]
    assert table["raw SIFT, centroids"][0] == f"{own[0] - 12.3:.1f} %  \u221212.3"
    assert table["untrained network"][0] == f"{own[0] + 1:.1f} %  +1.0"
    said = Page(written).words
    for name, value, low, high in result.over_words:
        of = {"1": "1 word", "page": "a page"}.get(name, f"{name} words")
        assert f"{100 * value:.1f} % from {of} ({100 * low:.1f} to {100 * high:.1f} %)" in said


def test_what_the_threshold_does_is_said_in_words(written, result):
    said, chosen = Page(written).words, result.chosen
    pairs, search = result.pairs, result.unknown
    assert f"two pages of one writer taken for one writer {100 * chosen['tar']:.1f} % {pairs.genuine:,} pairs" in said
    assert f"pages of two writers taken for one writer {100 * chosen['far']:.1f} % {pairs.impostors:,} pairs" in said
    assert f"found and named right {100 * chosen['found']:.1f} % {search.genuine:,} pages" in said
    assert f"taken for somebody {100 * chosen['alarm']:.1f} % {search.impostors:,} pages" in said
    assert "walk" not in said and "people" not in said


def test_every_patch_is_a_square_that_tells_its_side_without_colour(result):
    one = result.spoken[0]
    page = Page("".join(spoken(dataclasses.replace(result, spoken=[one]))))
    squares = [attributes for tag, attributes in page.tags if tag == "rect"]
    assert len(squares) == len(one.evidence) and f"{(one.evidence > 0).sum()} of {len(squares)} patches" in page.words
    for square in squares:
        solid = "stroke-dasharray" not in square
        middle = float(square["x"]) + float(square["width"]) / 2, float(square["y"]) + float(square["height"]) / 2
        near = np.abs(one.points - middle).max(axis=1) <= 1
        assert ((one.evidence > 0)[near] == solid).any() and (square["stroke"] == "#0072b2") == solid
    bold = [square for square in squares if "stroke-opacity" not in square]
    assert len(bold) == 2 * LOUD and sum("stroke-dasharray" in square for square in bold) == LOUD


def test_ground_is_tinted_where_the_evidence_is():
    word = np.full((60, 96), 240, "uint8")
    points, half = np.array([[20.0, 30], [76, 30]]), np.array([16, 16])
    for sign, colour in ((1, (0, 114, 178)), (-1, (213, 94, 0))):
        one = Spoken("w", word, points, half, sign * np.array([1.0, -1e-9]))
        page = Page("".join(spoken(dataclasses.replace(fake(4, 0, 0), spoken=[one]))))
        tint = decoded([url for url in page.urls if url.startswith("data:image/webp")][1]).convert("RGBA")
        assert tint.size == (96, 60)
        *painted, opacity = tint.getpixel((20, 30))
        assert opacity > 150 and np.abs(np.subtract(painted, colour)).max() < 25
        assert tint.getpixel((76, 30))[3] < 10 and tint.getpixel((48, 2))[3] < 10


def test_right_and_wrong_are_said(written, result):
    said = Page(written).words
    for one in result.examples:
        for rank, (caption, right, _) in enumerate(one.nearest, 1):
            assert f"{rank} {'✓ right' if right else '✕ wrong'} {caption}" in said
    assert {right for one in result.examples for _, right, _ in one.nearest} == {True, False}


def test_what_was_not_measured_is_said(result, words):
    said = words(
        dataclasses.replace(
            result, unknown=None, examples=[], spoken=[], over_words=[], cmc={}, rivals=[], notes=[], metrics={},
            saliency=np.zeros((3, 0)), place=np.zeros((0, 2)), place_writer=np.zeros(0, str),
        )
    )  # fmt: skip
    assert "half of the writers would be enrolled" in said and "No training logged" in said
    assert "None measured" in said and "None drawn" in said and "directions weigh alike" in said
    assert said.count("Not measured") == 3 and said.count("None shown") == 2
    assert "nan" not in said and "95 % interval" not in said


def test_word_without_patches_figures_without_value_many_writers(result, words):
    none = np.zeros((0, 2)), np.zeros(0), np.zeros(0)
    blank = Spoken("a dot", np.full((1, 1), 200, "uint8"), *none)
    nothing = {"value": np.nan, "low": np.nan, "high": np.nan}
    metrics = {**result.metrics, "open_auroc": nothing, "word_top1": nothing}
    over = [("1", 0.2, 0.1, 0.3), ("page", np.nan, np.nan, np.nan)]
    cmc = {"words": np.linspace(0.2, 1, 300), "pages": np.linspace(0.5, 1, 40)}
    said = words(dataclasses.replace(result, spoken=[blank], metrics=metrics, over_words=over, cmc=cmc))
    assert "a dot: 0 of 0 patches speak for." in said and "20.0 % from 1 word (10.0 to 30.0 %)." in said
    assert "Open-set AUROC" not in said and "found first in –" in said and "nan" not in said


def test_two_sets_of_writers_stand_under_their_names_and_beside_each_other(result, tmp_path):
    first, second = (dataclasses.replace(result, name=name, examples=[], spoken=[]) for name in ("fonts", "letters"))
    found = write(tmp_path / "r.html", results={"a": first, "b": second}, **RUN).read_text("utf-8")
    assert Page(found).said.count("letters") == 12  # eleven sections and the table of both
    value, low, high = (100 * end for end in result.metrics["word_top5"].values())
    assert rows(found)["word top-5"] == [f"{value:.1f} %  {low:.1f} to {high:.1f} %"] * 2
    with pytest.raises(ValueError, match="at least one result"):
        write(tmp_path / "none.html", results={}, **RUN)
    assert not (tmp_path / "none.html").exists()


def test_scans_are_scaled_to_fit_and_keep_their_shape():
    large = np.full((3000, 1000), 230, "uint8")
    large[1200:1800] = 20
    small = decoded(scan(large, 300, 400))
    assert small.size == (100, 300) and small.convert("L").getpixel((50, 150)) < 40
    assert decoded(scan(large[:1, :1], 300, 400)).size == (1, 1)
    assert decoded(scan(np.zeros((1, 5000), "uint8"), 300, 400)).size == (400, 1)


@pytest.fixture(scope="module")
def letter():
    sheet = written_page(3, ["harbour", "oak", "window", "yes"], width=1200)
    corners = np.array([[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in sheet.boxes], float)
    return sheet.image, corners


VOTES = [("word 1", "Ann <&>", 0.75), ("word 2", "Bob", 0.5), ("word 3", "", 0.3), ("word 4", "Ann <&>", np.nan)]
RANKED = [("Ann <&>", 0.81, 1.25), ("Bob", 0.11, np.nan), *((f"writer {n}", 0.01, 3.0) for n in range(12))]


def test_page_of_a_prediction_shows_whom_each_word_spoke_for(letter, tmp_path):
    sheet, corners = letter
    path = page_report.write(tmp_path / "a" / "p.html", "l<i>.png", sheet, corners, VOTES, RANKED, "By Ann <&>.")
    page = Page(path.read_text("utf-8"))
    frames = [attributes for tag, attributes in page.tags if tag == "polygon"]
    for frame, four in zip(frames, corners, strict=True):
        assert frame["points"] == " ".join(f"{x:.0f},{y:.0f}" for x, y in four)
    dashes = [frame["stroke-dasharray"] for frame in frames]
    assert dashes[0] == dashes[3] == "none" and len(set(dashes)) == 3
    said = page.words
    assert "By Ann <&>." in said and "l<i>.png: 4 words against 14 enrolled writers." in said
    assert "1 Ann <&> 81.0 % 2 of 4 words, distance 1.25" in said and "2 Bob 11.0 % 1 of 4 words 3" in said
    assert "word 1: Ann <&>, 75.0 %" in said and "word 3: nobody, 30.0 %" in said and "– word 3 nobody" in said
    assert "And 4 less likely." in said and "nan" not in said
    assert len(path.read_bytes()) < 100_000


def test_page_of_a_prediction_without_words_or_writers(letter, tmp_path):
    sheet, corners = letter
    path = page_report.write(tmp_path / "p.html", "blank.png", sheet, np.zeros((0, 4, 2)), [], [], "No words.")
    assert "Nobody is enrolled." in Page(path.read_text("utf-8")).words
    with pytest.raises(ValueError, match="4 words and 3 votes"):
        page_report.write(path, "x", sheet, corners, VOTES[:3], RANKED, "")

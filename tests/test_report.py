"""The report page: nothing from outside, nothing unescaped, well formed; and the shares it prints, counted slowly."""

import html.parser
import re

import cv2
import numpy as np
import pytest

from applications import charts, report
from applications.street_number.report import write
from applications.street_number.result import Result
from hub.evaluation.bootstrap import bootstrap_interval
from hub.evaluation.coverage import coverage_at, threshold_at

VOID = {"meta", "img", "br", "path", "use", "rect"}  # of those the page uses; SVG's may also close themselves


class Page(html.parser.HTMLParser):
    """Tags checked for balance, and what the tests ask of them."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.ids, self.images, self.urls, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.images += [attributes] if tag == "img" else []
        self.urls += [value for key, value in attributes.items() if key in ("src", "href", "xlink:href")]
        self.urls += re.findall(r"url\((.*?)\)", attributes.get("style", "") + attributes.get("clip-path", ""))
        assert tag != "script" and not any(key.startswith("on") for key in attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def fake(name: str, n: int, skill: float, seed: int, shown: int = 12) -> Result:
    """Numbers drawn on noise, misread now and then, the more so the less confident."""
    rng = np.random.default_rng(seed)
    truth = [
        "".join(map(str, rng.integers(10, size=rng.choice(6, p=[0.1, 0.25, 0.35, 0.2, 0.07, 0.03]) + 1)))
        for _ in range(n)
    ]
    confidence = rng.beta(8 * skill, 1, n)
    images = rng.integers(60, 110, (n, 64, 64, 3)).astype("uint8")
    predicted = []
    for image, number, sure in zip(images, truth, confidence, strict=True):
        scale = 1.6 / len(number) + 0.2
        colour = tuple(int(c) for c in rng.integers(150, 256, 3))
        cv2.putText(image, number, (4, 44), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 2, cv2.LINE_AA)
        kind = rng.random()
        swapped = number[:-1] + str((int(number[-1]) + 6) % 10)
        read = number if rng.random() < sure else swapped if kind < 0.6 else number[:-1]
        predicted.append(read if len(read) <= 5 else ">5")
    truth = [number if len(number) < 6 or i % 2 else ">5" for i, number in enumerate(truth)]  # both ways to say it
    result = Result(name, images, truth, predicted, confidence, {}, 0.0, np.zeros((0, 64, 64)), np.zeros(0, int))
    correct = result.correct
    wrong = np.flatnonzero(~correct)
    index = np.concatenate([wrong[np.argsort(-confidence[wrong])][:shown], np.flatnonzero(correct)[:shown]])
    y, x = np.mgrid[:64, :64]
    heat = np.stack([np.exp(-((x - 12 - 40 * (i % 5) / 4) ** 2 + (y - 36) ** 2) / 150) for i in index])
    whole = bootstrap_interval(correct)
    kept = bootstrap_interval(
        (confidence, correct),
        lambda c, r: np.array([coverage_at(*pair, 0.98) for pair in zip(c, r, strict=True)]),
        resamples=100,
    )
    metrics = {
        "sequence_accuracy": dict(zip(("value", "low", "high"), whole, strict=True)),
        "coverage_at_98": dict(zip(("value", "low", "high"), kept, strict=True)),
    }
    threshold = threshold_at(confidence, correct, 0.98)
    return Result(name, images, truth, predicted, confidence, metrics, threshold, heat, index)


RUN = {
    "config": {"model": "wrn10_2", "epochs": 12, "note": "<b>&'\"</b>"},
    "history": {"loss": [3.0, 1.2, 0.7], "val_loss": [2.5, 1.0, 0.8], "learning_rate": [1e-3, 5e-4, 1e-4]},
    "device": "CPU, 2 cores",
    "command": "hub run street_number --seed 0 && echo '<script>alert(1)</script>'",
    "versions": {"keras": "3.15.1", "tensorflow": "2.21.0"},
    "notes": ["Sample images are synthetic."],
}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return {
        "sample": fake("sample (synthetic)", 300, 1.2, 0),
        "real_ink": fake("real_ink (<digits> & ink)", 120, 0.3, 1),
    }


@pytest.fixture(scope="module")
def written(results, tmp_path_factory) -> str:
    path = write(tmp_path_factory.mktemp("run") / "new" / "report.html", results=results, **RUN)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_page_is_whole_and_needs_nothing_else(written):
    page = Page(written)
    assert len(page.ids) == len(set(page.ids))
    assert len(page.images) == 2 * (12 + 12) * 2
    assert all(image["alt"] for image in page.images)
    for url in page.urls:
        assert url.startswith("data:image/png;base64,") or url.lstrip("#") in page.ids, url
    assert set(re.findall(r"https?://[^\s\"']+", written)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in written and "@font-face" not in written
    assert len(written) < 3_000_000


def test_every_figure_says_in_words_what_it_shows(written):
    svgs = re.findall(r"<svg[^>]*>", written)
    assert len(svgs) == 2 + 5 * 2  # two logged values; five figures for each of two results
    for svg in svgs:
        assert len(re.search(r'role="img" aria-label="([^"]*)"', svg)[1]) > 20
        assert "viewBox" in svg
        assert not re.search(r'\s(width|height)="', svg)
    for colour in (report.INK, report.PAPER, report.BLUE, report.ORANGE, report.GREEN):
        assert colour not in "".join(re.findall(r"<svg.*?</svg>", written, re.S))


def test_everything_given_is_escaped(written):
    assert "<script>" not in written
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in written
    assert "&lt;b&gt;&amp;&#x27;&quot;&lt;/b&gt;" in written
    assert "real_ink (&lt;digits&gt; &amp; ink)" in written
    assert report.text("<i>") == "&lt;i&gt;"
    assert report.text(report.text("<i>")) == "&lt;i&gt;"
    assert 'alt="&quot;&gt;&lt;x&gt;"' in report.image(np.zeros((2, 2), "uint8"), '"><x>')


def test_same_run_same_bytes(written, results, tmp_path):
    assert write(tmp_path / "again.html", results=results, **RUN).read_text(encoding="utf-8") == written


def test_printed_shares_are_those_of_a_slow_count(written, results):
    words = " ".join(Page(written).words).replace("\u00a0", " ")
    for result in results.values():
        right = [t == p or (p == ">5" and len(t) > 5) for t, p in zip(result.truth, result.predicted, strict=True)]
        assert result.correct.tolist() == right
        assert f"{len(right) - sum(right)} read wrongly" in words
        kept = [r for r, c in zip(right, result.confidence, strict=True) if c >= result.threshold]
        assert f"{len(right) - len(kept)} answers withheld" in words
        assert (
            f"answers {100 * len(kept) / len(right):.1f} %, {100 * sum(kept) / len(kept):.1f} % of them right" in words
        )
        same = [
            (t, p) for t, p in zip(result.truth, result.predicted, strict=True) if ">" not in p + t and len(t) == len(p)
        ]
        digits = sum(len(t) for t, _ in same)
        off = sum(a != b for t, p in same for a, b in zip(t, p, strict=True))
        assert 0 < len(same) < len(right) and off > 0
        assert f"{digits} digits of {len(same)} numbers; {len(right) - len(same)} numbers left out" in words
        assert f"Confusion matrix: {off} of {digits} off the diagonal" in written
        lengths = {
            n: [r for r, t in zip(right, result.truth, strict=True) if (t if t == ">5" else str(len(t))) == n]
            for n in ("1", "2", "3", "4", "5", ">5", "6")
        }
        said = ", ".join(f"{n}: {100 * np.mean(r):.1f} %" for n, r in lengths.items() if r)
        assert f"Accuracy by number of digits: {said}" in written.replace("\u00a0", " ").replace("&gt;", ">")
    first = results["sample"].metrics["sequence_accuracy"]
    assert f"{100 * first['value']:.1f} %" in words
    assert f"95 % interval {100 * first['low']:.1f} to {100 * first['high']:.1f} %" in words
    assert "coverage at 98 %" in words and "synthetic" in words


def test_gallery_shows_the_surest_mistakes_first(written):
    section = written[written.index('<section id="right-and-wrong">') : written.index('<section id="digits-taken')]
    for part in section.split("<h3>")[1:]:
        wrong, right = part.split("right answers, from the least sure up")
        sure = [[float(c) for c in re.findall(r"confidence ([\d.]+)", side)] for side in (wrong, right)]
        assert sure[0] == sorted(sure[0], reverse=True) and sure[1] == sorted(sure[1])
        assert wrong.count("✗ truth: ") == 12 and wrong.count("✓ right") == 0
        assert right.count("✓ right") == 12 and right.count("✗ truth: ") == 0


def test_nothing_right_nothing_confident_nothing_shown(tmp_path):
    blank = Result(
        name="sample (synthetic)",
        images=np.zeros((3, 64, 64, 3), "uint8"),
        truth=["1", "22", ">5"],
        predicted=["", ">5", "12345"],
        confidence=np.array([0.0, 1.0, 1.0]),
        metrics={"coverage_at_98": {"value": 0.0, "low": 0.0, "high": float("nan")}},
        threshold=float("inf"),
        heat=np.zeros((0, 64, 64), "float32"),
        heat_index=np.zeros(0, int),
    )
    assert not blank.correct.any() and not blank.answered.any()
    words = " ".join(Page(write(tmp_path / "r.html", results={"x": blank}, **{**RUN, "history": {}}).read_text()).words)
    assert "No answer is confident enough" in words and "answers none" in words and "No training logged" in words
    with pytest.raises(ValueError, match="at least one result"):
        write(tmp_path / "none.html", results={}, **RUN)
    assert not (tmp_path / "none.html").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"truth": ["1"]}, "must be as long"),
        ({"images": np.zeros((2, 64, 64, 3), "float32")}, r"uint8 \[N, H, W, 3\]. Received: float32"),
        ({"heat": np.zeros((1, 54, 54))}, "one map of the images' size"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, sentence):
    parts = {
        "name": "sample",
        "images": np.zeros((2, 64, 64, 3), "uint8"),
        "truth": ["1", "2"],
        "predicted": ["1", ""],
        "confidence": np.ones(2),
        "metrics": {},
        "threshold": 0.5,
        "heat": np.zeros((1, 64, 64)),
        "heat_index": np.array([1]),
    }
    Result(**parts)
    with pytest.raises(ValueError, match=sentence):
        Result(**{**parts, **change})


def test_overlay_is_the_gray_picture_where_cold_and_bright_where_hot():
    pixels = np.full((4, 4, 3), (200, 100, 50), "uint8")
    heat = np.zeros((4, 4))
    heat[0, 0], heat[1, 1] = 1, 0.5
    shown = report.overlay(pixels, heat).astype(int)
    gray = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert (shown[2:] == gray).all()
    assert shown[0, 0, 0] > 200 and shown[0, 0, 0] - shown[0, 0, 2] > 80  # yellow: red and green, little blue
    assert shown[0, 0].sum() > shown[1, 1].sum()
    with pytest.raises(ValueError, match="uint8"):
        report.image(heat, "a map")


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    path = report.save(tmp_path / "r.html", "old")
    with pytest.raises(UnicodeEncodeError):
        report.save(path, "\ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_reliability_is_exact_for_honest_confidence():
    confidence = np.repeat([0.25, 0.75], 400)
    honest = np.tile(np.arange(4) < [[1], [3]], (1, 100)).ravel()  # 1 of 4 right at 0.25, 3 of 4 at 0.75
    assert "is 0.0 points off" in charts.reliability(confidence, honest)
    assert "is 50.0 points off" in charts.reliability(confidence, ~honest)

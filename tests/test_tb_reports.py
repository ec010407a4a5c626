"""The pages of the chest film application: whole, from nothing outside, all escaped, honest where data lack."""

import argparse
import dataclasses
import html.parser
import json
import pathlib
import re
import types

import cv2
import numpy as np
import pytest

from applications import charts
from applications.tb_chest_xray import film_report, predict, report
from applications.tb_chest_xray.lungs import Lungs
from applications.tb_chest_xray.report_answers import WORTH_A_ROW
from applications.tb_chest_xray.report_evidence import WORST
from applications.tb_chest_xray.result import Result
from hub.data import thorax_phantom
from hub.data.chest_films import Films
from hub.evaluation.bootstrap import Interval
from hub.evaluation.operating_point import threshold_table
from hub.evaluation.source_probe import SourceProbe
from hub.evaluation.subgroups import by_group

SIZE = 48
METRICS = ("auc", "sensitivity", "specificity", "accuracy", "lung_dice", "lung_iou", "calibration_error",
           "calibration_error_before", "brier", "brier_before")  # fmt: skip
METHODS = ("score_cam", "grad_cam", "grad_cam_plus_plus", "eigen_cam", "smooth_grad")
VOID = {"meta", "path", "use", "rect", "br", "image"}
HOSTILE = "<script>alert('$x_{$\"&')</script>"


class Page(html.parser.HTMLParser):
    """Tags checked for balance; ids, addresses and words."""

    def __init__(self, content: str):
        super().__init__()
        self.open, self.ids, self.urls, self.words, self.films = [], [], [], [], 0
        self.feed(content)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))
        for url in self.urls:
            assert url.startswith("data:image/") or url.lstrip("#") in self.ids, url
        known = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert set(re.findall(r"https?://[^\s\"']+", content)) <= known
        assert "@import" not in content and "@font-face" not in content
        self.said = re.sub(r"\s+", " ", " ".join(self.words).replace("\u00a0", " "))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.urls += [value for key, value in attributes.items() if key in ("src", "href", "xlink:href")]
        self.urls += re.findall(r"url\((.*?)\)", attributes.get("style", "") + attributes.get("clip-path", ""))
        self.films += tag == "image" and attributes["href"].startswith("data:image/jpeg")
        assert tag not in ("script", "x") and not any(key.startswith("on") for key in attributes)
        if tag == "svg":
            assert len(attributes["aria-label"]) > 3
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


def films(n: int, seed: int) -> Films:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    lungs = ((x - 15) / 8) ** 2 + ((y - 24) / 15) ** 2 < 1, ((x - 33) / 8) ** 2 + ((y - 24) / 15) ** 2 < 1
    mask = np.broadcast_to((lungs[0] | lungs[1]).astype("uint8")[None, ..., None], (n, SIZE, SIZE, 1))
    images = np.clip(rng.normal(150, 20, mask.shape) - 70 * mask, 0, 255).astype("uint8")

    def texts(*options: str) -> np.ndarray:
        return rng.choice(np.array(options, object), n).astype(str)

    return Films(
        images,
        mask,
        np.ones(n, bool),
        np.arange(n) % 2,
        np.array([f"p{i // 2}" for i in range(n)]),
        texts("montgomery", HOSTILE),
        texts("M", "F", ""),
        rng.integers(-1, 80, n),
        texts("normal", "", HOSTILE),
        np.full(n, ""),
        np.array([f"{HOSTILE}{i}.png" for i in range(n)]),
        np.full(n, "0" * 64),
    )


def fake(name: str, n: int = 60, seed: int = 0, **changes) -> Result:
    rng = np.random.default_rng(seed)
    given = films(n, seed)
    logit = rng.normal(2 * given.label - 1.2, 1.3)
    probability = 1 / (1 + np.exp(-0.8 * logit))
    shown = np.arange(12)
    probe = SourceProbe(Interval(0.91, 0.85, 0.96), Interval(0.8, 0.7, 0.9), 0.6, ("a", HOSTILE))
    three = {"value": 0.812, "low": 0.703, "high": 0.899}
    parts = {
        "name": name,
        "films": given,
        "logit": logit,
        "probability": probability,
        "lungs": (200 * given.masks[..., 0] + rng.integers(0, 50, given.masks.shape[:3])).astype("uint8"),
        "dice": rng.uniform(0.8, 1, n),
        "iou": rng.uniform(0.7, 0.95, n),
        "threshold": 0.4,
        "band": (0.3, 0.5),
        "metrics": dict.fromkeys(METRICS, three),
        "table": threshold_table(probability, given.label, 0.05),
        "subgroups": by_group(probability, given.label, 0.4, {"sex": given.sex, "source": given.source}, resamples=20),
        "probes": {"archive": probe, "diagnosis": probe},
        "shown": shown,
        "heat": {method: rng.random((12, SIZE, SIZE)).astype("float32") for method in METHODS},
        "lift": {method: {"value": 1.5, "low": 1.1, "high": 1.9} for method in METHODS},
    }
    return Result(**{**parts, **changes})


RUN = {
    "config": {"model": "resnet14_slim", "prevalence": 0.05, "note": HOSTILE, "folds": 5},
    "history": {
        f"{part}: {key}": [1.0, 0.5] for part in ("segmentation", "classification") for key in ("loss", "val_loss")
    },
    "device": "CPU",
    "command": f"hub run tb_chest_xray && echo {HOSTILE}",
    "versions": {"keras": "3.15.1"},
    "notes": ["Not a medical device: as this page says anyway.", "The films are synthetic."],
}  # fmt: skip


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    return {"sample": fake("sample (synthetic)"), "ct": fake(f"ct {HOSTILE}", seed=1)}


@pytest.fixture(scope="module")
def written(results, tmp_path_factory) -> str:
    path = report.write(tmp_path_factory.mktemp("run") / "new" / "report.html", results=results, **RUN)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_page_is_whole_and_says_everything(written, results):
    page = Page(written)
    assert page.films == 2 * (12 + WORST)
    assert len(re.findall("xmlns:xlink", written)) == 2 * (2 + 1 + 1 + 1) + 1 + 2  # charts: five a set, lift, training
    assert "<script" not in written
    headings = re.findall(r"<h2>(.*?)</h2>", written)
    assert headings == [
        *("Headline", "Ill or not", "Thresholds", "Calibration", "Lungs", "Evidence", "Five methods"),
        *("Heat inside the lungs", "Subgroups", "What a thumbnail knows", "Training", "This run"),
    ]
    assert page.said.count("Not a medical device") == 2  # in the lead and in the headline
    for words in ("0.812", "81.2 %", "70.3 to 89.9 %", "0.703 to 0.899", "SmoothGrad", "99.9 %", "AUC 0.91", "small"):
        assert words in page.said, words
    assert (
        "resnet14_slim" in page.said and "hub run tb_chest_xray" in page.said and "The films are synthetic" in page.said
    )


def test_counts_are_those_of_a_slow_count(written, results):
    said = Page(written).said
    for result in results.values():
        pairs = [(t, p >= 0.4) for t, p in zip(result.films.label, result.probability, strict=True)]
        tp, fn, fp, tn = (pairs.count(pair) for pair in ((1, True), (1, False), (0, True), (0, False)))
        near = sum(0.3 <= p <= 0.5 for p in result.probability)
        assert f"{tp} with tuberculosis referred, {fn} missed; {fp} others referred, {tn} not." in said
        assert f"{near} of these films lie there" in said
        share = 0.05 * tp / (tp + fn) + 0.95 * fp / (fp + tn)
        tests = share / (0.05 * tp / (tp + fn))
        assert f"{1000 * share:.0f} are referred for a confirmatory test" in said
        row = f"◆ 0.400 {100 * tp / (tp + fn):.1f} % {100 * tn / (tn + fp):.1f} %"
        assert row in said
        assert f"{100 * share:.1f} % {tests:.1f} {tp} {fp} {fn} {tn}" in said
        shown = [(t == 1, c) for t, c in (pairs[i] for i in result.shown)]
        wrong = sum(t != c for t, c in shown)
        assert f"{wrong} of {fn + fp} mistakes" in said and f"{12 - wrong} of {tp + tn} right answers" in said
        raw = [1 / (1 + np.exp(-x)) for x in result.logit]
        bins = [[(p, t) for p, (t, _) in zip(raw, pairs, strict=True) if b < 15 * p <= b + 1] for b in range(15)]
        gap = sum(abs(sum(p for p, _ in b) - sum(t for _, t in b)) for b in bins) / len(raw)
        assert f"before {100 * gap:.1f} points" in said


def test_thresholds_are_few_and_mistakes_come_first(written):
    section = written[written.index('<section id="thresholds">') : written.index('<section id="calibration">')]
    for table in re.findall("<table>.*?</table>", section, re.S):
        assert 4 <= table.count("<tr>") <= 2 + len(WORTH_A_ROW) and table.count("◆") == 1
        shares = [re.findall(r"([\d.]+)\xa0%", row)[:2] for row in table.split("<tr>")[2:]]
        sensitivity, specificity = np.array(shares, float).T
        assert (np.diff(sensitivity) >= 0).all() and (np.diff(specificity) <= 0).all()  # from strict to lax
        assert sensitivity[-1] == 100
    evidence = written[written.index('<section id="evidence">') : written.index('<section id="five-methods">')]
    for part in evidence.split("<h3>")[1:]:
        wrong, right = part.split("right answers")
        assert "✗" in wrong and "✓" not in wrong and "✓" in right and "✗" not in right


def test_same_run_same_bytes(written, results, tmp_path):
    assert report.write(tmp_path / "again.html", results=results, **RUN).read_text(encoding="utf-8") == written


NOTHING = {"metrics": {}, "table": [], "subgroups": [], "probes": {}, "heat": {}, "lift": {}}
NAN = np.full(60, np.nan)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"probes": {}}, "not probed"),
        ({"dice": NAN, "iou": NAN}, "No film of this set has a mask"),
        ({"heat": {method: np.zeros((0, SIZE, SIZE)) for method in METHODS}, "lift": {}}, "No heat maps were made"),
        ({"threshold": 1.1, "band": (1.1, 1.1)}, "nobody would be referred"),
        ({"shown": np.zeros(0, int)}, "so none is shown"),
        ({"dice": np.ones(60), "iou": np.ones(60)}, "Dice: median 1.000"),
        ({**NOTHING, "label": 0}, "films with and without tuberculosis are needed"),
        ({**NOTHING, "label": -1, "shown": np.zeros(0, int)}, "No film has a known diagnosis"),
        ({**NOTHING, "label": 1}, "films with and without tuberculosis are needed"),
    ],
)
def test_what_is_not_there_is_said(changes, sentence, tmp_path):
    label = changes.pop("label", None) if (changes := dict(changes)) else None
    if label is not None:
        changes["films"] = dataclasses.replace(films(60, 0), label=np.full(60, label))
    path = report.write(tmp_path / "r.html", results={"one": fake("one", **changes)}, **{**RUN, "history": {}})
    said = Page(path.read_text(encoding="utf-8")).said
    assert sentence in said and "No training logged" in said
    assert not re.search(r"\bnan\b", said)


def test_perfect_separation_and_overstated_error_are_not_sold(tmp_path):
    metrics = {
        "auc": {"value": 1.0, "low": 1.0, "high": 1.0},
        "calibration_error": {"value": 0.1, "low": 0.11, "high": 0.2},
    }
    path = report.write(tmp_path / "r.html", results={"one": fake("one", metrics=metrics)}, **RUN)
    said = Page(path.read_text(encoding="utf-8")).said
    assert "which says nothing of the next films" in said and "redraws, which overstate it: 11.0 to 20.0 %" in said


def test_a_report_of_two_sets_stays_small(tmp_path):
    drawn = [thorax_phantom.film(i, size=128) for i in range(12)]
    images = np.stack([film.image for film in drawn] * 5)[..., None]
    masks = np.stack([film.left | film.right for film in drawn] * 5)[..., None]
    rng = np.random.default_rng(0)
    coarse = rng.random((12, 8, 8)).astype("float32") ** 3
    heat = {method: np.stack([cv2.resize(one, (128, 128)) for one in coarse]) for method in METHODS}
    given = dataclasses.replace(films(60, 0), images=images, masks=masks.astype("uint8"))
    parts = {"films": given, "heat": heat, "lungs": 255 * given.masks[..., 0]}
    both = {name: fake(name, seed=i, **parts) for i, name in enumerate(("sample", "ct"))}
    path = report.write(tmp_path / "r.html", results=both, **RUN)
    Page(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 700_000


def test_no_result_no_page(tmp_path):
    for write in (report.write, report.write_lungs):
        with pytest.raises(ValueError, match="at least one result"):
            write(tmp_path / "none.html", results={}, **RUN)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("masked", [True, False])
def test_lungs_alone(masked, tmp_path):
    one = fake("test", **({} if masked else {"dice": NAN, "iou": NAN}), metrics={}, table=[])
    two = fake("ct", seed=1)
    path = report.write_lungs(tmp_path / "r.html", results={"test": one, "ct": two}, **RUN)
    page = Page(path.read_text(encoding="utf-8"))
    assert page.films == WORST * (1 + masked) and f"{two.dice.mean():.3f}" in page.said
    assert page.said.count("95 % interval 0.703 to 0.899; median") == 2
    assert (f"mean Dice {one.dice.mean():.3f}" in page.said) is masked
    assert "Not a medical device" in page.said


def figures(experiment: str, rows: list[dict], synthetic: bool) -> dict:
    figure = {"n": 1500, "accuracy": 0.9, "precision": 0.91, "sensitivity": 0.9, "f1": 0.89, "specificity": 0.88,
              "accuracy_interval": [0.87, 0.93], "auc": {"value": 0.95, "low": 0.93, "high": 0.97},
              "always_largest_class": 0.55}  # fmt: skip
    rows = [{**row, **figure} for row in rows]
    keys = ("config", "device", "command")
    return {"experiment": experiment, "rows": rows, "films": 1500, "synthetic": synthetic, **{k: RUN[k] for k in keys}}


@pytest.mark.parametrize("synthetic", [True, False])
def test_compared_runs(synthetic, tmp_path):
    rows = [{"backbone": name, "films": kind} for name in ("vgg19", HOSTILE) for kind in ("whole", "segmented")]
    path = report.write_figures(tmp_path / "table.html", figures("table", rows, synthetic))
    said = Page(path.read_text(encoding="utf-8")).said
    assert said.count("0.930 to 0.970") == 4 and said.count("87.0 to 93.0 %") == 4
    assert "folds pooled" in said and "could not be read" in said and "96.47 %" in said and "98.6 %" in said
    assert ("never set them beside published" in said) is synthetic
    rows = [
        {"tested_on": name, "trained_on": which} for name, which in (("a", "all"), ("b", "all"), ("a", "without a"))
    ]
    path = report.write_figures(tmp_path / "sources.html", figures("sources", rows, synthetic))
    assert "without a" in Page(path.read_text(encoding="utf-8")).said


ABOUT = {
    "threshold": 0.4,
    "band": [0.3, 0.5],
    "target_sensitivity": 0.9,
    "validation": {"positives": 40, "negatives": 60},
    "unusual": 30.0,
    "synthetic": True,
    "command": f"hub train {HOSTILE}",
    "note": "few positives",
    "metrics": {"sample": {"auc": {"value": 0.812, "low": 0.703, "high": 0.899}}},
}
ANSWER = {"code": 0, "lung_area": 0.3, "probability": 0.7, "threshold": 0.4, "referred": True, "uncertain": False,
          "unusual": False, "distance": 12.0}  # fmt: skip


def one_film(folder, source, row=ANSWER, about=ABOUT, heat=1):
    one = films(1, 3)
    found = Lungs(one.masks[0, ..., 0] > 0, "")
    maps = np.random.default_rng(0).random((heat, SIZE, SIZE)).astype("float32")
    path = film_report.write(
        folder, pathlib.Path(source), one.images[0, ..., 0].astype("float32"), found, maps, row, about
    )
    return path, Page(path.read_text(encoding="utf-8"))


def test_one_film_on_one_page(tmp_path):
    path, page = one_film(tmp_path / "pages", "/films/a/one.png")
    assert path == tmp_path / "pages" / "one.html" and [p.name for p in path.parent.iterdir()] == ["one.html"]
    assert len([url for url in page.urls if url.startswith("data:")]) == 2 and page.urls.count("#film") == 2
    for words in ("Not a medical device", "trained on synthetic films", "Refer for a confirmatory test", "0.700",
                  "sensitivity of 90%", "40 validation films", "40.0 % of the films", "0.300 to 0.500", "few positives",
                  "AUC 0.812 (0.703 to 0.899)", "No warnings", "12, unusual from 30"):  # fmt: skip
        assert words in page.said, words
    row = {**ANSWER, "referred": False, "uncertain": True, "unusual": True, "probability": 0.35, "threshold": 0.36}
    _, page = one_film(tmp_path, "two.png", row, heat=0)
    for words in (
        "Not referred",
        "a person should look",
        "trust the answer less",
        "given by hand; the run's own is 0.400",
    ):
        assert words in page.said, words
    assert "Score-CAM" not in page.said


@pytest.mark.parametrize("code", [-1, -2, -3])
def test_a_refused_film_says_why_and_what_would_do(code, tmp_path):
    row = {"code": code, "lung_area": 0.02, "reason": f"no lungs {HOSTILE}"}
    _, page = one_film(tmp_path, "cat.png", row)
    assert f"No answer (code {code})" in page.said and "No lungs <script>" in page.said
    assert "frontal (PA) film" in page.said and "Not a medical device" in page.said
    assert "robability of" not in page.said and "Score-CAM" not in page.said


def test_every_file_that_cannot_be_read_gets_its_page(tmp_path, monkeypatch):
    """A file that is no film, no picture, no DICOM or not there: code and error in the row, and on a page without film.

    The network is not asked, so there is none here.
    """
    folder, films = tmp_path / "run", tmp_path / "films"
    folder.mkdir()
    films.mkdir()
    (folder / "run.json").write_text(json.dumps(ABOUT))
    (folder / "config.json").write_text(json.dumps({"experiment": "segmented"}))
    np.savez(folder / "reference.npz", means=np.zeros((1, 3)), whitening=np.eye(3), held_out=np.ones(9))
    cv2.imwrite(str(films / "black.png"), np.zeros((90, 90), "uint8"))
    (films / "damaged.dcm").write_bytes(bytes(128) + b"DICM" + b"x" * 40)
    (films / "text.png").write_text("a letter")
    (films / f"{HOSTILE[:8]}.png").write_text("a letter")
    monkeypatch.setattr("hub.load", lambda path: types.SimpleNamespace(input_shape=(None, SIZE, SIZE, 1)))
    codes = {"black.png": -1, "damaged.dcm": -2, "text.png": -3, f"{HOSTILE[:8]}.png": -3, "absent.png": -3}
    for report_to in (None, str(tmp_path / "new" / "pages")):
        asked = argparse.Namespace(images=[str(films / name) for name in codes], threshold=None, report=report_to)
        rows = list(predict.predict(folder, asked))
        assert [row["code"] for row in rows] == list(codes.values())
        for row, name in zip(rows, codes, strict=True):
            assert row["image"].endswith(name) and row["error"] and "words" not in row
            assert ("report" in row) is bool(report_to)
    for row in rows:
        page = Page(pathlib.Path(row["report"]).read_text(encoding="utf-8"))
        assert f"No answer (code {row['code']}) {row['error']} " in page.said and page.urls == []
        assert "frontal (PA) film" in page.said and "share of the film" not in page.said
        assert "rests on" not in page.said
    assert len({row["report"] for row in rows}) == len(rows) == len(list((tmp_path / "new" / "pages").iterdir()))


def test_the_page_says_what_the_answer_rests_on(tmp_path):
    said = {}
    for experiment in ("segmented", "whole", ""):
        said[experiment] = one_film(tmp_path, "one.png", about={**ABOUT, "experiment": experiment})[1].said
    assert "rests on the lungs as found" in said["segmented"] and "blanked out" in said["segmented"]
    assert "rests on the whole film" in said["whole"] and "blanked out" not in said["whole"]
    assert "rests on" not in said[""]


def test_what_the_run_does_not_know_is_left_out(tmp_path):
    _, page = one_film(tmp_path, "one.png", about={"threshold": 0.4, "band": [0.4, 0.4]})
    assert "Operating point 0.400 Band" in page.said and "synthetic" not in page.said


def test_two_films_of_one_name_keep_their_pages(tmp_path):
    first, _ = one_film(tmp_path, "/films/a/one.png")
    before = first.read_bytes()
    second, page = one_film(tmp_path, "/films/b/one.png", {**ANSWER, "probability": 0.9})
    assert second.name == "one-2.html" and first.read_bytes() == before and "/films/b/one.png" in page.said
    assert one_film(tmp_path, "/films/b/one.png")[0] == second
    assert one_film(tmp_path, "/films/a/one.png")[0] == first
    (tmp_path / "note.html").write_text("mine")
    assert one_film(tmp_path, "note.dcm")[0].name == "note-2.html" and (tmp_path / "note.html").read_text() == "mine"
    assert one_film(tmp_path, "/films/c/one.png")[0].name == "one-3.html"


@pytest.mark.parametrize("name", ["<x onload=1>\"'&.png", "\udcff.png", "ä" * 120 + ".png", "-rf.png", "a\nb.png"])
def test_hostile_file_names(name, tmp_path):
    path, page = one_film(tmp_path, f"/films/{name}")
    assert path.parent == tmp_path and path.exists() and "Refer" in page.said
    if name.startswith("<"):
        assert name in page.said


def test_outline_runs_along_the_edges_of_the_mask():
    mask = np.zeros((16, 16), bool)
    mask[4:9, 2:12] = True
    numbers = [float(v) for v in re.findall(r"[\d.]+", re.search(r' d="(.*?)"', film_report.outline(mask))[1])]
    x, y = numbers[::2], numbers[1::2]
    np.testing.assert_allclose((min(x), max(x), min(y), max(y)), (2, 12, 4, 9), atol=0.26)
    assert "dasharray" in film_report.outline(mask, "true") and "dasharray" not in film_report.outline(mask)


def test_slim_page_draws_the_same(tmp_path):
    """Every figure keeps its lines and letters; only their writing is shorter."""
    labels = np.arange(80) % 2
    scores = np.random.default_rng(0).normal(labels, 1)
    fat = charts.roc(scores, labels, 0.5) + charts.precision_recall(scores, labels, 0.5)
    thin = charts.slim(fat)
    assert len(thin) < 0.6 * len(fat)
    assert thin.count("<use") == fat.count("<use")
    whole = [re.sub(r"\s+", "", d) for d in re.findall(r'\sd="([^"]*)"', fat) if "." not in d]
    assert whole and {re.sub(r"\s+", "", d) for d in re.findall(r'\sd="([^"]*)"', thin)} >= set(whole)

    def numbers(page: str) -> list[float]:
        return [float(n) for d in re.findall(r'<path d="([^"]*)"', page) for n in re.findall(r"-?\d+\.?\d*", d)]

    assert len(numbers(thin)) == len(numbers(fat)) > 100
    np.testing.assert_allclose(numbers(thin), numbers(fat), atol=0.0051)
    Page(thin)

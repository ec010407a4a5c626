"""The report page of facial expression: whole, the same twice, its figures those measured, right told from wrong."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from html_page import Page
from PIL import Image

from applications.facial_expression.report import write
from applications.facial_expression.report_faces import SIDE, faces
from applications.facial_expression.result import Annotators, Landmarks, Method, Result, Shown
from hub.data.face_images import EXPRESSIONS
from hub.data.faces_drawn import draw
from hub.evaluation.annotators import agreement, report
from hub.evaluation.landmark_error import landmark_error

RUN = {
    "config": {"model": "mini_xception", "epochs": 10, "note": "<b>&'\"</b>"},
    "history": {
        "mini_xception": {"loss": [1.9, 1.2, 0.9], "val_loss": [1.8, 1.3, 1.1], "accuracy": [0.2, 0.5, 0.7]},
        "landmark68 <net>": {"loss": [0.02, 0.01, 0.006]},
        "LTNet": {},
    },
    "device": "CPU, 2 cores",
    "command": "hub run facial_expression --seed 0 && echo '<script>alert(1)</script>'",
    "versions": {"keras": "3.15.1", "tensorflow": "2.21.0"},
    "notes": ["What a face shows is not what a person feels; judge nobody by these figures."],
}


def method(name: str, sizes: np.ndarray, skill: float, rng: np.random.Generator) -> Method:
    """Answers right with `skill`, else mostly one of the neighbours."""
    likely = skill * np.eye(7) + (1 - skill) * rng.dirichlet(np.full(7, 0.6), 7)
    confusion = np.array([rng.multinomial(n, row) for n, row in zip(sizes, likely, strict=True)])
    right = np.diag(confusion)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / confusion.sum(axis=0), right / confusion.sum(axis=1)
        f1 = 2 * right / (confusion.sum(axis=0) + confusion.sum(axis=1))
    values = {
        "accuracy": right.sum() / confusion.sum(),
        "mean_class_accuracy": np.nanmean(recall),
        "macro_f1": np.nanmean(f1),
    }
    metrics = {key: {"value": float(v), "low": float(v - 0.034), "high": float(v + 0.029)} for key, v in values.items()}
    return Method(name, metrics, confusion, precision, recall, f1)


def far_off(name: str, points: int, spread: float, rng: np.random.Generator) -> Landmarks:
    truth = rng.uniform(0, 200, (160, points, 2))
    noise = rng.normal(size=truth.shape) * rng.gamma(6, spread / 6, (160, 1, 1))
    return Landmarks(name, landmark_error(truth + noise, truth, np.full(160, 100.0), limit=0.1, resamples=50))


def people(rng: np.random.Generator, count: int = 3) -> Annotators:
    """One careful, one careless, one who says surprise of fear, and so on."""
    matrices = np.stack([np.full((7, 7), 0.02) + (0.86 - 0.12 * (j % 3)) * np.eye(7) for j in range(count)])
    matrices[1 % count, 2, 5] += 0.7
    matrices /= matrices.sum(axis=2, keepdims=True)
    truth = rng.integers(7, size=400)
    labels = np.array([[rng.choice(7, p=one[t]) for one in matrices] for t in truth])
    labels[rng.random(labels.shape) < 0.1] = -1
    names = [f"annotator <{chr(65 + j)}>" for j in range(count)]
    noise = rng.dirichlet(np.full(7, 2.0), (count, 7))
    estimated = 0.95 * matrices + 0.05 * noise
    return Annotators(names, agreement(labels), report(labels, names, estimated, matrices), estimated)


def shown(i: int, rng: np.random.Generator, size: tuple[int, int] = (245, 320)) -> Shown:
    truth = i % 7
    face = draw(i, truth, 1.0, i, size=size, colour=i % 2 == 1)
    logits = rng.normal(size=7)
    logits[truth] += 3 * (i % 3 != 0)
    chances = np.exp(logits) / np.exp(logits).sum()
    points = face.landmarks if i % 4 < 3 else None
    return Shown(f"S{i:03d}_00{i} & Co", face.picture, face.box, points, -1 if i == 5 else truth, chances)


def fake(pictures: int = 6, seed: int = 0, scale: int = 8) -> Result:
    rng = np.random.default_rng(seed)
    sizes = scale * np.array([4, 1, 4, 8, 5, 4, 6])
    named = (("learned landmarks + MLP", 0.84), ("classical landmarks + MLP", 0.6), ("mini_xception", 0.72))
    return Result(
        name="sample (synthetic) <&>",
        faces=int(sizes.sum()),
        people=16,
        undetected=5,
        notes=["Ten faces without a name & an age are left out."],
        chance=float(sizes.max() / sizes.sum()),
        methods=[method(name, sizes, skill, rng) for name, skill in (*named, ("16x16 pixels, linear", 0.35))],
        landmarks=[far_off("learned, 68 points", 68, 3, rng), far_off("classical, 18 points", 18, 6, rng)],
        calibration={"ece_before": 0.123, "ece_after": 0.021, "temperature": 1.7},
        annotators=people(rng),
        shown=[shown(i, rng) for i in range(pictures)],
    )


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


def tables(written: str) -> list[list[list[str]]]:
    """Rows of cells of each table, without markup."""
    return [
        [
            [" ".join(re.sub("<.*?>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", table)
        ]
        for table in re.findall(r"<table>(.*?)</table>", written)
    ]


def table(written: str, corner: str) -> list[list[str]]:
    return next(found for found in tables(written) if corner in (found[0][0], found[1][0]))


def p(share: float) -> str:
    return f"{100 * share:.1f} %"


def test_page_is_whole_and_needs_nothing_else(written, result):
    page = Page(written)
    pictures = [attributes for tag, attributes in page.tags if tag == "image"]
    assert len(pictures) == len(result.shown)
    for url in page.urls:
        assert url.startswith("data:image/webp;base64,") or url.lstrip("#") in page.ids, url
    assert set(re.findall(r"https?://[^\s\"']+", written)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<script>" not in written and "&lt;script&gt;alert(1)&lt;/script&gt;" in written
    assert "ample (synthetic) &lt;&amp;&gt;" in written and "name &amp; an age" in written
    assert written.count("<svg") == len(re.findall(r'<svg [^>]*aria-label="[^"]', written))
    assert "landmark68 <net>" in page.words and "judge nobody by these figures" in page.words
    assert len(written) < 450_000 and "nan" not in page.words


def test_same_run_same_bytes(written, tmp_path):
    assert write(tmp_path / "again.html", results={"sample": fake()}, **RUN).read_text(encoding="utf-8") == written


def test_headline_has_figures_intervals_and_chance(written, result):
    said = Page(written).words
    for one in result.methods:
        value, low, high = one.metrics["accuracy"].values()
        ends = f"95 % interval {100 * low:.1f} to {p(high)}"
        assert f"Accuracy, {one.name} {p(value)} {ends}" in said
        row = next(row for row in table(written, "") if row[0] == one.name)
        assert row[1] == f"{p(value)} {100 * low:.1f} to {p(high)}"
    first = result.methods[0]
    assert f"Mean class accuracy, {first.name} {p(first.metrics['mean_class_accuracy']['value'])}" in said
    assert "counts alike; a guess 14.3 %" in said and f"Accuracy of a guess {p(result.chance)}" in said
    for one in result.landmarks:
        assert f"Landmark error, {one.name} {p(one.error.mean.value)}" in said
    assert "256 faces of 16 people that training never saw. Intervals: as if other people" in said
    assert "In 5 more pictures no face was found" in said


def test_confusions_are_shares_of_rows_with_counts(written, result):
    found = [rows for rows in tables(written) if rows[0][0] == "is ↓ taken for →"]
    assert len(found) == len(result.methods)
    for rows, one in zip(found, result.methods, strict=True):
        assert rows[0][1:] == list(EXPRESSIONS)
        for i, (head, *cells) in enumerate(rows[1:]):
            size = one.confusion[i].sum()
            assert head == f"{EXPRESSIONS[i]} {size}"
            for cell, count in zip(cells, one.confusion[i], strict=True):
                assert cell == (f"{100 * count / size:.0f} % {count}" if count else "")
    said, first = Page(written).words, result.methods[0].confusion
    assert f"{np.trace(first)} of {first.sum()} right." in said
    shares = first / first.sum(axis=1, keepdims=True) * (1 - np.eye(7))
    i, j = divmod(int(shares.argmax()), 7)
    assert f"Most often wrong: {EXPRESSIONS[i]} taken for {EXPRESSIONS[j]}, {first[i, j]} of {first[i].sum()}." in said
    framed = re.findall(r'<td class="own"', written)
    assert len(framed) == 7 * (len(result.methods) + len(result.annotators.names))


def test_classes_of_all_methods_stand_in_one_table(written, result):
    rows = table(written, "expression")
    for k, expression in enumerate(EXPRESSIONS):
        row = next(row for row in rows if row[0] == expression)
        expected = [figure[k] for one in result.methods for figure in (one.precision, one.recall, one.f1)]
        assert row[1:] == [str(result.methods[0].confusion[k].sum()), *map(p, expected)]
    means = [one.metrics[key]["value"] for one in result.methods for key in ("mean_class_accuracy", "macro_f1")]
    assert [cell for cell in rows[-1][2:] if cell] == [p(mean) for mean in means]
    best = sum(max(one.f1[k] for one in result.methods) == one.f1[k] for k in range(7) for one in result.methods)
    assert len(re.findall(r'<td class="bar"[^>]*><b>', written)) == best
    assert "imbalanced" in Page(written).words


def test_class_that_is_absent_or_never_answered_has_dashes(result, words):
    rng = np.random.default_rng(1)
    odd = method("odd", np.array([4, 0, 4, 4, 4, 4, 4]), 0.9, rng)
    confusion = odd.confusion.copy()
    confusion[:, 1] = 0
    none = np.full(7, np.nan)
    odd = dataclasses.replace(odd, confusion=confusion, precision=none, recall=none, f1=none)
    said = words(dataclasses.replace(result, methods=[odd]))
    assert "disgust 0 – – –" in said and "nan" not in said and "Bold: the best" not in said


def test_landmarks_have_their_figures(written, result):
    rows = table(written, "landmarks")
    for row, one in zip(rows[1:], result.landmarks, strict=True):
        error = one.error
        figures = [
            f"{p(found.value)} "
            + (f"{100 * found.low:.1f} to {p(found.high)}" if found.high else "alike in every redraw")
            for found in (error.mean, error.auc, error.failures)
        ]
        assert row == [one.name, str(error.points.shape[1]), "160", *figures, "10 %"]
    parts = {row[0]: row[1:] for row in table(written, "part of the face")[1:]}
    learned, classical = (one.error.regions for one in result.landmarks)
    assert parts["jaw"] == [f"{100 * learned['jaw']:.2f} %", "–"]
    assert parts["mouth"] == [f"{100 * regions['mouth']:.2f} %" for regions in (learned, classical)]
    below = [f"{one.name} {p((one.error.faces <= 0.1).mean())}" for one in result.landmarks]
    assert f"Below the limit: {', '.join(below)}." in Page(written).words


def test_annotators_have_their_matrices_and_agreement(written, result):
    found = result.annotators
    matrices = [rows for rows in tables(written) if rows[0][0] == "is ↓ says →"]
    for rows, shares in zip(matrices, found.transitions, strict=True):
        assert [cell for row in rows[1:] for cell in row[1:]] == [
            f"{100 * share:.0f} %" if share >= 0.005 else "" for share in shares.ravel()
        ]
    said = Page(written).words
    assert f"says surprise of fear, {100 * found.transitions[1, 2, 5]:.0f} %" in said
    assert f"Fleiss' kappa {found.agreement.fleiss:.3f} over the {found.agreement.complete} pictures" in said
    each = [[row.name.replace("<", "&lt;").replace(">", "&gt;"), p(row.coverage), p(row.correct)] for row in found.rows]
    assert [row[:3] for row in table(written, "annotator")[1:]] == each
    pairs = [rows for rows in tables(written) if len(rows) == 4 and rows[1][0].startswith("annotator")][-2:]
    same, kappa, shared = found.agreement.agreement, found.agreement.kappa, found.agreement.shared
    assert pairs[0][1][1:] == ["", f"{p(same[0, 1])} {shared[0, 1]}", f"{p(same[0, 2])} {shared[0, 2]}"]
    assert pairs[1][3][1:] == [f"{kappa[2, 0]:.3f} {shared[2, 0]}", f"{kappa[2, 1]:.3f} {shared[2, 1]}", ""]


def test_right_and_wrong_are_said_and_ordered(written, result):
    said = Page(written).words
    at = []
    for one in sorted(result.shown, key=lambda one: -one.probabilities.max()):
        answer = EXPRESSIONS[one.probabilities.argmax()]
        if one.truth < 0:
            assert f"Truth unknown {answer} {one.caption}" in said
        elif one.truth == one.probabilities.argmax():
            assert f"✓ right: {answer} {one.caption}" in said and f"{answer} ◆" in said
        else:
            at.append(said.index(f"✗ wrong: {answer}, is {EXPRESSIONS[one.truth]} {one.caption}"))
    assert len(at) >= 2 and at == sorted(at)


def test_face_is_drawn_with_its_box_and_every_landmark():
    wide = np.full((600, 900), 90, "uint8")
    wide[250:350, 400:500] = 220  # the face
    points = np.array([[400.0, 250], [500, 350], [450, 300]], "float32")
    one = Shown("a face", wide, (400, 250, 100, 100), points, 3, np.eye(7)[3])
    page = Page("".join(faces(dataclasses.replace(fake(0), shown=[one]))))
    box = next(attributes for tag, attributes in page.tags if tag == "rect")
    view = next(attributes for tag, attributes in page.tags if tag == "svg")["viewbox"]
    assert view == "0 0 124 124" and [box[key] for key in ("x", "y", "width", "height")] == ["12", "12", "100", "100"]
    dots = next(attributes for tag, attributes in page.tags if tag == "path")["d"]
    assert dots == "M12.0 12.0h0M112.0 112.0h0M62.0 62.0h0"
    picture = Image.open(io.BytesIO(base64.b64decode(page.urls[0].partition("base64,")[2]))).convert("L")
    assert picture.size == (124, 124) and picture.getpixel((62, 62)) > 200 and picture.getpixel((4, 4)) < 110


@pytest.mark.parametrize("box", [(-40, -30, 4000, 4000), (0, 0, 48, 48), (47, 47, 1, 1)], ids=["huge", "all", "corner"])
@pytest.mark.parametrize("pixels", [48, 2000])
def test_faces_at_the_edge_and_of_any_size_fit(box, pixels):
    one = Shown("x", np.zeros((pixels, pixels, 3), "uint8"), box, None, -1, np.full(7, 1 / 7))
    page = Page("".join(faces(dataclasses.replace(fake(0), shown=[one]))))
    found = Image.open(io.BytesIO(base64.b64decode(page.urls[0].partition("base64,")[2])))
    assert min(found.size) >= 1 and max(found.size) <= min(SIDE, pixels) and "Truth unknown" in page.words


def test_what_was_not_measured_is_said(result, words):
    said = words(
        dataclasses.replace(
            result, landmarks=[], calibration={}, annotators=None, shown=[], notes=[], undetected=0, people=0
        )
    )
    assert "faces have no true landmarks" in said and "Not measured." in said and "None shown." in said
    assert "No training logged" in said and "kappa" not in said and "no face was found" not in said
    assert "256 faces that training never saw." in said and "people" not in said.partition("This run")[0]


def test_networks_have_their_curves(written):
    said = Page(written).words.partition("Training")[2]
    assert "loss: training 0.9 and validation 1.1 after the last epoch" in said
    assert "loss: 0.006 after the last epoch" in said and "LTNet" not in said.rpartition("Training")[2]


def test_two_sets_of_faces_stand_under_their_names(result, tmp_path):
    first, second = (dataclasses.replace(result, name=name, shown=[]) for name in ("drawn", "FER2013"))
    second = dataclasses.replace(second, annotators=None, calibration={}, landmarks=[])
    said = Page(write(tmp_path / "r.html", results={"a": first, "b": second}, **RUN).read_text("utf-8")).said
    assert said.count("FER2013") == said.count("drawn") == 7  # sections about faces
    assert "One label is known of each face." in said
    for results in ({}, {"none": dataclasses.replace(result, methods=[])}):
        with pytest.raises(ValueError, match="at least one"):
            write(tmp_path / "none.html", results=results, **RUN)
    assert not (tmp_path / "none.html").exists()

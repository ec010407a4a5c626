"""The report page of gait recognition: whole, the same twice, with what is lacking said; its figures counted slowly."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
from html_page import Page

from applications.gait_recognition.report import write
from applications.gait_recognition.result import Result
from hub.evaluation.cross_view import CASIA_B, OU_MVLP, Protocol, cross_view
from hub.evaluation.verification import Verification, open_set, pair_distances, verification

DRESS = {"nm": 0.0, "bg": 0.6, "cl": 1.1}  # how much it hides
RUN = {
    "config": {"model": "gaitset_small", "epochs": 10, "note": "<b>&'\"</b>"},
    "history": {"loss": [0.3, 0.2, 0.15], "val_loss": [0.31, 0.25, 0.2], "missed": [0.6, 0.3, 0.2]},
    "device": "CPU, 2 cores",
    "command": "hub run gait_recognition --seed 0 && echo '<script>alert(1)</script>'",
    "versions": {"keras": "3.15.1", "tensorflow": "2.21.0"},
    "notes": ["The walkers are drawn; never set these figures beside published ones."],
}


def fake(
    people: int = 12, views: tuple[int, ...] = (0, 36, 90, 180), seed: int = 0, protocol: Protocol = CASIA_B
) -> Result:
    """People are points; angles move them, clothes hide them, and energy images see them worse than the network."""
    rng = np.random.default_rng(seed)
    recordings = [*protocol.gallery, *(r for group in protocol.probes.values() for r in group)]
    clips = list(itertools.product(range(people), recordings, views))
    if protocol is CASIA_B:
        clips = [clip for i, clip in enumerate(clips) if clip[0] != 4 or i % 3]  # one of them incomplete
    who, condition, view = (np.array(column) for column in zip(*clips, strict=True))
    names = np.array([f"{75 + w:03d}" for w in who])
    angle = np.radians(view)[:, None]
    a, b = rng.normal(size=(2, people, 12))
    signal = a[who] + 0.45 * np.cos(angle) * b[who] + 0.5 * np.cos(angle) * rng.normal(size=12)
    hidden = np.array([DRESS.get(c[:2], 0.0) for c in condition])[:, None]
    noise = rng.normal(size=(len(clips), 12))
    embeddings = 2 * (signal + hidden * rng.normal(size=(people, 12))[who] + 0.3 * noise)
    known = (names, condition, view)
    network = cross_view(embeddings, *known, protocol)
    energy = cross_view(
        signal + 2 * np.cos(angle) * rng.normal(size=12) + 1.5 * hidden * noise + 0.5 * noise, *known, protocol
    )
    first, looked_for = next(iter(protocol.probes.items()))
    rows = []
    for frames in (1, 2, 4, 7, 15, 30):
        drawn = signal + 2.2 / np.sqrt(frames) * rng.normal(size=(2, len(clips), 12))
        means = tuple(cross_view(d, *known, protocol).means[first] for d in drawn)
        rows.append((frames, float(np.mean(means)), means))
    pairs = verification(*pair_distances(embeddings, names, view if len(views) > 1 else None))
    enrolled = np.isin(condition, protocol.gallery) & (who % 2 == 0)
    probe = np.isin(condition, looked_for)
    unknown = open_set(embeddings[probe], names[probe], embeddings[enrolled], names[enrolled])
    threshold = 1.05 * pairs.at_far(0.01).threshold
    metrics = {"equal_error_rate": {"value": pairs.eer, "low": 0.8 * pairs.eer, "high": 1.2 * pairs.eer}}
    for key, of in (("rank1", network), ("energy_image_rank1", energy)):
        for name in of.conditions:
            if not np.isnan(of.means[name]):
                metrics[f"{key}_{name.lower()}"] = of.interval(name, resamples=100)._asdict()
    shown = rng.permutation(len(clips))[:600]
    pixels = np.zeros((64, 256), "uint8")
    pixels[8:60, 20::64] = pixels[8:60, 24::64] = 255
    return Result(
        name="sample (synthetic) <&>",
        people=people,
        walks=len(clips),
        missing=["18 of 160 walks are absent & left out."],
        network=network,
        energy=energy,
        metrics=metrics,
        chance=1 / people,
        over_frames=rows,
        two_views=(0.815, 0.874),
        pairs=pairs,
        unknown=unknown,
        threshold=threshold,
        search_threshold=threshold,
        chosen={**does(pairs, threshold, "far", "tar"), **does(unknown, threshold, "alarm", "found")},
        place=(embeddings - embeddings.mean(axis=0))[shown] @ np.linalg.svd(a)[2][:2].T,
        place_subject=names[shown],
        place_condition=condition[shown],
        examples=[(f"{75 + i:03d}, nm-01, 90 degrees", pixels) for i in range(3)],
    )


def does(curve: Verification, threshold: float, far: str, tar: str) -> dict[str, float]:
    at = int(np.searchsorted(curve.thresholds, threshold, side="right")) - 1
    return {far: float(curve.far[at]), tar: float(curve.tar[at])}


@pytest.fixture(scope="module")
def result() -> Result:
    return fake()


@pytest.fixture(scope="module")
def small() -> Result:
    return fake(6, (0, 90, 180))


@pytest.fixture(scope="module")
def written(result, tmp_path_factory) -> str:
    path = write(tmp_path_factory.mktemp("run") / "new" / "report.html", results={"sample": result}, **RUN)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture
def words(tmp_path):
    """The words of a page of one result, which must be whole."""

    def of(result: Result, **run) -> str:
        page = Page(
            write(tmp_path / "r.html", results={"x": result}, **{**RUN, "history": {}, **run}).read_text("utf-8")
        )
        assert len(page.ids) == len(set(page.ids))
        return page.words

    return of


def test_page_is_whole_and_needs_nothing_else(written, result):
    page = Page(written)
    assert len(page.ids) == len(set(page.ids))
    assert [image["alt"] for image in page.images] == [f"silhouettes of a walk: {of}" for of, _ in result.examples]
    for url in page.urls:
        assert url.startswith("data:image/png;base64,") or url.lstrip("#") in page.ids, url
    assert set(re.findall(r"https?://[^\s\"']+", written)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<script>" not in written and "&lt;script&gt;alert(1)&lt;/script&gt;" in written
    assert "sample (synthetic) &lt;&amp;&gt;" in written and "absent &amp; left out" in written
    assert (
        len(re.findall(r'<svg role="img" aria-label="[^"]', written))
        == written.count("<svg")
        == 1 + 3 + 1 + 2 + 1 + 1 + 2
    )
    assert len(written) < 400_000


def test_same_run_same_bytes(written, tmp_path):
    assert write(tmp_path / "again.html", results={"sample": fake()}, **RUN).read_text(encoding="utf-8") == written


def test_the_papers_table_is_that_of_a_slow_count(written, result):
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", written)
    rows = {re.sub("<.*?>", "", name): re.sub("<.*?>", " ", cells.replace("</td>", "|")) for name, cells in rows}
    network, views = result.network, result.network.probe_views
    for c, name in enumerate(network.conditions):
        for table, words in ((network, "network"), (result.energy, "energy image")):
            means = []
            for p, view in enumerate(views):
                cells = [
                    table.right[:, c, p, g].sum()
                    / sum(n for n, there in zip(table.probes[:, c, p], table.enrolled[:, g], strict=True) if there)
                    for g, other in enumerate(table.gallery_views)
                    if other != view
                ]
                means.append(100 * sum(cells) / len(cells))
            printed = [cell.strip() for cell in rows[f"{name}, {words}"].split("|")]
            assert printed[: len(views) + 1] == [f"{mean:.1f}" for mean in (*means, sum(means) / len(means))]
        ends = result.metrics[f"rank1_{name.lower()}"]
        assert f"95 % interval {100 * ends['low']:.1f} to {100 * ends['high']:.1f} %" in Page(written).words
    assert set(rows["a guess"].split("|")[:-2]) == {" 8.3"}


def test_what_the_threshold_does_is_said_in_words(written, result):
    said = " ".join(Page(written).words.split())
    pairs, search = result.pairs, result.unknown
    own = np.diff(np.round(pairs.tar * pairs.genuine), prepend=0)
    strange = np.diff(np.round(pairs.far * pairs.impostors), prepend=0)
    within = pairs.thresholds <= result.threshold
    tar, far = own[within].sum() / pairs.genuine, strange[within].sum() / pairs.impostors
    assert f"two walks of one person taken for one person {100 * tar:.1f} % {pairs.genuine:,} pairs" in said
    assert f"walks of two people taken for one person {100 * far:.1f} % {pairs.impostors:,} pairs" in said
    assert f"{100 * result.chosen['found']:.1f} % {search.genuine:,} walks" in said
    assert f"{100 * result.chosen['alarm']:.1f} % {search.impostors:,} walks" in said
    assert f"of one person up to a distance of {result.threshold:.4g}" in said
    at = pairs.at_far(0.001)
    assert f"at most 0.1 % of strangers {at.threshold:.4g} {100 * at.far:.1f} % {100 * at.tar:.1f} %" in said
    assert f"Equal error rate {100 * pairs.eer:.1f} %." in written.replace("\u00a0", " ")
    assert "Frames of two views 87.4 % rank-1, +5.9 points" in said


def test_what_was_not_measured_is_said(small, words):
    said = words(dataclasses.replace(small, unknown=None, two_views=None, examples=[], over_frames=[], metrics={}))
    assert "half of the people would be enrolled" in said and "three camera angles" in said
    assert "No training logged" in said and "no walk has frames enough" in said and "None shown" in said
    assert "somebody unknown walks by" not in said and said.count("95 % interval") == 1  # the heading of dashes


def test_two_sets_of_people_stand_under_their_names(small, tmp_path):
    second = dataclasses.replace(small, name="other people")
    page = Page(write(tmp_path / "r.html", results={"a": small, "b": second}, **RUN).read_text("utf-8"))
    assert len(page.ids) == len(set(page.ids)) and page.said.count("other people") == 8
    with pytest.raises(ValueError, match="at least one result"):
        write(tmp_path / "none.html", results={}, **RUN)
    assert not (tmp_path / "none.html").exists()


def test_one_view_leaves_nothing_to_compare(words):
    said = words(fake(6, views=(90,)))
    assert "NM –, BG –, CL –" in said and "0 comparisons" in said and "nan" not in said


def test_missing_views_are_dashes_and_counted(small, words):
    network = small.network
    enrolled, right, probes = network.enrolled.copy(), network.right.copy(), network.probes.copy()
    enrolled[:, 1], right[..., 1], enrolled[3], right[3] = False, 0, False, 0  # a view and a person nobody enrolled
    probes[:, 1, 0], right[:, 1, 0] = 0, 0  # no bags from the first angle
    cut = dataclasses.replace(network, enrolled=enrolled, right=right, probes=probes)
    assert np.isnan(cut.by_view[1, 0]) and np.isnan(cut.matrix[0, 0, 1])
    said = words(dataclasses.replace(small, network=cut))
    lacking = sum(int(probes[s, c, p]) for s, c, p, g in np.ndindex(right.shape) if p != g and not enrolled[s, g])
    assert f"in {lacking:,} of which the person is not enrolled at that view" in said and "nan" not in said


def test_thresholds_that_accept_nothing_and_people_told_apart_without_error(small, words):
    perfect = verification([1.0, 1.5, 3.0, 4.0], [1, 1, 0, 0])
    nothing = {"far": 0.0, "tar": 0.0, "alarm": 0.0, "found": 0.0}
    said = words(dataclasses.replace(small, pairs=perfect, unknown=perfect, threshold=-np.inf, search_threshold=-np.inf,
                                    chosen=nothing))  # fmt: skip
    assert "up to no distance at all" in said and "Equal error rate 0.0 %" in said
    assert "2 impostors cannot show a rate of 0.01: none is accepted here." in said and "inf" not in said.split()


def test_map_of_more_people_than_can_be_named(words):
    crowd = fake(60, views=(0, 90), protocol=OU_MVLP)
    assert crowd.network.conditions == ("NM",)
    said = words(dataclasses.replace(crowd, place_subject=np.array([f"${s}_{{" for s in crowd.place_subject])))
    assert (
        "walks of 60 people" in said and "The 50 with the most walks are named, those of the other 10 are pale" in said
    )

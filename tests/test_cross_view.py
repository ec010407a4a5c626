"""Cross-view protocols against plain loops, gait energy images, and figures over frames and views."""

import dataclasses
import itertools
import math
from collections import defaultdict

import numpy as np
import pytest

from hub import registry
from hub.evaluation._distances import squared_distances
from hub.evaluation.cross_view import CASIA_B, OU_MVLP, Protocol, cross_view
from hub.evaluation.cross_view_gallery import CASIA_B_GALLERY, cross_view_gallery
from hub.evaluation.gait_energy import gait_energy_image
from hub.evaluation.over_frames import over_frames, two_views

RECORDINGS = [f"nm-{i:02}" for i in range(1, 7)] + ["bg-01", "bg-02", "cl-01", "cl-02"]


def walks(seed, subjects=7, views=(0, 18, 36, 54), keep=1.0, ties=False, recordings=RECORDINGS):
    """Random embeddings of the layout of CASIA-B, of which a share is kept: (embeddings, subjects, ...)."""
    rng = np.random.default_rng(seed)
    rows = [(f"{s:03}", r, v) for s in range(subjects) for r in recordings for v in views]
    rows = [row for row in rows if rng.random() < keep]
    people, turns = (
        rng.normal(size=(subjects, 2, 3)),
        dict(zip(views, rng.normal(size=(len(views), 2, 3)), strict=True)),
    )
    embeddings = np.array([people[int(s)] + turns[v] + rng.normal(size=(2, 3)) for s, _, v in rows])
    if ties:
        embeddings = np.round(embeddings)
    order = rng.permutation(len(rows))
    subjects, conditions, angles = (np.array(column)[order] for column in zip(*rows, strict=True))
    return embeddings[order].astype("float32"), subjects, conditions, angles


def slow_cells(embeddings, subjects, conditions, views, protocol, k, unknown_is_miss=False):
    """{(condition, probe view, gallery view): [right, counted, unknown]}, one clip at a time."""
    flat = embeddings.reshape(len(embeddings), -1)
    clips = list(zip(flat.tolist(), subjects.tolist(), conditions.tolist(), views.tolist(), strict=True))
    cells = defaultdict(lambda: [0, 0, 0])
    for name, recordings in protocol.probes.items():
        for probe, subject, recording, view in clips:
            if recording not in recordings:
                continue
            for angle in {v for _, _, r, v in clips if r in protocol.gallery}:
                entries = [(e, s) for e, s, r, v in clips if r in protocol.gallery and v == angle]
                far = sorted((math.dist(probe, e), s == subject) for e, s in entries)  # others first
                cell = cells[name, view, angle]
                known = any(own for _, own in far)
                cell[0] += any(own for _, own in far[:k])
                cell[1] += known or unknown_is_miss
                cell[2] += not known
    return cells


@pytest.mark.parametrize(
    ("changes", "k", "unknown_is_miss"),
    [
        ({}, 1, False),
        ({}, 5, False),
        ({"ties": True}, 1, False),
        ({"ties": True, "keep": 0.4}, 3, False),
        ({"keep": 0.15}, 1, False),  # missing views and identities that the gallery lacks
        ({"keep": 0.15}, 1, True),
        ({"views": (90,)}, 1, False),
    ],
)
def test_cross_view_agrees_with_plain_loops_view_by_view(changes, k, unknown_is_miss):
    data = walks(3, **changes)
    result = cross_view(*data, k=k, unknown_is_miss=unknown_is_miss)
    cells = slow_cells(*data, CASIA_B, k, unknown_is_miss)
    for c, name in enumerate(result.conditions):
        rows = []
        for p, angle in enumerate(result.probe_views):
            shares = []
            for g, other in enumerate(result.gallery_views):
                right, counted, unknown = cells[name, angle, other]
                share = right / counted if counted else math.nan
                np.testing.assert_allclose(result.matrix[c, p, g], share, rtol=1e-12, equal_nan=True)
                assert result.unknown[c, p, g] == unknown
                if angle != other and counted:
                    shares.append(share)
            rows.append(sum(shares) / len(shares) if shares else math.nan)
            np.testing.assert_allclose(result.by_view[c, p], rows[-1], rtol=1e-12, equal_nan=True)
        defined = [row for row in rows if not math.isnan(row)]
        mean = sum(defined) / len(defined) if defined else math.nan
        np.testing.assert_allclose(result.means[name], mean, rtol=1e-12, equal_nan=True)


def test_complete_data_averages_as_the_authors_do():
    """Sum of a row less its diagonal over the number of views less one, then the mean of the rows."""
    result = cross_view(*walks(4))
    for c, name in enumerate(result.conditions):
        cells = result.matrix[c]
        assert not np.isnan(cells).any()
        np.testing.assert_allclose(result.means[name], ((cells.sum(1) - np.diag(cells)) / (len(cells) - 1)).mean())


def test_one_point_for_everybody_recognises_nobody():
    """Equal embeddings tie whatever their values, also in the order a matrix product sums them."""
    _, subjects, conditions, views = walks(5)
    same = np.tile(np.random.default_rng(5).normal(size=997).astype("float32"), (len(subjects), 1))
    assert set(cross_view(same, subjects, conditions, views).means.values()) == {0.0}


def test_equal_embeddings_of_two_people_tie():
    """Rounding in the matrix product would part them; the distances of others are right."""
    rng = np.random.default_rng(16)
    clips = np.concatenate([rng.normal(size=(1, 5000)), np.repeat(rng.normal(size=(40, 5000)), 5, axis=0)])
    squared = squared_distances(clips[1:], clips)
    own = np.arange(200)[:, None] // 5 == np.arange(200) // 5
    assert (squared[:, 1:][own] == 0).all() and (squared[:, 1:][~own] > 1).all()
    np.testing.assert_allclose(squared[7], ((clips[8] - clips) ** 2).sum(axis=1), rtol=1e-9)


def test_close_neighbours_far_from_the_origin():
    """Distances of 1e-3 between float32 embeddings of length 1e3: the difference of squares alone would not do."""
    rng = np.random.default_rng(6)
    data = walks(6)
    clips = (300 * rng.normal(size=(1, 12)) + 1e-3 * rng.integers(-2, 3, (len(data[1]), 12))).astype("float32")
    result = cross_view(clips, *data[1:])
    cells = slow_cells(clips, *data[1:], CASIA_B, 1)
    assert result.right.sum() == sum(right for right, _, _ in cells.values())


def test_chunks_change_nothing_but_memory(monkeypatch):
    data = walks(7, keep=0.7)
    whole = cross_view(*data)
    monkeypatch.setattr("hub.evaluation._distances._CELLS", 40)
    np.testing.assert_array_equal(whole.right, cross_view(*data).right)


def test_table_and_what_it_left_out():
    data = walks(8, keep=0.15)
    result = cross_view(*data)
    lines = result.table().splitlines()
    assert lines[0].split() == ["rank-1", "%", "0", "18", "36", "54", "mean"]
    for line, name, row in zip(lines[1:4], ("NM", "BG", "CL"), result.by_view, strict=True):
        assert line.split() == [name, *("-" if np.isnan(x) else f"{100 * x:.1f}" for x in (*row, result.means[name]))]
    cells = slow_cells(*data, CASIA_B, 1)
    unknown = sum(cell[2] for (_, p, g), cell in cells.items() if p != g)
    counted = sum(cell[1] for (_, p, g), cell in cells.items() if p != g)
    assert f"{unknown} of {unknown + counted} comparisons" in lines[-1] and lines[-1].endswith("left out.")
    missed = dataclasses.replace(result, unknown_is_miss=True)
    assert missed.table().endswith("counted as missed.") and missed.means["NM"] < result.means["NM"]
    assert "comparisons" not in cross_view(*walks(8)).table()


def test_other_protocols_and_bad_inputs():
    data = walks(9, recordings=("00", "01"))
    assert cross_view(*data, OU_MVLP).means.keys() == {"NM"}
    with pytest.raises(ValueError, match=r"enrols nm-01.* Received: 00, 01\."):
        cross_view(*data)
    with pytest.raises(ValueError, match=r"is \[N\]"):
        cross_view(data[0], data[1][1:], *data[2:], OU_MVLP)
    with pytest.raises(ValueError, match="rank is 1 or more"):
        cross_view(*data, OU_MVLP, k=0)
    data[0][3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        cross_view(*data, OU_MVLP)


def test_intervals_redraw_whole_subjects():
    data = walks(10, subjects=12, views=(0, 90))
    result = cross_view(*data)
    value, low, high = result.interval("NM", resamples=4000)
    assert value == result.means["NM"]
    rng = np.random.default_rng(0)
    embeddings, subjects, conditions, views = data
    names = np.unique(subjects)
    shares = {}  # right of counted, by subject and pair of views: the gallery stays
    for name in names:
        keep = np.isin(conditions, CASIA_B.gallery) | (subjects == name)
        shares[name] = slow_cells(embeddings[keep], subjects[keep], conditions[keep], views[keep], CASIA_B, 1)
    figures = []
    for _ in range(2000):
        drawn = names[rng.integers(len(names), size=len(names))]
        cells = [[sum(shares[n]["NM", p, g][i] for n in drawn) for i in (0, 1)] for p, g in ((0, 90), (90, 0))]
        figures.append(np.mean([right / counted for right, counted in cells]))
    np.testing.assert_allclose((low, high), np.quantile(figures, (0.025, 0.975)), atol=0.08 * (high - low))
    with pytest.raises(ValueError, match=r"NM, BG, CL. Received: 'nm'"):
        result.interval("nm")


@pytest.mark.parametrize("keep", [1.0, 0.15])
def test_gallery_of_all_views_agrees_with_plain_loops(keep):
    embeddings, subjects, conditions, views = data = walks(14, keep=keep)
    result = cross_view_gallery(*data)
    alone = 0
    for c, (name, recordings) in enumerate(CASIA_B_GALLERY.probes.items()):
        for p, angle in enumerate(result.views):
            firsts, precisions = [], []
            for i in range(len(subjects)):
                if conditions[i] not in recordings or views[i] != angle:
                    continue
                found = sorted(
                    (float(np.linalg.norm(embeddings[i] - embeddings[j])), bool(subjects[i] == subjects[j]))
                    for j in range(len(subjects))
                    if conditions[j] in CASIA_B_GALLERY.gallery
                    and not (subjects[i] == subjects[j] and views[i] == views[j])
                )
                places = [n for n, (_, own) in enumerate(found, 1) if own]
                if not places:
                    alone += 1
                    continue
                firsts.append(places[0] == 1)
                precisions.append(np.mean([n / place for n, place in enumerate(places, 1)]))
            assert result.probes[c, p] == len(firsts)
            expected = [np.mean(x) if x else math.nan for x in (firsts, precisions)]
            np.testing.assert_allclose([result.rank1[c, p], result.mean_ap[c, p]], expected, rtol=1e-12)
        seen = result.probes[c] > 0
        np.testing.assert_allclose(result.means[name], (result.rank1[c, seen].mean(), result.mean_ap[c, seen].mean()))
    assert result.alone.sum() == alone and (alone > 0) == (keep < 1)


def test_gait_energy_images_are_means_and_a_baseline():
    rng = np.random.default_rng(12)
    lengths = np.array([1, 7, 30, 2, 90])
    frames = rng.choice(np.array([0, 17, 255], "uint8"), size=(lengths.sum(), 64, 44))
    starts = np.append(0, lengths.cumsum())
    images = gait_energy_image(frames, starts)
    assert images.shape == (5, 64, 44) and images.dtype == np.float32
    slow = [(frames[a:b].astype("float64") / 255).mean(0) for a, b in itertools.pairwise(starts)]
    np.testing.assert_allclose(images, slow, atol=1e-6)
    white = gait_energy_image(np.full((300, 2, 2), 255, "uint8"), [0, 300])
    assert (white == 1).all()
    people = np.repeat(frames[:2], 4, axis=0)  # two people, still
    walk = gait_energy_image(people, np.arange(9))
    conditions, views = ["nm-01", "nm-01", "nm-05", "nm-05"] * 2, [0, 18] * 4
    assert cross_view(walk, [*"aaaabbbb"], conditions, views).means["NM"] == 1


@pytest.mark.parametrize(
    ("frames", "starts", "why"),
    [
        (np.zeros((3, 4, 4), "uint8"), [0, 2, 2, 3], "none in clip 1"),
        (np.zeros((3, 4, 4), "uint8"), [0, 2], "from 0 to the 3 frames"),
        (np.zeros((0, 4, 4), "uint8"), [0], "from 0 to the 0 frames"),
        (np.zeros((3, 4, 4)), [0, 3], "Received: float64"),
    ],
)
def test_gait_energy_images_refuse(frames, starts, why):
    with pytest.raises(ValueError, match=why):
        gait_energy_image(frames, starts)


def glimpses(seed=13, people=16, views=(0, 36, 72, 108), frames=20):
    """Clips whose frames are noisy glimpses of a body, each view with a bias of its own that two views average out."""
    rng = np.random.default_rng(seed)
    bodies = rng.normal(size=(people, 16))
    rows = [(s, r, v) for s in range(people) for r in ("nm-01", "nm-02", "nm-05") for v in views]
    clips = [bodies[s] + 0.9 * rng.normal(size=16) + 2 * rng.normal(size=(frames, 16)) for s, _, _ in rows]
    return clips, *(np.array(column) for column in zip(*rows, strict=True))


def embed(clips):
    return np.stack([clip.mean(axis=0) for clip in clips])


def test_rank1_rises_with_frames_and_with_a_second_view():
    clips, subjects, conditions, views = glimpses()
    rows = over_frames(
        embed, clips, lambda e: cross_view(e, subjects, conditions, views).means["NM"], (1, 4, 20, 50), draws=4
    )
    assert [row.frames for row in rows] == [1, 4, 20, 50]
    assert rows[0].mean + 0.1 < rows[1].mean < rows[2].mean - 0.1
    assert len(set(rows[2].draws + rows[3].draws)) == 1, "all frames, one figure, whatever their order"
    assert len(set(rows[0].draws)) > 1 and rows[0].mean == pytest.approx(np.mean(rows[0].draws))
    result = two_views(embed, clips, subjects, conditions, views, ("nm-01", "nm-02"), ("nm-05",), 20, draws=8)
    assert result.probes == 16 and result.one.shape == result.two.shape == (8,)
    assert result.two.mean() > result.one.mean() + 0.05
    again = two_views(embed, clips, subjects, conditions, views, ("nm-01", "nm-02"), ("nm-05",), 20, draws=8)
    np.testing.assert_array_equal(result.two, again.two)


def test_both_kinds_of_sets_are_of_one_length_and_never_meet_their_own_views():
    clips, subjects, conditions, views = glimpses(views=(0, 36, 72))
    clips = [np.concatenate([clip, np.zeros((30, 16))])[: 5 + i % 9] for i, clip in enumerate(clips)]
    marked = [np.concatenate([clip, np.full((len(clip), 1), v)], axis=1) for clip, v in zip(clips, views, strict=True)]
    sets = []
    result = two_views(
        lambda s: (sets.append([(len(x), set(x[:, -1].tolist())) for x in s]), embed(s))[1],
        marked, subjects, conditions, views, ("nm-01",), ("nm-05",), 8, draws=3,
    )  # fmt: skip
    for one, two in zip(sets[1::2], sets[2::2], strict=True):
        assert [length for length, _ in one] == [length for length, _ in two]
        assert all(len(seen) == 1 for _, seen in one) and all(len(seen) == 2 for _, seen in two)
        assert all(a < b for (_, a), (_, b) in zip(one, two, strict=True))
        assert max(length for length, _ in one) == 8
    copies = [np.full((4, 2), float(v)) for v in views]  # an embedding of the view alone: no clip of it to meet
    result = two_views(embed, copies, subjects, conditions, views, ("nm-01",), ("nm-05",), 4, draws=3)
    assert not result.one.any() and not result.two.any()


def test_frames_and_views_refuse():
    clips, subjects, conditions, views = glimpses(people=2, views=(0, 36))
    with pytest.raises(ValueError, match="at least 1"):
        over_frames(embed, clips, np.mean, (0, 1))
    with pytest.raises(ValueError, match="at least 1"):
        over_frames(embed, [clips[0][:0]], np.mean)
    with pytest.raises(ValueError, match="of a third"):
        two_views(embed, clips, subjects, conditions, views, ("nm-01",), ("nm-05",))
    with pytest.raises(ValueError, match="0 gallery clips"):
        two_views(embed, clips, subjects, conditions, views, ("nm-09",), ("nm-05",))
    with pytest.raises(ValueError, match="Received: 0 such recordings"):
        two_views(embed, clips, subjects, conditions, np.zeros(len(clips)), ("nm-01",), ("nm-05",))


def test_a_protocol_is_two_lists():
    data = walks(15)
    mine = Protocol(("bg-01",), {"coat": ("cl-01",), "bag": ("bg-02",)})
    assert list(cross_view(*data, mine).means) == ["coat", "bag"]


@pytest.mark.parametrize("name", ["cross_view", "cross_view_gallery", "gait_energy_image", "over_frames"])
def test_registered(name):
    entry = registry.info(name)
    assert entry.room == "evaluation" and entry.slug == ("gaitset" if name != "gait_energy_image" else name)

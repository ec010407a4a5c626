"""Drawn walkers: bodies, gait, cameras, outlines, faults, and the written layout."""

import cv2
import numpy as np
import pytest

from hub.data import walker_body, walker_camera, walker_motion, walker_noise, walker_shapes, walker_silhouettes
from hub.data.walker_silhouettes import walker

CYCLE = np.arange(50.0)


def posed(subject=1, condition="nm-01", times=CYCLE):
    body, dress = walker_body.body(subject, condition), walker_body.dress(subject, condition)
    return body, walker_motion.walk(body, dress, times)


def boxes(clip):
    """left, top, width, height [T, 4]."""
    return np.array([cv2.boundingRect(frame) for frame in clip])


def energy(clip, height=32):
    """Mean of the silhouettes at one height, centred: small and independent of the project's own."""
    clip = clip[clip.any((1, 2))]
    total = np.zeros((height, 2 * height))
    for frame, (x, y, w, h) in zip(clip, boxes(clip), strict=True):
        small = cv2.resize(frame[y : y + h, x : x + w] / 255.0, (max(round(w * height / h), 1), height), None, 0, 0, 3)
        middle = int(np.searchsorted(np.cumsum(small.sum(0)), small.sum() / 2))
        wide = np.pad(small, ((0, 0), (height, height)))[:, middle : middle + 2 * height]
        total += wide
    return (total / len(clip)).ravel()


# The body


def test_walks_differ_a_quarter_as_much_as_subjects():
    """Every trait: 1/4 within; 4 % segments, 7 % widths, 12 % radii between."""
    walks = [[walker_body.body(s, c).traits for c in ("nm-01", "nm-02")] for s in range(1, 600)]
    values = np.array([[list(t.values()) for t in pair] for pair in walks])
    between = values.mean(1).std(0)
    within = (values[:, 0] - values[:, 1]).std(0) / np.sqrt(2)
    assert (np.abs(within / between - 0.25) < 0.06).all(), dict(zip(walker_body.TRAITS, within / between, strict=True))
    column = {name: values[:, 0, i] for i, name in enumerate(walker_body.TRAITS)}
    assert 1.5 <= column["stature"].min() < 1.53 and 1.92 < column["stature"].max() <= 1.951
    assert column["cadence"].min() >= 0.8 and column["cadence"].max() <= 1.1
    for name, spread in (("thigh", 0.04), ("hips", 0.07), ("stride", 0.10), ("swing", 0.20), ("knee_bend", 0.08)):
        assert abs(column[name].std() / spread - 1) < 0.12, name
    assert abs((column["girth"] * column["chest"]).std() - 0.12) < 0.015
    waves = np.array([walker_body.body(s, "nm-01").waves for s in range(1, 300)])
    assert abs(np.sqrt((np.abs(waves) ** 2).sum(-1).mean() / 2) - 3.0) < 0.2  # degrees, root mean square of a curve


def test_four_harmonics_keep_the_textbook_curves():
    phase = np.arange(20) / 20
    for name, samples in walker_motion.ANGLES.items():
        waves = np.exp(2j * np.pi * np.outer(np.arange(5), phase))
        assert np.abs((walker_motion.FOURIER[name] @ waves).real - samples).max() < 3.5, name


@pytest.mark.parametrize("subject", range(1, 9))
def test_a_walk_is_a_walk(subject):
    body, pose = posed(subject)
    at = pose.at
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
        for side in "RL":
            length = np.linalg.norm(at[a + side] - at[b + side], axis=1)
            assert np.ptp(length) < 1e-9 and 0.18 < length[0] < 0.6
    for side in "RL":
        hip, knee, ankle = (at[part + side] for part in ("hip", "knee", "ankle"))
        straight = hip + (ankle - hip) * ((knee - hip)[:, 2] / (ankle - hip)[:, 2])[:, None]
        assert (knee - straight)[:, 0].min() > -0.03 and (knee - straight)[:, 0].max() > 0.08  # bends backwards
        arm, leg = (at["wrist" + side] - at["shoulder" + side])[:, 0], (at["ankle" + side] - hip)[:, 0]
        assert np.corrcoef(arm, leg)[0, 1] < -0.5
    soles = np.stack([at[part + side] for part in ("heel", "ball", "toe") for side in "RL"])
    assert np.abs(soles[..., 2].min(0)).max() < 0.02  # the lower foot is on the ground
    low = soles[..., 2].argmin(0)[1:]
    slip = np.diff(soles[..., 0], axis=1)[low, np.arange(len(low))] * walker_motion.FPS
    assert np.median(np.abs(slip)) < 0.6 * pose.speed and 0.7 < pose.speed < 2.1
    assert 0.93 < (at["skull"][:, 2] + 0.066 * body["stature"]).mean() / body["stature"] < 1.05


# Cameras and outlines


def test_an_outline_is_the_hull_of_its_balls():
    """Against the convex hull of points on the ellipsoids, projected one by one."""
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    halves = (turned @ np.diag([0.3, 0.15, 0.1]), np.diag([0.1, 0.1, 0.1]))
    places = np.array([[0.2, 0.1, 1.3], [-0.3, 0.4, 0.6]])
    solid = [walker_shapes.Ball(place[None], half) for place, half in zip(places, halves, strict=True)]
    camera = walker_camera.Camera(np.radians(36), 9.0)
    drawn = walker_camera.paint(camera.outlines([solid]))[0]
    sphere = rng.normal(size=(4000, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    points = np.concatenate([place + sphere @ half.T for place, half in zip(places, halves, strict=True)])
    back = np.array([np.cos(np.radians(36)), np.sin(np.radians(36)), 0])  # towards the camera
    scale = walker_camera.FOCAL / (9.0 - points @ back)
    across = points @ np.cross([0, 0, 1], back)
    pixels = np.stack([160 + scale * across, walker_camera.HORIZON + scale * (walker_camera.LEVEL - points[:, 2])], 1)
    naive = np.zeros_like(drawn)
    cv2.fillConvexPoly(naive, np.round(cv2.convexHull(pixels.astype(np.float32)) * 16).astype(np.int32), 255, shift=4)
    assert (drawn & naive).astype(bool).sum() / (drawn | naive).astype(bool).sum() > 0.95
    assert abs(int(drawn.sum()) / int(naive.sum()) - 1) < 0.04


def test_views_go_from_towards_to_away():
    """One walk: it grows at 0, shrinks at 180, and goes left in between."""
    clips = [walker(2, "nm-01", view, frames=(50, 50), faults=False) for view in walker_silhouettes.VIEWS[::2]]
    ends = [boxes(clip)[[0, -1]].astype(float) for clip in clips]
    growth = [last[3] / first[3] for first, last in ends]
    assert growth == sorted(growth, reverse=True) and growth[0] > 1.3 and growth[-1] < 0.75
    left = [(first[0] + first[2] / 2 - last[0] - last[2] / 2) / first[3] for first, last in ends]
    assert min(left[1:-1]) > 0.6 and abs(left[0]) < 0.3 and abs(left[-1]) < 0.3


@pytest.mark.parametrize("view", (0, 36, 90, 180))
def test_the_longest_walk_stays_in_the_picture(view):
    for subject in (1, 4, 7):
        clip = walker(subject, "nm-02", view, frames=(110, 110), faults=False)
        assert clip.shape == (110, 240, 320)
        assert not clip[:, 0].any() and not clip[:, -1].any() and boxes(clip)[:, 3].min() > 40
        middles = boxes(clip)[:, 0] + boxes(clip)[:, 2] / 2
        assert middles.min() > 10 and middles.max() < 310


def test_the_stride_shows_in_the_width():
    for subject in (1, 5):
        clip = walker(subject, "nm-01", 90, frames=(100, 100), faults=False)
        wide = boxes(clip)[:, 2] - boxes(clip)[:, 2].mean()
        steps = np.fft.rfftfreq(1024, 1 / walker_motion.FPS)[np.abs(np.fft.rfft(wide * np.hanning(100), 1024)).argmax()]
        expected = 2 * walker_body.body(subject, "nm-01")["cadence"]
        assert abs(steps / expected - 1.05) < 0.09  # dropped frames quicken it by 6 % on average


# Silhouettes


def test_a_clip_depends_on_its_arguments_alone():
    once = walker(3, "bg-01", 54, 7, frames=(12, 20))
    walker(4, "cl-02", 0, frames=(5, 5))
    again = walker(3, "bg-01", 54, 7, frames=(12, 20))
    assert np.array_equal(once, again) and 12 <= len(once) <= 20
    assert once.dtype == np.uint8 and once.shape[1:] == (240, 320) and set(np.unique(once)) == {0, 255}
    for other in ((4, "bg-01", 54, 7), (3, "bg-02", 54, 7), (3, "bg-01", 72, 7), (3, "bg-01", 54, 8)):
        changed = walker(*other, frames=(12, 20))
        assert changed.shape != once.shape or not np.array_equal(changed, once)


def test_subjects_are_recognised_by_their_mean_silhouettes():
    """Of 12, with faults, from the same view: far above chance (8 %); in a coat less often."""
    people = range(1, 13)
    gallery = np.array([[energy(walker(s, f"nm-0{n}", 90, frames=(30, 30))) for n in (1, 2, 3, 4)] for s in people])

    def rate(condition):
        probes = [energy(walker(s, condition, 90, frames=(30, 30))) for s in people]
        nearest = [((gallery - probe) ** 2).sum(-1).min(1).argmin() for probe in probes]
        return np.mean(np.array(nearest) == np.arange(12))

    assert rate("nm-05") >= 0.75 and rate("nm-05") > rate("cl-01") >= 0.15


def test_bags_and_coats_add_area():
    def area(subject, dress, view):
        body = walker_body.body(subject, "bg-01")
        pose = walker_motion.walk(body, dress, np.arange(26.0))
        camera = walker_camera.Camera(np.radians(view), 5.0)
        clip = walker_camera.paint(camera.outlines(walker_shapes.solids(body, dress, pose)))
        return np.mean((clip > 0).sum((1, 2)) / boxes(clip)[:, 3] ** 2)

    for view in (0, 90):
        for subject in range(1, 7):
            plain = area(subject, walker_body.Dress(), view)
            assert area(subject, walker_body.dress(subject, "bg-01"), view) > 0.98 * plain  # the arms swing otherwise
            assert area(subject, walker_body.dress(subject, "cl-01"), view) > 1.015 * plain
            pack = walker_body.Dress(bag="backpack", size=(0.1, 0.14, 0.2))
            assert area(subject, pack, view) >= (1.08 if view else 1.0) * plain  # from the front it may hide
    worn = [walker_body.dress(s, "bg-01") for s in range(60)]
    assert {d.bag for d in worn} == set(walker_body.BAGS)
    hoods = np.mean([walker_body.dress(s, "cl-01").hood for s in range(400)])
    assert abs(hoods - 0.3) < 0.08


def test_a_bag_stills_its_arm():
    body = walker_body.body(1, "bg-01")
    phase = np.arange(40) / 40
    free, bound = (walker_body.Dress(bag=bag, side=1, size=(0.1, 0.1, 0.1)) for bag in ("backpack", "hand"))
    swings = {
        (name, side): np.ptp(walker_motion.angles(body, dress, side, phase)["shoulder"])
        for name, dress in (("free", free), ("bound", bound))
        for side in "RL"
    }
    np.testing.assert_allclose(swings["bound", "R"], 0.3 * swings["free", "R"], rtol=1e-9)
    assert swings["bound", "L"] == swings["free", "L"]


def test_faults_are_faults():
    """Silhouettes stay themselves but ragged; some frames are empty, never most of a clip."""
    clean = walker(1, "nm-01", 90, frames=(24, 24), faults=False)
    likeness, empty = [], []
    for seed in range(40):
        spoilt = walker_noise.spoil(np.random.default_rng(seed), clean)
        assert spoilt.shape == clean.shape and set(np.unique(spoilt)) <= {0, 255}
        there = spoilt.any((1, 2))
        empty.append((~there).sum())
        both, either = (spoilt & clean)[there] > 0, (spoilt | clean)[there] > 0
        likeness.append((both.sum((1, 2)) / either.sum((1, 2))).mean())
    assert sum(empty) > 0 and max(empty) <= 6 and min(empty) == 0
    assert 0.78 < np.mean(likeness) < 0.96 and min(likeness) > 0.6
    assert np.array_equal(walker_noise.spoil(np.random.default_rng(0), clean[:1] * 0), clean[:1] * 0)


@pytest.mark.parametrize(
    "wrong", [(-1, "nm-01", 0), (1, "nm-07", 0), (1, "nm-01", 181), (1, "nm-01", 0, -1), (1, "xx", 0)]
)
def test_a_wrong_argument_is_refused(wrong):
    with pytest.raises(ValueError, match="condition of"):
        walker(*wrong)


# On disk


def test_written_layout_with_an_incomplete_subject(tmp_path):
    """The processes write what `walker` draws; a third of a subject's clips is absent, a third empty."""
    said = []
    subjects, conditions = (4, 5, 11), ("nm-01", "nm-02", "cl-01")
    target = tmp_path / "silhouettes"
    walker_silhouettes.write(
        target, subjects, (0, 36, 90, 180), conditions, seed=2, frames=(3, 5), incomplete=5, report=said.append
    )
    assert len(said) == 1 and "32 clips" in said[0] and [p.name for p in tmp_path.iterdir()] == ["silhouettes"]
    clips = {str(p.relative_to(target)): sorted(p.iterdir()) for p in target.glob("*/*/*")}
    assert len(clips) == 32 and sum(c.startswith("005") for c in clips) == 8
    assert sum(not files for files in clips.values()) == 4
    files = clips["011/cl-01/090"]
    assert [f.name for f in files] == [f"011-cl-01-090-{n:03d}.png" for n in range(1, len(files) + 1)]
    raw = [cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in files]
    assert np.array_equal(raw, walker(11, "cl-01", 90, 2, frames=(3, 5)))
    with pytest.raises(ValueError, match="exists already"):
        walker_silhouettes.write(target, subjects)


def test_nothing_is_left_of_a_broken_writing(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Nothing to write"):
        walker_silhouettes.write(tmp_path / "x", [], report=str)
    with pytest.raises(ValueError, match="condition of"):
        walker_silhouettes.write(tmp_path / "x", [1], [0], ["nm-01", "oops"], frames=(2, 2), report=str)
    assert not list(tmp_path.iterdir())

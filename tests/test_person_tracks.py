"""People found in videos: against drawn walkers whose outlines are known, against what breaks, and on a real video."""

import itertools
import os
import pathlib

import cv2
import numpy as np
import pytest

from hub.data import person_network, video_silhouettes
from hub.data.blobs import Seen, two_heads
from hub.data.person_tracks import annotated, tracks
from hub.data.video_frames import open_video
from hub.data.video_silhouettes import silhouettes

HIGH, WIDE = 200, 320


def walker(x, feet=180, tall=90, phase=0.0):
    """One person, bool [H, W]; `x` is the middle, `phase` of the step in radians."""
    mask = np.zeros((HIGH, WIDE), np.uint8)

    def at(right, up):
        return round(x + right * tall), round(feet - up * tall)

    cv2.circle(mask, at(0, 0.92), round(0.08 * tall), 1, -1)
    cv2.ellipse(mask, at(0, 0.65), (round(0.12 * tall), round(0.22 * tall)), 0, 0, 360, 1, -1)
    for side in (1, -1):
        swing = side * 0.17 * np.sin(phase)
        cv2.line(mask, at(0, 0.5), at(swing, 0.04), 1, round(0.09 * tall))
        cv2.line(mask, at(0, 0.78), at(-0.8 * swing, 0.45), 1, round(0.06 * tall))
    return mask.astype(bool)


def ground(high=HIGH, wide=WIDE, seed=0):
    """A textured place, uint8 [high, wide, 3]."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(90, 200, (high // 20, wide // 20, 3)), (wide, high), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + cv2.GaussianBlur(rng.normal(0, 40, (high, wide, 3)), (0, 0), 1.5), 30, 230).astype(np.uint8)


def write(path, frames, fps=25):
    frames = iter(frames)
    first = next(frames)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, first.shape[1::-1])
    for frame in itertools.chain([first], frames):
        writer.write(frame)
    writer.release()
    return path


def filmed(people, noise=3.0, light=lambda number: 1.0, shadow=False):
    """Frames of people, each a list of masks or None per frame, in front of `ground`."""
    rng = np.random.default_rng(1)
    place = ground()
    for number, masks in enumerate(zip(*people, strict=True)):
        frame = place.astype(float)
        for index, mask in enumerate(masks):
            if mask is None:
                continue
            if shadow:
                x, _, w, _ = cv2.boundingRect(mask.astype(np.uint8))
                dark = np.zeros((HIGH, WIDE), np.uint8)
                cv2.ellipse(dark, (x + w // 2 + 25, 181), (40, 8), 0, 0, 360, 1, -1)
                frame[dark > 0] *= 0.7
            frame[mask] = ((30, 40, 150), (140, 40, 30), (25, 25, 25))[index]
        frame = frame * light(number) + rng.normal(0, noise, frame.shape)
        yield np.clip(frame, 0, 255).astype(np.uint8)


def across(count=80, start=-20.0, speed=4.5, **where):
    """One person who walks across the picture; None once out of it."""
    for number in range(count):
        x = start + speed * number
        yield walker(x, phase=0.35 * number, **where) if -15 < x < WIDE + 15 else None


def iou(one, two):
    return (one & two).sum() / max((one | two).sum(), 1)


def check_outlines(path, truth, least):
    pairs = zip(silhouettes(path), truth, strict=True)
    scores = [iou(mask > 0, true) for mask, true in pairs if true is not None and true.any()]
    assert np.mean(scores) > least, np.mean(scores)


def whose(track, people):
    """For each frame of a track, the person whose drawn outline it covers best."""
    found = []
    for frame, (x, y, w, h), part in zip(track.frames, track.boxes, track.silhouettes, strict=True):
        mask = np.zeros((HIGH, WIDE), bool)
        mask[y : y + h, x : x + w] = part > 0
        scores = [iou(mask, person[frame]) if person[frame] is not None else 0 for person in people]
        found.append(int(np.argmax(scores)))
    return found


def test_one_walker_is_one_track(tmp_path):
    truth = list(across())
    path = write(tmp_path / "walk.avi", filmed([truth]))
    check_outlines(path, truth, 0.85)
    done = []
    found = tracks(path, report=lambda number, of: done.append((number, of)))
    assert found.frames == 80 and found.fps == 25 and done[-1] == (80, 80)
    assert len(found.tracks) == 1, found.refused
    (track,) = found.tracks
    length = len(track.frames)
    assert track.number == 1 and length > 55 and (np.diff(track.frames) > 0).all()
    assert track.clip.shape == (length, 64, 64) and track.clip.dtype == np.uint8
    assert track.boxes.shape == (length, 4) and track.quality.shape == (length,) and track.quality.min() >= 0.5
    for frame, box, part in zip(track.frames, track.boxes, track.silhouettes, strict=True):
        assert part.shape == (box[3], box[2])
        assert np.abs(np.array(cv2.boundingRect(truth[frame].astype(np.uint8))) - box).max() <= 8
    right = (track.boxes[:, 0] + track.boxes[:, 2]).max()
    assert right < WIDE and track.boxes[:, 0].min() > 0, "a silhouette that the border cuts is no good frame"
    frame = int(track.frames[30])
    picture = annotated(path, found, frame)
    x, y, w, _ = track.boxes[30]
    assert picture.shape == (HIGH, WIDE, 3) and picture.dtype == np.uint8
    plain = open_video(path).frame(frame)[..., ::-1]
    changed = np.abs(picture.astype(int) - plain).max(-1) > 60
    assert changed[y, x : x + w].mean() > 0.8 and changed.mean() < 0.05


@pytest.mark.parametrize(
    ("seen", "least"),
    [
        ({"noise": 10.0}, 0.75),
        ({"light": lambda number: 0.75 if number > 37 else 1.0}, 0.8),
        ({"light": lambda number: 1 - number / 300}, 0.8),
        ({"shadow": True}, 0.78),
    ],
    ids=["noise", "light_goes", "dusk", "shadow"],
)
def test_what_a_camera_does_spoils_no_outline(tmp_path, seen, least):
    truth = list(across())
    path = write(tmp_path / "walk.avi", filmed([truth], **seen))
    check_outlines(path, truth, least)
    assert len(tracks(path).tracks) == 1


def test_a_shadow_is_no_part_of_the_person(tmp_path, monkeypatch):
    truth = list(across())
    path = write(tmp_path / "walk.avi", filmed([truth], shadow=True))
    monkeypatch.setattr(video_silhouettes, "_shadow", lambda seen, *_: np.zeros(seen.shape[:2], bool))
    with pytest.raises(AssertionError):
        check_outlines(path, truth, 0.78)


def test_a_long_video_has_several_backgrounds(tmp_path, monkeypatch):
    truth = [*across(), *across(70, 340, -4.5)]
    path = write(tmp_path / "walk.avi", filmed([truth]))
    built = []
    whole = video_silhouettes.Background

    def background(samples, name):
        built.append(len(samples))
        return whole(samples, name)

    monkeypatch.setattr(video_silhouettes, "Background", background)
    monkeypatch.setattr(video_silhouettes, "_SECONDS", 2)
    check_outlines(path, truth, 0.85)
    assert built == [50, 50, 50]


def test_people_who_cross_keep_their_tracks(tmp_path):
    people = [list(across()), list(across(start=340, speed=-4.5, feet=176, tall=84))]
    found = tracks(write(tmp_path / "cross.avi", filmed(people)))
    assert 2 <= len(found.tracks) <= 4
    followed = [whose(track, people) for track in found.tracks]
    assert all(len(set(who)) == 1 for who in followed), followed
    for person in (0, 1):
        assert sum(len(who) for who in followed if who[0] == person) > 40
    assert any("overlap" in reason for reason in found.refused)


def test_of_whom_walks_back_after_a_meeting_no_track_goes_on_as_another(tmp_path):
    there = [*across(36), *across(44, 137.5, -4.5)]
    back = [*across(36, 340, -4.5, feet=176, tall=84), *across(44, 182.5, 4.5, feet=176, tall=84)]
    found = tracks(write(tmp_path / "meet.avi", filmed([there, back])))
    assert all(len(set(whose(track, [there, back]))) == 1 for track in found.tracks)
    assert sum(len(track.frames) for track in found.tracks) > 70


def test_who_leaves_and_comes_back_is_another_track(tmp_path):
    truth = [*across(80, start=40, speed=6), *across(70, start=340, speed=-6)]
    first, second = tracks(write(tmp_path / "back.avi", filmed([truth]))).tracks
    assert first.frames[-1] < 50 and second.frames[0] > 78
    assert (first.number, second.number) == (1, 2)


def test_behind_a_post_a_track_goes_on(tmp_path):
    truth = list(across())

    def hidden():
        place = ground()
        for frame in filmed([truth]):
            frame[:, 150:170] = place[:, 150:170]
            yield frame

    (track,) = tracks(write(tmp_path / "post.avi", hidden())).tracks
    assert track.frames[0] < 15 and track.frames[-1] > 65


@pytest.mark.parametrize("apart", [18, 24, 30])
def test_two_abreast_are_in_no_track(tmp_path, apart):
    """Where their legs part they are two people for a frame, and may be followed so; never both as one."""
    pair = [list(across(start=-20)), list(across(start=apart - 20))]
    found = tracks(write(tmp_path / "pair.avi", filmed(pair)))
    for track in found.tracks:
        assert len(set(whose(track, pair))) == 1 and (track.boxes[:, 2] < 60).all()
    assert any("as one shape" in reason for reason in found.refused)


def test_heads_are_counted():
    def seen(mask):
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        return Seen(0, (x, y, w, h), mask[y : y + h, x : x + w] * np.uint8(255), False)

    for step in range(12):
        phase = step * np.pi / 6
        assert not two_heads(seen(walker(100, phase=phase)))
        assert two_heads(seen(walker(100, phase=phase) | walker(130, tall=82, phase=phase + 1)))


def test_who_stands_and_who_is_small_is_told(tmp_path):
    stands = [None] * 60 + [walker(80, phase=0.2 * np.sin(number)) for number in range(30)]
    small = list(across(90, tall=40, feet=60))
    found = tracks(write(tmp_path / "stands.avi", filmed([stands, small])))
    assert not found.tracks
    assert any("stays in place" in reason for reason in found.refused)
    assert any("pixels high, and 48 are needed" in reason for reason in found.refused)


def test_too_short_a_walk_is_told(tmp_path):
    truth = [None] * 40 + list(across(9, start=100)) + [None] * 10
    found = tracks(write(tmp_path / "short.avi", filmed([truth])))
    assert not found.tracks and found.refused == ("1 shape was followed for less than 10 frames.",)


@pytest.mark.parametrize("frame", [np.zeros((HIGH, WIDE, 3), np.uint8), ground()], ids=["black", "still"])
def test_where_nobody_walks_there_are_no_tracks(tmp_path, frame):
    found = tracks(write(tmp_path / "still.avi", [frame] * 30))
    assert found.tracks == () and found.refused == () and found.frames == 30


@pytest.mark.parametrize("speed", [3, 0.5])
def test_a_camera_that_moves_is_told(tmp_path, speed):
    place = ground(HIGH + 80, WIDE + 200)
    pan = [place[20 : 20 + HIGH, round(speed * n) : round(speed * n) + WIDE] for n in range(60)]
    with pytest.raises(ValueError, match=r"pan\.avi \d+% of the pixels change .* as if the camera moved.*\.$"):
        tracks(write(tmp_path / "pan.avi", pan))


def test_a_camera_that_trembles_still_sees_who_walks(tmp_path):
    rng = np.random.default_rng(0)
    truth = list(across())
    moves = [np.float32([[1, 0, dx], [0, 1, dy]]) for dx, dy in rng.normal(0, 0.7, (80, 2))]
    frames = (cv2.warpAffine(f, m, (WIDE, HIGH), borderMode=2) for f, m in zip(filmed([truth]), moves, strict=True))
    assert len(tracks(write(tmp_path / "hand.avi", frames)).tracks) == 1


def broken(folder, what):
    path = folder / f"{what}.avi"
    if what == "missing":
        return path
    whole = write(folder / "whole.avi", filmed([list(across(12))])).read_bytes()
    content = {"empty": b"", "text": b"no video\n" * 99, "cut": whole[:3000], "noise": os.urandom(9999)}
    path.write_bytes(content.get(what, b""))
    if what == "picture":
        cv2.imwrite(str(path := folder / "walk_01.png"), ground())
    if what == "frameless":
        cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDE, HIGH)).release()
    if what == "folder":
        (path := folder / "inside").mkdir()
    return path


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("missing", "is not there"),
        ("empty", r"is empty \(0 bytes\)"),
        ("text", "is no video, or damaged"),
        ("cut", "is no video, or damaged"),
        ("noise", "is no video, or damaged"),
        ("picture", "holds one picture"),
        ("frameless", "is no video, or damaged|is empty"),
        ("folder", "holds no PNG masks"),
    ],
)
def test_what_is_no_video_is_told(tmp_path, what, told):
    with pytest.raises(ValueError, match=told) as error:
        tracks(broken(tmp_path, what))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_video_cut_short_is_read_to_its_end(tmp_path):
    path = write(tmp_path / "walk.avi", filmed([list(across())]))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    found = tracks(path)
    assert 40 < found.frames < 80 and len(found.tracks) == 1
    assert any(f"breaks off after {found.frames} of 80 frames" in reason for reason in found.refused)


def test_masks_that_were_made_already(tmp_path):
    for name, count in (("ann", 20), ("bob", 6), ("none", 12)):
        (tmp_path / name).mkdir()
        for number, mask in enumerate(across(count, start=60)):
            mask = mask & (name != "none")
            cv2.imwrite(str(tmp_path / name / f"{number:03}.png"), mask * np.uint8(255))
    found = tracks(tmp_path)
    (track,) = found.tracks
    assert track.name == "ann" and track.clip.shape == (20, 64, 64) and found.frames == 38
    assert len(found.refused) == 2 and "bob" in found.refused[0] and "empty" in found.refused[1]
    (alone,) = tracks(tmp_path / "ann").tracks
    np.testing.assert_array_equal(alone.clip, track.clip)
    cv2.imwrite(str(tmp_path / "bob" / "000.png"), np.ones((64, 64), np.uint8))
    for file in (tmp_path / "bob").glob("00[1-9].png"):
        file.unlink()
    with pytest.raises(ValueError, match="0 and 1"):
        tracks(tmp_path / "bob")


def test_an_unknown_method_and_a_missing_network_are_told(tmp_path, monkeypatch):
    path = write(tmp_path / "walk.avi", filmed([list(across(12))]))
    with pytest.raises(ValueError, match=r"auto, median, network\. Received: 'mog'"):
        tracks(path, "mog")
    monkeypatch.setattr(person_network.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install --no-deps mediapipe==0\.10\.21\.$"):
        tracks(path, "network")


def pedestrians(folder):
    """Debian's video of pedestrians: HUB_VTEST, or where opencv-doc puts it, unpacked where it is packed."""
    places = [os.environ.get("HUB_VTEST"), "/usr/share/doc/opencv-doc/examples/data/vtest.avi"]
    for place in filter(None, places):
        if pathlib.Path(place).is_file():
            return pathlib.Path(place)
        if pathlib.Path(packed := f"{place}.gz").is_file():
            import gzip

            (path := folder / "vtest.avi").write_bytes(gzip.decompress(pathlib.Path(packed).read_bytes()))
            return path
    raise AssertionError(
        "apt-get download opencv-doc, dpkg -x opencv-doc_*.deb DIR and point HUB_VTEST to its vtest.avi"
    )


@pytest.mark.real
def test_real_pedestrians(tmp_path):
    """No identities are known; but a person is about as high as its neighbour in time and overlaps with it."""
    found = tracks(pedestrians(tmp_path))
    lengths = [len(track.frames) for track in found.tracks]
    print(len(lengths), "tracks of", sorted(lengths, reverse=True), *found.refused, sep="\n")
    assert found.frames == 795 and found.fps == 10
    assert len(lengths) >= 50 and sum(lengths) > 2300 and max(lengths) > 100 and min(lengths) >= 10
    for track in found.tracks:
        assert track.clip.shape == (len(track.frames), 64, 64)
        shapes = track.boxes[:, 2] / track.boxes[:, 3]
        assert 0.15 < np.median(shapes) < 0.65
    filled = np.concatenate([track.clip for track in found.tracks]).mean((1, 2)) / 255
    assert filled.min() > 0.08 and filled.max() < 0.6
    both = [iou(a > 0, b > 0) for track in found.tracks for a, b in itertools.pairwise(track.clip)]
    assert np.mean(both) > 0.7, np.mean(both)


@pytest.mark.real
def test_the_network_agrees_with_the_background(tmp_path):
    """On a second of the real video: the same people, thinner legs."""
    video = open_video(pedestrians(tmp_path))
    path = write(tmp_path / "part.avi", itertools.islice(video.frames(), 0, 700, 7), video.fps)
    pairs = zip(silhouettes(path), silhouettes(path, "network"), strict=True)
    both = [(iou(a > 0, b > 0), (b > 0).sum() / (a > 0).sum()) for a, b in pairs if (a > 0).sum() > 3000]
    agreed, share = np.mean(both, axis=0)
    assert 0.6 < agreed < 0.98 and share < 1, both

"""Silhouettes: the published pretreatment, CASIA-B's and OU-MVLP's folders, a user's own table, bad files."""

import os
import pickle
import shutil

import cv2
import numpy as np
import pytest

from hub import registry
from hub.data import casia_b, clip_files, gait_clips, gait_list, ou_mvlp, silhouettes
from hub.data.gait_clips import Clip, Clips

ONE_SENTENCE = r"^[^\n]+\.$"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path_factory.mktemp("cache")))


def person(height=240, width=320, x=150, seed=0) -> np.ndarray:
    """uint8 [height, width]: head, trunk and two legs in a stride; may leave the frame at either side."""
    rng, frame = np.random.default_rng(seed), np.zeros((height, width), np.uint8)
    unit, top = height * rng.uniform(0.6, 0.8), height * rng.uniform(0.05, 0.15)
    at = lambda dx, dy: (int(x + dx * unit), int(top + dy * unit))  # noqa: E731
    cv2.circle(frame, at(0.02, 0.08), max(int(0.07 * unit), 1), 255, -1)
    cv2.ellipse(frame, (at(0, 0.35), (0.22 * unit, 0.5 * unit), 0), 255, -1)
    for reach in rng.uniform(-0.25, 0.25, 2):
        cv2.line(frame, at(0, 0.5), at(reach, 0.98), 255, max(int(0.08 * unit), 1))
    return frame


# the pretreatment


def slow(frame: np.ndarray) -> np.ndarray | None:
    """The published steps one by one: cubic weights with a = -0.75, borders repeated, columns padded, then cut."""

    def weights(x):
        x, a = abs(x), -0.75
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    def resized(image, rows):  # along the first axis
        result = np.zeros((rows, image.shape[1]))
        for row in range(rows):
            centre = (row + 0.5) * len(image) / rows - 0.5
            for near in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
                result[row] += weights(centre - near) * image[min(max(near, 0), len(image) - 1)]
        return result

    if int(frame.astype(int).sum()) <= 10_000:
        return None
    rows = [row for row in range(len(frame)) if frame[row].any()]
    frame = frame[rows[0] : rows[-1] + 1].astype(float)
    width = max(int(64 * (frame.shape[1] / frame.shape[0])), 1)
    frame = resized(resized(frame, 64).T, width).T
    frame = np.clip(np.rint(frame), 0, 255)
    total, reached, centre = frame.sum(), 0.0, width // 2
    for column in range(width):
        reached += frame[:, column].sum()
        if reached > total / 2:
            centre = column
            break
    return np.pad(frame, ((0, 0), (32, 32)))[:, centre : centre + 64].astype(np.uint8)


FRAMES = {
    "CASIA-B": person(),
    "left edge": person(x=0, seed=1),
    "right edge": person(x=319, seed=2),
    "narrow frame": person(240, 60, x=30, seed=3),
    "enlarged": person(40, 50, x=20, seed=4),
    "large": person(640, 500, x=222, seed=5),
    "lying": person(240, 320, seed=6).T[80:240],
    "one row": np.pad(np.full((1, 80), 255, np.uint8), ((9, 9), (3, 40))),
    "one column": np.pad(np.full((90, 1), 255, np.uint8), ((5, 0), (12, 30))),
    "one column alone": np.full((90, 1), 255, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 2, (70, 90)).astype(np.uint8) * 255,
    "whole frame": np.full((48, 100), 255, np.uint8),
    "grey": person(seed=7) // 2,
}


@pytest.mark.parametrize("name", FRAMES)
def test_pretreatment_is_the_published_one(name):
    """Rounding of OpenCV's fixed-point weights apart."""
    ours, theirs = silhouettes.normalise(FRAMES[name]), slow(FRAMES[name])
    assert ours.shape == (64, 64) and ours.dtype == np.uint8
    np.testing.assert_allclose(ours.astype(int), theirs.astype(int), atol=1)


def test_the_person_fills_the_height_and_is_centred():
    for x in (0, 40, 150, 319):
        window = silhouettes.normalise(person(x=x, seed=8))
        assert window[0].any() and window[-1].any()
        mass = np.cumsum(window.sum(0, dtype=int))
        assert mass[31] <= mass[-1] / 2 < mass[32]
        np.testing.assert_array_equal(silhouettes.narrow(window[None]), window[None, :, 10:54])


def test_place_in_the_frame_does_not_matter():
    frame = person()
    moved = np.roll(frame, (11, -23), (0, 1))
    np.testing.assert_array_equal(silhouettes.normalise(moved[5:]), silhouettes.normalise(np.roll(frame, -23, 1)))
    difference = silhouettes.normalise(moved).astype(int) - silhouettes.normalise(frame)
    assert np.abs(difference).mean() < 10  # the smaller grid has another phase; 4 columns aside would be 30


def test_a_mirrored_person_is_the_mirrored_silhouette():
    """The window's middle lies right of its centre column, so the mirrored one is one column on."""
    for seed in range(5):
        frame = person(seed=seed)
        ours, mirrored = silhouettes.normalise(frame), silhouettes.normalise(frame[:, ::-1])
        np.testing.assert_allclose(mirrored[:, 1:].astype(int), ours[:, ::-1][:, :-1].astype(int), atol=1)


def test_frames_with_too_little_person_are_dropped():
    speck, bright = np.zeros((2, 240, 320), np.uint8)
    speck[100, 100] = 255
    bright[20:25, 30:38] = 250  # 40 pixels: 10,000
    assert silhouettes.normalise(np.zeros((240, 320), np.uint8)) is None
    assert silhouettes.normalise(np.zeros((0, 5), np.uint8)) is None
    assert silhouettes.normalise(speck) is None
    assert silhouettes.normalise(bright) is None
    bright[20, 30] += 1
    assert silhouettes.normalise(bright) is not None
    sparse = np.zeros((6400, 64), np.uint8)
    sparse[np.r_[0:6400:100], 5] = 255
    assert slow(sparse).max() == 0 and silhouettes.normalise(sparse) is None


def test_clip_takes_frames_of_mixed_sizes_and_may_end_empty():
    frames = [person(), np.zeros((9, 9), np.uint8), person(120, 100, x=50), person(480, 640, x=600)]
    whole = silhouettes.clip(frames)
    assert whole.shape == (3, 64, 64)
    for window, frame in zip(whole, [frames[0], *frames[2:]], strict=True):
        np.testing.assert_array_equal(window, silhouettes.normalise(frame))
    assert silhouettes.clip(np.zeros((4, 30, 20), np.uint8)).shape == silhouettes.clip([]).shape == (0, 64, 64)


NO_SILHOUETTES = {
    "colour": np.zeros((2, 30, 20, 3), np.uint8),
    "floats": np.zeros((2, 30, 20)),
    "booleans": np.ones((2, 30, 20), bool),
    "one frame": person(),
    "words": ["a", "b"],
    "0 and 1": person()[None] // 255,
}


@pytest.mark.parametrize("name", NO_SILHOUETTES)
def test_what_is_no_silhouette_is_refused(name):
    with pytest.raises(ValueError, match=ONE_SENTENCE):
        silhouettes.clip(NO_SILHOUETTES[name])
    with pytest.raises(ValueError, match="are cut"):
        silhouettes.narrow(np.zeros((3, 64, 44), np.uint8))


# folders


def save(folder, count=6, seed=0, names="{:03d}.png", height=60, width=80) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(count):
        cv2.imwrite(str(folder / names.format(at + 1)), person(height, width, x=15 + 5 * at, seed=seed + at))


CONDITIONS = [f"nm-0{n}" for n in range(1, 7)] + ["bg-01", "bg-02", "cl-01", "cl-02"]


def casia(base, people=(1, 2, 5, 6), views=(0, 90, 180)):
    """Every sequence of 2 frames; 005 lacks its coats, 002/nm-03/090 is empty, 006/bg-01/180 absent."""
    for who in people:
        for condition in CONDITIONS:
            for view in views:
                if (who, condition, view) == (6, "bg-01", 180) or (who == 5 and condition < "d" and condition > "c"):
                    continue
                folder = base / f"{who:03d}" / condition / f"{view:03d}"
                name = f"{who:03d}-{condition}-{view:03d}-{{:03d}}.png"
                save(folder, 0 if (who, condition, view) == (2, "nm-03", 90) else 2, who * 100, name)
    return base


@pytest.fixture(scope="module")
def casia_folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("casia")
    casia(base / "GaitDatasetB-silh")
    return base


def test_casia_b_in_its_layout(casia_folder):
    clips = casia_b.clips(casia_folder)
    assert len(clips) == 4 * 10 * 3 - 8 and clips.missing == 8
    assert clips.notes == ("8 of 120 sequences are absent or empty and are skipped, 002/nm-03/090 for one.",)
    assert list(clips) == list(casia_b.clips(casia_folder / "GaitDatasetB-silh"))
    names = [clip.name for clip in clips]
    assert names == sorted(names) and names[0] == "001/bg-01/000"
    assert clips[0].path == casia_folder / "GaitDatasetB-silh/001/bg-01/000"
    assert clips.view.dtype == np.int64 and set(clips.view) == {0, 90, 180}
    assert clips.label.tolist() == [{"001": 0, "002": 1, "005": 2, "006": 3}[who] for who in clips.subject]
    assert isinstance(clips[1:3], Clips) and clips[1:3][0] == clips[1] and clips[np.int64(-1)].name == "006/nm-06/180"


def test_casia_b_splits(casia_folder):
    clips = casia_b.clips(casia_folder)
    train, test = casia_b.split(clips, train_ids=2)
    assert set(train.subject) == {"001", "002"} and set(test.subject) == {"005", "006"}
    train, test = casia_b.split(clips, train_ids=3)
    assert set(train.subject) == {"001", "002"} and set(test.subject) == {"006"}
    for wrong in ("LT", 0, -1, 4, 99):
        with pytest.raises(ValueError, match=ONE_SENTENCE):
            casia_b.split(clips, wrong)
    with pytest.raises(ValueError, match="LT, MT, ST, or a number"):
        casia_b.split(clips, "lt")


def published(views=casia_b.VIEWS) -> Clips:
    """The names of all of CASIA-B."""
    return Clips(tuple(Clip(f"{who:03d}", condition, view, None) for who in range(1, 125)
                       for condition in sorted(CONDITIONS) for view in views))  # fmt: skip


def test_published_split_sizes():
    """73, 61 and 23 people train (005 left out), 50, 62 and 100 test."""
    clips = published()
    assert len(clips) == 13_640
    for name, (training, testing) in {"LT": (73, 50), "MT": (61, 62), "ST": (23, 100)}.items():
        train, test = casia_b.split(clips, name)
        assert (len(set(train.subject)), len(set(test.subject))) == (training, testing)
        assert list(train) == list(casia_b.split(clips, casia_b.SPLITS[name])[0])


def test_casia_b_folders_that_are_not_what_they_should_be(tmp_path):
    def told(words, folder=tmp_path):
        with pytest.raises(ValueError, match=ONE_SENTENCE) as raised:
            casia_b.clips(folder)
        assert words in str(raised.value)

    told("is no folder", tmp_path / "no")
    told("has no people")
    (tmp_path / "001.tar.gz").write_bytes(b"x")
    told("still has packed people, 001.tar.gz")
    (tmp_path / "001").mkdir()
    told("no sequences")
    save(tmp_path / "001/nm-01/090", 1)
    save(tmp_path / "001/bkgrd/090", 1)
    save(tmp_path / "001/nm-01/091", 1)
    clips = casia_b.clips(tmp_path)  # the archive may stay beside what it unpacked to
    assert [clip.name for clip in clips] == ["001/nm-01/090"] and clips.missing == 0
    assert clips.notes[0].startswith("2 folders are not named like nm-01/090") and "bkgrd" in clips.notes[0]
    (tmp_path / "002.tar.gz").write_bytes(b"x")
    told("002.tar.gz")
    (tmp_path / "002.tar.gz").unlink()
    (tmp_path / "002").mkdir()  # a person without any sequence
    assert casia_b.clips(tmp_path).missing == 1
    (tmp_path / "002/nm-01/090").mkdir(parents=True)
    (tmp_path / "002/nm-01/090/090.pkl").write_bytes(pickle.dumps([1]))
    told("is pickled")


def test_ou_mvlp_in_both_layouts(tmp_path):
    there = [("00001", "00", 0), ("00001", "01", 0), ("00001", "01", 270), ("00002", "00", 270), ("10307", "01", 0)]
    for who, walk, view in there:
        save(tmp_path / "published" / f"Silhouette_{view:03d}-{walk}" / who, 2, names="{:04d}.png")
        save(tmp_path / "rearranged" / who / walk / f"{view:03d}", 2, names="{:04d}.png")
    (tmp_path / "published/Silhouette_000-00/10307").mkdir()  # empty
    save(tmp_path / "published/Silhouette_000-00/notes", 1)
    save(tmp_path / "published/Silhouette_005-00/00001", 1)  # no view of the data set
    (tmp_path / "rearranged/00002/01").mkdir()
    clips, again = (ou_mvlp.clips(tmp_path / name) for name in ("published", "rearranged"))
    for each in (clips, again):
        assert [(clip.subject, clip.condition, clip.view) for clip in each] == there
        assert each.missing == 3 * 4 - 5 and "of 12 sequences" in each.notes[0]
    np.testing.assert_array_equal(gait_clips.read(clips[2]), gait_clips.read(again[2]))
    train, test = ou_mvlp.split(clips)
    assert set(train.subject) == {"00001"} and set(test.subject) == {"00002", "10307"}


def test_ou_mvlp_ids_and_views():
    ids = [f"{number:05d}" for number in range(1, 10308)]
    train = [who for who in ids if ou_mvlp.is_training(who)]
    assert (len(train), train[0], train[-1], len(ids) - len(train)) == (5153, "00001", "10305", 5154)
    assert not ou_mvlp.is_training("10307") and not ou_mvlp.is_training("00002")
    assert ou_mvlp.VIEWS == (0, 15, 30, 45, 60, 75, 90, 180, 195, 210, 225, 240, 255, 270)


def test_ou_mvlp_folders_that_are_not_what_they_should_be(tmp_path):
    with pytest.raises(ValueError, match="is no folder"):
        ou_mvlp.clips(tmp_path / "no")
    with pytest.raises(ValueError, match="has no sequences"):
        ou_mvlp.clips(tmp_path)
    (tmp_path / "Silhouette_000-00.zip").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"still packed, Silhouette_000-00.zip") as raised:
        ou_mvlp.clips(tmp_path)
    assert raised.match(ONE_SENTENCE)


# a user's own table


def test_a_table_of_clips(tmp_path):
    save(tmp_path / "walks/anna 1", 3)
    save(tmp_path / "walks/bert", 2)
    np.save(tmp_path / "carl.npy", np.stack([person(50, 40, x=20)] * 2))
    (tmp_path / "walks/empty").mkdir()
    rows = ["condition,subject,view,path,camera", "coat,anna,90,walks/anna 1,3", f"bag,bert,0,{tmp_path}/walks/bert,4",
            "", "bag,carl,359,carl.npy,", '"a ""long"" walk",bert, 45 ,walks/empty,']  # fmt: skip
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    clips = gait_list.clips(tmp_path / "list.csv")
    assert [clip.name for clip in clips] == ["anna/coat/090", "bert/bag/000", "carl/bag/359"]
    assert clips.missing == 1 and "1 of 4 clips are empty" in clips.notes[0]
    assert [len(gait_clips.read(clip)) for clip in clips] == [3, 2, 2]
    assert casia_b.split(clips, 2)[1].subject.tolist() == ["carl"]


HEADER = "subject,condition,view,path\n"
TABLES = {
    "": "no column subject in line 1",
    "subject;condition;view;path\na;b;0;walk": "no column subject in line 1",
    "subject,condition,path\na,b,walk": "no column view in line 1",
    HEADER: "names no clip",
    HEADER + "a,b,0,walk\na,b,0,none": "line 3: .*none does not exist",
    HEADER + "a,b,0,walk\na,b,18,walk": "line 3: .*walk is that of line 2",
    HEADER + "a,b,ninety,walk": "line 2: the view .* Received: 'ninety'",
    HEADER + "a,b,360,walk": "line 2: the view",
    HEADER + "a,b,-18,walk": "line 2: the view",
    HEADER + "a,b,²,walk": "line 2: the view",
    HEADER + "a,b,22.5,walk": "line 2: the view",
    HEADER + ",b,0,walk": "line 2: subject is empty",
    HEADER + "\n\na,b,0": "line 4: path is empty",
    HEADER + "a,b,0,list.csv": "line 2: .*is no clip",
    HEADER + "a,b,0,walk.pkl": "line 2: .*is pickled",
    HEADER + "a,b,0,walk\0": "line 2: ",
    HEADER + "a" * 200_000: "line 1: field larger|line 2: field larger",
}


@pytest.mark.parametrize("text", TABLES, ids=range(len(TABLES)))
def test_bad_tables_get_one_sentence_with_the_line(text, tmp_path):
    save(tmp_path / "walk", 1)
    (tmp_path / "walk.pkl").write_bytes(b"x")
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=ONE_SENTENCE) as raised:
        gait_list.clips(tmp_path / "list.csv")
    assert raised.match(TABLES[text]) and raised.match("list.csv")


def test_a_table_that_is_none(tmp_path):
    for path in (tmp_path, tmp_path / "no.csv"):
        with pytest.raises(ValueError, match="is no file"):
            gait_list.clips(path)
    (tmp_path / "film.csv").write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(ValueError, match=r"film\.csv"):
        gait_list.clips(tmp_path / "film.csv")


# reading


def clip(path) -> Clip:
    return Clip("001", "nm-01", 90, path)


def test_frames_come_in_the_order_of_their_names(tmp_path):
    save(tmp_path / "walk", 4)
    for name in ("._001.png", "Thumbs.db", "001.txt"):
        (tmp_path / "walk" / name).write_bytes(b"x")
    frames = [person(60, 80, x=15 + 5 * at, seed=at) for at in range(4)]
    np.testing.assert_array_equal(gait_clips.read(clip(tmp_path / "walk")), silhouettes.clip(frames))
    np.save(tmp_path / "walk.npy", np.stack(frames))
    np.savez_compressed(tmp_path / "walk.npz", frames=np.stack(frames))
    for name in ("walk.npy", "walk.npz"):
        np.testing.assert_array_equal(gait_clips.read(clip(tmp_path / name)), silhouettes.clip(frames))
    (tmp_path / "other").mkdir()
    for name, kind in (("1.png", cv2.COLOR_GRAY2BGR), ("2.PNG", cv2.COLOR_GRAY2BGRA)):
        cv2.imwrite(str(tmp_path / "other" / name), cv2.cvtColor(frames[0], kind))
    cv2.imwrite(str(tmp_path / "other/3.png"), frames[0], [cv2.IMWRITE_PNG_BILEVEL, 1])
    np.testing.assert_array_equal(gait_clips.read(clip(tmp_path / "other")), silhouettes.clip(frames[:1] * 3))


def test_pretreated_frames_stay_as_they_are(tmp_path):
    """As GaitSet's own pretreatment leaves them; a broad person would be centred anew by a second round."""
    windows = np.stack([silhouettes.normalise(frame) for frame in (person(), FRAMES["noise"], FRAMES["one row"])])
    np.save(tmp_path / "walk.npy", np.concatenate([windows, np.zeros((2, 64, 64), np.uint8)]))
    np.testing.assert_array_equal(gait_clips.read(clip(tmp_path / "walk.npy")), windows)
    np.save(tmp_path / "walk.npy", windows // 255)
    with pytest.raises(ValueError, match=r"walk.npy: The frames hold 0 and 1"):
        gait_clips.read(clip(tmp_path / "walk.npy"))


def test_clips_without_a_person_are_empty(tmp_path):
    for at, size in enumerate(((60, 80), (64, 64))):
        (tmp_path / str(at)).mkdir()
        cv2.imwrite(str(tmp_path / str(at) / "1.png"), np.zeros(size, np.uint8))
        assert gait_clips.read(clip(tmp_path / str(at))).shape == (0, 64, 64)
    (tmp_path / "2").mkdir()
    assert gait_clips.read(clip(tmp_path / "2")).shape == (0, 64, 64)


class Bomb:
    def __reduce__(self):
        return open, ("unpickled", "w")


def test_bad_files_get_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def told(words, path, named=None):
        with pytest.raises(ValueError, match=ONE_SENTENCE) as raised:
            gait_clips.read(clip(tmp_path / path))
        assert words in str(raised.value) and str(tmp_path / (named or path)) in str(raised.value)

    save(tmp_path / "walk", 3)
    whole = (tmp_path / "walk/002.png").read_bytes()
    for data in (b"", whole[:30], whole[:-20], whole[: len(whole) // 2], b"GIF89a" + whole):
        (tmp_path / "walk/002.png").write_bytes(data)
        told(f"damaged or no PNG file ({len(data):,} bytes)", "walk", "walk/002.png")
    told("is no clip", "none")
    told("is no clip", "walk/001.png")
    (tmp_path / "open").mkdir()
    (tmp_path / "open/000.pkl").write_bytes(pickle.dumps(Bomb()))
    told("is pickled", "open")
    told("is pickled", "open/000.pkl")
    np.save(tmp_path / "object.npy", np.array([Bomb()], object), allow_pickle=True)
    told("damaged, cut short or pickled", "object.npy")
    np.savez(tmp_path / "object.npz", a=np.array([Bomb()], object))
    told("damaged, cut short or pickled", "object.npz")
    assert not (tmp_path / "unpickled").exists()
    np.save(tmp_path / "a.npy", np.zeros((9, 64, 64), np.uint8))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:500])
    told("cut short", "cut.npy")
    (tmp_path / "nothing.npz").write_bytes(b"")
    told("cut short", "nothing.npz")
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 64, 64)), b=np.zeros((2, 64, 64)))
    told("one array [T, H, W]", "two.npz")
    np.save(tmp_path / "frame.npy", person())
    told("one array [T, H, W]", "frame.npy")
    np.save(tmp_path / "floats.npy", np.zeros((2, 64, 64)))
    told("Received: float64 (64, 64)", "floats.npy")


def walks(base):
    """Clips of 6, 3, 0, 1 and 9 frames with a person."""
    for at, count in enumerate((6, 3, 0, 1, 9)):
        save(base / str(at), count, seed=at)
        cv2.imwrite(str(base / str(at) / "0.png"), np.zeros((60, 80), np.uint8))
    return [Clip(f"{at:03d}", "nm-01", 0, base / str(at)) for at in range(5)]


def test_all_clips_are_read_once_and_mapped(tmp_path, monkeypatch):
    clips, said = walks(tmp_path), []
    frames, starts = gait_clips.read_all(clips, said.append)
    assert frames.shape == (19, 64, 44) and frames.dtype == np.uint8 and isinstance(frames, np.memmap)
    assert starts.tolist() == [0, 6, 9, 9, 10, 19] and starts.dtype == np.int64
    for at, each in enumerate(clips):
        alone = silhouettes.narrow(gait_clips.read(each))
        np.testing.assert_array_equal(frames[starts[at] : starts[at + 1]], alone)
    assert said == [
        "1 of 5 clips have no frame with a person in it and are skipped, 002/nm-01/000 for one.",
        "2 of 5 clips have fewer than 5 frames with a person and will be recognised badly, 001/nm-01/000 for one.",
    ]
    with pytest.raises(ValueError):
        frames[0] = 0
    monkeypatch.setattr(clip_files, "read_frames", None)  # nothing is read again
    with pytest.warns(UserWarning, match="1 of 5 clips"), pytest.warns(UserWarning, match="2 of 5 clips"):
        again, _ = gait_clips.read_all(clips)
    np.testing.assert_array_equal(again, frames)


def test_a_changed_frame_is_seen(tmp_path):
    clips = walks(tmp_path)
    known = {gait_clips.state(clips)}
    before, _ = gait_clips.read_all(clips, print)
    name = str(tmp_path / "0/001.png")
    cv2.imwrite(name, person(60, 80, x=30, seed=77))
    after, _ = gait_clips.read_all(clips, print)
    assert (after[0] != before[0]).any() and (after[1:] == before[1:]).all()
    known.add(gait_clips.state(clips))
    cv2.imwrite(str(tmp_path / "0/zz.png"), person(60, 80, x=30, seed=5))
    known.add(gait_clips.state(clips))
    shutil.move(name, str(tmp_path / "0/0011.png"))
    known.add(gait_clips.state(clips))
    os.utime(tmp_path / "3/001.png", ns=(1, 1))  # written over with as many bytes
    known |= {gait_clips.state(clips), gait_clips.state(clips[:4]), gait_clips.state(clips[::-1])}
    assert len(known) == 7


def test_an_interrupted_or_cut_cache_is_made_anew(tmp_path, monkeypatch):
    clips = walks(tmp_path)
    place = gait_clips.cache.folder("gait")
    with monkeypatch.context() as patch:
        patch.setattr(
            clip_files,
            "read_frames",
            lambda path, read=clip_files.read_frames: read(path) if path.name != "3" else 1 / 0,
        )
        with pytest.raises(ZeroDivisionError):
            gait_clips.read_all(clips, print)
    assert not list(place.iterdir())
    frames, _ = gait_clips.read_all(clips, print)
    kept = frames.copy()
    (found,) = place.iterdir()
    for name in ("frames.u8", "starts.npy"):
        data = (found / name).read_bytes()
        for size in (0, len(data) // 2):
            (found / name).write_bytes(data[:size])
            np.testing.assert_array_equal(gait_clips.read_all(clips, print)[0], kept)
    assert [path.name for path in place.iterdir()] == [found.name]


def test_clips_without_any_frame_at_all(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.warns(UserWarning, match="1 of 1 clips have no frame"):
        frames, starts = gait_clips.read_all([clip(tmp_path / "a")])
    assert frames.shape == (0, 64, 44) and starts.tolist() == [0, 0]
    with pytest.raises(ValueError, match="no clips"):
        gait_clips.read_all([])


# tfds


def test_casia_b_builder(casia_folder, tmp_path):
    builder = registry.build("casia_b", manual_dir=casia_folder, data_dir=tmp_path)
    builder.download_and_prepare()
    clips = casia_b.clips(casia_folder)
    examples = list(builder.as_dataset(split="clips").as_numpy_iterator())
    assert [example["name"].decode() for example in examples] == [each.name for each in clips]
    for example, each in list(zip(examples, clips, strict=True))[::17]:
        np.testing.assert_array_equal(example["silhouettes"], gait_clips.read(each))
        known = (each.subject.encode(), each.condition.encode(), each.view)
        assert (example["subject"], example["condition"], example["view"]) == known
    with pytest.raises(ValueError, match="is no folder"):
        registry.build("casia_b", manual_dir=tmp_path / "no", data_dir=tmp_path)

"""`hub predict facial_expression`: rows, annotated pictures, timelines of videos, and what bad inputs lead to."""

import argparse
import csv
import json
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from applications.cli import dispatch
from applications.facial_expression import annotate, card_places, predict, recognize, timeline
from applications.facial_expression.recognize import Seen
from hub.data.face_detection import Face, detect
from hub.data.face_images import EXPRESSIONS
from hub.data.faces_drawn import draw

HAPPY = np.array([0.01, 0.01, 0.02, 0.9, 0.02, 0.03, 0.01], np.float32)
TORN = np.array([0.05, 0.05, 0.05, 0.1, 0.33, 0.1, 0.32], np.float32)
FPS, FRAMES = 10, 12


def seen(box, probabilities=HAPPY):
    x, y, width, height = box
    angles = np.linspace(0, 2 * np.pi, 68)
    circle = np.stack([x + width * (0.5 + 0.4 * np.cos(angles)), y + height * (0.5 + 0.4 * np.sin(angles))], 1)
    return Seen(tuple(box), 1.0, circle.astype(np.float32), np.asarray(probabilities, np.float32))


class Fake:
    """The detector's faces, the largest happy and the others torn between two."""

    words = "a fake"

    def __init__(self, *args):
        pass

    def look(self, picture):
        return [seen(face.box, TORN if i else HAPPY) for i, face in enumerate(detect(picture, smallest=60))]


@pytest.fixture
def told(monkeypatch):
    """Rows of `hub predict facial_expression ARGUMENTS` by a fake network."""
    monkeypatch.setattr(recognize, "Recognizer", Fake)

    def rows(*arguments):
        parser = argparse.ArgumentParser()
        parser.add_argument("images", nargs="+")
        predict.configure(parser)
        found = list(predict.predict(None, parser.parse_args([str(one) for one in arguments])))
        json.dumps(found)
        return found

    return rows


@pytest.fixture(scope="module")
def pair():
    """RGB [240, 480, 3], two people; the second is smaller."""
    picture = np.full((240, 480, 3), 150, np.uint8)
    picture[:, :240] = draw(3, 3, 1.0, 0, size=(240, 240), colour=True, pose=(0, 0, 0)).picture
    picture[30:210, 270:450] = draw(5, 4, 1.0, 1, size=(180, 180), colour=True, pose=(0, 0, 0)).picture
    return picture


@pytest.fixture(scope="module")
def place(pair, tmp_path_factory):
    """A folder with pictures, videos and broken things."""
    folder = tmp_path_factory.mktemp("faces")
    Image.fromarray(pair).save(folder / "pair.jpg", quality=95)
    Image.fromarray(np.full((50, 70, 3), (200, 30, 40), np.uint8)).save(folder / "nobody.png")
    whole = (folder / "pair.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")
    for name in ("none", "bad"):
        (folder / name).mkdir()
    (folder / "none" / "notes.txt").write_text("no picture either")
    film(folder / "two.avi", pair, "MJPG")
    film(folder / "whole.mp4", pair, "mp4v")
    for name, size in (("two.avi", 0.5), ("whole.mp4", 0.5)):
        data = (folder / name).read_bytes()
        (folder / "bad" / name).write_bytes(data[: int(len(data) * size)])
    (folder / "bad" / "empty.mp4").touch()
    (folder / "bad" / "text.mkv").write_text("no video")
    return folder


def film(path, picture, code):
    """`picture` pushed to the right by 2 pixels a frame, its first person smiling more and more."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), FPS, picture.shape[1::-1])
    for number in range(FRAMES):
        frame = picture.copy()
        smile = draw(3, 3, number / (FRAMES - 1), 0, size=(240, 240), colour=True, pose=(0, 0, 0)).picture
        frame[:, :240] = smile
        writer.write(np.roll(frame, 2 * number, axis=1)[..., ::-1])
    writer.release()


def frames_of(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


# Pictures


def test_a_row_for_each_face(told, place):
    one, two = told(place / "pair.jpg")
    assert [one["face"], two["face"], one["faces"]] == [1, 2, 2] and one["box"][2] > two["box"][2]
    assert one["expression"] == "happy" and one["certain"] and one["probability"] == pytest.approx(0.9)
    assert list(one["probabilities"]) == list(EXPRESSIONS) and sum(one["probabilities"].values()) == pytest.approx(1)
    assert np.shape(one["landmarks"]) == (68, 2) and one["network"] == "a fake"
    assert one["words"] == f"{place / 'pair.jpg'}: face 1 of 2: happy 0.90 (surprise 0.03, fear 0.02)"
    assert not two["certain"] and "face 2 of 2: uncertain, sad 0.33 (neutral 0.32, happy 0.10)" in two["words"]


def test_a_folder_is_its_pictures_in_order_and_what_cannot_be_read_does_not_stop_the_others(told, place):
    rows = told(place, place / "none", place / "no.jpg")
    names = [row["source"].rpartition("/")[2] for row in rows]
    assert names == ["cut.jpg", "nobody.png", "pair.jpg", "pair.jpg", "text.png", "none", "no.jpg"]
    wrong = {name: row["error"] for name, row in zip(names, rows, strict=True) if "error" in row}
    assert list(wrong) == ["cut.jpg", "text.png", "none", "no.jpg"]
    assert "cut short" in wrong["cut.jpg"] and "damaged" in wrong["text.png"]
    assert "holds no picture (.bmp, " in wrong["none"] and "does not exist" in wrong["no.jpg"]
    assert not any("\n" in sentence for sentence in wrong.values())
    assert rows[1]["words"].endswith("nobody.png: no face found") and rows[1]["faces"] == 0


def test_annotated_pictures_keep_colours_and_are_large_enough_to_read(told, place, tmp_path):
    told(place / "pair.jpg", place / "nobody.png", "--out", tmp_path / "new" / "out")
    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["nobody.png", "pair.jpg"]
    nobody, drawn = np.array(Image.open(out / "nobody.png")), np.array(Image.open(out / "pair.jpg"))
    assert nobody.shape == (457, 640, 3) and (nobody == (200, 30, 40)).all()
    assert drawn.shape == (320, 640, 3)
    (x, y, _, height), scale = told(place / "pair.jpg")[0]["box"], 640 / 480
    edge = drawn[round((y + height / 2) * scale), round(x * scale) - 1 : round(x * scale) + 1].mean(axis=0)
    happy = annotate.COLOURS[EXPRESSIONS.index("happy")]
    assert np.abs(edge - happy).max() < 40, "the box has the colour of its expression"


def test_a_photo_of_ten_thousand_pixels_is_written_with_four_thousand(told, tmp_path):
    photo = np.full((1500, 10_000, 3), 120, np.uint8)
    photo[100:1400, 6000:7300] = cv2.resize(draw(3, 3, 1.0, 0, size=(260, 260), colour=True).picture, (1300, 1300))
    Image.fromarray(photo).save(tmp_path / "large.jpg")
    (row,) = told(tmp_path / "large.jpg", "--out", tmp_path / "out")
    x, _, width, _ = row["box"]
    assert 6000 < x < x + width < 7300 and Image.open(tmp_path / "out" / "large.jpg").size == (4000, 600)


def test_nothing_of_the_users_is_written_over(told, place, tmp_path):
    before = (place / "pair.jpg").read_bytes()
    (row,) = told(place / "pair.jpg", "--out", place)
    assert "give --out another folder" in row["error"] and (place / "pair.jpg").read_bytes() == before
    (tmp_path / "more").mkdir()
    Image.open(place / "pair.jpg").save(tmp_path / "more" / "pair.bmp")
    told(place / "pair.jpg", tmp_path / "more", "--out", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["pair-2.jpg", "pair.jpg"]


# Drawing


def crowd(count=500, side=40):
    """Faces in a grid with gaps between them, as x, y, width, height; and the picture that holds them."""
    boxes = [(10 + i % 25 * 2 * side, 10 + i // 25 * 2 * side, side, side) for i in range(count)]
    return boxes, np.full((2 * side * (count // 25) + 20, 25 * 2 * side + 20, 3), 90, np.uint8)


def test_five_hundred_faces_are_all_listed_and_drawn(told, monkeypatch, tmp_path):
    boxes, picture = crowd()
    Image.fromarray(picture).save(tmp_path / "crowd.png")
    monkeypatch.setattr(Fake, "look", lambda self, picture: [seen(box) for box in boxes])
    start = time.process_time()
    rows = told(tmp_path / "crowd.png", "--out", tmp_path / "out")
    assert time.process_time() - start < 15
    assert [row["face"] for row in rows] == list(range(1, 501))
    drawn = np.array(Image.open(tmp_path / "out" / "crowd.png")).astype(int)
    for x, y, width, height in boxes:
        here = drawn[max(0, y - 3) : y + height + 3, max(0, x - 3) : x + width + 3]
        assert (np.abs(here - annotate.COLOURS[3]).sum(axis=-1) < 20).any()


def test_shared_areas_are_those_of_pixels():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.integers(0, 20, (12, 2)), rng.integers(1, 20, (12, 2))], axis=1)
    masks = np.zeros((12, 40, 40), bool)
    for mask, (x, y, width, height) in zip(masks, boxes, strict=True):
        mask[y : y + height, x : x + width] = True
    slow = [[(one & other).sum() for other in masks[5:]] for one in masks[:5]]
    np.testing.assert_array_equal(card_places.shared(boxes[:5], boxes[5:]), slow)


@pytest.mark.parametrize("wide", [640, 1600, 4000])
def test_cards_lie_inside_beside_faces_and_apart(wide):
    high = wide * 3 // 4
    shares = [(0.02, 0.05, 0.2), (0.8, 0.1, 0.18), (0.4, 0.3, 0.15), (0.1, 0.75, 0.1), (0.93, 0.9, 0.06)]
    boxes = np.array([(x * wide, y * high, side * wide, side * wide) for x, y, side in shares])
    boxes[:, 3] = np.minimum(boxes[:, 3], high - boxes[:, 1])
    cards, kept = card_places.places(boxes, [(8.0, 5.0, 1.0)] * 5, high, wide, [None] * 5)
    lying = np.array([card[:4] for card in cards], float)
    assert (lying[:, :2] >= 0).all() and (lying[:, :2] + lying[:, 2:] <= (wide, high)).all()
    assert (card_places.shared(lying, boxes) <= wide * 2).all(), "by rounding to pixels at most"
    between = card_places.shared(lying, lying)
    assert (between - np.diag(np.diag(between)) <= wide * 2).all()
    assert all(card.whole for card in cards[:3]) and min(card.letters for card in cards) >= max(11, wide // 140)
    shifted = card_places.places(boxes + np.array([3, 0, 0, 0]), [(8.0, 5.0, 1.0)] * 5, high, wide, kept)[1]
    assert shifted == kept, "a small step of the faces moves no card to another side"


def test_a_face_that_fills_the_picture_and_a_strip_of_one_pixel_are_drawn():
    for shape, box in (((48, 48), (0, 0, 48, 48)), ((1, 5000), (10, 0, 1, 1)), ((5000, 2, 3), (0, 10, 2, 2))):
        picture = np.full(shape, 128, np.uint8)
        drawn = annotate.annotate(picture, [seen(box)])
        assert drawn.ndim == 3 and 640 <= max(drawn.shape) <= 4000 and (picture == 128).all()
    no_points = Seen((10, 10, 30, 30), 1.0, None, HAPPY)
    assert (annotate.annotate(np.zeros((640, 640), np.uint8), [no_points]) > 0).any()


def test_bars_are_as_long_as_probabilities():
    shares = np.array([0.4, 0.1, 0.05, 0.25, 0.2, 0.0, 0.0], np.float32)
    drawn = annotate.annotate(np.zeros((900, 1200, 3), np.uint8), [seen((100, 100, 300, 300), shares)]).astype(int)
    card = drawn[405:]  # under the box
    lengths = [(np.abs(card - colour).max(axis=-1) == 0)[:, 20:].sum(axis=1).max() for colour in annotate.COLOURS]
    full = lengths[3] / shares[3]
    np.testing.assert_allclose(lengths[1:], full * shares[1:], atol=1.5)  # the first colour is the card's edge as well


# Videos


def test_numbers_stay_while_faces_come_in_another_order_and_through_a_gap():
    left, right = (10, 10, 50, 50), (200, 10, 60, 60)
    tracker = timeline.Tracker(0)
    numbers = [
        [track.number for track, _ in tracker.add(seconds, [seen(box) for box in boxes])]
        for seconds, boxes in (
            (0.0, [left, right]),
            (0.1, [(205, 12, 58, 58), (14, 12, 50, 50)]),
            (0.2, [(210, 12, 58, 58)]),
            (0.3, [(215, 12, 58, 58), (20, 14, 50, 50)]),
            (0.4, [(400, 300, 50, 50)]),
            (3.0, []),
            (3.1, [(215, 12, 58, 58)]),
        )
    ]
    assert numbers == [[1, 2], [1, 2], [2], [1, 2], [3], [], [4]]
    assert tracker.tracks[0].box == (20, 14, 50, 50)


def test_looks_that_are_far_apart_keep_numbers_too():
    tracker = timeline.Tracker()
    for seconds in (0.0, 5.0, 10.0):
        assert [track.number for track, _ in tracker.add(seconds, [seen((10, 10, 50, 50))])] == [1]


def test_smoothing_is_the_exponential_average_of_its_time_constant():
    rng = np.random.default_rng(0)
    given = rng.dirichlet(np.ones(7), 8)
    times = np.cumsum(rng.uniform(0.02, 0.2, 8))
    for smoothing in (0.0, 0.3):
        tracker, slow = timeline.Tracker(smoothing), given[0]
        for i, seconds in enumerate(times):
            ((_, face),) = tracker.add(seconds, [seen((0, 0, 50, 50), given[i])])
            if i:
                weight = 1 - np.exp(-(seconds - times[i - 1]) / smoothing) if smoothing else 1.0
                slow = slow + weight * (given[i] - slow)
            np.testing.assert_allclose(face.probabilities, slow, atol=1e-6)


def test_a_video_becomes_a_table_and_an_annotated_video(told, place, tmp_path, capsys):
    one, two = told(place / "two.avi", "--out", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.csv", "two.mp4"]
    assert (one["face"], two["face"], one["expression"], two["expression"]) == (1, 2, "happy", "sad")
    assert one["seconds"] == FRAMES / FPS and one["first"] == 0 and one["last"] == (FRAMES - 1) / FPS
    assert one["words"] == f"{place / 'two.avi'}: face 1, seen for 1.2 s: happy 100% of the time"
    with open(tmp_path / "two.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == timeline.COLUMNS and len(rows) == 2 * FRAMES
    assert [(row["frame"], row["face"]) for row in rows[:3]] == [("0", "1"), ("0", "2"), ("1", "1")]
    assert int(rows[-2]["x"]) - int(rows[0]["x"]) in range(2 * FRAMES - 8, 2 * FRAMES + 6)
    assert rows[1]["certain"] == "no" and rows[2]["seconds"] == "0.100" and float(rows[0]["happy"]) == 0.9
    frames = frames_of(tmp_path / "two.mp4")
    assert len(frames) == FRAMES and frames[0].shape == (320, 640, 3)
    plain = cv2.resize(frames_of(place / "two.avi")[0], (640, 320))
    assert np.median(np.abs(frames[0].astype(int) - plain).max(axis=2)) < 25, "blue stays blue"
    assert "two.avi" in capsys.readouterr().err


def test_every_third_frame_is_looked_at_and_carried(told, place, tmp_path, monkeypatch):
    looked = []
    look = Fake.look
    monkeypatch.setattr(Fake, "look", lambda self, picture: looked.append(picture) or look(self, picture))
    told(place / "two.avi", "--out", tmp_path, "--every", 3)
    assert len(looked) == 4
    with open(tmp_path / "two.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * FRAMES
    boxes = [row["x"] for row in rows if row["face"] == "1"]
    assert boxes[0] == boxes[1] == boxes[2] and boxes[3] != boxes[2]


def test_brief_faces_share_a_row_and_a_video_of_nobody_is_an_answer():
    tracker = timeline.Tracker()
    assert [row["words"] for row in timeline.summary("a.mp4", [], 25, "a fake")] == ["a.mp4: no face found"]
    for frame in range(25):
        shown = [seen((0, 0, 50, 50))] + [seen((100 * frame, 200, 50, 50))] * (frame in (3, 7))
        for track, face in tracker.add(frame / 25, shown):
            track.frames[face.expression] = track.frames.get(face.expression, 0) + 1
    rows = list(timeline.summary("a.mp4", tracker.tracks, 25, "a fake"))
    assert [row.get("face") for row in rows] == [1, None] and rows[1]["brief"] == 2
    assert rows[1]["words"] == "a.mp4: 2 more faces were seen for less than 0.2 s"


@pytest.mark.parametrize(
    ("name", "word"),
    [("empty.mp4", "is empty"), ("text.mkv", "is no video"), ("whole.mp4", "is no video"), ("no.mp4", "not exist")],
)
def test_what_is_no_video_gets_a_sentence_and_leaves_nothing(told, place, tmp_path, name, word):
    (row,) = told(place / "bad" / name, "--out", tmp_path)
    assert word in row["error"] and "\n" not in row["error"] and not list(tmp_path.iterdir())


def test_a_video_that_breaks_off_is_told_until_there(told, place, tmp_path):
    *rows, last = told(place / "bad" / "two.avi", "--out", tmp_path)
    assert rows and f"of {FRAMES} frames" in last["error"]
    assert 2 <= len(frames_of(tmp_path / "two.mp4")) < FRAMES


def test_a_stop_on_the_way_leaves_nothing(told, place, tmp_path, monkeypatch):
    def stop(self, picture):
        raise KeyboardInterrupt

    monkeypatch.setattr(Fake, "look", stop)
    with pytest.raises(KeyboardInterrupt):
        told(place / "two.avi", "--out", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [("--every", "0"), ("--smoothing", "-1"), ("--smoothing", "nan")])
def test_flags_out_of_range_are_refused(told, place, flags):
    with pytest.raises(ValueError, match="--every takes 1 or more, --smoothing 0 seconds or more"):
        told(place / "pair.jpg", *flags)


# With networks


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder as a finished run leaves it, of untrained networks."""
    import keras

    from applications.facial_expression import model
    from applications.facial_expression.config import Config

    keras.utils.set_random_seed(0)
    config = Config(landmark_model="landmark68_tiny")
    folder = tmp_path_factory.mktemp("models") / "facial_expression" / "1"
    folder.mkdir(parents=True)
    whole = model.whole(model.pixels(config), 1.0, model.landmarks(config), keras.layers.Dense(7, name="judge"))
    whole.save(folder / "model.keras")
    (folder / "run.json").write_text("{}")
    return folder


def test_an_answer_does_not_depend_on_the_other_faces(run, pair):
    recognizer = recognize.Recognizer(run, "run")
    boxes = [Face(tuple(face.box), face.score) for face in detect(pair, smallest=60)]
    boxes += [Face((7 * i, 3 * i, 60 + 5 * i, 60 + 5 * i), 0.0) for i in range(20)]
    together = recognizer.at(pair, boxes)
    spread = np.ptp([face.probabilities for face in together], axis=0).max()
    assert spread > 1e-3, "the faces differ"
    for count, starts in ((1, (0, 1, 2, 21)), (2, (0, 7)), (5, (0, 1))):
        for start in starts:
            for alone, one in zip(recognizer.at(pair, boxes[start : start + count]), together[start:], strict=False):
                np.testing.assert_allclose(alone.probabilities, one.probabilities, atol=1e-5)
                np.testing.assert_allclose(alone.landmarks, one.landmarks, atol=1e-2)


def test_the_command_ends_well_without_a_face_and_badly_with_a_bad_file(run, place, capsys):
    base = ["predict", "facial_expression", "--run", str(run), "--expressions", "run"]
    assert dispatch([*base, str(place / "nobody.png")]) == 0
    assert capsys.readouterr().out.endswith("nobody.png: no face found\n")
    assert dispatch([*base, str(place / "text.png"), str(place / "pair.jpg"), "--json"]) == 2
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "error" in rows[0] and np.shape(rows[1]["landmarks"]) == (68, 2)


def test_an_unknown_network_is_one_sentence(run, place):
    for flag in ("--expressions", "--landmarks"):
        parser = argparse.ArgumentParser()
        parser.add_argument("images", nargs="+")
        predict.configure(parser)
        args = parser.parse_args([str(place / "pair.jpg"), "--expressions", "run", flag, "fer2031"])
        with pytest.raises(ValueError, match="fer2031") as refused:
            list(predict.predict(run, args))
        assert flag in str(refused.value) and "\n" not in str(refused.value)

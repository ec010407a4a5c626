"""Drawn faces: exact landmarks, action units, people who stay themselves, and CK+'s layout on disk."""

import itertools

import cv2
import numpy as np
import pytest

from hub.data import ck_plus, face_actions, face_images, face_sequences, face_shape, faces_drawn
from hub.data.face_images import EXPRESSIONS
from hub.data.faces_drawn import draw

ANGRY, DISGUST, FEAR, HAPPY, SAD, SURPRISE, NEUTRAL = range(7)
FRONT = (0.0, 0.0, 0.0)


def shape(at):
    """Landmarks with both eyes on fixed places."""
    left, right = at[36:42].mean(0), at[42:48].mean(0)
    across = right - left
    turn = np.array([[across[0], -across[1]], [across[1], across[0]]]) / (across @ across)
    return (at - (left + right) / 2) @ turn


def change(subject, expression, intensity=1.0):
    """How the landmarks move from the neutral face, in distances between the pupils."""
    neutral, shown = (faces_drawn.landmarks(subject, expression, i, 0, pose=FRONT) for i in (0.0, intensity))
    return shape(shown) - shape(neutral)


# One face


def test_a_face_depends_on_its_arguments_alone():
    first = draw(3, FEAR, 0.7, 5, seed=2)
    draw(4, HAPPY, 0.2, 1)
    again = draw(3, FEAR, 0.7, 5, seed=2)
    assert np.array_equal(first.picture, again.picture) and np.array_equal(first.landmarks, again.landmarks)
    assert np.array_equal(first.landmarks, faces_drawn.landmarks(3, FEAR, 0.7, 5, seed=2))
    assert first.picture.shape == (490, 640) and first.picture.dtype == np.uint8 and first.landmarks.shape == (68, 2)
    assert (first.box, first.units) == (again.box, again.units)
    for other in (
        (2, FEAR, 0.7, 5, 2),
        (3, SAD, 0.7, 5, 2),
        (3, FEAR, 0.8, 5, 2),
        (3, FEAR, 0.7, 6, 2),
        (3, FEAR, 0.7, 5),
    ):
        drawn = draw(*other)
        assert not np.array_equal(first.picture, drawn.picture), other
        assert not np.array_equal(first.landmarks, drawn.landmarks), other


def test_colour_and_size_change_nothing_else():
    grey, colour, small = (
        draw(8, HAPPY, 1.0, 3),
        draw(8, HAPPY, 1.0, 3, colour=True),
        draw(8, HAPPY, 1.0, 3, size=(245, 320)),
    )
    assert colour.picture.shape == (490, 640, 3) and np.array_equal(grey.landmarks, colour.landmarks)
    luma = cv2.cvtColor(colour.picture, cv2.COLOR_RGB2GRAY).astype(int)
    assert np.abs(cv2.blur(luma - grey.picture.astype(float), (9, 9))).mean() < 2
    np.testing.assert_allclose(small.landmarks * 2, grey.landmarks, atol=0.01)
    half = cv2.resize(grey.picture, (320, 245), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(half - small.picture).mean() < 6


@pytest.mark.parametrize("bad", [(-1, 0, 0.5, 0), (0, 7, 0.5, 0), (0, 0, 1.5, 0), (0, 0, 0.5, -1), (0, 0, 0.5, 0, -1),
                                 (0, 0, 0.5, 0, 0, (40, 640))], ids=str)  # fmt: skip
def test_what_cannot_be_drawn(bad):
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        draw(*bad)


def test_a_turned_head_moves_as_one():
    """Against plain rotation matrices."""
    person = face_shape.person(5)
    for yaw, pitch, roll in ((0, 0, 0), (20, 0, 0), (0, -12, 0), (0, 0, 7), (-18, 9, -5)):
        a, b, c = np.radians((yaw, pitch, roll))
        turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        expected = [(turn_z @ turn_x @ turn_y @ (p - face_shape.PIVOT) + face_shape.PIVOT)[:2] * 90 + (300, 200)
                    for p in person.points]  # fmt: skip
        got = face_shape.project(person.points, face_shape.Pose(yaw, pitch, roll, 90.0, (300, 200)))
        np.testing.assert_allclose(got, expected, atol=1e-9)
    right, up = (shape(draw(5, NEUTRAL, 0.0, 0, pose=p).landmarks) for p in ((20, 0, 0), (0, 12, 0)))
    front = shape(draw(5, NEUTRAL, 0.0, 0, pose=FRONT).landmarks)
    assert right[30, 0] > front[30, 0] + 0.1 and up[30, 1] < front[30, 1] - 0.05


# Landmarks lie on what is drawn


def profile(picture, place, reach, down=True):
    """Grey levels around a place, down or to the right, averaged over five lines."""
    x, y = np.rint(place).astype(int)
    picture = picture if down else picture.T
    x, y = (x, y) if down else (y, x)
    return picture[y - reach : y + reach + 1, x - 2 : x + 3].astype(float).mean(1)


def test_closed_lips_meet_on_their_landmarks():
    found = []
    for subject in range(36):
        if face_shape.person(subject).beard:  # as dark as the line
            continue
        drawn = draw(subject, NEUTRAL, 0.0, 0, pose=FRONT)
        for upper, lower in ((61, 67), (62, 66), (63, 65)):
            seam = (drawn.landmarks[upper] + drawn.landmarks[lower]) / 2
            found.append(abs(int(profile(drawn.picture, seam, 7).argmin()) - 7))
    assert np.mean(np.array(found) <= 2) > 0.97, found


def test_mouth_corners_end_the_dark_line():
    """Along the seam the picture is dark inside the corner and as light as skin a little outside."""
    inside, outside = [], []
    for subject in range(30):
        drawn = draw(subject, HAPPY, 0.15, 0, pose=FRONT)
        for corner, inward in ((48, 1), (54, -1)):
            x, y = drawn.landmarks[corner]
            dark, skin = (profile(drawn.picture, (x + inward * d, y), 5).min() for d in (3, -7))
            inside.append(dark)
            outside.append(skin)
    assert np.mean(np.array(inside) < np.array(outside) - 8) > 0.9


def test_lids_frame_the_eyes_and_brows_lie_on_hair():
    lids, brows = [], []
    for subject in range(40):
        drawn = draw(subject, SURPRISE, 0.6, 1, pose=FRONT)
        if face_shape.person(subject).glasses or face_shape.person(subject).style == face_shape.FRINGE:
            continue
        for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
            top, bottom = drawn.landmarks[upper], drawn.landmarks[lower]
            lids.append(abs(int(profile(drawn.picture, top, 5).argmin()) - 5))
            assert bottom[1] - top[1] > 8
        for n in (19, 24):
            brows.append(abs(int(profile(drawn.picture, drawn.landmarks[n], 7).argmin()) - 7))
    assert np.mean(np.array(lids) <= 2) > 0.8 and np.mean(np.array(brows) <= 4) > 0.9, (lids, brows)


def test_the_jaw_is_an_edge():
    """Across the contour the steepest step is within two pixels of the landmarks."""
    found = []
    for subject in range(30):
        person = face_shape.person(subject)
        if person.beard or person.style == face_shape.LONG:
            continue
        drawn = draw(subject, NEUTRAL, 0.0, 0, pose=FRONT)
        for n in (3, 4, 12, 13):
            steps = np.abs(np.diff(profile(drawn.picture, drawn.landmarks[n], 8, down=False)))
            found.append(abs(steps.argmax() - 7.5) <= 2.5)
    assert len(found) > 30 and np.mean(found) > 0.85


# Expressions


def test_action_units_are_the_same_on_both_sides():
    mirror = face_actions.MIRROR
    assert sorted(mirror) == list(range(68)) and np.array_equal(mirror[mirror], np.arange(68))
    mean = np.mean([face_shape.person(subject).points for subject in range(40)], 0)
    np.testing.assert_allclose(mean[mirror] * (-1, 1, 1), mean, atol=0.01)
    both = face_actions.moved(np.ones((len(face_actions.UNITS), 2)))
    np.testing.assert_allclose(both, face_actions.FIELDS.sum(0), atol=1e-12)
    np.testing.assert_allclose(both[mirror] * (-1, 1, 1), both, atol=1e-12)
    left = face_actions.moved(np.tile([1.0, 0.0], (len(face_actions.UNITS), 1)))
    assert not left[[16, 22, 26, 42, 54, 64, 35]].any() and left[[48, 21, 41]].any(1).all()


def test_prototypes_are_those_of_the_coding_system():
    units = {name: set(shares) for name, shares in face_actions.PROTOTYPES.items()}
    assert units == {"happy": {6, 12}, "sad": {1, 4, 15}, "surprise": {1, 2, 5, 26}, "fear": {1, 2, 4, 5, 7, 20, 26},
                     "angry": {4, 5, 7, 23}, "disgust": {9, 15, 16}, "neutral": set()}  # fmt: skip
    assert set(units) == set(EXPRESSIONS)
    for expression, name in enumerate(EXPRESSIONS):
        for subject in range(10):
            drawn = draw(subject, expression, 1.0, subject, size=(48, 64))
            strong = {unit for unit, strength in drawn.units.items() if strength > 0.25}
            stray = {unit for unit, strength in drawn.units.items() if strength} - units[name]
            assert strong <= units[name] | {25} and len(stray - {25}) <= 1
            assert all(drawn.units[unit] <= 0.2 for unit in stray - {25})


@pytest.mark.parametrize("subject", [0, 7, 31])
def test_expressions_move_what_they_should(subject):
    up, down = -1, 1
    happy, sad, surprise, angry, disgust, fear = (
        change(subject, e) for e in (HAPPY, SAD, SURPRISE, ANGRY, DISGUST, FEAR)
    )
    assert (up * happy[[48, 54], 1] > 0.08).all() and happy[54, 0] - happy[48, 0] > 0.15  # corners up and apart
    assert (down * sad[[48, 54], 1] > 0.06).all() and (up * sad[[21, 22], 1] > 0.03).all()
    assert (
        surprise[57, 1] - surprise[51, 1] > 0.15 and (up * surprise[[19, 24], 1] > 0.08).all()
    )  # open mouth, brows up
    lids = [[37, 41], [38, 40], [43, 47], [44, 46]]
    assert all(surprise[lower, 1] - surprise[upper, 1] > 0.02 for upper, lower in lids)  # eyes open
    assert angry[22, 0] - angry[21, 0] < -0.06 and (down * angry[[21, 22], 1] > 0.04).all()  # brows down and together
    assert angry[57, 1] - angry[51, 1] < -0.04  # lips tight
    assert all(angry[lower, 1] - angry[upper, 1] < 0.02 for upper, lower in lids)
    assert (up * disgust[[31, 35, 51], 1] > 0.03).all()  # nose and upper lip up
    assert fear[54, 0] - fear[48, 0] > 0.1 and (up * fear[[21, 22], 1] > 0.01).all()
    half = change(subject, HAPPY, 0.5)
    assert 0.3 < np.linalg.norm(half[[48, 54]]) / np.linalg.norm(happy[[48, 54]]) < 0.7


def test_lids_and_lips_never_cross():
    for subject, expression in itertools.product(range(40), range(7)):
        at = faces_drawn.landmarks(subject, expression, 1.0, 0, pose=FRONT)[:, 1]
        for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (61, 67), (62, 66), (63, 65), (51, 62), (66, 57)):
            assert at[upper] < at[lower], (subject, expression, upper)


# People


def test_people_stay_themselves_and_differ_from_others():
    """Faces on two occasions are nearer than two people's, and so are their tones."""
    at = np.array([[shape(faces_drawn.landmarks(s, NEUTRAL, 0.0, o, pose=FRONT)) for o in (0, 1)] for s in range(24)])
    apart = np.linalg.norm(at[:, None, 0] - at[None, :, 1], axis=-1).mean(-1)
    assert (apart.argmin(1) == np.arange(24)).mean() > 0.8  # the one stray action unit moves a face a little
    assert np.diag(apart).mean() < 0.35 * apart[~np.eye(24, dtype=bool)].mean()
    one, two = face_shape.person(9), face_shape.person(9)
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in one.__dataclass_fields__)
    assert not np.array_equal(one.points, face_shape.person(9, seed=1).points)


def test_proportions_and_habits_are_spread_as_said():
    people = [face_shape.person(subject) for subject in range(400)]
    at = np.array([person.points for person in people])
    mouth = at[:, 54, 0] - at[:, 48, 0]
    assert 0.05 < mouth.std() / mouth.mean() < 0.11
    assert abs(np.mean([person.glasses > 0 for person in people]) - 0.20) < 0.06
    assert abs(np.mean([person.beard > 0 for person in people]) - 0.15) < 0.06
    assert {person.style for person in people} == set(range(6))
    assert np.ptp([person.skin.mean() for person in people]) > 100


def test_poses_stay_within_their_limits():
    for occasion in range(60):
        rng = np.random.default_rng(occasion)
        pose = faces_drawn._pose(rng, np.random.default_rng(1), 0.0, (490, 640))
        assert all(abs(angle) <= most for angle, most in zip(pose[:3], face_shape.TURN, strict=True))


# What is seen in the pictures


def test_the_cascade_finds_the_faces():
    finder = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    good, overlap = [], []
    for n in range(42):
        drawn = draw(500 + n, n % 7, 0.3 + 0.7 * n / 41, n, size=(245, 320))
        boxes = finder.detectMultiScale(drawn.picture, 1.1, 5, minSize=(24, 24))
        inner = drawn.landmarks[17:]
        x, y, w, h = max(boxes, key=lambda box: box[2]) if len(boxes) else (0, 0, 0, 0)
        inside = ((inner >= (x, y)) & (inner <= (x + w, y + 1.06 * h))).all(1).mean()
        good.append(len(boxes) == 1 and inside > 0.97)
        a, b, c, d = drawn.box
        both = max(min(x + w, a + c) - max(x, a), 0) * max(min(y + h, b + d) - max(y, b), 0)
        overlap.append(both / (w * h + c * d - both))
    assert np.mean(good) >= 0.95 and np.mean(overlap) > 0.8


def test_landmarks_tell_the_expression_of_strangers_but_not_always():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def sample(subjects):
        points, labels = [], []
        for subject, expression in itertools.product(subjects, range(7)):
            intensity = 0.3 + 0.7 * np.random.default_rng([subject, expression]).random()
            at = faces_drawn.landmarks(subject, expression, intensity, expression)
            points.append(shape(at).ravel())
            labels.append(expression)
        return np.array(points), np.array(labels)

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(*sample(range(50)))
    accuracy = model.score(*sample(range(100, 125)))
    assert 0.7 < accuracy < 0.99, accuracy


# CK+'s layout


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces") / "drawn"
    face_sequences.write(folder, [3, 12], 6, size=(98, 128), seed=4, report=lambda text: None)
    return folder


def test_the_layout_is_that_of_ck_plus(written):
    assert sorted(path.name for path in written.iterdir()) == ["Emotion", "Landmarks", "cohn-kanade-images"]
    takes = sorted(written.glob("cohn-kanade-images/S*/*"))
    assert [f"{take.parent.name}/{take.name}" for take in takes] == [
        f"S{s:03d}/{q:03d}" for s in (3, 12) for q in range(1, 7)
    ]
    for take in takes:
        who, which = take.parent.name, take.name
        subject, sequence = int(who[1:]), int(which) - 1
        strong = face_sequences.intensities(subject, sequence, seed=4)
        names = [f"{who}_{which}_{n:08d}" for n in range(1, len(strong) + 1)]
        assert sorted(path.stem for path in take.iterdir()) == names and 6 <= len(names) <= 8
        assert (
            strong[0] == 0 and (np.diff(strong) > 0).all() and 0.45 <= strong[-1] <= 1 and strong[-3] > 0.7 * strong[-1]
        )
        shown = face_sequences.expression(subject, sequence, 4)
        emotion = list((written / "Emotion" / who / which).iterdir())
        assert bool(emotion) == face_sequences.labelled(subject, sequence, 4)
        if emotion:
            assert emotion[0].name == f"{names[-1]}_emotion.txt"
            assert EXPRESSIONS.index(ck_plus.CODES[int(float(emotion[0].read_text()))]) == shown
        drawn = draw(subject, shown, float(strong[-1]), sequence, 4, (98, 128))  # whoever drew it, this is the picture
        np.testing.assert_array_equal(face_images.read_picture(take / f"{names[-1]}.png"), drawn.picture)
        table = np.loadtxt(written / "Landmarks" / who / which / f"{names[-1]}_landmarks.txt")
        np.testing.assert_allclose(table, drawn.landmarks, rtol=1e-6)
    shown = [{face_sequences.expression(s, q, 4) for q in range(6)} for s in (3, 12)]
    assert shown == [set(range(6))] * 2


def test_the_reader_reads_what_was_written(written):
    faces = ck_plus.faces(written)
    labelled = sum(face_sequences.labelled(s, q, 4) for s in (3, 12) for q in range(6))
    assert len(faces) == 4 * labelled and (faces.label == NEUTRAL).sum() == labelled and faces.missing == 0
    assert set(faces.subject) == {"S003", "S012"} and not np.isnan(faces.landmarks).any()
    assert (len(faces.notes) == 1) == (labelled < 12)


def test_few_sequences_need_no_processes_and_nothing_is_overwritten(tmp_path, written):
    said = []
    face_sequences.write(tmp_path / "one", [12], 1, size=(98, 128), seed=4, report=said.append)
    assert len(said) == 1 and "1 sequences of 1 faces" in said[0]
    for path in (tmp_path / "one").rglob("*.png"):
        assert path.read_bytes() == (written / path.relative_to(tmp_path / "one")).read_bytes()
    with pytest.raises(ValueError, match="exists already"):
        face_sequences.write(tmp_path / "one", [12])
    for subjects, count, frames in (([], 1, (6, 8)), ([-1], 1, (6, 8)), ([1], 0, (6, 8)), ([1], 1, (3, 2))):
        with pytest.raises(ValueError, match=r"^Sequences need [^\n]+\.$"):
            face_sequences.write(tmp_path / "two", subjects, count, frames=frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]


def test_a_failed_drawing_leaves_nothing(tmp_path, monkeypatch):
    drawn = iter([draw(1, 1, 0.0, 0, size=(98, 128))] * 9)
    monkeypatch.setattr(faces_drawn, "draw", lambda *args: next(drawn))
    with pytest.raises(StopIteration):
        face_sequences.write(tmp_path / "bad", [2, 3], 1, size=(98, 128), report=lambda text: None)
    assert not list(tmp_path.iterdir())

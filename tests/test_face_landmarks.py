"""Classical landmarks on a cartoon and on drawn people, the features of 18 points, and the network on top of them."""

import cv2
import keras
import numpy as np
import pytest
from scipy import ndimage

import hub
from hub.data.face_landmarks import face_landmarks
from hub.data.face_regions import dark_band, edge_group, shi_tomasi_corners, sobel_edges
from hub.data.faces_drawn import draw
from hub.data.landmark_features import DISTANCES, FEATURES, POINTS, eighteen, landmark_distances
from hub.evaluation.landmark_error import landmark_error


def noise(seed, dtype=np.uint8, size=(33, 47)):
    picture = ndimage.gaussian_filter(np.random.default_rng(seed).uniform(0, 255, size), 1.0)
    return picture.astype(dtype)


# Edges and corners


@pytest.mark.parametrize("dtype", [np.uint8, np.float32], ids=["uint8", "float32"])
def test_sobel_equals_scipys(dtype):
    picture = noise(0, dtype)
    np.testing.assert_allclose(
        sobel_edges(picture), ndimage.sobel(picture.astype(np.float64), axis=0, mode="mirror"), atol=1e-3
    )


def slow_corners(picture, most, quality, distance):
    """Shi and Tomasi by the tensor's eigenvalues, then the strongest local maxima that keep apart."""
    picture = picture.astype(np.float64)
    across, down = (ndimage.sobel(picture, axis=axis, mode="mirror") for axis in (1, 0))
    tensor = np.empty((*picture.shape, 2, 2))
    for i, one in enumerate((across, down)):
        for j, two in enumerate((across, down)):
            tensor[..., i, j] = ndimage.uniform_filter(one * two, 3, mode="mirror")
    strength = np.linalg.eigvalsh(tensor)[..., 0]
    top = (strength == ndimage.maximum_filter(strength, 3)) & (strength > quality * strength.max())
    top[[0, -1]] = top[:, [0, -1]] = False
    chosen = []
    for at in sorted(zip(*np.nonzero(top), strict=True), key=lambda at: -strength[at]):
        if all(np.hypot(at[0] - y, at[1] - x) >= distance for y, x in chosen) and len(chosen) < most:
            chosen.append(at)
    return np.array(chosen)[:, ::-1]


@pytest.mark.parametrize("seed", range(4))
def test_corners_equal_those_of_the_tensors_eigenvalues(seed):
    picture = noise(seed)
    found = shi_tomasi_corners(picture, most=12, quality=0.1, distance=4)
    np.testing.assert_array_equal(found, slow_corners(picture, 12, 0.1, 4))
    assert len(found) == 12


def test_corners_stay_in_their_mask_and_a_flat_picture_has_none():
    picture, mask = noise(5), np.zeros((33, 47), np.uint8)
    mask[5:20, 30:40] = 1
    inside = shi_tomasi_corners(picture, mask=mask)
    assert len(inside) and all(mask[int(y), int(x)] for x, y in inside)
    assert shi_tomasi_corners(np.full((20, 20), 7, np.uint8)).shape == (0, 2)
    assert shi_tomasi_corners(picture, mask=np.zeros_like(mask)).shape == (0, 2)


def test_a_part_is_the_group_with_the_strongest_edges():
    slope = np.zeros((20, 40), np.float32)
    slope[4, 3:9] = 100  # strong and short
    slope[14, 5:30] = -90  # long
    slope[14, 30:36] = -40  # its weak end
    everywhere = np.ones_like(slope)
    group = edge_group(slope, everywhere, 1.0)
    assert group[14, 20] and not group[4].any() and not group[14, 35]
    assert edge_group(slope, everywhere, 0.5)[14, 35]
    assert edge_group(slope, np.where(np.arange(20)[:, None] < 10, 1.0, 0.1), 0.5)[4, 5]
    assert edge_group(0 * slope, everywhere, 0.5) is None


def test_a_dark_band_has_two_edges():
    picture = np.full((40, 30), 200, np.uint8)
    picture[:10] = 40  # hair
    picture[22:28] = 40  # a brow
    band = dark_band(sobel_edges(picture), 8)
    assert band[22:28, 15].min() > 0 and not band[:16].any() and not band[34:].any()


# The classical points


def cartoon(smile=0.0, brows=0.0, opening=0.5):
    """A face of 240 x 240 pixels: (picture, F1 to F18 [18, 2], box)."""
    skin = np.full((240, 240), 120, np.uint8)
    cv2.ellipse(skin, (120, 125), (84, 112), 0, 0, 360, 190, -1, cv2.LINE_AA)
    points = np.zeros((18, 2))

    def line(at, width, tone, closed=False):
        cv2.polylines(skin, [np.rint(np.array(at) * 16).astype(np.int32)], closed, tone, width, cv2.LINE_AA, 4)

    for first, brow, x, way in ((0, 8, 84, 1), (4, 10, 156, -1)):
        t = np.linspace(0, np.pi, 17)
        upper = np.stack([x - way * 17 * np.cos(t), 96 - 9 * np.sin(t)], 1)
        lower = np.stack([x - way * 17 * np.cos(t), 96 + 7 * np.sin(t)], 1)
        cv2.fillPoly(skin, [np.rint(np.concatenate([upper, lower[::-1]]) * 16).astype(np.int32)], 235, cv2.LINE_AA, 4)
        cv2.circle(skin, (x, 95), 7, 50, -1, cv2.LINE_AA)
        line(upper, 2, 40)
        line(lower, 1, 90)
        points[first : first + 4] = upper[0], upper[-1], upper[8], lower[8]
        arch = np.stack([x - way * 22 * np.cos(t), 72 - 5 * np.sin(t) - brows], 1)
        line(arch, 6, 55)
        points[brow : brow + 2] = arch[0], arch[-1]
    for point, x in ((12, 111), (13, 129)):
        cv2.ellipse(skin, (x, 152), (5, 3), 0, 0, 360, 70, -1, cv2.LINE_AA)
        points[point] = x, 152
    t = np.linspace(-1, 1, 21)
    upper = np.stack([120 + 30 * t, 180 - smile * t**2 - 9 * (1 - t**2)], 1)
    lower = np.stack([120 + 30 * t, 180 - smile * t**2 + (11 + 10 * opening) * (1 - t**2)], 1)
    cv2.fillPoly(skin, [np.rint(np.concatenate([upper, lower[::-1]]) * 16).astype(np.int32)], 110, cv2.LINE_AA, 4)
    points[14:] = upper[0], upper[-1], upper[10], lower[10]
    return cv2.GaussianBlur(skin, (3, 3), 0), points, (20, 20, 200, 200)


@pytest.mark.parametrize("face", [{}, {"smile": 10}, {"smile": -8, "opening": 0}, {"brows": 7, "opening": 1}],
                         ids=["plain", "smile", "sulk", "surprise"])  # fmt: skip
def test_points_of_a_cartoon(face):
    picture, truth, box = cartoon(**face)
    seen = face_landmarks(picture, box)
    assert seen.points.dtype == np.float32 and seen.points.shape == (18, 2) and seen.found.all()
    away = np.linalg.norm(seen.points - truth, axis=1)
    assert np.median(away) <= 2 and away.max() <= 3, dict(zip([n for n, _ in POINTS], away.round(1), strict=True))


@pytest.mark.parametrize(("turn", "size", "shift"), [(0, 1, (31, 17)), (12, 1, (20, 20)), (-9, 2.5, (40, -10))],
                         ids=["shifted", "tilted", "large"])  # fmt: skip
def test_points_follow_the_face(turn, size, shift):
    picture, _, _ = cartoon(smile=6)
    matrix = cv2.getRotationMatrix2D((120, 120), turn, size) + np.array([[0, 0, shift[0]], [0, 0, shift[1]]])
    matrix[:, 2] += (size - 1) * 120
    out = int(240 * size + 80)
    moved = cv2.warpAffine(picture, matrix, (out, out), flags=cv2.INTER_CUBIC, borderValue=120)
    middle = matrix[:, :2] @ (120, 120) + matrix[:, 2]
    side = round(200 * size)
    first = face_landmarks(picture, (20, 20, 200, 200)).points
    second = face_landmarks(moved, (*np.rint(middle - side / 2).astype(int).tolist(), side, side)).points
    away = np.linalg.norm(second - (first @ matrix[:, :2].T + matrix[:, 2]), axis=1) / size
    assert np.median(away) < 1 and away.max() < 4
    colour = face_landmarks(np.repeat(moved[..., None], 3, 2), (0, 0, out, out))
    assert np.isfinite(colour.points).all()


def test_nothing_is_found_on_blank_pictures():
    seen = face_landmarks(np.full((90, 70), 128, np.uint8), (10, 20, 50, 50))
    assert not seen.found.any()
    average = dict(zip([name for name, _ in POINTS], seen.points, strict=True))
    assert 10 < average["left_eye_outer"][0] < average["left_eye_inner"][0] < 35 < average["right_eye_inner"][0] < 60
    assert 20 < average["left_brow_inner"][1] < average["left_eye_upper"][1] < average["mouth_top"][1] < 70


def test_a_face_cut_by_the_edge():
    picture, truth, _ = cartoon()
    seen = face_landmarks(picture[40:, 30:], (-10, -20, 200, 200))
    away = np.linalg.norm(seen.points - (truth - (30, 40)), axis=1)
    assert np.median(away) <= 2
    for box in ((0, 0, 1, 1), (239, 239, 40, 40), (-500, -500, 1400, 1400)):
        assert np.isfinite(face_landmarks(picture, box).points).all()


@pytest.mark.parametrize("light", ["even", "side"])
def test_drawn_people_to_8_percent_of_the_eyes_distance(light):
    """Poses, glasses, beards, hair over the brows; boxes from OpenCV's cascade."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    truth, seen = [], []
    for subject in range(14):
        drawn = draw(subject, subject % 7, 0.9, subject, size=(245, 320))
        picture = drawn.picture
        boxes = cascade.detectMultiScale(picture, 1.1, 5, minSize=(60, 60))
        if len(boxes) != 1:
            continue
        if light == "side":
            x, _, width, _ = boxes[0]
            picture = (picture * np.clip(1 - 0.88 * (np.arange(320) - x) / width, 0.12, 1)).astype(np.uint8)
        seen.append(face_landmarks(picture, tuple(boxes[0].tolist())).points)
        truth.append(eighteen(drawn.landmarks))
    result = landmark_error(np.array(seen), np.array(truth))
    assert len(seen) >= 11
    assert np.median(result.points) < 0.05 and result.mean.value < 0.08


@pytest.mark.parametrize(
    ("picture", "box", "sentence"),
    [
        (np.zeros((9, 9), np.float32), (0, 0, 9, 9), "uint8"),
        (np.zeros((9, 9, 4), np.uint8), (0, 0, 9, 9), "uint8"),
        (np.zeros((9, 9), np.uint8), (0, 0, 0, 9), "Received: \\(0, 0, 0, 9\\)"),
        (np.zeros((9, 9), np.uint8), (9, 0, 5, 5), "9 x 9"),
        (np.zeros((9, 9), np.uint8), (-5, 0, 5, 5), "9 x 9"),
    ],
    ids=["float", "channels", "empty", "right", "left"],
)
def test_refused_pictures_and_boxes(picture, box, sentence):
    with pytest.raises(ValueError, match=sentence):
        face_landmarks(picture, box)


# The features


def some_points(count=5, seed=0):
    _, truth, _ = cartoon(smile=5)
    return truth + np.random.default_rng(seed).normal(0, 4, (count, 18, 2))


def test_eighteen_of_68():
    landmarks = np.random.default_rng(0).uniform(0, 200, (3, 2, 68, 2))
    points = eighteen(landmarks)
    assert points.shape == (3, 2, 18, 2) and points.dtype == np.float32
    for place, (_, rows) in enumerate(POINTS):
        np.testing.assert_allclose(points[2, 1, place], sum(landmarks[2, 1, n] for n in rows) / len(rows), rtol=1e-6)
    with pytest.raises(ValueError, match="68, 2"):
        eighteen(landmarks[..., :18, :])


def test_features_equal_plain_loops():
    assert len(FEATURES) == len(set(FEATURES)) == 25 and len(DISTANCES) == 22
    points = some_points()
    found = landmark_distances(points)
    assert found.shape == (5, 25) and found.dtype == np.float32

    def mean(face, numbers):
        return sum(face[n - 1] for n in numbers) / len(numbers)

    for face, features in zip(points, found, strict=True):
        axis = mean(face, (5, 6)) - mean(face, (1, 2))
        apart = np.sqrt(axis @ axis)
        for value, (_, start, end) in zip(features[:22], DISTANCES, strict=True):
            step = mean(face, end) - mean(face, start)
            np.testing.assert_allclose(value, np.sqrt(step @ step) / apart, rtol=1e-5)
        down = np.array([-axis[1], axis[0]]) / apart
        for value, (start, end) in zip(
            features[22:], (((15, 16), (17, 18)), ((9,), (10,)), ((11,), (12,))), strict=True
        ):
            np.testing.assert_allclose(
                value, (mean(face, end) - mean(face, start)) @ down / apart, rtol=1e-4, atol=1e-6
            )


def test_features_know_neither_place_nor_size_nor_tilt():
    points = some_points()
    expected = landmark_distances(points)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(landmark_distances(points * 7.5 + (300, -40)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(landmark_distances(points @ turn.T - 12), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(landmark_distances(points[:2]), expected[:2])


def test_a_smile_turns_the_lips_and_a_mirror_swaps_the_sides():
    smile, sulk = (landmark_distances(cartoon(smile=s)[1][None])[0, FEATURES.index("lip_curvature")] for s in (10, -10))
    assert smile - sulk == pytest.approx(20 / 72, rel=1e-3)
    points = some_points()
    swap = [4, 5, 6, 7, 0, 1, 2, 3, 10, 11, 8, 9, 13, 12, 15, 14, 16, 17]
    named = dict(zip(FEATURES, landmark_distances(points).T, strict=True))
    mirrored = dict(zip(FEATURES, landmark_distances(points[:, swap] * (-1, 1)).T, strict=True))
    for name, values in named.items():
        other = name.replace("left", "L").replace("right", "left").replace("L", "right")
        np.testing.assert_allclose(mirrored[other], values, rtol=1e-4, atol=1e-6)


def test_refused_points():
    points = some_points()
    for wrong, sentence in (
        (points[0], "\\[N, 18, 2\\]"),
        (np.where(points == points[1, 3, 0], np.nan, points), "finite"),
        (np.concatenate([points, np.zeros((1, 18, 2))]), "1 of 6 faces"),
    ):
        with pytest.raises(ValueError, match=sentence):
            landmark_distances(wrong)
    assert landmark_distances(np.zeros((0, 18, 2))).shape == (0, 25)


# The network


def test_the_network_standardises_what_it_was_adapted_to():
    features = np.random.default_rng(0).normal(5, 3, (64, 25)).astype("float32")
    features[:, 4] = 0.8  # never varied
    model = hub.load("fer_landmark_mlp")
    layer = model.get_layer("standardise")
    layer.adapt(features)
    inside = keras.Model(model.input, layer.output).predict(features, verbose=0)
    np.testing.assert_allclose(inside.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.delete(inside, 4, 1).std(0), 1, atol=1e-3)
    again = hub.load("fer_landmark_mlp")
    again.set_weights(model.get_weights())  # Keras's own layer would go on with its old moments
    np.testing.assert_allclose(again.predict(features, verbose=0), model.predict(features, verbose=0), rtol=1e-5)
    assert hub.load("fer_landmark_mlp", num_classes=0).output_shape == (None, 32)
    with pytest.raises(ValueError, match="vector"):
        hub.load("fer_landmark_mlp", input_shape=(8, 8, 1))


def test_the_network_learns_seven_expressions_from_distances():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    label = np.arange(420) % 7
    kinds = cartoon()[1] + rng.normal(0, 5, (7, 18, 2))
    points = (kinds[label] + rng.normal(0, 1, (420, 18, 2))) * rng.uniform(0.5, 3, (420, 1, 1))
    features = landmark_distances(points)
    model = hub.load("fer_landmark_mlp")
    model.get_layer("standardise").adapt(features[:210])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    model.fit(features[:210], label[:210], batch_size=32, epochs=12, verbose=0)
    assert model.evaluate(features[210:], label[210:], verbose=0)[1] > 0.95

"""Khan's features inside a graph."""

import numpy as np

from applications.facial_expression.model import spans
from hub.data.landmark_features import eighteen, landmark_distances


def test_equal_to_the_features_of_numpy_on_any_faces():
    rng = np.random.default_rng(0)
    from hub.data import faces_drawn

    faces = np.stack([faces_drawn.landmarks(n, n % 7, 0.8, 0) for n in range(14)])
    faces = np.concatenate([faces / 300, faces / 300 + rng.normal(0, 0.02, faces.shape)]).astype("float32")
    found = np.asarray(spans()(faces.reshape(len(faces), 136)))
    np.testing.assert_allclose(found, landmark_distances(eighteen(faces)), atol=2e-5)


def test_shift_and_scale_change_nothing_and_a_smile_has_a_sign():
    from hub.data import faces_drawn

    layer = spans()
    face = faces_drawn.landmarks(3, 3, 1.0, 0)
    one, other = (np.asarray(layer(x.reshape(1, 136))) for x in (face, face * 2.5 + (40, -7)))
    np.testing.assert_allclose(one, other, atol=1e-4)
    upside = face.copy()
    upside[48:, 1] = 2 * face[48:, 1].mean() - upside[48:, 1]
    assert one[0, 22] * np.asarray(layer(upside.reshape(1, 136)))[0, 22] < 0


def test_eyes_on_each_other_stay_finite():
    assert np.isfinite(np.asarray(spans()(np.zeros((2, 136), "float32")))).all()

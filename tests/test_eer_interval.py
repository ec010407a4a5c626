"""The equal error rate with an interval over people."""

import numpy as np
import pytest

from hub.evaluation.eer_interval import eer_interval
from hub.evaluation.verification import pair_distances, verification


def test_the_value_is_that_of_all_pairs_and_lies_within():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(12), 4)
    embeddings = rng.normal(size=(12, 3))[people] + 0.8 * rng.normal(size=(48, 3))
    found = eer_interval(embeddings, people)
    assert found.value == verification(*pair_distances(embeddings, people)).eer
    assert 0 < found.low < found.value < found.high < 0.5
    assert eer_interval(embeddings, people) == found, "seeded"


def test_groups_are_searched_apart():
    """Two groups that lie upon one another: pairs across them would be errors."""
    rng = np.random.default_rng(1)
    people, groups = np.repeat(np.arange(8), 3), np.repeat(["a", "b"], 12)
    place = np.tile(np.repeat(np.arange(4.0), 3), 2)[:, None] * 10 + rng.normal(size=(24, 1)) * 0.1
    assert eer_interval(place, people, groups=groups).value == 0
    assert eer_interval(place, people).value > 0.05


def test_few_people_have_a_wide_interval_and_many_a_narrow_one():
    rng = np.random.default_rng(2)
    widths = []
    for count in (6, 60):
        people = np.repeat(np.arange(count), 4)
        found = eer_interval(rng.normal(size=(count, 2))[people] + 0.6 * rng.normal(size=(4 * count, 2)), people)
        widths.append(found.high - found.low)
    assert widths[1] < 0.6 * widths[0]


def test_one_person_alone_is_refused():
    with pytest.raises(ValueError, match="impostor"):
        eer_interval(np.eye(3), [1, 1, 1])

"""P x K batches of sets: what is in them, how often, and the same again after an interruption."""

import itertools

import numpy as np
import pytest

from hub.data.set_batches import set_batches

COUNTS = [30, 4, 7, 0, 12, 5, 9, 3, 2, 40, 6]
LABELS = np.array([10, 10, 10, 10, -4, -4, 7, 7, 7, 0, 25])  # clip 3 has no frames


def source(counts=COUNTS, labels=LABELS, height=3, width=2) -> dict:
    """Frames whose pixels are their own number, in two bytes."""
    starts = np.concatenate([[0], np.cumsum(counts)])
    numbers = np.arange(starts[-1])
    frames = np.zeros((len(numbers), height, width), np.uint8)
    frames[:, 0, 0], frames[:, 0, 1] = numbers // 256, numbers % 256
    return {"frames": frames, "starts": starts, "labels": np.asarray(labels)}


def drawn(count, first=0, **options):
    """(numbers of the drawn frames [P K, T], labels [P K]) of each batch."""
    for inputs, labels in set_batches(**{**source(), **options}, first=first).take(count).as_numpy_iterator():
        pixels = np.rint(inputs["silhouettes"] * 255).astype(int)[..., 0]
        yield pixels[:, :, 0, 0] * 256 + pixels[:, :, 0, 1], labels


def clip_of(numbers, counts=COUNTS):
    return np.searchsorted(np.cumsum(counts), numbers, side="right")


def test_signature():
    data = set_batches(**source(), people=3, clips=4, length=5)
    inputs, labels = data.element_spec
    assert inputs["silhouettes"].shape == (12, 5, 3, 2, 1) and inputs["silhouettes"].dtype == "float32"
    assert inputs["length"].shape == labels.shape == (12,) and inputs["length"].dtype == labels.dtype == "int32"
    inputs, _ = next(iter(data))
    assert set(inputs["length"].numpy()) == {5}
    assert data.cardinality() == -1  # endless


def test_every_frame_is_one_of_the_clip_and_scaled():
    given = source()
    given["frames"] = np.random.default_rng(0).integers(0, 256, given["frames"].shape).astype(np.uint8)
    known = {frame.tobytes(): number for number, frame in enumerate(given["frames"])}
    for inputs, labels in set_batches(**given, people=2, clips=3, length=4).take(5).as_numpy_iterator():
        sets = inputs["silhouettes"][..., 0]
        assert sets.min() >= 0 and sets.max() <= 1
        for frames, label in zip(sets, labels, strict=True):
            original = [known[np.rint(frame * 255).astype(np.uint8).tobytes()] for frame in frames]
            np.testing.assert_array_equal(given["frames"][original] / np.float32(255), frames)
            assert len(set(clip_of(original))) == 1 and LABELS[clip_of(original[0])] == label


def test_people_clips_and_frames_repeat_only_where_they_are_too_few():
    clips_there = {10: 3, -4: 2, 7: 3, 0: 1, 25: 1}  # with frames
    for numbers, labels in drawn(60, people=4, clips=3, length=6):
        people = labels.reshape(4, 3)
        assert (people == people[:, :1]).all() and len(set(people[:, 0])) == 4
        clips = clip_of(numbers)
        assert (clips == clips[:, :1]).all() and (LABELS[clips[:, 0]] == labels).all()
        for person, own in zip(people[:, 0], clips[:, 0].reshape(4, 3), strict=True):
            if clips_there[person] >= 3:
                assert len(set(own)) == 3
        for row, at in zip(numbers, clips[:, 0], strict=True):
            if COUNTS[at] >= 6:
                assert len(set(row)) == 6
    assert 3 not in clips


def test_a_batch_depends_on_seed_and_number_alone():
    options = {"people": 3, "clips": 4, "length": 5, "seed": 9}
    whole = list(drawn(7, **options))
    for first in (0, 3, 6):
        for (a, b), (c, d) in zip(drawn(7 - first, first=first, **options), whole[first:], strict=True):
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)
    other = [numbers for numbers, _ in drawn(7, **{**options, "seed": 10})]
    assert all((a != b[0]).any() for a, b in zip(other, whole, strict=True))
    assert all((a[0] != b[0]).any() for a, b in itertools.pairwise(whole))


def chi_square(counts) -> float:
    """Over degrees of freedom: about 1 for uniform draws."""
    expected = counts.sum() / len(counts)
    return ((counts - expected) ** 2).sum() / expected / (len(counts) - 1)


@pytest.mark.parametrize("length", [6, 30])
def test_draws_are_uniform(length):
    """People; clips of a person; frames of a clip, fewer and more than there are. 30 of 40 frames differ; draws of one
    set then hang together, which makes the figure smaller than 1."""
    counts = [40, 40, 40, 40, 20, 20, 40, 20]
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 3])
    given = source(counts, labels)
    people, frames, first = np.zeros(4), np.zeros(sum(counts)), np.zeros(4)
    for numbers, owners in drawn(1500, people=2, clips=2, length=length, **given):
        people += np.bincount(owners[::2], minlength=4)
        np.add.at(frames, numbers.ravel(), 1)
        mine = clip_of(numbers[:, 0], counts)
        first += np.bincount(mine[owners == 0], minlength=8)[:4]
    assert chi_square(people) < 3.8 and chi_square(first) < 3.8  # 99 % of 3 degrees of freedom
    edges = np.concatenate([[0], np.cumsum(counts)])
    for start, stop in itertools.pairwise(edges):
        assert frames[start:stop].min() > 0 and chi_square(frames[start:stop]) < 1.9


def test_one_frame_one_clip_one_person():
    """The smallest there is."""
    frame = np.full((1, 4, 4), 51, np.uint8)
    data = set_batches(frame, np.array([0, 1]), np.array([8]), people=1, clips=2, length=3)
    inputs, labels = next(data.as_numpy_iterator())
    np.testing.assert_allclose(inputs["silhouettes"], np.full((2, 3, 4, 4, 1), 0.2), rtol=1e-6)
    assert labels.tolist() == [8, 8]


def test_a_memory_map_gives_the_same(tmp_path):
    given = source()
    given["frames"].tofile(tmp_path / "frames")
    mapped = np.memmap(tmp_path / "frames", np.uint8, "r", shape=given["frames"].shape)
    for (a, _), (b, _) in zip(drawn(2, people=2), drawn(2, people=2, frames=mapped), strict=True):
        np.testing.assert_array_equal(a, b)


BAD = {
    "6 people per batch are wanted, but only 5 have clips": {"people": 6},
    "`people` must be 1 or more": {"people": 0},
    "`clips` must be 1 or more": {"clips": 0},
    "`length` must be 1 or more": {"length": 0},
    "`seed` must be 0 or more": {"seed": -1},
    "`first` must be 0 or more": {"first": -1},
    r"`frames` must be uint8 \[sum T, H, W\]. Received: float64": {"frames": np.zeros((118, 3, 2))},
    r"`frames` must be .* Received: uint8 \(118, 6\)": {"frames": np.zeros((118, 6), np.uint8)},
    "`labels` must be integers": {"labels": LABELS.astype(str)},
    "`starts` must rise from 0 to 118 in 11 numbers": {"labels": LABELS[:-1]},
    "`starts` must rise from 0 to 117": {"frames": np.zeros((117, 3, 2), np.uint8)},
    "only 0 have clips": {"frames": np.zeros((0, 3, 2), np.uint8), "starts": np.zeros(12, int)},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_gets_one_sentence(words):
    with pytest.raises(ValueError, match=words) as raised:
        set_batches(**{**source(), "people": 2, **BAD[words]})
    assert raised.match(r"^[^\n]+\.$")

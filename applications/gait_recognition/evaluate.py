"""The field's protocol: rank-1 across views, against gait energy images, over frames, and as verification."""

from collections.abc import Sequence
from typing import Any

from applications.gait_recognition.dataset import Walks
from applications.gait_recognition.result import Result

FRAMES_AT_ONCE = 1024  # of the sets embedded together, padding counted
COUNTS = (1, 2, 4, 7, 15, 30)  # frames of the curve; the paper reports 7
MAPPED = 600  # walks on the map of embeddings
SHOWN = 6  # people whose strips are shown


def embed(model: Any, clips: Sequence[Any]) -> Any:
    """Embeddings [N, S, d] of clips uint8 [T, 64, 44], each with all of its frames; the longest are padded least."""
    import keras
    import numpy as np

    lengths = np.array([len(clip) for clip in clips])
    order = np.argsort(lengths, kind="stable")
    parts, start = [], 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= FRAMES_AT_ONCE:
            stop += 1
        rows = order[start:stop]
        sets = np.zeros((len(rows), lengths[rows].max(), *clips[rows[0]].shape[1:], 1), np.float32)
        for place, row in zip(sets, rows, strict=True):
            place[: lengths[row], ..., 0] = clips[row]
        found = model.predict_on_batch({"silhouettes": sets, "length": lengths[rows].astype("int32")})
        parts.append(keras.ops.convert_to_numpy(found["embedding"]))
        start = stop
    return np.concatenate(parts)[np.argsort(order, kind="stable")]


def clips_of(walks: Walks) -> list[Any]:
    """The frames of each walk, as views of one array."""
    import itertools

    return [walks.frames[a:b] for a, b in itertools.pairwise(walks.starts.tolist())]


def choose_thresholds(model: Any, walks: Walks, far: float) -> dict[str, float]:
    """Two distances, chosen so that on `walks` the share `far` of strangers is accepted.

    `threshold` is for pairs of walks from different views; `search_threshold` for the nearest walk of anybody else,
    which is nearer the more people there are.
    """
    import numpy as np

    from hub.evaluation.verification import verification

    embeddings = embed(model, clips_of(walks))
    flat = embeddings.reshape(len(embeddings), -1).astype("float64")
    squares = (flat**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * flat @ flat.T, 0))
    nearest = np.where(walks.subject[:, None] == walks.subject, np.inf, distances).min(axis=1)
    return {
        "threshold": max(verification(*_pairs(embeddings, walks)).at_far(far).threshold, 0.0),
        "search_threshold": float(np.quantile(nearest, far)),
    }


def evaluate(
    model: Any, walks: Walks, protocol: Any, name: str, thresholds: dict[str, float], notes: list[str]
) -> Result:
    """Embed every walk of `walks` and measure.

    Args:
        model: pixels to `embedding`.
        walks: people that were not trained on.
        protocol: which recordings are enrolled, which are looked for.
        name: what the figures are called in the report.
        thresholds: what `choose_thresholds` found.
        notes: sentences on what the data lack.

    Raises:
        ValueError: the protocol finds no gallery or no probe.
    """
    import numpy as np

    from hub.evaluation.cross_view import cross_view
    from hub.evaluation.gait_energy import gait_energy_image
    from hub.evaluation.over_frames import over_frames
    from hub.evaluation.verification import verification

    clips = clips_of(walks)
    known = (walks.subject, walks.condition, walks.view)
    embeddings = embed(model, clips)
    network = cross_view(embeddings, *known, protocol)
    energy = cross_view(gait_energy_image(walks.frames, walks.starts), *known, protocol)
    first, recordings = next(iter(protocol.probes.items()))
    plain = np.isin(walks.condition, [*protocol.gallery, *recordings])
    some = walks.take(plain)
    said = (some.subject, some.condition, some.view)
    curve = over_frames(
        lambda sets: embed(model, sets),
        clips_of(some),
        lambda found: cross_view(found, *said, protocol).means[first],
        [count for count in COUNTS if count <= np.diff(some.starts).max()],
        draws=1,
    )
    pairs = verification(*_pairs(embeddings, walks))
    unknown = _open_set(embeddings, walks, protocol, recordings)
    at = int(np.searchsorted(pairs.thresholds, thresholds["threshold"], side="right")) - 1
    chosen = {"far": float(pairs.far[at]), "tar": float(pairs.tar[at])}
    if unknown is not None:
        at = int(np.searchsorted(unknown.thresholds, thresholds["search_threshold"], side="right")) - 1
        chosen |= {"alarm": float(unknown.far[at]), "found": float(unknown.tar[at])}
    rows = np.random.default_rng(0).permutation(len(walks))[:MAPPED]
    return Result(
        name=name,
        people=len(set(walks.subject.tolist())),
        walks=len(walks),
        missing=notes,
        network=network,
        energy=energy,
        metrics=_metrics(network, energy) | {"equal_error_rate": _eer(embeddings, walks)},
        chance=1 / len(set(walks.subject[np.isin(walks.condition, protocol.gallery)].tolist())),
        over_frames=[tuple(row) for row in curve],
        two_views=_two_views(model, some, protocol, recordings),
        pairs=pairs,
        unknown=unknown,
        threshold=thresholds["threshold"],
        search_threshold=thresholds["search_threshold"],
        chosen=chosen,
        place=_map(embeddings[rows]),
        place_subject=walks.subject[rows],
        place_condition=walks.condition[rows],
        examples=_examples(walks, protocol),
    )


def _eer(embeddings: Any, walks: Walks) -> dict[str, float]:
    from hub.evaluation.eer_interval import eer_interval

    views = walks.view if len(set(walks.view.tolist())) > 1 else None
    return {k: round(v, 6) for k, v in eer_interval(embeddings, walks.subject, views)._asdict().items()}


def _pairs(embeddings: Any, walks: Walks) -> tuple[Any, Any]:
    """Distances and whether genuine, of pairs from different views; of all pairs where there is one view only."""
    from hub.evaluation.verification import pair_distances

    several = len(set(walks.view.tolist())) > 1
    return pair_distances(embeddings, walks.subject, walks.view if several else None)


def _metrics(network: Any, energy: Any) -> dict[str, dict[str, float]]:
    found = {}
    for label, table in (("rank1", network), ("energy_image_rank1", energy)):
        for condition in table.conditions:
            if table.means[condition] == table.means[condition]:
                figure = table.interval(condition)
                found[f"{label}_{condition.lower()}"] = {k: round(v, 6) for k, v in figure._asdict().items()}
    return found


def _open_set(embeddings: Any, walks: Walks, protocol: Any, recordings: tuple[str, ...]) -> Any:
    """Every second person enrolled, all looked for, in other views only by chance; None with fewer than 4 people."""
    import numpy as np

    from hub.evaluation.verification import open_set

    people = np.unique(walks.subject)
    if len(people) < 4:
        return None
    enrolled = np.isin(walks.condition, protocol.gallery) & np.isin(walks.subject, people[::2])
    probe = np.isin(walks.condition, recordings)
    return open_set(embeddings[probe], walks.subject[probe], embeddings[enrolled], walks.subject[enrolled])


def _two_views(model: Any, walks: Walks, protocol: Any, recordings: tuple[str, ...]) -> tuple[float, float] | None:
    from hub.evaluation.over_frames import two_views

    known = (walks.subject, walks.condition, walks.view)
    if len(set(walks.view.tolist())) < 3:
        return None
    found = two_views(
        lambda sets: embed(model, sets), clips_of(walks), *known, protocol.gallery, recordings, frames=14, draws=2
    )
    return float(found.one.mean()), float(found.two.mean())


def _map(embeddings: Any) -> Any:
    """Two coordinates per embedding in which near ones stay near (t-SNE of the first 30 principal components)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    flat = embeddings.reshape(len(embeddings), -1)
    flat = PCA(min(30, *flat.shape), random_state=0).fit_transform(flat)
    return TSNE(perplexity=min(30, (len(flat) - 1) / 3), init="pca", random_state=0).fit_transform(flat)


def _examples(walks: Walks, protocol: Any) -> list[tuple[str, Any]]:
    """A strip of one walk of each of some people, and of each kind of probe of the first one."""
    import numpy as np

    from hub.data.silhouettes import strip

    people = np.unique(walks.subject)[:SHOWN]
    middle = sorted(set(walks.view.tolist()))[len(set(walks.view.tolist())) // 2]
    wanted = [(who, kind) for who in people for kind in protocol.gallery[:1]]
    wanted += [(people[0], recordings[0]) for recordings in protocol.probes.values()]
    clips, found = clips_of(walks), []
    for who, condition in wanted:
        rows = np.flatnonzero((walks.subject == who) & (walks.condition == condition))
        if len(rows):
            row = rows[np.argmin(np.abs(walks.view[rows] - middle))]
            found.append((f"{who}, {condition}, {walks.view[row]} degrees", strip(clips[row])))
    return found

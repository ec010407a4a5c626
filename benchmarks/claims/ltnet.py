"""Zeng et al. 2018 in miniature: annotators who do not agree, and a network that learns who says what.

    python benchmarks/claims/ltnet.py --data /usr/share/datasets/fashion-mnist [--out ltnet_claims.jsonl]

Pictures of Fashion-MNIST get labels of simulated annotators: some call a part of the pictures the next class, all with
the same habit, others err without one. A small network is trained on clean labels, on those of the best annotator, on
majority votes, on the mixture of all labels, and as LTNet: from the mixture's network and matrices near the identity,
as the authors do, and afresh with matrices from the mixture's confusions. Every arm stops early by held-out labels as
noisy as its own; the test labels are clean. Printed are accuracy and the total variation error of the matrices, mean
and Student's 95 % interval over the seeds, LTNet's lead as paired differences, and beside them chance and a linear
classifier that saw clean labels. The last setting shows the limit: with a habit in 7 of 10 pictures some or all classes
come out renamed, at a likelihood that is no worse. `--faces FOLDER` takes the landmarks of faces in CK+'s layout in
place of pictures, and tests on people it has not seen. A line per setting and seed goes to `--out` and is not run
again: another file for other data, please.
"""

import argparse
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np


class Annotator(NamedTuple):
    """Says the truth with this probability, else the class `shift` further on, or, without shift, any other."""

    right: float
    shift: int = 0


SETTINGS = {
    "two, one habit": (Annotator(0.55, 1), Annotator(0.60, 1)),
    "three, two of one habit": (Annotator(0.46, 1), Annotator(0.45, 1), Annotator(0.90)),
    "two, one of a habit": (Annotator(0.50, 1), Annotator(0.90)),
    "two, uniform noise": (Annotator(0.60), Annotator(0.80)),
    "three, uniform noise": (Annotator(0.52), Annotator(0.61), Annotator(0.81)),
    "habit in 7 of 10": (Annotator(0.30, 1), Annotator(0.30, 1), Annotator(0.85, 4)),
}
CLEAN = ("linear", "clean labels")
NOISY = ("best annotator", "majority vote", "mixture", "LTNet, identity", "LTNet, confusion")


class Part(NamedTuple):
    """Pictures [N, H, W, C] of 0 ... 255 or vectors [N, D], their classes [N] and what the annotators say, [N, A]."""

    inputs: np.ndarray
    truth: np.ndarray
    labels: np.ndarray


def matrix(annotator: Annotator, classes: int) -> np.ndarray:
    """P(label | truth)."""
    same = np.eye(classes)
    wrong = np.roll(same, annotator.shift, 1) if annotator.shift else (1 - same) / (classes - 1)
    return annotator.right * same + (1 - annotator.right) * wrong


def annotate(truth: np.ndarray, matrices: np.ndarray, seed: int) -> np.ndarray:
    """A label of each annotator for each picture, drawn from `matrices` [A, L, L]; int64 [N, A]."""
    below = matrices.cumsum(-1)[:, truth]  # [A, N, L]
    lots = np.random.default_rng(seed).random((*below.shape[:2], 1))
    return np.minimum((lots > below).sum(-1).T, matrices.shape[-1] - 1)


def network(shape: tuple[int, ...], classes: int, linear: bool = False) -> Any:
    """Two convolutions, which vectors do without, and 64 hidden units; or none of these."""
    import keras
    from keras import layers

    x = inputs = keras.Input(shape)
    if len(shape) == 3:
        x = layers.Rescaling(1 / 255)(x)
        for filters in () if linear else (16, 32):
            x = layers.Conv2D(filters, 3, 2, "same", activation="relu", kernel_initializer="he_normal")(x)
        x = layers.Flatten()(x)
    if not linear:
        x = layers.Dense(64, "relu", kernel_initializer="he_normal")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x))


def fit(model: Any, loss: Any, train: tuple, held: tuple, epochs: int) -> float:
    """Train on (images, targets[, weights]); keeps the epoch of least loss on `held`, and returns that loss."""
    import keras

    model.compile(keras.optimizers.Adam(1e-3), loss)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
    weights = train[2] if len(train) > 2 else None
    said = model.fit(*train[:2], sample_weight=weights, validation_data=held, batch_size=64, epochs=epochs,
                     callbacks=[stop], verbose=0)  # fmt: skip
    return min(said.history["val_loss"])


def scores(model: Any, images: np.ndarray) -> np.ndarray:
    return model.predict(images, batch_size=500, verbose=0)


def right(model: Any, test: Part) -> float:
    return round(float((scores(model, test.inputs).argmax(1) == test.truth).mean()), 4)


def learned(train: tuple, held: tuple, classes: int, seed: int, epochs: int, linear: bool = False) -> Any:
    """A network trained on (images, labels [N]); labels of -1 are left out."""
    import keras

    keras.utils.set_random_seed(seed)
    model = network(train[0].shape[1:], classes, linear)
    known = [(images[labels >= 0], labels[labels >= 0]) for images, labels in (train, held)]
    fit(model, keras.losses.SparseCategoricalCrossentropy(from_logits=True), *known, epochs)
    return model


def clean(train: Part, held: Part, test: Part, classes: int, seed: int, epochs: int) -> dict:
    """Accuracy of the arms that see the truth."""
    data = (train.inputs, train.truth), (held.inputs, held.truth), classes, seed, epochs
    return {name: right(learned(*data, linear=name == "linear"), test) for name in CLEAN}


def noisy(
    train: Part, held: Part, test: Part, classes: int, seed: int, epochs: int, matrices: np.ndarray | None = None
) -> dict:
    """Accuracy of the arms that see labels only; of both LTNets the likelihood of held-out labels, and the errors of
    their matrices where the true ones [A, L, L] are given.
    """
    import keras

    from hub.evaluation.annotators import total_variation
    from hub.training.ltnet import LatentTruthNet, MaskedNLL
    from hub.training.noisy_labels import majority_vote, mixture_targets, transitions_from

    def single(labels: np.ndarray, held_labels: np.ndarray) -> float:
        data = (train.inputs, labels), (held.inputs, held_labels)
        return right(learned(*data, classes, seed, epochs), test)

    given = train.labels >= 0
    share = ((train.labels == train.truth[:, None]) & given).sum(0) / given.sum(0)
    best = share.argmax()  # in earnest nobody would know who that is
    votes = [majority_vote(part.labels, classes, seed) for part in (train, held)]
    row = {"best annotator": single(train.labels[:, best], held.labels[:, best]), "majority vote": single(*votes)}

    keras.utils.set_random_seed(seed)
    mixture = network(train.inputs.shape[1:], classes)
    targets = [mixture_targets(part.labels, classes) for part in (train, held)]
    fit(mixture, keras.losses.CategoricalCrossentropy(from_logits=True), (train.inputs, *targets[0]),
        (held.inputs, *targets[1]), epochs)  # fmt: skip
    row["mixture"] = right(mixture, test)

    confusions = transitions_from(scores(mixture, train.inputs), train.labels)
    for name, transitions in (("LTNet, identity", 5.0), ("LTNet, confusion", confusions)):
        keras.utils.set_random_seed(seed)
        classifier = network(train.inputs.shape[1:], classes)
        if name == "LTNet, identity":
            classifier.set_weights(mixture.get_weights())
        net = LatentTruthNet(classifier, train.labels.shape[1], transitions)
        loss = fit(net, MaskedNLL(), (train.inputs, train.labels), (held.inputs, held.labels), epochs)
        row[name] = right(classifier, test)
        row[f"{name}: likelihood"] = round(-loss, 4)
        if matrices is not None:
            row[f"{name}: error"] = np.round(total_variation(net.transitions, matrices), 4).tolist()
    keras.backend.clear_session()
    return row


def fashion(folder: pathlib.Path, seed: int, pictures: int, held: int) -> tuple[Part, Part, Part]:
    """Training, held-out and test pictures, without annotators."""
    from hub.data import idx_images

    (images, truth), (test, test_truth) = (idx_images.split(folder, name) for name in ("train", "test"))
    rows = np.random.default_rng(seed).permutation(len(images))[: pictures + held]
    return (
        plain(images[rows[:pictures], ..., None], truth[rows[:pictures]]),
        plain(images[rows[pictures:], ..., None], truth[rows[pictures:]]),
        plain(test[..., None], test_truth),
    )


def faces(folder: pathlib.Path, seeds: int) -> list[tuple[Part, Part, Part]]:
    """For each seed the parts of a folder in CK+'s layout, landmarks instead of pictures: 136 numbers, in distances
    between the eyes, these level and their middle the origin, standardised. A quarter of the people are for the test,
    an eighth are held out.
    """
    from hub.data import ck_plus

    read = ck_plus.faces(folder)
    read = read.take([face.landmarks is not None for face in read])
    points = read.landmarks[..., 0] + 1j * read.landmarks[..., 1]
    left, right = (points[:, eye].mean(1, keepdims=True) for eye in (slice(36, 42), slice(42, 48)))
    level = (points - (left + right) / 2) / (right - left)
    inputs = np.concatenate([level.real, level.imag], 1)
    parts = []
    for seed in range(seeds):
        people = np.random.default_rng(seed).permutation(np.unique(read.subject))
        test, held = len(people) // 4, len(people) // 8
        of = [np.isin(read.subject, some) for some in np.split(people, [test, test + held])]
        known = inputs[of[2]]
        standard = (inputs - known.mean(0)) / known.std(0)
        parts.append(tuple(plain(standard[rows], read.label[rows]) for rows in (of[2], of[1], of[0])))
    return parts


def plain(inputs: np.ndarray, truth: np.ndarray) -> Part:
    return Part(inputs.astype("float32"), truth.astype("int64"), np.empty((len(inputs), 0), "int64"))


def experiments(parts: list[tuple[Part, Part, Part]], settings: list[str], known: list[dict], epochs: int) -> Iterator:
    """Rows that are not known: the clean arms, then every setting, for each seed's parts."""
    for seed, (train, held, test) in enumerate(parts):
        classes = int(train.truth.max()) + 1
        for setting in ("clean", *settings):
            if any((row["setting"], row["seed"]) == (setting, seed) for row in known):
                continue
            if setting == "clean":
                row = clean(train, held, test, classes, seed, epochs)
            else:
                matrices = np.stack([matrix(annotator, classes) for annotator in SETTINGS[setting]])
                seen = [
                    part._replace(labels=annotate(part.truth, matrices, 2 * seed + i))
                    for i, part in enumerate((train, held))
                ]
                row = noisy(*seen, test, classes, seed, epochs, matrices)
            yield {"setting": setting, "seed": seed, "pictures": len(train.truth), "classes": classes, **row}


def table(rows: list[dict]) -> None:
    def shown(values: list[float]) -> str:
        from scipy import stats

        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5 if values[1:] else 0
        return f"{100 * np.mean(values):.1f} ± {100 * half:.1f}"

    first = [row for row in rows if row["setting"] == "clean"]
    cells = ", ".join(f"{name} {shown([row[name] for row in first])}" for name in CLEAN)
    print(f"{first[0]['pictures']:,} pictures, {len(first)} seeds; accuracy in %: {cells}, "
          f"chance {100 / first[0]['classes']:.1f}")  # fmt: skip
    heads = (*NOISY, "before mixture", "before majority", "error, identity", "error, confusion")
    print("| annotators | " + " | ".join(heads) + " |\n| --- |" + " --- |" * len(heads))
    for setting in dict.fromkeys(row["setting"] for row in rows if row["setting"] != "clean"):
        own = [row for row in rows if row["setting"] == setting]
        last = NOISY[-1]
        figures = [[row[name] for row in own] for name in NOISY]
        figures += [[row[last] - row[name] for row in own] for name in ("mixture", "majority vote")]
        figures += [[np.mean(row[f"{name}: error"]) for row in own] for name in NOISY[-2:]]
        said = ", ".join(f".{100 * a.right:.0f}" for a in SETTINGS[setting])
        print(f"| {setting} ({said}) | " + " | ".join(map(shown, figures)) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=pathlib.Path, help="folder of Fashion-MNIST")
    source.add_argument("--faces", type=pathlib.Path, help="folder in CK+'s layout, whose landmarks take its place")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="SETTING")
    parser.add_argument("--pictures", type=int, default=6_000, help="of Fashion-MNIST to train on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15, help="at most")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("ltnet_claims.jsonl"))
    args = parser.parse_args()

    known = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    if args.faces:
        parts = faces(args.faces, args.seeds)
    else:
        parts = [fashion(args.data, seed, args.pictures, args.pictures // 6) for seed in range(args.seeds)]
    for row in experiments(parts, args.settings, known, args.epochs):
        known.append(row)
        with open(args.out, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    table(known)


if __name__ == "__main__":
    main()

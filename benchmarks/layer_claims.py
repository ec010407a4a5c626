"""Five layers whose papers claim an effect, with and without, on real Fashion-MNIST: three seeds, whatever it shows.

    python benchmarks/layer_claims.py --data /usr/share/datasets/fashion-mnist [CLAIM ...]

Small networks, short training (`fashion_mnist.py`'s recipe): what is measured is whether the claim shows at this size.
The effect is the mean over seeds of the difference between the arms trained alike, with the 95 % interval of Student's
t; lines go to `docs/layer_claims.jsonl`.
"""

import argparse
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from fashion_mnist import IMAGES, fit, pictures, right

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "layer_claims.jsonl"


class Claim(NamedTuple):
    """What is measured of each arm: `arms` maps its name to a builder of a model that returns logits."""

    text: str
    arms: dict[str, Callable]
    data: Callable = lambda train, test, seed: (train, test)
    score: Callable = lambda model, test: float(right(model, test).mean())
    epochs: int = 3
    batch: int = 64


def network(norm: Callable | None, conv: Callable | None = None, shrink: Callable | None = None, side: int = 32):
    """Four 3x3 convolutions of 16, 32, 32 and 64 filters, halved after each but the first, mean, logits."""
    import keras
    from keras import layers

    conv = conv or (lambda filters: layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal"))
    x = inputs = keras.Input((side, side, 1))
    for i, filters in enumerate((16, 32, 32, 64)):
        if i and shrink:
            x = shrink(filters)(x)
        else:
            x = layers.MaxPooling2D(2)(x) if i else x
            x = conv(filters)(x)
        x = layers.ReLU()(norm()(x) if norm else x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)))


def layer(name: str, **options) -> Callable:
    from hub import registry

    return lambda *args: registry.build(name, **options, **({"filters": args[0]} if args else {}))


def batch_norm():
    import keras

    return keras.layers.BatchNormalization(momentum=0.9)


def strided(filters: int):
    import keras

    return keras.layers.Conv2D(filters, 3, strides=2, padding="same", kernel_initializer="he_normal")


def residual(drop_path: float):
    import hub

    options = {"depths": (3, 3, 3), "stem": "cifar", "width": 8, "num_classes": 10}
    return hub.load("resnet_tiny", input_shape=(32, 32, 1), drop_path=drop_path, **options)


def final(model):
    from hub.training.final_batch_norm import add_final_batch_norm

    return add_final_batch_norm(model)


def halved(train, test, _seed):
    """Pictures of 16x16 pixels: means of 2x2."""
    return tuple((x.reshape(len(x), 16, 2, 16, 2, 1).mean((2, 4)), y) for x, y in (train, test))


def imbalanced(train, test, seed):
    """Shirts (class 6) as 1 % of T-shirts (class 0), labels 0 and 1; the test set has 1,000 of each."""
    from hub.training.final_batch_norm import make_imbalanced

    picked = make_imbalanced(train[1], {0: 1000, 6: 10}, seed)
    return tuple((x[index], (y[index] == 6).astype("uint8")) for (x, y), index in (
        (train, picked), (test, np.flatnonzero(np.isin(test[1], (0, 6))))))  # fmt: skip


def balanced(model, test) -> float:
    """The mean of both classes' recalls; 0.5 for a model that never says shirt."""
    told = right(model, test)
    return float(np.mean([told[test[1] == kind].mean() for kind in (0, 1)]))


CLAIMS = {
    "spd_conv": Claim(
        "space to depth in place of strides, pictures of 16x16 pixels",
        {"strided": lambda: network(batch_norm, None, strided, 16),
         "SPD-Conv": lambda: network(batch_norm, None, layer("spd_conv"), 16)},
        halved,
    ),
    "bnsr": Claim(
        "batch normalisation with skewness reduction",
        {"BN": lambda: network(batch_norm),
         "BNSR": lambda: network(layer("batch_normalization_sr", momentum=0.9))},
    ),
    "weight_align": Claim(
        "aligned weights in place of batch normalisation, batches of 2",
        {"BN": lambda: network(batch_norm),
         "WeightAlign": lambda: network(
             None, layer("weight_align_conv_2d", kernel_size=3, strides=1, padding="same", gain="relu"))},
        lambda train, test, seed: ((train[0][:3000], train[1][:3000]), test), epochs=1, batch=2,
    ),
    "stochastic_depth": Claim(
        "9 residual blocks, the last left out with probability 0.2",
        {"all blocks": lambda: residual(0.0), "stochastic depth": lambda: residual(0.2)},
    ),
    "final_batch_norm": Claim(
        "batch normalisation of the logits, 1,000 T-shirts against 10 shirts, balanced accuracy",
        {"plain": lambda: network(batch_norm), "final BN": lambda: final(network(batch_norm))},
        imbalanced, balanced, epochs=20,
    ),
}  # fmt: skip


def scores(claim: Claim, train, test, seeds: int) -> Iterator[list[float]]:
    import keras

    for seed in range(seeds):
        seen, unseen = claim.data(train, test, seed)
        row = []
        for build in claim.arms.values():
            keras.utils.set_random_seed(seed)
            model = build()
            fit(model, seen, seed, claim.epochs, claim.batch)
            row.append(round(claim.score(model, unseen), 4))
            keras.utils.clear_session()
        yield row


def main() -> None:
    from scipy import stats

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", default=list(CLAIMS))
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    rows = {row["name"]: row for row in map(json.loads, RESULTS.read_text().splitlines())} if RESULTS.exists() else {}
    train, test = pictures(args.data, "train"), pictures(args.data, "test")
    for name in args.claims:
        claim = CLAIMS[name]
        few = train if name == "final_batch_norm" else tuple(array[:IMAGES] for array in train)
        found = np.array(list(scores(claim, few, test, args.seeds)))
        gain = found[:, 1] - found[:, 0]
        reach = stats.t.ppf(0.975, args.seeds - 1) * gain.std(ddof=1) / args.seeds**0.5
        rows[name] = {
            "name": name,
            "claim": claim.text,
            "arms": dict(zip(claim.arms, found.T.tolist(), strict=True)),
            "effect": round(float(gain.mean()), 4),
            "interval": [round(float(gain.mean() - reach), 4), round(float(gain.mean() + reach), 4)],
        }
        print(json.dumps(rows[name]), flush=True)
        RESULTS.write_text("\n".join(json.dumps(rows[key]) for key in CLAIMS if key in rows) + "\n")


if __name__ == "__main__":
    main()

"""Goodfellow et al. 2013, figures 5 and 6 in miniature: at equal budget, depth reads numbers and width does not.

`python benchmarks/claims/multi_digit_recognition.py` trains the network of the paper, narrow, with 2, 4 and 6
convolutions for the same number of images, three seeds each, on the synthetic sample, and prints sequence accuracy with
a 95 % bootstrap interval beside chance and the most frequent number.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from applications import training
from applications.schedules import warm_cosine
from applications.street_number import dataset
from applications.street_number.config import Config
from applications.street_number.train import views

FILTERS = (16, 24, 32, 48, 48, 64)


def train(depth: int, seed: int, parts: dict, epochs: int) -> tuple[int, np.ndarray]:
    """Parameters, and whether each test number was read."""
    import keras

    import hub
    from applications.street_number.evaluate import correct, read
    from hub.losses.multi_digit import MultiDigitLoss

    config = Config(epochs=epochs, seed=seed, learning_rate=1e-3)
    keras.utils.set_random_seed(seed)
    image = keras.Input((54, 54, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False)(x)
    core = hub.load(
        "multi_digit", filters=FILTERS, depth=depth, local_filters=0, units=(192,), conv_dropout=0.0, dropout=0.2
    )
    model = keras.Model(image, core(x))
    data = parts["train"]
    steps = len(data.images) // config.batch_size
    rate = warm_cosine(config.learning_rate, steps * config.epochs)
    model.compile(keras.optimizers.AdamW(rate, global_clipnorm=5.0), MultiDigitLoss())
    model.fit(views(data, config, steps, 0), steps_per_epoch=steps, epochs=epochs, verbose=0, shuffle=False)
    margin = 5
    test = parts["test"]
    return model.count_params(), correct(read(model, test.images[:, margin:-margin, margin:-margin]), test.targets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()

    from hub.evaluation.bootstrap import bootstrap_interval

    training.start(Config())
    source = dataset.prepare(None, Config(sample_images=args.images))
    parts = {
        **dataset.training_splits(source, Config(sample_images=args.images)),
        "test": dataset.crops(source, "test"),
    }
    numbers, counts = np.unique(parts["train"].targets, axis=0, return_counts=True)
    guess = (parts["test"].targets == numbers[counts.argmax()]).all(1).mean()
    images = len(parts["train"].images)
    print(f"synthetic sample, {images:,} images x {args.epochs} epochs; the most frequent number reads {guess:.4f}")
    for depth in (2, 4, 6):
        rights = []
        for seed in range(args.seeds):
            params, right = train(depth, seed, parts, args.epochs)
            rights.append(right)
            value, low, high = bootstrap_interval(right)
            print(
                f"depth {depth} seed {seed}: {params:>9,} parameters, sequence {value:.4f} [{low:.4f}, {high:.4f}]",
                flush=True,
            )
        each = [right.mean() for right in rights]
        print(
            f"depth {depth} mean of {args.seeds}: {np.mean(each):.4f} (from {min(each):.4f} to {max(each):.4f})",
            flush=True,
        )

"""Families of the zoo trained on real Fashion-MNIST: 10,000 training images, 3 epochs, three seeds, one recipe.

    python benchmarks/fashion_mnist.py --data /usr/share/datasets/fashion-mnist [NAME ...]

The folder is that of Debian's package `dataset-fashion-mnist`. Accuracies are on all 10,000 test images; beside them
stand chance and a linear classifier trained alike. Every network is a small one of its family and has a floor, five
points under its first run: below it the run fails. Lines go to `docs/fashion_mnist.jsonl`, and are not run again.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "fashion_mnist.jsonl"
EPOCHS, BATCH, IMAGES, SIDE = 3, 64, 10_000, 32
LINEAR = "linear classifier"
cifar = {"stem": "cifar", "depths": (1, 1, 1), "width": 12}
NETWORKS = {  # name -> (arguments that make it small, floor)
    LINEAR: ({}, 0.77),
    "lenet5": ({}, 0.78),
    "cnn_svm": ({"filters": (16, 32), "units": 256, "input_shape": (SIDE, SIDE, 1)}, 0.79),
    "enhanced_cnn": ({"filters": (16, 32, 64), "units": 128}, 0.73),
    "vgg_tiny": ({}, 0.74),
    "all_cnn_tiny": ({}, 0.60),
    "simplenet_tiny": ({}, 0.79),
    "resnet_tiny": (cifar, 0.78),
    "resnet_ibn_tiny": ({"width": 16}, 0.80),
    "resnet_spd_tiny": ({}, 0.81),
    "senet_tiny": ({}, 0.77),
    "wrn_tiny": ({}, 0.80),
    "pyramidnet_tiny": ({}, 0.78),
    "densenet_tiny": ({}, 0.76),
    "sparsenet_tiny": ({"growth": (8, 16, 16)}, 0.79),
    "irevnet_tiny": ({"depths": (2, 2, 2), "width": 8}, 0.80),
    "squeezenet_tiny": ({}, 0.52),
    "mobilenet_tiny": ({}, 0.73),
    "mobilenet_v2_tiny": ({}, 0.69),
    "efficientnet_tiny": ({}, 0.72),
    "regnet_tiny": ({}, 0.73),
    "convnext_mini": ({}, 0.78),
    "spartan_tiny": ({"width": 16}, 0.80),
    "vit_tiny_tiny": ({"patch_size": 4, "width": 48}, 0.62),
    "mixer_tiny": ({"patch_size": 4, "width": 48}, 0.76),
    "cait_tiny": ({"patch_size": 4}, 0.52),
}


def pictures(folder: str, split: str, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Standardised images [N, 32, 32, 1], framed by black, and labels [N]."""
    from hub.data import idx_images

    images, labels = (array[:count] for array in idx_images.split(folder, split))
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None] / np.float32(255)
    return (images - 0.2860) / 0.3530, labels  # mean and deviation of the training images


def build(name: str):
    import keras

    import hub

    if name == LINEAR:
        inputs = keras.Input((SIDE, SIDE, 1))
        return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs)))
    options = {"input_shape": (SIDE, SIDE, 1), "num_classes": 10}
    return hub.load(name, **(options | NETWORKS[name][0]))


def fit(model, data, seed: int, epochs: int = EPOCHS, batch: int = BATCH, rate: float = 2e-3) -> None:
    """AdamW under a cosine, cross-entropy of logits."""
    import keras

    images, labels = data
    steps = epochs * (len(images) // batch)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=rate, warmup_steps=steps // 10)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.01)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(images))[: len(images) // batch * batch]
        model.fit(images[order], labels[order], batch_size=batch, shuffle=False, verbose=0)


def right(model, data) -> np.ndarray:
    """Whether each test image is told right, bool [N]."""
    images, labels = data
    return model.predict(images, batch_size=250, verbose=0).argmax(-1) == labels


def main() -> None:
    import keras

    from hub.contract import multiply_adds

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    rows = {row["name"]: row for row in map(json.loads, RESULTS.read_text().splitlines())} if RESULTS.exists() else {}
    train, test = pictures(args.data, "train", IMAGES), pictures(args.data, "test")
    for name in args.names:
        options, floor = NETWORKS[name]
        done = rows.get(name, {"options": None})
        row = done if done["options"] == repr(options) else {"name": name, "options": repr(options), "accuracy": []}
        for seed in range(len(row["accuracy"]), args.seeds):
            start = time.process_time()
            keras.utils.set_random_seed(seed)
            model = build(name)
            row |= {"params": model.count_params(), "mmacs": round(multiply_adds(model) / 1e6, 2), "floor": floor}
            fit(model, train, seed)
            row["accuracy"].append(round(float(right(model, test).mean()), 4))
            print(
                f"{name:<20} seed {seed}  {row['accuracy'][-1]:.4f}  {time.process_time() - start:5.0f} s", flush=True
            )
            keras.utils.clear_session()
            rows[name] = row
            RESULTS.write_text("\n".join(json.dumps(rows[key]) for key in NETWORKS if key in rows) + "\n")
    low = [name for name in args.names if min(rows[name]["accuracy"]) <= rows[name]["floor"]]
    print(f"{len(args.names)} networks; chance 0.1000; below their floor: {', '.join(low) or 'none'}")
    raise SystemExit(bool(low))


if __name__ == "__main__":
    main()

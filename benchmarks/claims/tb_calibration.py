"""Does calibration help, when a network is trained as the paper's data ask for? Synthetic chest films, 64 pixels.

`python benchmarks/claims/tb_calibration.py`: one film in six shows tuberculosis (the paper's first set has 700 of
4,200), the classes are weighed equal in training, so the raw probabilities are those of a world where half are ill.
Calibration on validation (temperature alone; temperature and offset, which the application uses) is measured on the
test films: expected calibration error of 15 bins and Brier score, three seeds, beside the error that a perfectly
calibrated network of the same scores would show by chance.
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from tb_chest_xray import SIZE, films, marked

from applications import training
from applications.tb_chest_xray.config import Config


def rare(plain: dict, share: float, seed: int) -> dict:
    """The films without tuberculosis, and so many of the others that they are `share` of all."""
    sick, well = (np.flatnonzero(plain["label"] == kind) for kind in (1, 0))
    kept = np.random.default_rng(seed).permutation(sick)[: round(len(well) * share / (1 - share))]
    rows = np.sort(np.concatenate([well, kept]))
    return {name: values[rows] for name, values in plain.items()}


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=4_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()

    from applications.tb_chest_xray import model
    from applications.tb_chest_xray.train import classification
    from hub.evaluation.calibration import brier, expected_calibration_error, fit_platt, fit_temperature

    for seed in range(args.seeds):
        config = Config(size=SIZE, epochs=args.epochs, seed=seed)
        training.start(config)
        parts = {}
        for i, (name, count) in enumerate({"train": args.films, "validation": 1_500, "test": 3_000}.items()):
            parts[name] = marked(rare(films(count, 50 + 10 * seed + i), 1 / 6, seed), 0.5, False, seed)[0]
        with tempfile.TemporaryDirectory() as folder:
            core = classification(config, parts["train"], parts["validation"], None, pathlib.Path(folder), verbose=0)
        network = model.classifier(core, segmented=False)
        held, logit = (
            network.predict(parts[name].images, verbose=0)[:, 0].astype("float64") for name in ("validation", "test")
        )
        known, truth = parts["validation"].label, parts["test"].label
        scale, bias = fit_platt(held, known)
        rng = np.random.default_rng(seed)
        for name, probability in {
            "raw": sigmoid(logit),
            "temperature": sigmoid(logit / fit_temperature(held, known)),
            "temperature and offset": sigmoid(scale * logit + bias),
        }.items():
            chance = np.mean(
                [expected_calibration_error(probability, rng.random(len(truth)) < probability) for _ in range(200)]
            )
            print(
                f"seed {seed}, {len(truth):,} synthetic test films, {truth.mean():.3f} ill: {name:<24} "
                f"error {expected_calibration_error(probability, truth):.4f} (by chance {chance:.4f}), "
                f"Brier {brier(probability, truth):.4f}",
                flush=True,
            )

"""Golden values of the contrastive loss from tensorflow-addons 0.23, in the environment of `tensorflow_addons.py`:

    ENV/bin/python -P tests/golden/contrastive_loss.py

`contrastive.npz` beside this file holds pairs (`CASE/same`, `CASE/distance`) and, per margin, each pair's value and the
batch's.
"""

import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

MARGINS = (0.2, 1.0, 2.5)


def pairs(random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random pairs; one pair; none alike; all alike; distances of 0, at a margin, and huge; rows of several."""
    found = [(random.integers(2, size=n), random.gamma(2, 0.5, size=n)) for n in (1, 2, 7, 32, 129)]
    found += [(np.full(5, alike), random.gamma(2, 0.5, size=5)) for alike in (0, 1)]
    found += [(np.array([0, 1] * 5), np.repeat([0, 0.2, 1, 2.5, 1e4], 2))]
    found += [(random.integers(2, size=(6, 3)), random.gamma(2, 0.5, size=(6, 3)))]
    return [(np.asarray(same, "int32"), distance.astype("float32")) for same, distance in found]


def main() -> None:
    found = {"made_by": f"tensorflow-addons {tfa.__version__}, tensorflow {tf.__version__}"}
    for case, (same, distance) in enumerate(pairs(np.random.default_rng(0))):
        found |= {f"{case}/same": same, f"{case}/distance": distance}
        for margin in MARGINS:
            each = tfa.losses.contrastive_loss(tf.constant(same), tf.constant(distance), margin)
            found[f"{case}/each/{margin}"] = each.numpy()
            loss = tfa.losses.ContrastiveLoss(margin=margin)
            found[f"{case}/batch/{margin}"] = loss(tf.constant(same), tf.constant(distance)).numpy()
    np.savez_compressed(pathlib.Path(__file__).parent / "contrastive.npz", **found)


if __name__ == "__main__":
    main()

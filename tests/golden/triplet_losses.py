"""Golden values of the triplet losses from tensorflow-addons 0.23, whose two files run on any TensorFlow 2:

    pip download --no-deps --python-version 311 --only-binary=:all: tensorflow-addons==0.23.0
    unzip tensorflow_addons-0.23.0-*.whl 'tensorflow_addons/losses/*' -d FOLDER
    python -P tests/golden/triplet_losses.py FOLDER

`triplet.npz` beside this file holds batches (`CASE/labels`, `CASE/embeddings`) and, per case, the value of each loss,
distance and margin.
"""

import importlib.util
import pathlib
import sys
import types

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent
DISTANCES = ("L2", "squared-L2", "angular")


def load(folder: pathlib.Path) -> types.ModuleType:
    """tensorflow_addons.losses.triplet without the rest of its package."""
    stubs = {
        "tensorflow_addons": {}, "tensorflow_addons.losses": {}, "tensorflow_addons.utils": {},
        "tensorflow_addons.utils.types": {"FloatTensorLike": float, "TensorLike": object},
        "tensorflow_addons.utils.keras_utils": {"LossFunctionWrapper": tf.keras.losses.Loss},
        "typeguard": {"typechecked": lambda function: function},
    }  # fmt: skip
    for name, content in stubs.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    for name in ("metric_learning", "triplet"):
        path = folder / "tensorflow_addons" / "losses" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"tensorflow_addons.losses.{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        setattr(sys.modules["tensorflow_addons.losses"], name, module)
    return module


def batches(random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random batches of unit and other lengths; ties, copies, lone identities, one identity, windows that are empty."""
    found = []
    for n, identities, d in [(4, 2, 3), (9, 3, 2), (16, 4, 8), (24, 3, 5), (33, 11, 6), (40, 2, 16)]:
        x = random.normal(size=(n, d))
        labels = random.integers(identities, size=n)
        labels[:2] = 0  # at least one pair
        found += [(labels, x / np.linalg.norm(x, axis=1, keepdims=True)), (labels, 3 * x)]
    labels = np.array([0, 0, 1, 1, 2, 2, 3])
    corners = np.eye(4)[labels]
    found += [(labels, corners), (labels, corners[::-1]), (labels, np.ones((7, 4))), (np.zeros(7), corners)]
    found += [(labels, np.round(random.normal(size=(7, 4)))), (labels, 50 * random.normal(size=(7, 4)))]
    return [(np.asarray(labels, "int32"), x.astype("float32")) for labels, x in found]


def main(folder: str) -> None:
    addons = load(pathlib.Path(folder))
    found = {"made_by": f"tensorflow-addons 0.23.0, tensorflow {tf.__version__}"}
    for case, (labels, x) in enumerate(batches(np.random.default_rng(0))):
        found |= {f"{case}/labels": labels, f"{case}/embeddings": x}
        for metric in DISTANCES:
            arguments = {"y_true": tf.constant(labels), "y_pred": tf.constant(x), "distance_metric": metric}
            for margin in (0.2, 1.0):
                value = addons.triplet_semihard_loss(margin=margin, **arguments)
                found[f"{case}/semihard/{metric}/{margin}"] = value.numpy()
                found[f"{case}/hard/{metric}/{margin}"] = addons.triplet_hard_loss(margin=margin, **arguments).numpy()
            found[f"{case}/soft/{metric}"] = addons.triplet_hard_loss(soft=True, **arguments).numpy()
    np.savez_compressed(HERE / "triplet.npz", **found)


if __name__ == "__main__":
    main(sys.argv[1])

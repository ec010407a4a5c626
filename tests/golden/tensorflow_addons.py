"""Golden values from libraries that Keras 3 cannot run beside: TensorFlow Addons 0.23 and Keras 2.15.

Needs its own environment; `-P` keeps this file from being taken for the package of its name:

    python3.11 -m venv ENV && ENV/bin/pip install "tensorflow-cpu==2.15.*" tensorflow-addons==0.23.0
    ENV/bin/python -P tests/golden/tensorflow_addons.py

Each `.npz` beside this file holds, per case, what went in and what came out. The same versions write the same bytes.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

HERE = pathlib.Path(__file__).parent


def maxout(random: np.random.Generator) -> dict[str, np.ndarray]:
    """`units`, `axis`, `input` and `output` of tfa.layers.Maxout."""
    cases = [((4, 12), 1, -1), ((4, 12), 4, -1), ((4, 12), 12, 1), ((2, 5, 4, 9), 3, -1), ((2, 6, 4, 3), 2, 1),
             ((2, 3, 8, 2), 4, 2), ((2, 4, 3, 10), 5, -1), ((2, 6, 5), 3, -2)]  # fmt: skip
    found = {}
    for case, (shape, units, axis) in enumerate(cases):
        x = random.normal(size=shape).astype("float32")
        x.flat[0] = np.inf
        x.flat[1] = x.flat[2] = -0.0
        layer = tfa.layers.Maxout(units, axis=axis)
        found |= {f"{case}/units": units, f"{case}/axis": axis, f"{case}/input": x, f"{case}/output": layer(x).numpy()}
    return found


def locally_connected(random: np.random.Generator) -> dict[str, np.ndarray]:
    """`kernel_size`, `strides`, `padding`, weights, `input` and `output` of tf.keras.layers.LocallyConnected2D.

    Keras 2 has "same" padding only in an implementation whose kernel joins every input pixel to every output pixel;
    what it holds outside the windows is masked away. Its "same" windows lie as Keras 3's convolutions place them when
    the window is odd and the stride leaves no remainder, which the cases keep to.
    """
    cases = [((5, 6, 3), 4, 3, 1, "valid"), ((7, 6, 2), 3, 3, 2, "valid"), ((4, 5, 2), 3, 5, 1, "same"),
             ((5, 7, 2), 2, 3, 2, "same")]  # fmt: skip
    found = {}
    for case, (shape, filters, size, strides, padding) in enumerate(cases):
        layer = tf.keras.layers.LocallyConnected2D(
            filters, size, strides=strides, padding=padding, implementation=1 if padding == "valid" else 2
        )
        x = random.normal(size=(3, *shape)).astype("float32")
        layer.build(x.shape)
        kernel, bias = (random.normal(size=w.shape).astype("float32") for w in layer.weights)
        layer.set_weights([kernel, bias])
        found |= {f"{case}/kernel_size": size, f"{case}/strides": strides, f"{case}/padding": padding}
        found |= {
            f"{case}/kernel": kernel,
            f"{case}/bias": bias,
            f"{case}/input": x,
            f"{case}/output": layer(x).numpy(),
        }
    return found


if __name__ == "__main__":
    made_by = f"tensorflow-addons {tfa.__version__}, tensorflow {tf.__version__}, keras {keras.__version__}"
    for make in (maxout, locally_connected):
        np.savez_compressed(HERE / f"{make.__name__}.npz", made_by=made_by, **make(np.random.default_rng(0)))

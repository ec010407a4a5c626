"""SNNs keep their moments where ReLU loses them; alpha dropout's constants; cones; learning at depth 16."""

import keras
import numpy as np
import pytest
from keras import layers

from hub import registry
from hub.evaluation.self_normalization import activation_flow
from hub.models.snn import snn


def test_thirty_two_layers_keep_their_moments():
    """The deepest that the paper searched; from N(2, 9) back to 0 and 1, and there they stay."""
    keras.utils.set_random_seed(0)
    model = snn(32, 128, input_shape=(64,))
    x = np.random.default_rng(0).normal(size=(400, 64)).astype("float32")
    flow = list(activation_flow(model, 3 * x + 2).values())
    assert len(flow) == 32 and flow[0][1] > 2
    assert all(abs(mean) < 0.25 and abs(variance - 1) < 0.4 for mean, variance in flow[19:])


def test_alpha_dropout_s_constants():
    """Section 3: dropped units take alpha' = -lambda alpha, then a x + b; a and b keep mean and variance (q = 0.9)."""
    y = np.asarray(layers.AlphaDropout(0.1, seed=0)(np.zeros((1, 1000), "float32"), training=True))
    a, b, low = 0.92128451615, 0.16197097006, -1.7580993408473766
    low_share = np.isclose(y, a * low + b, atol=1e-5)
    assert (low_share | np.isclose(y, b, atol=1e-5)).all()
    assert 0.06 < low_share.mean() < 0.14


def test_a_cone_narrows_by_a_constant_factor():
    model = registry.build("snn_cone", depth=3, width=1000, num_classes=1)
    units = [layer.units for layer in model.layers if isinstance(layer, layers.Dense)]
    assert units == [1000, 100, 10, 1]
    rect = registry.build("snn", depth=3, width=50, dropout=0.0, num_classes=0)
    assert [type(layer).__name__ for layer in rect.layers] == ["InputLayer"] + ["Dense"] * 3
    assert rect.output_shape == (None, 50)


def test_sixteen_layers_learn_where_relu_does_not():
    """Handwritten digits, both with LeCun-normal weights and plain gradient descent."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean(0)) / (x.std(0) + 1e-6)).astype("float32")
    found = {}
    for activation in ("selu", "relu"):
        keras.utils.set_random_seed(0)
        model = snn(16, 64, dropout=0.0, input_shape=(64,), num_classes=10)
        for layer in model.layers:
            if layer.name.startswith("hidden"):
                layer.activation = keras.activations.get(activation)
        model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x[:1400], y[:1400], batch_size=50, epochs=4, verbose=0)
        found[activation] = np.mean(keras.ops.convert_to_numpy(model(x[1400:])).argmax(1) == y[1400:])
    assert found["selu"] > 0.7 and found["relu"] < 0.3, found


def test_snn_refuses():
    for options, said in (
        ({"input_shape": (8, 8, 1)}, r"Received: input_shape=\(8, 8, 1\)"),
        ({"shape": "ring"}, "Received: shape='ring'"),
        ({"shape": "cone", "num_classes": 0}, "num_classes=0"),
    ):
        with pytest.raises(ValueError, match=said):
            snn(**options)

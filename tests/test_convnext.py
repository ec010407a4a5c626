"""ConvNeXt's stochastic depth: rates that rise with the depth, and nothing dropped at inference."""

import keras
import numpy as np

from hub import registry


def test_drop_path():
    images = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32")
    plain = registry.build("convnext_mini", input_shape=(32, 32, 3), num_classes=3)
    model = registry.build("convnext_mini", input_shape=(32, 32, 3), num_classes=3, drop_path=0.8)
    rates = {layer.name: layer.rate for layer in model.layers if layer.name.endswith("_drop")}
    expected = {"stage2_block0": 0.2, "stage3_block0": 0.4, "stage3_block1": 0.6, "stage4_block0": 0.8}
    assert rates.keys() == {f"{block}_drop" for block in expected}
    np.testing.assert_allclose(list(rates.values()), list(expected.values()))
    model.set_weights(plain.get_weights())
    kept, seen = plain.predict(images, verbose=0), model.predict(images, verbose=0)
    np.testing.assert_allclose(seen, kept, rtol=1e-5, atol=1e-6)
    trained = keras.ops.convert_to_numpy(model(images, training=True))
    assert np.abs(trained - kept).max() > 1e-3 * np.abs(kept).max()

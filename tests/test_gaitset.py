"""GaitSet and GaitBase: pooling over sets, strips, order and number of frames, ablations, TFLite files."""

import keras
import numpy as np
import pytest

from hub import registry
from hub.layers.horizontal_pyramid import HorizontalPyramidMapping
from hub.layers.set_pooling import MODES, SetPooling


def pooled_slowly(mode, frames, kernel):
    """One set of real frames [T, H, W, C], position by position, in float64."""
    frames = np.asarray(frames, "float64")
    largest, mean = frames.max(0), np.zeros(frames.shape[1:])
    median = np.empty(frames.shape[1:])
    for at in np.ndindex(frames.shape[1:]):
        values = sorted(frames[(slice(None), *at)])
        mean[at], median[at] = sum(values) / len(values), values[(len(values) - 1) // 2]
    if mode in ("max", "mean", "median", "joint_sum"):
        return {"max": largest, "mean": mean, "median": median, "joint_sum": largest + mean + median}[mode]
    three = np.concatenate([largest, mean, median], -1)
    if mode == "joint_conv":
        return three @ kernel
    refined = []
    for frame in frames:
        attention = 1 / (1 + np.exp(-np.concatenate([frame, three], -1) @ kernel))
        refined.append(frame + frame * attention)
    return np.max(refined, 0)


@pytest.mark.parametrize("mode", MODES)
def test_sets_are_pooled_by_definition_and_padding_is_not_in_them(mode):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    lengths = np.array([6, 1, 2, 5, 9], "int32")  # 9 of 6: all
    x = random.normal(size=(5, 6, 4, 3, 5)).astype("float32") - 2  # a padding of zeros would be the maximum
    layer = SetPooling(mode)
    whole = keras.ops.convert_to_numpy(layer([x, lengths]))
    kernel = keras.ops.convert_to_numpy(layer.kernel) if layer.weights else None
    for padding in (0.0, 1e30, -np.inf, np.nan):
        for i, length in enumerate(lengths):
            x[i, length:] = padding
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer([x, lengths])), whole)
    for i, length in enumerate(lengths):
        np.testing.assert_allclose(whole[i], pooled_slowly(mode, x[i, :length], kernel), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_neither_order_nor_repetition_matters_to_a_set(mode):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(1)
    x = random.normal(size=(2, 7, 2, 3, 4)).astype("float32")
    layer, length = SetPooling(mode), np.full(2, 7)
    once, shuffled = layer([x, length]), layer([x[:, random.permutation(7)], length])
    twice = layer([np.repeat(x, 2, axis=1), 2 * length])
    tolerance = 0 if mode in ("max", "median") else 1e-5
    for other in (shuffled, twice):
        np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (other, once)), rtol=0, atol=tolerance)


@pytest.mark.parametrize("mode", MODES)
def test_padding_gets_no_gradient(mode):
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    x = tf.Variable(np.random.default_rng(2).normal(size=(2, 4, 2, 2, 3)).astype("float32"))
    layer = SetPooling(mode)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer([x, np.array([2, 4])]) ** 2)
    gradient = tape.gradient(value, x).numpy()
    assert np.all(gradient[0, 2:] == 0) and np.all(np.abs(gradient).sum((2, 3, 4))[[0, 0, 1], [0, 1, 3]] > 0)


@pytest.mark.parametrize("shared", [False, True])
def test_strips_by_definition(shared):
    random = np.random.default_rng(3)
    maps = list(random.normal(size=(2, 2, 8, 3, 6)).astype("float32"))
    layer = HorizontalPyramidMapping(5, (1, 4, 2), shared)
    found = keras.ops.convert_to_numpy(layer(maps))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    assert kernel.shape == (1 if shared else 14, 6, 5)
    strip = 0
    for x in maps:
        for scale in (1, 4, 2):
            for part in range(scale):
                rows = x[:, part * 8 // scale : (part + 1) * 8 // scale].reshape(2, -1, 6)
                slow = (rows.mean(1) + rows.max(1)) @ kernel[0 if shared else strip]
                np.testing.assert_allclose(found[:, strip], slow, rtol=1e-4, atol=1e-5)
                strip += 1
    assert strip == found.shape[1]


def test_strips_start_with_the_limit_of_one_matrix():
    layer = HorizontalPyramidMapping(256)
    layer.build((None, 16, 11, 128))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    np.testing.assert_allclose(np.abs(kernel).max(), (6 / (128 + 256)) ** 0.5, rtol=1e-3)


def test_bad_arguments():
    with pytest.raises(ValueError, match="Received: mode='sum'"):
        SetPooling("sum")
    with pytest.raises(ValueError, match=r"divide the height of the map, 8. Received: scales with \[3\]"):
        HorizontalPyramidMapping(4, (1, 3))(np.zeros((1, 8, 3, 2), "float32"))
    with pytest.raises(ValueError, match="Maps of one known shape"):
        HorizontalPyramidMapping(4, (1,)).build([(None, 8, 3, 2), (None, 4, 3, 2)])
    with pytest.raises(ValueError, match=r"Received: input_shape=\(64, 44, 1\)"):
        registry.build("gaitset_tiny", input_shape=(64, 44, 1))


def clip(*shape, seed=4):
    return (np.random.default_rng(seed).random(size=(*shape, 32, 20, 1)) > 0.5).astype("float32")


def tiny(name, **options):
    keras.utils.set_random_seed(0)
    return registry.build(f"{name}_tiny", input_shape=(None, 32, 20, 1), **options)


def embed(model, silhouettes, length):
    found = model({"silhouettes": silhouettes, "length": np.asarray(length, "int32")}, training=False)
    return keras.ops.convert_to_numpy(found)


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_a_clip_is_a_set(name):
    model, x = tiny(name), clip(2, 30)
    whole = embed(model, x, [30, 30])
    order = np.random.default_rng(5).permutation(30)
    np.testing.assert_array_equal(embed(model, x[:, order], [30, 30]), whole)
    np.testing.assert_allclose(embed(model, np.repeat(x, 2, axis=1), [60, 60]), whole, atol=1e-6)
    assert np.abs(embed(model, x[:, :7], [7, 7]) - whole).max() > 1e-3
    # a clip's embedding does not know what it is padded with, nor who is beside it
    short = embed(model, x, [7, 30])
    other = np.concatenate([x[:, :7], clip(2, 23, seed=6)], axis=1)
    np.testing.assert_array_equal(embed(model, other, [7, 30])[0], short[0])
    np.testing.assert_allclose(embed(model, x[:1, :7], [7]), short[:1], atol=1e-6)
    np.testing.assert_allclose(short[1], whole[1], atol=1e-6)


def test_one_frame_and_an_empty_silhouette():
    model = tiny("gaitset")
    x = clip(1, 1)
    assert np.abs(embed(model, x, [1])).max() > 0
    np.testing.assert_array_equal(embed(model, 0 * x, [1]), 0.0)


def test_ablations():
    full = tiny("gaitset", scales=(1, 2, 4))
    assert full.output_shape == (None, 14, 5) and full.output.dtype == "float32"
    alone = tiny("gaitset", global_pipeline=False)
    assert alone.output_shape == (None, 7, 5)
    assert not any(layer.name.startswith("global") for layer in alone.layers)
    assert tiny("gaitset", pyramid=False).output_shape == (None, 2, 5)
    assert tiny("gaitset", shared=True).get_layer("embedding").kernel.shape == (1, 8, 5)
    mean = tiny("gaitset", pooling="mean")
    assert {layer.mode for layer in mean.layers if isinstance(layer, SetPooling)} == {"mean"}


def test_the_global_branch_starts_as_a_copy_with_weights_of_its_own():
    model = tiny("gaitset")
    for i in range(3, 7):
        main, branch = model.get_layer(f"conv{i}").kernel, model.get_layer(f"global_conv{i}").kernel
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (main, branch)))
        assert main is not branch
    # independent of stage 3's weights in the main branch: its strips come second
    x = clip(1, 4)
    before = embed(model, x, [4])
    model.get_layer("global_conv6").kernel.assign(0 * model.get_layer("global_conv6").kernel)
    after = embed(model, x, [4])
    np.testing.assert_array_equal(after[:, :7], before[:, :7])
    assert np.abs(after[:, 7:] - before[:, 7:]).max() > 1e-4


def test_the_papers_parameters_by_part():
    model = registry.build("gaitset")
    assert model.output_shape == (None, 62, 256)
    sizes = {layer.name: layer.count_params() for layer in model.layers}
    assert sum(size for name, size in sizes.items() if name.startswith("conv")) == 286_496
    assert sum(size for name, size in sizes.items() if name.startswith("global_conv")) == 276_480
    assert sizes["embedding"] == 2_031_616


def test_gaitbase_with_and_without_its_classifier():
    model = tiny("gaitbase", num_classes=7)
    x = {"silhouettes": clip(3, 4), "length": np.array([4, 2, 1], "int32")}
    found = {key: keras.ops.convert_to_numpy(value) for key, value in model(x, training=False).items()}
    assert found["embedding"].shape == (3, 4, 5) and found["logits"].shape == (3, 4, 7)
    assert np.abs(found["logits"]).max() <= 1 + 1e-6
    plain = tiny("gaitbase")
    assert plain.output.name and plain.output_shape == (None, 4, 5)
    plain.set_weights(model.get_weights()[: len(plain.weights)])
    np.testing.assert_allclose(embed(plain, x["silhouettes"], x["length"]), found["embedding"], atol=1e-6)


def lite(model, folder):
    """An interpreter of `model`'s TFLite file, as a function of silhouettes or features, and lengths."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model.export(folder / "saved", verbose=False)
    content = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert()  # built-in operations only
    runner = Interpreter(model_content=content).get_signature_runner("serving_default")
    names = {len(detail["shape_signature"]): name for name, detail in runner.get_input_details().items()}
    return lambda x, length: runner(**{names[5]: x, names[1]: length})


def test_one_tflite_file_for_any_number_of_clips_and_frames(tmp_path):
    model = tiny("gaitset")
    run = lite(model, tmp_path)
    for clips in (1, 3):
        for frames in (1, 7, 30):
            x = clip(clips, frames)
            length = np.maximum(frames - 2 * np.arange(clips), 1).astype("int32")
            (found,) = run(x, length).values()
            np.testing.assert_allclose(found, embed(model, x, length), atol=1e-5)


def test_every_mode_is_a_tflite_file(tmp_path):
    keras.utils.set_random_seed(0)
    features, length = keras.Input((None, 4, 3, 5)), keras.Input((), dtype="int32")
    model = keras.Model([features, length], {mode: SetPooling(mode, name=mode)([features, length]) for mode in MODES})
    run = lite(model, tmp_path)
    for clips, frames in ((1, 1), (3, 6), (2, 30)):
        x = np.random.default_rng(6).normal(size=(clips, frames, 4, 3, 5)).astype("float32") - 2
        counts = np.maximum(frames - np.arange(clips), 1).astype("int32")
        found = run(x, counts)
        for mode, value in model([x, counts]).items():
            np.testing.assert_allclose(found[mode], keras.ops.convert_to_numpy(value), atol=1e-5, err_msg=mode)

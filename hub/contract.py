"""The promises that every registered name keeps: one small function each; `hub check NAME` runs them.

An entry that cannot keep a promise says so beside its registration, `skip={"lite": "reason"}`; the test suite expects
exactly those failures, so an exception that was mended fails the build until it is removed.
"""

import inspect
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hub import registry
from hub.registry import Entry

Promise = Callable[[Entry], None]
EXAMPLES = 2  # that a small model is fed
HEADS = ("logits", "embedding")  # layers that stay float32 under mixed precision


def check(name: str) -> Iterator[tuple[str, str | None]]:
    """Yield (promise, None or what broke it) for the entry called `name`."""
    entry = registry.info(name)
    for promise in promises(entry):
        try:
            promise(entry)
        except Exception as error:
            yield promise.__name__, f"{type(error).__name__}: {error}".strip()
        else:
            yield promise.__name__, None


def promises(entry: Entry) -> tuple[Promise, ...]:
    """The checks that apply to `entry`; a family's costly ones run on its first row only."""
    costly = COSTLY.get(entry.room, ()) if entry.order == _first_row(entry) else ()
    return (*CHEAP, *PER_ROOM.get(entry.room, ()), *costly)


def _first_row(entry: Entry) -> int:
    return min(e.order for e in registry.index().values() if (e.module, e.symbol) == (entry.module, entry.symbol))


# Every room


def documented(entry: Entry) -> None:
    """The file says what it is, which paper it follows, its idea, where it differs, how it was checked."""
    missing = [label for label in registry.LABELS if not getattr(entry, label.lower())]
    assert entry.title and not missing, f"{entry.module} lacks {', '.join(missing) or 'a title'} in its docstring"


def named(entry: Entry) -> None:
    """Lower snake case."""
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", entry.name), f"{entry.name!r} is not lower snake case"


def small(entry: Entry) -> None:
    """One paper fits on 200 lines, or the entry says why not."""
    lines = inspect.getsource(registry.module(entry)).count("\n")
    said = any(row.long for row in registry.index().values() if row.module == entry.module)
    assert lines <= 200 or said, f"{entry.module} has {lines} lines and gives no reason (`long=`)"


# Models


def counted(entry: Entry) -> None:
    """The published parameters are there and the published multiply-adds are spent."""
    import numpy as np

    model = registry.build(entry.name)
    if entry.params:
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == entry.params
    if entry.gmacs:
        np.testing.assert_allclose(multiply_adds(model) / 1e9, entry.gmacs, rtol=0.005)


def multiply_adds(model: Any) -> int:
    """Multiply-adds of one example's forward pass through convolutions and dense layers (biases not counted)."""
    import math

    import keras

    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += multiply_adds(layer)
        elif len(kernels := [w for w in layer.weights if "kernel" in w.name]):
            upwards = "Transpose" in type(layer).__name__  # there every input position spreads over a kernel
            positions = math.prod(keras.tree.flatten(layer.input if upwards else layer.output)[0].shape[1:-1])
            for kernel in kernels:
                shared = not type(layer).__name__.startswith("LocallyConnected")  # there every position has its own
                total += math.prod(kernel.shape) * (positions if shared else 1)
    return total


def trained(entry: Entry) -> None:
    """One step of `fit` moves every trainable weight and leaves all of them finite."""
    import keras
    import numpy as np

    model, images = tiny(entry)
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    rng = np.random.default_rng(1)
    targets = keras.tree.map_structure(
        lambda output: rng.normal(size=(EXAMPLES, *output.shape[1:])).astype("float32"), model.output
    )
    model.compile(keras.optimizers.SGD(0.1), keras.tree.map_structure(lambda output: "mse", model.output))
    model.fit(images, targets, batch_size=EXAMPLES, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        now = keras.ops.convert_to_numpy(weight)
        assert np.isfinite(now).all(), f"{weight.path} is not finite"
        assert (now != old).any(), f"{weight.path} got no gradient"


def dynamic(entry: Entry) -> None:
    """The batch is free, and no example sees its neighbour."""
    import keras

    model, images = tiny(entry)
    for tensor in model.inputs:
        assert tensor.shape[0] is None, f"the batch axis is fixed at {tensor.shape[0]}"
    first = keras.tree.map_structure(lambda x: x[:1], images)
    both, alone = (keras.tree.flatten(model.predict(each, verbose=0)) for each in (images, first))
    for a, b in zip(both, alone, strict=True):
        same(a[:1], b)


def headless(entry: Entry) -> None:
    """`num_classes=0` returns features that train, not logits."""
    model, images = tiny(entry, num_classes=0)
    features = model.predict(images, verbose=0)
    assert features.ndim == 4, f"features have shape {features.shape}, expected [batch, height, width, channels]"
    assert "logits" not in {layer.name for layer in model.layers}


def viewed(entry: Entry) -> None:
    """`features_only` gives stage 1 to n, `pooling` the last map's mean; any number of channels goes in."""
    import numpy as np

    import hub

    size = {key: value for key, value in _size(entry).items() if key != "num_classes"}
    size["input_shape"] = (*size["input_shape"][:2], 5)
    stages = hub.load(entry.name, **size, features_only=True)
    maps = stages(np.random.default_rng(0).normal(size=(2, *size["input_shape"])).astype("float32"), training=False)
    strides = hub.strides(stages)
    assert list(maps) == list(strides) == [f"stage{i}" for i in range(1, len(maps) + 1)]
    assert all(map_.ndim == 4 for map_ in maps.values()) and sorted(strides.values()) == list(strides.values())
    pooled = hub.load(entry.name, **size, pooling="avg")
    assert pooled.output_shape == (None, pooled.layers[-2].output.shape[-1])


def saved(entry: Entry) -> None:
    """A `.keras` file restores the same function without custom objects."""
    import keras

    import hub

    model, images = tiny(entry)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "m.keras"))
        again = hub.load(str(Path(folder, "m.keras")))
    for a, b in zip(*(keras.tree.flatten(each.predict(images, verbose=0)) for each in (model, again)), strict=True):
        same(a, b)


def exported(entry: Entry) -> None:
    """SavedModel and TFLite files compute the same function in their own runtimes."""
    import keras
    import numpy as np

    from hub.export import export

    if keras.backend.backend() != "tensorflow":
        return
    model, images = tiny(entry)
    with tempfile.TemporaryDirectory() as folder:
        golden = keras.tree.map_structure(
            lambda x: np.clip(x * 64 + 128, 0, 255).astype("float32") if x.dtype == "float32" else x, images
        )
        facts = export(model, Path(folder, "1"), golden=golden, formats=("saved_model", "float32"), image_bytes=False)
    assert {"saved_model", "float32"} <= set(facts["formats"])


def mixed(entry: Entry) -> None:
    """Under `mixed_bfloat16` the body computes in 16 bits, logits and embeddings stay float32 and finite."""
    import keras
    import numpy as np

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, images = tiny(entry)
        bodies = {layer.compute_dtype for layer in model.layers if layer.weights and layer.name not in HEADS}
        outputs = keras.tree.flatten(model(images))
        assert bodies == {"bfloat16"}, f"the body computes in {bodies}"
        for output in outputs:
            assert keras.backend.standardize_dtype(output.dtype) == "float32"
            assert np.isfinite(keras.ops.convert_to_numpy(output)).all()
    finally:
        keras.config.set_dtype_policy(policy)


def seeded(entry: Entry) -> None:
    """The same seed gives the same weights, another seed others."""
    import numpy as np

    first, again, other = (tiny(entry, seed=seed)[0].get_weights() for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((np.asarray(a) != b).any() for a, b in zip(first, other, strict=True))


# Layers, losses, metrics: a module's `contract_example(make)` says how to build one and what to feed it


def shaped(entry: Entry) -> None:
    """The symbolic shape is the eager one."""
    import keras

    layer, inputs = example(entry)
    eager = layer(inputs)
    symbolic = layer(keras.tree.map_structure(lambda x: keras.KerasTensor((None, *x.shape[1:]), str(x.dtype)), inputs))
    flat = keras.tree.flatten
    assert [tuple(t.shape[1:]) for t in flat(symbolic)] == [tuple(t.shape[1:]) for t in flat(eager)]


def configured(entry: Entry) -> None:
    """`from_config(get_config())` builds an equal object; every constructor argument is in the configuration."""
    thing = example(entry)[0]
    config = thing.get_config()
    given = [
        p.name
        for p in inspect.signature(type(thing).__init__).parameters.values()
        if p.name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    assert not (lost := [name for name in given if name not in config]), f"get_config lacks {lost}"
    assert type(thing).from_config(config).get_config() == config


def layer_trained(entry: Entry) -> None:
    """Every trainable weight of the layer gets a gradient; outputs and weights stay finite."""
    import keras
    import numpy as np

    layer, inputs = example(entry)
    symbols = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], dtype=str(x.dtype)), inputs)
    outputs = [keras.layers.Flatten()(keras.ops.cast(t, "float32")) for t in keras.tree.flatten(layer(symbols))]
    wide = keras.layers.Concatenate()(outputs) if len(outputs) > 1 else outputs[0]
    model = keras.Model(symbols, wide)
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    if not before:
        return
    model.compile(keras.optimizers.SGD(0.1), "mse")
    count = len(keras.tree.flatten(inputs)[0])
    model.fit(inputs, np.random.default_rng(1).normal(size=(count, *wide.shape[1:])), verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        now = keras.ops.convert_to_numpy(weight)
        assert np.isfinite(now).all() and (now != old).any(), f"{weight.path} did not train"


def layer_saved(entry: Entry) -> None:
    """A `.keras` file with the layer restores the same function without custom objects."""
    import keras
    import numpy as np

    import hub

    layer, inputs = example(entry)
    symbols = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], dtype=str(x.dtype)), inputs)
    model = keras.Model(symbols, layer(symbols))
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "m.keras"))
        again = hub.load(str(Path(folder, "m.keras")))
    flat = keras.tree.flatten
    for a, b in zip(flat(model(inputs)), flat(again(inputs)), strict=True):
        same(*(keras.ops.convert_to_numpy(t).astype(np.float64) for t in (a, b)))


def reduced(entry: Entry) -> None:
    """One value per example; the reduction and `sample_weight` are Keras's."""
    import numpy as np

    loss, (target, _good, bad) = example(entry)
    each = type(loss).from_config({**loss.get_config(), "reduction": "none"})(target, bad)
    assert tuple(each.shape) == (len(target),), f"one value per example expected, got shape {tuple(each.shape)}"
    same(float(loss(target, bad)), np.mean(np.asarray(each)))
    same(float(loss(target, bad, sample_weight=np.zeros(len(target), "float32"))), 0.0)


def finite(entry: Entry) -> None:
    """Extreme predictions keep loss and gradient finite."""
    import keras
    import numpy as np

    loss, (target, _good, bad) = example(entry)
    for scale in (0.0, 1e-30, 1e4):
        logits = keras.Variable(np.asarray(bad) * scale)
        assert np.isfinite(float(loss(target, logits))), f"not finite at {scale} times the example"
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                value = loss(target, logits.value)
            assert np.isfinite(np.asarray(tape.gradient(value, logits.value))).all(), f"gradient at {scale}"


def ordered(entry: Entry) -> None:
    """A perfect answer costs less than a wrong one, and nothing below zero."""
    loss, (target, good, bad) = example(entry)
    assert 0 <= float(loss(target, good)) < float(loss(target, bad))


def split(entry: Entry) -> None:
    """Two half updates equal one whole; `reset_state` forgets."""
    metric, (target, good, bad) = example(entry)
    half = len(target) // 2
    metric.update_state(target, bad)
    whole = float(metric.result())
    metric.reset_state()
    metric.update_state(target[:half], bad[:half])
    metric.update_state(target[half:], bad[half:])
    same(whole, float(metric.result()))
    metric.reset_state()
    metric.update_state(target, good)
    alone = float(metric.result())
    assert alone >= whole, f"a perfect answer scores {alone}, a wrong one {whole}"


def bounded(entry: Entry) -> None:
    """The value lies in 0..1, for right and for wrong answers."""
    metric, (target, good, bad) = example(entry)
    for prediction in (good, bad):
        metric.reset_state()
        metric.update_state(target, prediction)
        assert 0 <= float(metric.result()) <= 1


# Explain, evaluation, data


def aligned(entry: Entry) -> None:
    """Maps have the image's height and width, are finite, and change with class and weights."""
    import keras
    import numpy as np

    def maps(seed: int, kind: int) -> Any:
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((24, 20, 3))
        x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, activation="relu")(x))
        model = keras.Model(inputs, keras.layers.Dense(3)(x))
        images = np.random.default_rng(0).normal(size=(4, 24, 20, 3)).astype("float32")
        return np.asarray(registry.build(entry.name)(model, images, lambda outputs: outputs[:, kind]))

    first = maps(0, 0)
    assert first.shape == (4, 24, 20) and np.isfinite(first).all()
    assert np.abs(first - maps(0, 1)).max() > 1e-3, "another class, the same map"
    assert np.abs(first - maps(1, 0)).max() > 1e-3, "other weights, the same map"


def known(entry: Entry) -> None:
    """The module's `contract_example(make)` asserts a case with a known answer."""
    registry.module(entry).contract_example(registry.factory(entry))


def example(entry: Entry) -> Any:
    """(layer, inputs), (loss, (target, good, bad)) or (metric, (target, good, bad)), as `contract_example(make)` says.

    A layer without one is built with its defaults and fed a feature map.
    """
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    make = registry.factory(entry)
    own = getattr(registry.module(entry), "contract_example", None)
    if own:
        return own(make)
    assert entry.room == "layers", f"{entry.module} defines no contract_example"
    return make(), np.random.default_rng(0).normal(size=(2, 9, 8, 6)).astype("float32")


def tiny(entry: Entry, seed: int = 0, **overrides: Any) -> tuple[Any, Any]:
    """A freshly seeded small model of `entry` and two images for it, or what its `contract_inputs(model)` gives."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(seed)
    model = registry.build(entry.name, **{**_size(entry), **overrides})
    own = getattr(registry.module(entry), "contract_inputs", None)
    if own:
        return model, own(model)
    return model, np.random.default_rng(0).normal(size=(EXAMPLES, *model.input_shape[1:])).astype("float32")


def _size(entry: Entry) -> dict[str, Any]:
    """The arguments of a small model of `entry`."""
    return getattr(registry.module(entry), "CONTRACT_SIZE", {"input_shape": (64, 64, 3), "num_classes": 10})


def same(a: Any, b: Any) -> None:
    import numpy as np

    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-3, atol=1e-4)


CHEAP: tuple[Promise, ...] = (documented, named, small)
PER_ROOM: dict[str, tuple[Promise, ...]] = {
    "models": (counted,),
    "layers": (shaped, configured, layer_trained, layer_saved),
    "losses": (reduced, finite, ordered, configured),
    "metrics": (split, bounded, configured),
    "explain": (aligned,),
    "evaluation": (known,),
    "data": (known,),
}
COSTLY: dict[str, tuple[Promise, ...]] = {
    "models": (trained, dynamic, headless, viewed, saved, exported, mixed, seeded),
}

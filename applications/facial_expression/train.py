"""Training: a network on pixels, or LTNet on what annotators say; one of landmarks; a perceptron on features."""

import dataclasses
import pathlib
from typing import Any

from applications import training
from applications.facial_expression import model as models
from applications.facial_expression.augment import augment
from applications.facial_expression.config import Config
from applications.facial_expression.cropped import Cropped
from applications.schedules import warm_cosine

PERCEPTRON_EPOCHS, PERCEPTRON_RATE = 200, 5e-3
LANDMARK_RATE = 5e-3  # peak of the landmark network's schedule
HELD = 0.1  # of the annotated faces, whose labels choose the epoch


def pixels(
    config: Config,
    data: Cropped,
    validation: Cropped,
    folder: pathlib.Path,
    labels: Any = None,
    resume: bool = False,
    verbose: Any = "auto",
) -> tuple[Any, dict[str, list[float]], Any]:
    """Train the network on crops in the work folder `folder`.

    Args:
        labels: int [N, A], what A annotators say of the training faces, -1 where one says nothing; default the data's
            own labels.

    Returns:
        The network, crops to logits; the history; the annotators' matrices [A, 7, 7], or None.
    """
    import keras
    import numpy as np

    keras.utils.set_random_seed(config.seed)
    network = models.pixels(config)
    if labels is None:
        return network, _fit(network, config, data, data.label, validation, folder, resume, verbose), None
    from hub.training.ltnet import LatentTruthNet, MaskedNLL
    from hub.training.noisy_labels import transitions_from

    said = np.flatnonzero((labels >= 0).any(axis=1))
    held = np.random.default_rng(config.seed).random(len(said)) < HELD
    data, labels, heard = data.take(said[~held]), labels[said[~held]], (data.take(said[held]), labels[said[held]])
    row, annotator = np.nonzero(labels >= 0)
    first = _fit(
        network, config, data.take(row), labels[row, annotator], validation, folder / "mixture", resume, verbose
    )
    start = transitions_from(network.predict(_images(data), verbose=0), labels)
    keras.utils.set_random_seed(config.seed)
    network = models.pixels(config)
    judged = LatentTruthNet(network, labels.shape[1], start)
    judged.compile(keras.optimizers.Adam(_rate(config, len(data))), MaskedNLL())
    history = training.fit(
        judged,
        lambda epoch: batches(data, labels, config, epoch),
        _steps(data, config),
        (_images(heard[0]), heard[1]),  # the likelihood of labels chooses the epoch: no truth is needed
        config,
        folder,
        resume=resume,
        verbose=verbose,
    )
    return network, {**{f"mixture_{name}": values for name, values in first.items()}, **history}, judged.transitions


def landmarks(
    config: Config,
    data: Cropped,
    validation: Cropped,
    folder: pathlib.Path,
    resume: bool = False,
    verbose: Any = "auto",
) -> tuple[Any, dict[str, list[float]]]:
    """Train the network of 68 landmarks on the faces that have them."""
    import keras

    config = dataclasses.replace(config, epochs=config.landmark_epochs, learning_rate=LANDMARK_RATE)
    keras.utils.set_random_seed(config.seed)
    data, validation = data.take(data.placed), validation.take(validation.placed)
    network = models.landmarks(config)
    network.compile(keras.optimizers.Adam(_rate(config, len(data))), "mae", jit_compile=config.jit)
    history = training.fit(
        network,
        lambda epoch: batches(data, None, config, epoch),
        _steps(data, config),
        (_images(validation), validation.landmarks.reshape(len(validation), -1)),
        config,
        folder,
        resume=resume,
        verbose=verbose,
    )
    return network, history


def perceptron(features: Any, labels: Any, held: tuple[Any, Any], seed: int) -> Any:
    """Khan's network on features [N, 25], the weights of the epoch that does best on `held`."""
    import keras

    from hub import registry

    keras.utils.set_random_seed(seed)
    network = registry.build("fer_landmark_mlp", input_shape=(features.shape[1],), num_classes=models.CLASSES)
    network.get_layer("standardise").adapt(features)
    network.compile(
        keras.optimizers.Adam(PERCEPTRON_RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    stop = keras.callbacks.EarlyStopping(patience=25, restore_best_weights=True)
    network.fit(
        features,
        labels,
        batch_size=64,
        epochs=PERCEPTRON_EPOCHS,
        validation_data=held,
        callbacks=[stop],
        verbose=0,
    )
    return network


def batches(data: Cropped, labels: Any, config: Config, first: int) -> Any:
    """Endless augmented batches from epoch `first` on: crops with `labels`, or with their landmarks where None."""
    import numpy as np
    import tensorflow as tf

    steps = _steps(data, config)
    crops, points = data.crops, np.nan_to_num(data.landmarks).astype(np.float32)

    def draw(number: Any) -> tuple[Any, Any, Any]:
        epoch, step = divmod(int(number), steps)
        order = np.random.default_rng([config.seed, epoch]).permutation(len(data))
        rows = np.resize(order, steps * config.batch_size)[step * config.batch_size : (step + 1) * config.batch_size]
        target = points[rows] if labels is None else labels[rows]
        return crops[rows][..., None], points[rows], target

    def batch(number: Any) -> tuple[Any, Any]:
        kind = tf.float32 if labels is None else tf.as_dtype(labels.dtype)
        images, places, target = tf.numpy_function(draw, [number], (tf.uint8, tf.float32, kind), stateful=False)
        images = tf.ensure_shape(images, (config.batch_size, *crops.shape[1:], 1))
        places = tf.ensure_shape(places, (config.batch_size, *points.shape[1:]))
        seed = tf.stack([tf.constant(config.seed, tf.int64), number])
        shown, moved = augment(tf.cast(images, tf.float32), places, seed)
        if labels is None:
            return shown, tf.reshape(moved, (config.batch_size, -1))
        return shown, tf.ensure_shape(target, (config.batch_size, *labels.shape[1:]))

    numbers = tf.data.Dataset.counter(start=first * steps)
    return numbers.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def _fit(
    network: Any,
    config: Config,
    data: Cropped,
    labels: Any,
    validation: Cropped,
    folder: pathlib.Path,
    resume: bool,
    verbose: Any,
) -> dict[str, list[float]]:
    import keras

    network.compile(
        keras.optimizers.Adam(_rate(config, len(data))),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=config.jit,
    )
    return training.fit(
        network,
        lambda epoch: batches(data, labels, config, epoch),
        _steps(data, config),
        (_images(validation), validation.label),
        config,
        folder,
        resume=resume,
        verbose=verbose,
    )


def _images(data: Cropped) -> Any:
    return data.crops[..., None].astype("float32")


def _steps(data: Cropped, config: Config) -> int:
    return max(1, len(data) // config.batch_size)


def _rate(config: Config, faces: int) -> Any:
    return warm_cosine(config.learning_rate, max(1, faces // config.batch_size) * config.epochs)

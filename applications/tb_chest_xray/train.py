"""Training, twice: the lungs, then what is inside them. AdamW under a warmed-up cosine, the best epoch kept."""

import dataclasses
import pathlib
from typing import Any

from applications import training
from applications.tb_chest_xray import model as models
from applications.tb_chest_xray.augment import augment
from applications.tb_chest_xray.config import Config

PREDICT = 64  # films per prediction step


def segmentation(
    config: Config, train: Any, validation: Any, folder: pathlib.Path, resume: bool = False, verbose: Any = "auto"
) -> Any:
    """A U-Net that maps films to lung logits, trained on those films that have a mask.

    Args:
        train, validation: `hub.data.chest_films.Films`.
        folder: work folder of this training.

    Raises:
        ValueError: no film has a mask.
    """
    import keras

    from hub.losses.dice import BinaryCrossentropyDice
    from hub.metrics.overlap import DiceScore

    train, validation = (films.take(films.has_mask.nonzero()[0]) for films in (train, validation))
    if not len(train) or not len(validation):
        raise ValueError(
            "Lungs are learnt from masks, and training or validation has none: add ManualMask/ (Montgomery), mask/ "
            "(Shenzhen) or masks/ (plain folders)."
        )
    keras.utils.set_random_seed(config.seed)
    network = models.segmenter(config.segmenter, config.size)
    config = dataclasses.replace(config, epochs=config.segmentation_epochs)
    steps = max(1, len(train) // config.batch_size)
    network.compile(
        optimizer(config, steps), BinaryCrossentropyDice(), metrics=[DiceScore(name="dice")], jit_compile=config.jit
    )
    held = (validation.images, validation.masks.astype("float32"))
    training.fit(
        network,
        lambda first: batches(train.images, train.masks, None, None, config, steps, first),
        steps,
        plain(held, config.batch_size),
        config,
        folder,
        resume=resume,
        verbose=verbose,
    )
    lungs = models.segmenter(config.segmenter, config.size)  # without the optimizer, which would be saved with it
    lungs.set_weights(network.get_weights())
    return lungs


def classification(
    config: Config,
    train: Any,
    validation: Any,
    lungs: Any,
    folder: pathlib.Path,
    resume: bool = False,
    verbose: Any = "auto",
) -> Any:
    """The reader (`model.reader`) of whole films, or with `lungs`, a trained segmenter, of what is inside the lungs."""
    import keras
    import numpy as np

    masker = lungs and models.masker(lungs)
    masks, held_masks = (
        masker.predict(films.images, batch_size=PREDICT, verbose=0) if masker else np.ones_like(films.images)
        for films in (train, validation)
    )
    keras.utils.set_random_seed(config.seed)
    core = models.reader(config.model, config.size, config.weights)
    network = models.classifier(core, bool(lungs))
    steps = max(1, len(train) // config.batch_size)
    network.compile(
        optimizer(config, steps),
        keras.losses.BinaryCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.AUC(from_logits=True, name="auc")],
        jit_compile=config.jit,
    )
    held = (validation.images, held_masks) if lungs else validation.images
    weights = class_weights(validation.label) if config.balance != "none" else np.ones(len(validation), "float32")
    training.fit(
        network,
        lambda first: batches(train.images, masks, train.label, bool(lungs), config, steps, first),
        steps,
        plain((held, validation.label[:, None].astype("float32"), weights), config.batch_size),
        config,
        folder,
        resume=resume,
        verbose=verbose,
    )
    return core


def check(config: Config) -> None:
    """Build both networks once, so that what cannot be built says so before any epoch is spent."""
    models.segmenter(config.segmenter, config.size)
    if config.experiment != "segmentation":
        models.reader(config.model, config.size, config.weights)


def optimizer(config: Config, steps: int) -> Any:
    """AdamW; its rate warms up over a twentieth of the run and falls as a cosine to a hundredth of the peak."""
    import keras

    total = steps * config.epochs
    warm = max(1, total // 20)
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 20,
        max(1, total - warm),
        alpha=0.01,
        warmup_target=config.learning_rate,
        warmup_steps=warm,
    )
    return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)


def class_weights(label: Any) -> Any:
    """Weight of each film, [N] float32: both classes weigh the same in sum, films 1 on average."""
    import numpy as np

    counts = np.maximum(np.bincount(label, minlength=2), 1)
    return (len(label) / (2 * counts))[label].astype("float32")


def batches(
    images: Any, masks: Any, label: Any, segmented: bool | None, config: Config, steps: int, first_epoch: int
) -> Any:
    """Endless augmented batches from `first_epoch` on; epoch `e` depends on the seed and `e` alone.

    Without `label`: (film, mask) pairs for the segmenter. With it: (film or (film, mask), label, weight).
    """
    import numpy as np
    import tensorflow as tf

    count, size = len(images), min(config.batch_size, len(images))
    images, masks = tf.constant(images), tf.constant(masks)
    balance = config.balance if label is not None else "none"
    weight = tf.constant(class_weights(label) if balance == "weights" else np.ones(count, "float32"))
    truth = tf.constant(np.zeros(count) if label is None else label, tf.float32)[:, None]
    chance = tf.math.log(class_weights(label))[None] if balance == "oversample" else None

    def order(epoch: Any) -> Any:
        seed = tf.stack([config.seed, epoch])
        if chance is not None:
            return tf.random.stateless_categorical(chance, count, seed, tf.int32)[0]
        return tf.random.experimental.stateless_shuffle(tf.range(count), seed=seed)

    def epoch_rows(epoch: Any) -> Any:
        rows = tf.reshape(order(epoch)[: steps * size], [steps, size])
        return tf.data.Dataset.from_tensor_slices((rows, tf.range(steps) + epoch * steps))

    def example(rows: Any, step: Any) -> tuple:
        film, mask = augment(tf.gather(images, rows), tf.gather(masks, rows), tf.stack([config.seed + 1, step]))
        if label is None:
            return film, tf.round(mask)
        return (film, mask) if segmented else film, tf.gather(truth, rows), tf.gather(weight, rows)

    epochs = tf.data.Dataset.range(first_epoch, config.epochs, output_type=tf.int32)
    return epochs.flat_map(epoch_rows).map(example, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def plain(arrays: tuple, batch_size: int) -> Any:
    """Batches of the films as they are."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size).prefetch(tf.data.AUTOTUNE)

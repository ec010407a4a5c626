"""Training: AdamW under a warmed-up cosine, random 54x54 views and colour jitter, the best epoch kept."""

import pathlib
from typing import Any

from applications import training
from applications.schedules import warm_cosine
from applications.street_number import model as models
from applications.street_number.config import CROP, VIEW, Config
from applications.street_number.dataset import Split


def train(
    config: Config, data: Split, validation: Split, folder: pathlib.Path, resume: bool = False, verbose: Any = "auto"
) -> tuple[Any, dict[str, list[float]]]:
    """Train the network of `config` in the work folder `folder`.

    Returns:
        The trained model on 64x64 crops, logits out, and the history.
    """
    import keras

    from hub.losses.multi_digit import MultiDigitLoss
    from hub.metrics.sequence_accuracy import SequenceAccuracy

    keras.utils.set_random_seed(config.seed)  # here, for reading the data may draw from the same generators
    network = models.build(config.model)
    steps = max(1, len(data.images) // config.batch_size)
    network.compile(
        optimizer=keras.optimizers.AdamW(
            warm_cosine(config.learning_rate, steps * config.epochs), weight_decay=config.weight_decay, beta_2=0.99
        ),
        loss=MultiDigitLoss(),
        metrics=[SequenceAccuracy(name="sequence_accuracy")],
        jit_compile=config.jit,
    )
    history = training.fit(
        network,
        lambda first: views(data, config, steps, first),
        steps,
        centres(validation, config.batch_size),
        config,
        folder,
        resume=resume,
        verbose=verbose,
    )
    whole = models.build(config.model, crop=True)
    whole.set_weights(network.get_weights())
    return whole, history


def views(data: Split, config: Config, steps: int, first_epoch: int) -> Any:
    """Endless batches of jittered random views, from `first_epoch` on; epoch `e` depends on the seed and `e` alone."""
    import tensorflow as tf

    images, targets = tf.constant(data.images), tf.constant(data.targets)
    count = len(data.images)

    def batches(epoch: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=[config.seed, epoch])
        rows = (
            tf.reshape(order[: steps * config.batch_size], [steps, config.batch_size])
            if count >= config.batch_size
            else order[None]
        )
        return tf.data.Dataset.from_tensor_slices((rows, tf.range(steps) + tf.cast(epoch, tf.int32) * steps))

    def view(rows: Any, step: Any) -> tuple[Any, Any]:
        seed = tf.stack([config.seed + 1, step])
        return jitter(random_views(tf.gather(images, rows), seed), seed), tf.gather(targets, rows)

    epochs = tf.data.Dataset.range(first_epoch, config.epochs, output_type=tf.int32)
    return epochs.flat_map(batches).map(view, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def random_views(crops: Any, seed: Any) -> Any:
    """A random 54x54 window of each crop (paper, appendix A): `[B, 64, 64, 3]` to `[B, 54, 54, 3]`."""
    import tensorflow as tf

    count = tf.shape(crops)[0]
    corner = tf.random.stateless_uniform([count, 2], seed, 0, CROP - VIEW + 1, tf.int32)
    span = tf.range(VIEW)
    rows = corner[:, :1] + span
    columns = corner[:, 1:] + span
    crops = tf.gather(crops, rows, axis=1, batch_dims=1)
    return tf.gather(crops, columns, axis=2, batch_dims=1)


def jitter(images: Any, seed: Any) -> Any:
    """Random brightness, contrast and negatives: house numbers come in either polarity. 0..255, float32."""
    import tensorflow as tf

    count = tf.shape(images)[0]
    draw = tf.random.stateless_uniform([count, 3, 1, 1, 1], seed + 7)
    images = tf.cast(images, tf.float32)
    images = tf.where(draw[:, 0] < 0.25, 255.0 - images, images)
    images = (images - 128.0) * (0.7 + 0.6 * draw[:, 1]) + 128.0 + 60.0 * (draw[:, 2] - 0.5)
    return tf.clip_by_value(images, 0.0, 255.0)


def centres(data: Split, batch_size: int) -> Any:
    """Batches of centre views with their targets."""
    import tensorflow as tf

    margin = (CROP - VIEW) // 2
    middle = data.images[:, margin : margin + VIEW, margin : margin + VIEW]
    return tf.data.Dataset.from_tensor_slices((middle, data.targets)).batch(batch_size).prefetch(tf.data.AUTOTUNE)

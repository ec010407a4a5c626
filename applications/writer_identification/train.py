"""Training: patches of many writers, all pairs of a batch, Adam under a warmed-up cosine, the best stretch kept."""

import pathlib
from typing import Any

from applications import training
from applications.metric_learning import missed
from applications.schedules import warm_cosine
from applications.writer_identification import model as models
from applications.writer_identification.augment import other_pen
from applications.writer_identification.config import Config
from applications.writer_identification.written import Written

VALIDATION_BATCHES = 12
MARGIN = 1.0  # of the contrastive and triplet losses


def train(
    config: Config,
    data: Written,
    validation: Written,
    folder: pathlib.Path,
    resume: bool = False,
    verbose: Any = "auto",
) -> tuple[Any, dict[str, list[float]]]:
    """Train the patch network of `config` in the work folder `folder`.

    Returns:
        The encoder, patches [N, 32, 32, 1] in 0..1 to embeddings, and the history.

    Raises:
        ValueError: fewer writers than a batch needs.
    """
    import keras
    import numpy as np

    keras.utils.set_random_seed(config.seed)
    people = len(np.unique(data.writer))
    if people < config.writers:
        raise ValueError(f"A batch takes {config.writers} writers, {people} are there to train; lower --writers.")
    network = models.build(config, people)
    classifies = config.loss == "softmax"
    network.compile(
        optimizer=keras.optimizers.Adam(warm_cosine(config.learning_rate, config.steps * config.epochs)),
        loss={"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
        if classifies
        else {"embedding": loss_of(config)},
        metrics={"embedding": [missed]},
        jit_compile=config.jit,
    )
    held = batches(validation, config, config.seed + 1, 0, classifies).take(VALIDATION_BATCHES).cache()
    history = training.fit(
        network,
        lambda first: batches(data, config, config.seed, first * config.steps, classifies),
        config.steps,
        held,
        config,
        folder,
        monitor="val_embedding_missed" if classifies else "val_missed",
        resume=resume,
        verbose=verbose,
    )
    return models.encoder(network), history


def loss_of(config: Config) -> Any:
    """The loss on embeddings that the configuration names."""
    from hub.losses.contrastive import AllPairsContrastive
    from hub.losses.supervised_contrastive import SupervisedContrastiveLoss
    from hub.losses.triplet_hard import TripletHardLoss
    from hub.losses.triplet_semihard import TripletSemiHardLoss

    return {
        "supervised_contrastive": SupervisedContrastiveLoss,
        "contrastive": lambda: AllPairsContrastive(margin=MARGIN),
        "triplet_semihard": lambda: TripletSemiHardLoss(margin=MARGIN),
        "triplet_hard": lambda: TripletHardLoss(margin=MARGIN),
    }[config.loss]()


def batches(written: Written, config: Config, seed: int, first: int, classifies: bool = False) -> Any:
    """Endless batches from number `first` on: patches of words of writers, one patch of each word."""
    import numpy as np
    import tensorflow as tf

    from hub.data.set_batches import set_batches

    labels = np.unique(written.writer, return_inverse=True)[1]
    people = min(config.writers, int(labels.max()) + 1)
    found = set_batches(
        written.patches,
        written.starts,
        labels,
        people=people,
        clips=config.batch_size // config.writers,
        length=1,
        seed=seed,
        first=first,
    )

    def target(number: Any, batch: Any) -> tuple[Any, dict[str, Any]]:
        sets, owners = batch
        named = {"embedding": owners, "logits": owners} if classifies else {"embedding": owners}
        return other_pen(tf.squeeze(sets["silhouettes"], 1), tf.stack([tf.constant(seed, tf.int64), number])), named

    return tf.data.Dataset.zip(tf.data.Dataset.counter(start=first), found).map(target)

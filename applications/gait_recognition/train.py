"""Training: P x K batches of sets, batch-all triplets, Adam under a warmed-up cosine, the best stretch kept."""

import pathlib
from typing import Any

from applications import training
from applications.gait_recognition import model as models
from applications.gait_recognition.config import Config
from applications.gait_recognition.dataset import Walks
from applications.metric_learning import missed
from applications.schedules import warm_cosine

VALIDATION_BATCHES = 8
SCALE = 16.0  # of the cosines of a network that classifies while it trains (OpenGait's GaitBase)


def train(
    config: Config,
    data: Walks,
    validation: Walks,
    folder: pathlib.Path,
    resume: bool = False,
    verbose: Any = "auto",
    **ablated: Any,
) -> tuple[Any, dict[str, list[float]]]:
    """Train the network of `config` in the work folder `folder`; `ablated` changes its factory's arguments.

    Returns:
        The trained model on pixels 0..255, `embedding` out, and the history.
    """
    import keras
    import numpy as np

    from hub.losses.batch_all_triplet import BatchAllTriplet
    from hub.training.collapse_guard import CollapseGuard

    keras.utils.set_random_seed(config.seed)
    people = len(np.unique(data.subject))
    network = models.build(config, people, **ablated)
    classifies = "logits" in network.output
    loss = {"embedding": BatchAllTriplet(config.margin, config.mining)}
    network.compile(
        optimizer=keras.optimizers.Adam(warm_cosine(config.learning_rate, config.steps * config.epochs)),
        loss=loss | ({"logits": strip_entropy} if classifies else {}),
        metrics={"embedding": [missed]},
        jit_compile=config.jit,
    )
    held = batches(validation, config, config.seed + 1, 0, classifies).take(VALIDATION_BATCHES).cache()
    looked_at = next(iter(held.take(1).as_numpy_iterator()))[0]
    history = training.fit(
        network,
        lambda first: batches(data, config, config.seed, first * config.steps, classifies),
        config.steps,
        held,
        config,
        folder,
        monitor="val_embedding_missed" if classifies else "val_missed",
        resume=resume,
        callbacks=[CollapseGuard(looked_at, config.margin, monitor="embedding_loss" if classifies else "loss")],
        verbose=verbose,
    )
    whole = models.build(config, people, pixels=True, **ablated)
    whole.set_weights(network.get_weights())
    return models.embedder(whole), history


def batches(walks: Walks, config: Config, seed: int, first: int, classifies: bool) -> Any:
    """Endless P x K batches from number `first` on; of fewer people where there are fewer."""
    import numpy as np

    from hub.data.set_batches import set_batches

    labels = np.unique(walks.subject, return_inverse=True)[1]
    found = set_batches(
        walks.frames,
        walks.starts,
        labels,
        people=min(config.people, int(labels.max()) + 1),
        clips=config.batch_size // config.people,
        length=config.frames,
        seed=seed,
        first=first,
    )
    if classifies:
        return found.map(lambda sets, owners: (sets, {"embedding": owners, "logits": owners}))
    return found.map(lambda sets, owners: (sets, {"embedding": owners}))


def strip_entropy(y_true: Any, y_pred: Any) -> Any:
    """Cross-entropy of every strip's scaled cosines, its mean per walk: [N], [N, S, people] to [N]."""
    import keras
    from keras import ops

    labels = ops.broadcast_to(ops.reshape(y_true, (-1, 1)), ops.shape(y_pred)[:2])
    return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, SCALE * y_pred, from_logits=True), axis=-1)

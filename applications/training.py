"""What every application's training shares: flags, the device, an exact resume, `model.fit`.

A run trains in a work folder that survives a kill: after each epoch `state.npz` holds every variable of model and
optimizer (random generators included), the history and the epoch, written aside and renamed. The data of epoch `e`
depend on the seed and `e` alone, so a resumed run ends in the same weights as an uninterrupted one (on CPU).
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def option(default: Any, help: str, choices: tuple | None = None) -> Any:
    """A field of a configuration that becomes a flag."""
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class TrainConfig:
    """The flags that every application takes; an application overrides defaults and adds its own."""

    model: str = option("", "network to train: a name that `hub list --room models` prints")
    epochs: int = option(10, "passes over the training data")
    batch_size: int = option(64, "examples per step")
    learning_rate: float = option(1e-3, "peak of the schedule")
    precision: str = option("float32", "number format of the network's body", PRECISIONS)
    jit: bool = option(False, "compile the step with XLA")
    seed: int = option(0, "of weights, data order and augmentation")
    limit: int = option(0, "use only the first LIMIT training examples (0: all)")

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {name}={getattr(self, name)}.")
        if self.limit < 0 or self.seed < 0:
            raise ValueError(f"seed and limit must not be negative. Received: seed={self.seed}, limit={self.limit}.")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be positive. Received: learning_rate={self.learning_rate}.")


def start(config: TrainConfig) -> str:
    """Set the precision, let a GPU's memory grow, make a CPU's sums repeatable; returns the device's name.

    Call it before TensorFlow computes anything.
    """
    import keras
    import tensorflow as tf

    keras.config.set_dtype_policy(config.precision)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0])
    if not gpus:
        tf.config.experimental.enable_op_determinism()  # the same command twice gives the same numbers on CPU
        return f"CPU, {os.cpu_count()} cores"
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")


def fit(
    model: Any,
    batches: Callable[[int], Iterable],
    steps: int,
    validation: Any,
    config: TrainConfig,
    folder: pathlib.Path,
    *,
    monitor: str = "val_loss",
    resume: bool = False,
    callbacks: Sequence[Any] = (),
    verbose: int | str = "auto",
) -> dict[str, list[float]]:
    """Run `model.fit` so that it can be interrupted, killed and resumed; ends with the best epoch's weights.

    Args:
        model: compiled `keras.Model`.
        batches: maps the first epoch to an endless dataset that starts with that epoch's examples.
        steps: batches per epoch.
        validation: what `fit` takes as `validation_data`.
        config: the run's configuration, kept beside the state; a resumed run must have the same.
        folder: the work folder.
        monitor: the logged value, smaller is better, that chooses the best epoch.
        resume: go on where the run in `folder` stopped.
        callbacks: the application's own, before those that keep the run.

    Returns:
        The history, one list per logged value, epochs of the interrupted run included.
    """
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    model.optimizer.build(model.trainable_variables)
    state = State(model, folder, monitor)
    first = state.restore(config) if resume else state.begin(config)
    callbacks = [
        *callbacks,
        keras.callbacks.LambdaCallback(on_epoch_end=state.save),
        keras.callbacks.TerminateOnNaN(),
    ]
    if keras.backend.backend() == "tensorflow":
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
    if first < config.epochs:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result
            model.fit(
                batches(first),
                initial_epoch=first,
                epochs=config.epochs,
                steps_per_epoch=steps,
                validation_data=validation,
                callbacks=callbacks,
                shuffle=False,  # the data set draws its own order
                verbose=verbose,
            )
    if not all(map(math.isfinite, state.history["loss"])):
        raise ValueError(
            f"The loss is no longer a number after epoch {len(state.history['loss'])}; lower --learning-rate."
        )
    state.restore_best()
    return state.history


class State:
    """Everything a run needs to go on: variables, history, epoch."""

    def __init__(self, model: Any, folder: pathlib.Path, monitor: str) -> None:
        self.model = model
        self.folder = folder
        self.monitor = monitor
        self.history: dict[str, list[float]] = {}

    def begin(self, config: TrainConfig) -> int:
        write_json(self.folder / "config.json", dataclasses.asdict(config))
        return 0

    def restore(self, config: TrainConfig) -> int:
        """Load the last whole epoch; returns the number of epochs done."""
        import numpy as np

        if not (self.folder / "config.json").exists():  # killed before training began
            return self.begin(config)
        was = json.loads((self.folder / "config.json").read_text())
        now = json.loads(json.dumps(dataclasses.asdict(config)))
        other = [f"{key}={was.get(key)!r}" for key in now if was.get(key) != now[key]]
        if other:
            raise ValueError(f"The run in {self.folder} was started with {', '.join(other)}; resume it with the same.")
        path = self.folder / "state.npz"
        if not path.exists():  # killed before the first epoch was whole
            return 0
        with np.load(path, allow_pickle=False) as saved:
            for i, variable in enumerate(self._variables()):
                variable.assign(saved[f"v{i}"])
            self.history = json.loads(str(saved["history"]))
        return len(self.history[self.monitor])

    def save(self, epoch: int, logs: dict[str, float]) -> None:
        """Keep the epoch just ended; also as the best, if it is."""
        import numpy as np

        for key, value in logs.items():
            self.history.setdefault(key, []).append(float(value))
        seen = self.history[self.monitor]
        if seen[-1] <= min(seen):
            self._write("best.npz", {f"w{i}": w for i, w in enumerate(self.model.get_weights())})
        values = {f"v{i}": np.asarray(v) for i, v in enumerate(self._variables())}
        self._write("state.npz", {**values, "history": np.array(json.dumps(self.history))})
        write_json(self.folder / "history.json", self.history)

    def restore_best(self) -> None:
        import numpy as np

        with np.load(self.folder / "best.npz", allow_pickle=False) as saved:
            self.model.set_weights([saved[f"w{i}"] for i in range(len(self.model.weights))])

    def _variables(self) -> list:
        return [*self.model.variables, *self.model.optimizer.variables]

    def _write(self, name: str, arrays: dict) -> None:
        import numpy as np

        aside = self.folder / f".{name}"
        with open(aside, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.folder / name)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write `value` aside and rename it."""
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps(value, indent=1) + "\n")
    aside.replace(path)

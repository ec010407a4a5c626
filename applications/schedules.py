"""Learning rates over a run."""

from typing import Any


def warm_cosine(peak: float, steps: int) -> Any:
    """Over `steps`: linear warm-up to `peak` for one twentieth, then a cosine to a hundredth of it."""
    import keras

    warm = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        peak / 20, max(1, steps - warm), alpha=0.01, warmup_target=peak, warmup_steps=warm
    )

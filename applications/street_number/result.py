"""What an evaluation of the street-number reader found on one set of images."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Result:
    """Answers to N images, and the maps of K of them.

    Raises:
        ValueError: the parts do not belong to the same images.
    """

    name: str  # as the report prints it, with the word synthetic where the images are
    images: np.ndarray  # uint8 [N, H, W, 3]
    truth: list[str]  # the digits of each number, or ">5" where only more than five is known
    predicted: list[str]  # "" where no number was seen, ">5" where it was refused as too long
    confidence: np.ndarray  # [N], in 0..1
    metrics: dict[str, dict[str, float]]  # name -> value, low, high; shares in 0..1
    threshold: float  # answers of less confidence are withheld
    heat: np.ndarray  # [K, H, W] in 0..1, of images[heat_index]
    heat_index: np.ndarray  # int [K]

    def __post_init__(self) -> None:
        sizes = {len(part) for part in (self.images, self.truth, self.predicted, self.confidence)}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(f"{self.name}: images, truth, predicted, confidence must be as long. Received: {sizes}.")
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[-1] != 3:
            raise ValueError(
                f"{self.name}: images must be uint8 [N, H, W, 3]. Received: {self.images.dtype} {self.images.shape}."
            )
        if self.heat.shape != (len(self.heat_index), *self.images.shape[1:3]):
            raise ValueError(
                f"{self.name}: heat must be one map of the images' size per heat_index. "
                f"Received: {self.heat.shape} for {len(self.heat_index)} of {self.images.shape}."
            )

    @property
    def correct(self) -> np.ndarray:
        """bool [N]: every digit read, or rightly refused as longer than the limit."""
        pairs = zip(self.truth, self.predicted, strict=True)
        return np.array([p == t or (p.startswith(">") and len(t) > int(p[1:])) for t, p in pairs])

    @property
    def answered(self) -> np.ndarray:
        """bool [N]: confident enough to be given to a user."""
        return self.confidence >= self.threshold

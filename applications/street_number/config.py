"""Reading house numbers from street photographs, as one sequence.

Paper: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep CNNs",
    ICLR 2014, arXiv:1312.6082
Slug: multi_digit_recognition
Idea: one network predicts the length and every digit; the sequence with the highest joint probability is read.
Differs: the default network is a small residual one that trains in minutes; the paper's is `--model multi_digit`.
Checked: tests/test_street_number.py; figures in README.md of this folder.

Command: `hub run street_number` (synthetic sample) or `hub run street_number --data DIR` (SVHN, format 1).
"""

import dataclasses
from dataclasses import dataclass

from applications.training import TrainConfig, option
from hub import registry


@dataclass(frozen=True)
class Config(TrainConfig):
    """One run. SVHN's own protocol: 64x64 crops of the number's box grown by 30 %, 54x54 of it seen at a time."""

    model: str = option(
        "plain12_small", "`multi_digit` (the paper's network) or any image model of the hub as backbone"
    )
    epochs: int = option(12, "passes over the training data")
    batch_size: int = option(64, "images per step")
    learning_rate: float = option(3e-3, "peak of the schedule: warm-up, then cosine to zero")
    weight_decay: float = option(0.02, "of AdamW")
    sample_images: int = option(12_000, "training images of the synthetic sample; ignored with --data")

    def __post_init__(self) -> None:
        super().__post_init__()
        entry = registry.info(self.model)
        if entry.room != "models":
            raise ValueError(f"model must be an image model of the hub. Received: {entry.name!r}, of {entry.room}.")
        if self.sample_images < 100:
            raise ValueError(f"sample_images must be at least 100. Received: sample_images={self.sample_images}.")


MAX_LENGTH = 5
SYMBOLS = 10
CROP = 64  # side of a stored crop
VIEW = 54  # side of what the network sees
fields = dataclasses.fields(Config)

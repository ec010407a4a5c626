"""Recognising people by the way they walk, from silhouettes taken as a set.

Paper: Chao, He, Zhang and Feng, "GaitSet: Regarding Gait as a Set for Cross-View Gait Recognition", AAAI 2019,
  arXiv:1811.06186
Slug: gaitset
Idea: frames are embedded one by one and pooled as a set, strip by strip; a walk is found by its nearest neighbour among
  enrolled ones, whatever the camera's angle.
Differs: the default network is a quarter of the paper's width and trains in minutes on drawn walkers; the paper's is
  `--model gaitset --batch-size 128 --people 8 --frames 30 --learning-rate 1e-4`. A few people of the training half are
  kept out to choose the thresholds of the gallery; the paper trains on all (`--validation-people 0`).
Checked: tests/test_gait_recognition.py; the paper's claims in benchmarks/claims/gait_recognition.py; figures in
  README.md of this folder.

Command: `hub run gait_recognition` (drawn walkers) or `hub run gait_recognition --data DIR` (CASIA-B, OU-MVLP or the
CSV of a data set of your own).
"""

from dataclasses import dataclass

from applications.training import TrainConfig, option
from hub import registry

FAMILIES = ("hub.models.gaitset", "hub.models.gaitbase")  # networks that take sets of silhouettes
POOLINGS = ("max", "mean", "median", "joint_sum", "joint_conv", "attention")
FEWEST = 10  # frames of a walk that is enrolled or searched


@dataclass(frozen=True)
class Config(TrainConfig):
    """One run of the protocol of CASIA-B or OU-MVLP."""

    model: str = option("gaitset_small", "a network over sets: gaitset_small, gaitset, gaitset_oumvlp, gaitbase")
    pooling: str = option("max", "how the frames of a set are pooled (GaitSet)", POOLINGS)
    epochs: int = option(20, "stretches of --steps steps, after each of which the run can be resumed")
    steps: int = option(40, "batches of an epoch")
    batch_size: int = option(24, "walks per step (the paper: 128)")
    people: int = option(6, "people per step, with batch-size / people walks of each (the paper: 8)")
    frames: int = option(12, "frames drawn from each walk (the paper: 30)")
    learning_rate: float = option(1e-3, "peak of the schedule: warm-up, then cosine to a hundredth (the paper: 1e-4)")
    margin: float = option(0.2, "of the triplet loss")
    mining: str = option("all", "triplets: all of a batch, or the hardest per walk", ("all", "hard"))
    split: str = option("LT", "CASIA-B: train on the first 74, 62 or 24 people", ("LT", "MT", "ST"))
    validation_people: int = option(4, "people of the training half kept out, to choose the gallery's thresholds")
    far: float = option(0.01, "share of strangers that the gallery's thresholds may take for somebody")
    sample_people: int = option(40, "people of the drawn sample, three fifths for training; ignored with --data")
    sample_views: int = option(11, "camera angles of the drawn sample, at most 11; ignored with --data")

    def __post_init__(self) -> None:
        super().__post_init__()
        if registry.info(self.model).module not in FAMILIES:
            known = ", ".join(e.name for e in registry.list(room="models") if e.module in FAMILIES)
            raise ValueError(f"model must be a network over sets of silhouettes: {known}. Received: {self.model!r}.")
        if self.pooling != "max" and registry.info(self.model).module != FAMILIES[0]:
            raise ValueError(f"pooling belongs to GaitSet; {self.model} always takes the maximum.")
        for name, least in (("people", 2), ("steps", 1), ("frames", 1), ("sample_people", 10), ("sample_views", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}. Received: {name}={getattr(self, name)}.")
        if self.batch_size % self.people or self.batch_size < 2 * self.people:
            raise ValueError(
                "batch_size must be a multiple of people, two walks of each or more. "
                f"Received: batch_size={self.batch_size}, people={self.people}."
            )
        if self.sample_views > 11:
            raise ValueError(f"sample_views must be at most 11. Received: sample_views={self.sample_views}.")
        if self.validation_people == 1 or self.validation_people < 0:
            raise ValueError(f"validation_people must be 0, or 2 and more. Received: {self.validation_people}.")
        if not 0 < self.far < 1 or self.margin <= 0:
            raise ValueError(f"far must lie between 0 and 1, margin above 0. Received: {self.far}, {self.margin}.")

"""Facial expressions by landmarks and by networks, from photos, folders and videos.

Paper: Khan, "Facial Expression Recognition using Facial Landmark Detection and Feature Extraction via Neural
  Networks", 2018, arXiv:1812.04510; Zeng, Shan and Chen, "Facial Expression Recognition with Inconsistently Annotated
  Datasets", ECCV 2018
Slug: fer_landmarks
Idea: distances between landmarks of a face go through a small perceptron; beside it a network looks at the pixels.
  Where several annotators disagree, each gets a matrix of what they say of which class, learned with the network.
Differs: Khan's points, distances and sizes are ours, as only the abstract could be read. Landmarks come twice: from
  edges and corners as in the paper, and from a network trained where the data have 68 points.
Checked: tests/test_facial_expression.py; claims in benchmarks/claims/ltnet.py; figures in README.md of this folder.

Command: `hub run facial_expression` (drawn faces) or `hub run facial_expression --data DIR` (CK+, RAF-DB, FER2013's
folder or CSV file).
"""

from dataclasses import dataclass

from applications.training import TrainConfig, option
from hub import registry

LANDMARK_FAMILY = "hub.models.face_api"


@dataclass(frozen=True)
class Config(TrainConfig):
    """One run: a network on pixels, a network of landmarks, a perceptron on either source of landmarks."""

    model: str = option("mini_xception", "network that looks at the pixels; any image classifier of the hub")
    size: int = option(64, "pixels of the face that it sees, each way; any number of channels becomes grey")
    epochs: int = option(40, "passes over the training faces")
    batch_size: int = option(32, "faces per step")
    learning_rate: float = option(2e-3, "peak of the schedule")
    landmark_model: str = option("landmark68_small", "network of the 68 landmarks")
    landmark_epochs: int = option(70, "passes over the faces with landmarks; 0: no such network")
    annotations: str = option("", "CSV `image,annotator,label` of training faces: several annotators, learned as LTNet")
    fold: int = option(0, "CK+: which of ten folds of people tests; the next one chooses the epoch")
    sample_people: int = option(80, "people of the drawn sample, a fifth of them tested; ignored with --data")

    def __post_init__(self) -> None:
        super().__post_init__()
        if registry.info(self.model).room != "models":
            raise ValueError(f"model must be an image classifier (`hub list --room models`). Received: {self.model!r}.")
        if registry.info(self.landmark_model).module != LANDMARK_FAMILY or "68" not in self.landmark_model:
            known = ", ".join(
                e.name for e in registry.list(room="models") if e.module == LANDMARK_FAMILY and "68" in e.name
            )
            raise ValueError(f"landmark_model must be one of {known}. Received: {self.landmark_model!r}.")
        for name, least, most in (("size", 16, 512), ("landmark_epochs", 0, 10**6), ("fold", 0, 9),
                                  ("sample_people", 15, 10**4)):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie in {least} ... {most}. Received: {name}={getattr(self, name)}.")

"""Telling by a handwritten word or page who wrote it, from patches at SIFT key points.

Paper: Kumar and Sundaram, "Siamese based Neural Network for Offline Writer Identification on word level data", 2022,
  arXiv:2211.14443
Slug: siamese_writer_id
Idea: patches around key points go through a network trained on who wrote which; the codes of each scale are weighed by
  how well they tell writers apart, and add up to a score per enrolled writer.
Differs: only the paper's abstract could be read: patch sizes, network, number of codes, saliency and split are ours.
  The default trains on all pairs of a batch by the supervised contrastive loss; pairs drawn one by one barely learn.
  Some training writers are kept out to choose thresholds and the confidence.
Checked: tests/test_writer_identification.py; claims in benchmarks/claims/writer_identification.py; figures in README.md
  of this folder.

Command: `hub run writer_identification` (drawn hands) or `hub run writer_identification --data DIR` (IAM or CVL).
"""

from dataclasses import dataclass

from applications.training import TrainConfig, option
from hub import registry

FAMILY = "hub.models.siamese"
LOSSES = ("supervised_contrastive", "contrastive", "triplet_semihard", "triplet_hard", "softmax")


@dataclass(frozen=True)
class Config(TrainConfig):
    """One run: a patch network, codes per scale, writers enrolled and looked for."""

    model: str = option("siamese_patch", "a patch network: siamese_patch, siamese_patch_large, siamese_resnet18")
    loss: str = option("supervised_contrastive", "what trains the patch network", LOSSES)
    epochs: int = option(12, "stretches of --steps steps, after each of which the run can be resumed")
    steps: int = option(300, "batches of an epoch")
    batch_size: int = option(320, "patches per step")
    writers: int = option(40, "writers per step, with batch-size / writers patches of each, from as many words")
    patches: int = option(32, "key points of a word, the strongest")
    codes: int = option(32, "directions of the sparse PCA of each scale; 0: the embedding's own axes")
    alpha: float = option(0.3, "sparsity of these directions")
    protocol: str = option(
        "writers",
        "who is looked for: writers never trained on, or by another page those trained on (IAM, CVL)",
        ("writers", "pages"),
    )
    far: float = option(0.01, "share of strangers that the thresholds may take for somebody")
    sample_writers: int = option(120, "stroke hands of the drawn sample, three quarters for training")
    sample_fonts: int = option(11, "writers of each of eleven fonts of the drawn sample, four held out")

    def __post_init__(self) -> None:
        super().__post_init__()
        if registry.info(self.model).module != FAMILY:
            known = ", ".join(e.name for e in registry.list(room="models") if e.module == FAMILY)
            raise ValueError(f"model must be a patch network: {known}. Received: {self.model!r}.")
        for name, least in (("writers", 2), ("steps", 1), ("patches", 1), ("codes", 0), ("sample_writers", 16),
                            ("sample_fonts", 2)):  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}. Received: {name}={getattr(self, name)}.")
        if self.batch_size % self.writers or self.batch_size < 2 * self.writers:
            raise ValueError(
                "batch_size must be a multiple of writers, two patches of each or more. "
                f"Received: batch_size={self.batch_size}, writers={self.writers}."
            )
        if not 0 < self.far < 1 or self.alpha <= 0:
            raise ValueError(f"far must lie between 0 and 1, alpha above 0. Received: {self.far}, {self.alpha}.")

"""Tuberculosis on chest films: lungs first, then an answer with its evidence.

Paper: Rahman et al., "Reliable Tuberculosis Detection using Chest X-ray with Deep Learning, Segmentation and
  Visualization", IEEE Access 8, 2020, arXiv:2007.14895
Slug: tb_chest_xray
Idea: a U-Net cuts the lungs out, a network fine-tuned on the cut-out tells tuberculosis, heat maps show where it
  looked.
Differs: small networks at 128 pixels by default, which train in minutes; the paper's nine backbones are `--model`, its
  224 pixels `--size`. Every backbone gets one head, global average pooling and one logit, whose class activation map
  the exported graph can return. Films are standardised by the pixels inside the lungs, not by the training set. The
  paper's hyper-parameters could not be read; those here are ours.
Checked: tests/test_tb_chest_xray.py; the shortcut experiment is benchmarks/claims/tb_chest_xray.py; figures in
  README.md of this folder.

Command: `hub run tb_chest_xray` (synthetic films) or `hub run tb_chest_xray --data DIR` (Montgomery, Shenzhen, TBX11K
or folders `normal` and `tb`).
"""

from dataclasses import dataclass

from applications.training import TrainConfig, option
from hub import registry

EXPERIMENTS = ("segmented", "whole", "segmentation", "table", "sources")
PAPER_BACKBONES = (
    "resnet18,resnet50,resnet101,chexnet,inception_v3,vgg19,densenet201,squeezenet1_1,mobilenet_v2"  # its nine
)


@dataclass(frozen=True)
class Config(TrainConfig):
    """One run of one of the paper's experiments."""

    experiment: str = option(
        "segmented",
        "segmented or whole films classified, segmentation alone, the paper's table, or sources left out in turn",
        EXPERIMENTS,
    )
    model: str = option("resnet14_slim", "classifier's backbone: any image model of the hub")
    segmenter: str = option("unet_small", "network that outlines the lungs: a U-Net of the hub")
    weights: str = option("", "published weights of the backbone: `imagenet`, or the path of a checkpoint")
    backbones: str = option(PAPER_BACKBONES, "what --experiment table compares, with commas between")
    folds: int = option(5, "folds of --experiment table")
    size: int = option(128, "side in pixels to which films are brought")
    epochs: int = option(10, "passes over the training films, classifier")
    segmentation_epochs: int = option(3, "passes over the training films, lungs")
    batch_size: int = option(16, "films per step")
    learning_rate: float = option(3e-3, "peak of the schedule: warm-up, then cosine to zero")
    weight_decay: float = option(0.02, "of AdamW")
    balance: str = option("weights", "against unequal classes", ("weights", "oversample", "none"))
    sensitivity: float = option(0.9, "that the operating point must reach on validation (WHO for triage: 0.9)")
    prevalence: float = option(0.05, "share of tuberculosis among those to be examined, for predictive values")
    sample_films: int = option(5_000, "films of the synthetic sample; ignored with --data")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (self.model, *(self.backbones.split(",") if self.experiment == "table" else ())):
            entry = registry.info(name)
            if entry.room != "models" or entry.module == "hub.models.unet":
                raise ValueError(f"model must be an image classifier of the hub. Received: {entry.name!r}.")
        if registry.info(self.segmenter).module != "hub.models.unet":
            known = ", ".join(name for name in registry.list_models("unet*"))
            raise ValueError(f"segmenter must be one of {known}. Received: {self.segmenter!r}.")
        for name, low, high in (("sensitivity", 0.5, 0.999), ("prevalence", 1e-4, 0.9)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie in {low}..{high}. Received: {name}={getattr(self, name)}.")
        for name, least in (("segmentation_epochs", 1), ("folds", 2), ("size", 64), ("sample_films", 100)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}. Received: {name}={getattr(self, name)}.")
        if self.size % 16:
            near = max(64, round(self.size / 16) * 16)
            raise ValueError(f"size must be a multiple of 16, such as {near}. Received: size={self.size}.")

"""ResNet-26 with residual adapters: one network for many kinds of pictures.

Paper: Rebuffi, Bilen and Vedaldi, "Learning multiple visual domains with residual adapters", NeurIPS 2017,
  arXiv:1705.08045; in parallel: CVPR 2018, arXiv:1803.10082
Slug: residual_adapters
Idea: see hub/layers/residual_adapters.py; every 3x3 convolution is shared, every adapter, normalisation and classifier
  belongs to a domain.
Differs: dropout, which the authors use on small domains, is left out. The decathlon's score (about 2621 with adapters)
  is not repeated.
Checked: parameters are those of the authors' code in all three forms (the contract); models over shared layers
  (tests/test_layers_adapters_attention.py).
"""

import keras
from keras import layers

from hub.layers.residual_adapters import DomainBatchNormalization, ResidualAdapter
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (16, 16, 3), "num_classes": 10}


class Trunk:
    """Makes layers by name, or takes those of a model that has them already."""

    def __init__(self, mode: str | None, domains: int, domain: int, like: keras.Model | None):
        self.mode = mode
        self.domains = domains
        self.domain = domain
        self.like = like

    def make(self, kind: type, name: str, *args, **kwargs) -> layers.Layer:
        return self.like.get_layer(name) if self.like else kind(*args, **kwargs, name=name)

    def norm(self, x: keras.KerasTensor, at: str) -> keras.KerasTensor:
        return self.make(DomainBatchNormalization, f"{at}_bn", self.domains)(x, domain=self.domain)

    def conv(self, x: keras.KerasTensor, filters: int, strides: int, at: str) -> keras.KerasTensor:
        """The shared 3x3 convolution, the domain's adapter behind or beside it, its normalisation."""
        y = layers.ZeroPadding2D(1, name=f"{at}_pad")(x)
        he = {"use_bias": False, "kernel_initializer": "he_normal"}
        y = self.make(layers.Conv2D, f"{at}_conv", filters, 3, strides, **he)(y)
        if self.mode == "series":
            y = self.make(ResidualAdapter, f"{at}_adapter", domains=self.domains)(y, domain=self.domain)
        elif self.mode == "parallel":
            adapter = self.make(ResidualAdapter, f"{at}_adapter", "parallel", filters, strides, self.domains)
            y = layers.Add(name=f"{at}_sum")([y, adapter(x, domain=self.domain)])
        return self.norm(y, at)

    def block(self, x: keras.KerasTensor, filters: int, strides: int, at: str) -> keras.KerasTensor:
        """Two convolutions; the shortcut pools by 2 and appends zero channels where the shape changes."""
        y = layers.ReLU(name=f"{at}_1_relu")(self.conv(x, filters, strides, f"{at}_1"))
        y = self.conv(y, filters, 1, f"{at}_2")
        if strides > 1:
            x = layers.AveragePooling2D(2, name=f"{at}_shortcut_pool")(x)
            zeros = layers.Rescaling(0.0, name=f"{at}_shortcut_zeros")(x)
            x = layers.Concatenate(name=f"{at}_shortcut_pad")([x, zeros])
        return layers.Add(name=f"{at}_add")([y, x])


@register("resnet_adapters_tiny", depths=(1, 1, 1), width=4)
@register("resnet26_adapters", params=6_513_642)
@register("resnet26_adapters_parallel", mode="parallel", params=6_462_474)
@register("resnet26_domains", mode=None, params=5_817_258)
def resnet_adapters(
    mode: str | None = "series",
    domains: int = 1,
    domain: int = 0,
    like: keras.Model | None = None,
    depths: tuple[int, ...] = (4, 4, 4),
    width: int = 32,
    input_shape: tuple[int, int, int] = (64, 64, 3),
    num_classes: int = 10,
    name: str = "resnet_adapters",
) -> keras.Model:
    """Build the network of one domain over images [N, H, W, C], H and W divisible by 8.

    Train the first domain with all weights; then build the next one with `like`, call
    `hub.layers.residual_adapters.train_only(model, domain)`, compile and fit.

    Args:
        mode: "series" or "parallel" adapters, or None for normalisations of each domain alone.
        domains: how many the adapters have room for.
        domain: which one the model is for, 0 ... domains - 1.
        like: a model of this factory with the same arguments, whose layers are taken over, all but `logits`.
        depths: blocks per stage; stage s has `width * 2**s` filters, its output is the layer `stage{s}`.
        width: filters of the first convolution.
        num_classes: units of the float32 layer `logits`; 0 leaves out pooling and head and returns the feature map.
    """
    trunk = Trunk(mode, domains, domain, like)
    inputs = keras.Input(input_shape)
    x = trunk.conv(inputs, width, 1, "stem")
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            y = trunk.block(x, width * 2**stage, 2 if i == 0 else 1, f"stage{stage}_block{i}")
            x = layers.ReLU(name=f"stage{stage}" if i == depth - 1 else f"stage{stage}_block{i}_out")(y)
    x = layers.ReLU(name="end_relu")(trunk.norm(x, "end"))
    if num_classes:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)

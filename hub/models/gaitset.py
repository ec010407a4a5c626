"""GaitSet: people told apart by how they walk, from a set of silhouettes of any number, in any order.

Paper: Chao et al., "GaitSet: Regarding Gait as a Set for Cross-View Gait Recognition", AAAI 2019, arXiv:1811.06186
Slug: gaitset
Idea: frames go through one network each and are pooled over the set; a second branch looks at what was pooled after
  each stage, and both ends are described strip by strip. No order is learnt, so none is needed: frames may be few, and
  come from several videos.
Differs: nothing in the network. The global branch starts with a copy of the weights of stages 2 and 3, as in OpenGait;
  the authors' code draws them anew; Xavier's limit of the strips is another (`HorizontalPyramidMapping`).
  `gaitset_small` is ours, for training without a GPU; `gaitset_oumvlp` has the paper's widths for OU-MVLP. The paper's
  results (rank-1 on CASIA-B 95.0 / 87.2 / 70.4 for NM / BG / CL, on OU-MVLP 87.1) are not repeated.
Checked: parameters are the published ones; on the same weights, embeddings and stages equal a plain PyTorch network,
  fed each clip without padding, to 1e-4 of their scale (tests/parity/test_torch_gaitset.py); order, repetition and
  padding of frames change nothing, TFLite files take any number of clips and frames (tests/test_gaitset.py).
"""

import keras
from keras import layers

from hub.layers.frames import FoldFrames, UnfoldFrames, clip_inputs, contract_inputs  # noqa: F401
from hub.layers.horizontal_pyramid import HorizontalPyramidMapping
from hub.layers.set_pooling import SetPooling
from hub.registry import register

CONTRACT_SIZE = {"input_shape": (None, 32, 20, 1)}


def conv(x: keras.KerasTensor, filters: int, kernel_size: int, name: str, out: str) -> keras.KerasTensor:
    """Convolution `name` without bias, Xavier's at first, and LeakyReLU `out`."""
    x = layers.Conv2D(filters, kernel_size, padding="same", use_bias=False, name=name)(x)
    return layers.LeakyReLU(negative_slope=0.01, name=out)(x)


def stage(x: keras.KerasTensor, filters: int, first: int, name: str, out: str) -> keras.KerasTensor:
    """Two 3x3 convolutions, `{name}{first}` and the next; the last layer is `out`."""
    x = conv(x, filters, 3, f"{name}{first}", f"{name}{first}_relu")
    return conv(x, filters, 3, f"{name}{first + 1}", out)


@register("gaitset_tiny", channels=(4, 6, 8), units=5, scales=(1, 2, 4), skip={
        "headless": "without its strips a set network has two maps of a set, not one of an image",
        "viewed": "its stages are maps of frames, folded into the batch, not of the examples",
    })  # fmt: skip
@register("gaitset_small", channels=(16, 32, 64), units=64, scales=(1, 2, 4, 8))
@register("gaitset", params=2_594_592)
@register("gaitset_oumvlp", channels=(64, 128, 256), params=6_313_536)
def gaitset(
    channels: tuple[int, int, int] = (32, 64, 128),
    units: int = 256,
    scales: tuple[int, ...] = (1, 2, 4, 8, 16),
    pooling: str = "max",
    global_pipeline: bool = True,
    pyramid: bool = True,
    shared: bool = False,
    input_shape: tuple[int | None, int, int, int] = (None, 64, 44, 1),
    name: str = "gaitset",
) -> keras.Model:
    """Build a GaitSet: {"silhouettes": [N, T, H, W, 1] in 0..1, "length": [N] from 1 up} to the float32 layer
    `embedding` [N, strips, units], whose Euclidean distances, all strips in one row, compare clips.

    N and T are free. Frames from `length` on are padding, whatever is in them.

    Args:
        channels: filters of the three stages; `stage1` to `stage3` are their last layers, frames folded into the batch.
        units: numbers that describe a strip.
        scales: strips that a map is cut into, each dividing a quarter of the height.
        pooling: how frames become a set, a `mode` of `SetPooling`.
        global_pipeline: the second branch (MGP); without it there are half as many strips.
        pyramid: False puts (1,) in the place of `scales`: each map is described as a whole (no HPM).
        shared: one matrix for every strip in the place of one each.
        input_shape: frames, None for any number, height, width and channels.

    Raises:
        ValueError: another `pooling`, a scale that does not divide the height, or an `input_shape` of another kind.
    """
    inputs = clip_inputs(input_shape)
    clips, length = inputs["silhouettes"], inputs["length"]

    def half(x: keras.KerasTensor, at: str) -> keras.KerasTensor:
        return layers.MaxPooling2D(2, name=f"{at}_pool")(x)

    def pooled(x: keras.KerasTensor, at: int) -> keras.KerasTensor:
        frames = UnfoldFrames(name=f"unfold{at}")([x, clips])
        return SetPooling(pooling, name=f"set_pool{at}")([frames, length])

    x = conv(FoldFrames(name="fold")(clips), channels[0], 5, "conv1", "conv1_relu")
    first = half(conv(x, channels[0], 3, "conv2", "stage1"), "stage1")  # [N T, H / 2, W / 2, C]
    second = half(stage(first, channels[1], 3, "conv", "stage2"), "stage2")
    maps = pooled(stage(second, channels[2], 5, "conv", "stage3"), 3)
    if global_pipeline:
        g = half(stage(pooled(first, 1), channels[1], 3, "global_conv", "global2"), "global2")
        g = layers.Add(name="global2_add")([g, pooled(second, 2)])
        g = stage(g, channels[2], 5, "global_conv", "global3")
        maps = [maps, layers.Add(name="global3_add")([g, maps])]
    strips = scales if pyramid else (1,)
    x = HorizontalPyramidMapping(units, strips, shared, dtype="float32", name="embedding")(maps)
    model = keras.Model(inputs, x, name=name)
    for i in range(3, 7) if global_pipeline else ():
        model.get_layer(f"global_conv{i}").set_weights(model.get_layer(f"conv{i}").get_weights())
    return model

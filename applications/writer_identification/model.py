"""The networks of the application: patches to embeddings for training, words to one vector for serving."""

from typing import Any

from applications.writer_identification.config import Config
from hub import registry


def build(config: Config, writers: int = 0) -> Any:
    """`keras.Model` from patches [N, 32, 32, 1] in 0..1 to a dict: `embedding` float32 [N, D] of length 1.

    Args:
        config: names the network and its loss.
        writers: of the training; with `--loss softmax` there are `logits` [N, writers] too.
    """
    import keras

    if config.loss != "softmax":
        network = registry.build(config.model)
        return keras.Model(network.input, {"embedding": network.output}, name="patches")
    network = registry.build(config.model, num_classes=writers)
    projected = network.get_layer("project").output
    embedding = keras.layers.UnitNormalization(dtype="float32", name="embedding")(projected)
    return keras.Model(network.input, {"embedding": embedding, "logits": network.output}, name="patches")


def encoder(network: Any) -> Any:
    """The part of `build`'s network that gives the embedding, without its dict."""
    import keras

    return keras.Model(network.input, network.output["embedding"], name="encoder")


def whole(encode: Any, arrays: dict[str, Any]) -> Any:
    """What is served: words as the patches found in them, to one vector each.

    Inputs `patches` [N, P, 32, 32, 1] in 0..255 and `scale` int32 [N, P], the group of each patch or -1 for padding;
    outputs `embedding` [N, P, D] and `vector` [N, S C], of which distances compare words and pages. N and P are free.

    Args:
        encode: patches [N, 32, 32, 1] in 0..1 to [N, D].
        arrays: `means`, `encoders` and `scale` of `GroupCodes`.
    """
    import keras

    from hub.layers.frames import FoldFrames, UnfoldFrames
    from hub.layers.group_codes import GroupCodes

    patches = keras.Input((None, *encode.input_shape[1:]), name="patches")
    scale = keras.Input((None,), dtype="int32", name="scale")
    x = FoldFrames(name="fold")(keras.layers.Rescaling(1 / 255, name="rescale")(patches))
    embedding = UnfoldFrames(name="embedding")([encode(x), patches])
    groups, _, codes = arrays["encoders"].shape
    layer = GroupCodes(groups, codes, dtype="float32", name="vector")
    model = keras.Model(
        {"patches": patches, "scale": scale},
        {"embedding": embedding, "vector": layer([embedding, scale])},
        name="writer_identification",
    )
    layer.set_weights([arrays[name] for name in ("means", "encoders", "scale")])
    return model

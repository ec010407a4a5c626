"""The network of the application: pixels of silhouettes in, an embedding per walk out."""

from typing import Any

from applications.gait_recognition.config import FAMILIES, Config
from hub import registry


def build(config: Config, people: int = 0, pixels: bool = False, **ablated: Any) -> Any:
    """`keras.Model` from `silhouettes` [N, T, 64, 44, 1] and `length` int32 [N] to `embedding` [N, S, d].

    Frames from `length` on are padding. N and T are free. The weights are the same in the same order for either value
    of `pixels`.

    Args:
        config: names the network.
        people: of the training; a network that classifies them while it trains (GaitBase) gets `logits` [N, S, people].
        pixels: take 0..255, as evaluation and serving do, instead of 0..1.
        ablated: further arguments of the network's factory.
    """
    import keras

    from hub.data.silhouettes import HEIGHT, WIDTH

    classifies = registry.info(config.model).module == FAMILIES[1]
    own = {"num_classes": people} if classifies else {"pooling": config.pooling}
    silhouettes = x = keras.Input((None, HEIGHT, WIDTH, 1), name="silhouettes")
    length = keras.Input((), dtype="int32", name="length")
    network = registry.build(config.model, **own, **ablated)
    if pixels:
        x = keras.layers.Rescaling(1 / 255, name="rescale")(x)
    outputs = network({"silhouettes": x, "length": length})
    if not isinstance(outputs, dict):
        outputs = {"embedding": outputs}
    return keras.Model({"silhouettes": silhouettes, "length": length}, outputs, name="gait_recognition")


def embedder(model: Any) -> Any:
    """`model` without the output `logits` that it trained with."""
    import keras

    return keras.Model(model.input, {"embedding": model.output["embedding"]}, name=model.name)

"""What keeps a network from becoming a TFLite file that every runtime can open, by layer and with the remedy.

Runs on the TensorFlow backend: the network is traced once and its operations are looked through, so that those
inside custom layers are found too. The converter still has the last word; `explain` turns its complaint into the
same findings.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import keras

# TensorFlow operation -> (what it comes from, what would do). Measured: none of them converts without Flex.
FLEX = {
    "ResizeBicubic": ("bicubic resize", "use bilinear"),
    "ResizeArea": ("area resize", "use bilinear"),
    "ScaleAndTranslate": ("antialiased or Lanczos resize", "use bilinear without antialias"),
    "ImageProjectiveTransformV3": ("an affine or perspective warp", "warp images before they reach the model"),
    "BitwiseAnd": ("argmax, argmin or bitwise_and", "use keras.ops.top_k(x, 1)"),
    "TensorListReserve": (
        "a loop over time",
        "use unroll=True for LSTM and GRU, or fold the frames into the batch instead of TimeDistributed",
    ),
    "FFT": ("a complex FFT", "use keras.ops.rfft"),
    "Erfinv": ("erfinv", "compute it outside the exported model"),
    "Roll": ("roll", "concatenate two slices"),
    "MaxPool3D": ("3-D max pooling", "pool two axes at a time with MaxPooling2D"),
    "AvgPool3D": ("3-D average pooling", "pool two axes at a time with AveragePooling2D"),
    "MatrixInverse": ("a matrix inverse", "compute it outside the exported model"),
    "Svd": ("a singular value decomposition", "compute it outside the exported model"),
    "DenseBincount": ("bincount", "sum keras.ops.one_hot"),
}
# Converts within some patterns (erf within GELU), so that only the converter can say.
SOMETIMES = {"Erf": ("erf", "use keras.ops.gelu, or an approximation by tanh")}


@dataclass(frozen=True)
class Finding:
    """One layer that needs Flex operations, and what to do about it."""

    layer: str
    op: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"`{self.layer}` uses {self.reason}, which needs Flex ops; {self.remedy}"


def check(model: keras.Model) -> list[Finding]:
    """Findings of `model` before anything is converted, in graph order."""
    return _findings((op, layer) for op, layer in _operations(model) if op in FLEX)


def explain(model: keras.Model, complaint: str) -> list[Finding]:
    """Findings in what the TFLite converter said when it gave up; none when it named no operation of `model`."""
    lists = re.findall(r"(?:Select|Flex|Custom) ops: ([\w, ]+)", complaint)
    named = {op.strip().removeprefix("Flex") for ops in lists for op in ops.split(",")}
    if "Lowering tensor list" in complaint:
        named.add("TensorListReserve")
    return _findings((op, layer) for op, layer in _operations(model) if op in named)


@contextlib.contextmanager
def layer_names(model: keras.Model) -> Iterator[None]:
    """While active, what `model` traces is named after the layer or operation that made it.

    Keras names a layer's scope `resize_1_1` when it pleases and gives bare operations such as `ops.argmax` none.
    """
    import tensorflow as tf

    def scoped(operation: keras.Operation) -> None:
        plain = operation.call

        def call(*args, **kwargs):
            with tf.name_scope(f"{operation.name}/"):
                return plain(*args, **kwargs)

        operation.call = call

    operations = [each for each in _flat(model) if not isinstance(each, keras.Model)]
    for operation in operations:
        scoped(operation)
    try:
        yield
    finally:
        for operation in operations:
            del operation.call


def _findings(found: Iterable[tuple[str, str]]) -> list[Finding]:
    known = FLEX | SOMETIMES
    other = "compute it outside the exported model or from operations that LiteRT has"
    return [Finding(layer, op, *known.get(op, (op, other))) for op, layer in dict.fromkeys(found)]


def _operations(model: keras.Model) -> Iterator[tuple[str, str]]:
    """(TensorFlow operation, layer that made it) of a traced inference call."""
    import tensorflow as tf

    with layer_names(model):
        specs = keras.tree.map_structure(lambda each: tf.TensorSpec(each.shape, each.dtype), model.input)
        graph = tf.function(lambda given: model(given, training=False)).get_concrete_function(specs).graph
    names = {each.name for each in _flat(model)}
    for op in graph.get_operations():
        owner, *inner = op.name.split("/")
        yield op.type, owner if owner in names or not inner else inner[0]


def _flat(model: keras.Model) -> Iterator[keras.Operation]:
    for operation in getattr(model, "operations", model.layers):
        yield operation
        if isinstance(operation, keras.Model):
            yield from _flat(operation)

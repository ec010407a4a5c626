"""Final batch normalisation: one more normalisation at the very end, against rare classes being ignored.

Paper: Kocaman, Shir and Back, "Improving Model Accuracy for Imbalanced Image Classification Tasks by Adding a Final
  Batch Normalization Layer: An Empirical Study", ICPR 2020, arXiv:2011.06319
Slug: final_batch_norm
Idea: normalised logits keep the network from growing confident in the frequent class alone.
Differs: whether the paper's layer stands before or behind the last dense one is not certain, so both places are there.
  Its study (PlantVillage, 99 to 1, F1 of the minority 0.29 to 0.95 with VGG19) is not repeated; moving the decision
  threshold or weighting classes may give the same effect and should be compared.
Checked: at first it changes nothing but the scale, in both places against NumPy; weights are shared with the model it
  was given; the subset has the asked-for numbers (tests/test_layers_dropout_heads.py).
"""

from typing import TYPE_CHECKING

from hub.registry import register

if TYPE_CHECKING:
    import keras
    import numpy as np


@register("final_batch_norm")
def add_final_batch_norm(
    model: "keras.Model", position: str = "logits", momentum: float = 0.9, epsilon: float = 1e-5
) -> "keras.Model":
    """A model with the layers of `model` and a BatchNormalization named `final_bn`; train it from logits.

    Args:
        model: functional, one output that its last layer, a Dense without activation, makes.
        position: "logits" behind that layer, "features" before it.
        momentum: of the moving statistics; fast, since batches with the rare class are rare.
        epsilon: added to the variance.

    Raises:
        ValueError: another `position`, or another kind of last layer.
    """
    import keras

    if position not in ("logits", "features"):
        raise ValueError(f'`position` is "logits" or "features". Received: position={position!r}.')
    head = model.layers[-1]
    if not isinstance(head, keras.layers.Dense) or head.activation is not keras.activations.linear:
        kind = getattr(getattr(head, "activation", None), "__name__", "none")
        raise ValueError(
            "`add_final_batch_norm` needs a model that ends in a Dense layer without activation. "
            f"Received: {type(head).__name__} {head.name!r} with activation {kind}."
        )
    dtype = "float32" if position == "logits" else None
    norm = keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon, dtype=dtype, name="final_bn")
    outputs = norm(model.output) if position == "logits" else head(norm(head.input))
    return keras.Model(model.inputs, outputs, name=f"{model.name}_final_bn")


def make_imbalanced(labels: "np.ndarray", counts: dict[int, int], seed: int = 0) -> "np.ndarray":
    """Indices, shuffled, of a random subset of `labels` [N] with `counts[k]` examples of class k and of no other class.

    Raises:
        ValueError: a class has fewer examples.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    picked = []
    for kind, count in counts.items():
        of_kind = np.flatnonzero(labels == kind)
        if len(of_kind) < count:
            raise ValueError(f"Class {kind} has {len(of_kind)} examples. Received: counts[{kind}]={count}.")
        picked.append(rng.choice(of_kind, count, replace=False))
    return rng.permutation(np.concatenate(picked))

"""Adaptive gradient clipping: no unit's gradient grows large beside the weights of that unit.

Paper: Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization", ICML 2021,
  arXiv:2102.06171
Slug: nfnet_scaling
Idea: what a step may change is a share of what is there, so networks without normalisation train with large batches
  and learning rates; a threshold on the gradient alone would have to be found anew for each of them.
Differs: in a depthwise kernel each channel is a unit, as in the authors' code; Keras's layout cannot tell such a kernel
  from one of a single filter over several channels, which is cut by channels too.
Checked: equals slow NumPy loops over units, for every kind of kernel; with a large factor `fit` is plain training,
  with a small one no unit moves further; the state survives saving (tests/test_adaptive_gradient_clipping.py).
"""

import keras
from keras import ops

from hub.registry import register


def unit_norm(x):
    """Euclidean norm over the axes that lead to one output, kept as 1; of all of x where it is a vector or scalar."""
    if len(x.shape) < 2:
        axes = None
    elif len(x.shape) == 4 and x.shape[3] == 1 < x.shape[2]:  # depthwise
        axes = (0, 1)
    else:
        axes = tuple(range(len(x.shape) - 1))
    return ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))


def clip(gradient, weight, clip_factor: float, epsilon: float):
    """Gradient [..., units], each unit's at most `clip_factor * max(|weight|, epsilon)` long (eq. 3)."""
    limit = clip_factor * ops.maximum(unit_norm(weight), epsilon)
    return gradient * (limit / ops.maximum(unit_norm(gradient), limit))


@register("adaptive_gradient_clipping")
@keras.saving.register_keras_serializable("hub")
class AdaptiveGradientClipping(keras.optimizers.Optimizer):
    """An optimizer that clips what it hands on to another: `model.compile(AdaptiveGradientClipping("sgd"))`.

    Under `tf.distribute` each replica clips its own gradient.

    Args:
        inner_optimizer: a `keras.optimizers.Optimizer` or the name of one; learning rate, weight decay and moving
            averages are its business.
        clip_factor: lambda, the longest gradient as a share of its unit's weights; the paper takes 0.01 for batches of
            4,096 and more for small ones.
        epsilon: least length of a unit's weights, so that those that start at zero can move.
        exclude: names of layers that are not clipped; the paper spares the last dense layer.

    Raises:
        ValueError: a factor or epsilon that is not positive; an inner optimizer that scales or accumulates gradients;
            while training, an excluded layer that has no trainable weight.
    """

    def __init__(
        self,
        inner_optimizer: "keras.optimizers.Optimizer | str" = "sgd",
        clip_factor: float = 0.01,
        epsilon: float = 1e-3,
        exclude: tuple[str, ...] = ("logits",),
        name: str | None = None,
    ):
        inner_optimizer = keras.optimizers.get(inner_optimizer)
        if not (0 < clip_factor < float("inf") and 0 < epsilon < float("inf")):
            raise ValueError(
                "`clip_factor` and `epsilon` must be positive and finite. "
                f"Received: clip_factor={clip_factor}, epsilon={epsilon}."
            )
        scales = isinstance(inner_optimizer, keras.optimizers.LossScaleOptimizer) or inner_optimizer.loss_scale_factor
        if scales or inner_optimizer.gradient_accumulation_steps:
            raise ValueError(
                "AdaptiveGradientClipping needs gradients as they will be applied: put it inside a LossScaleOptimizer, "
                f"and do without accumulation. Received: inner_optimizer={inner_optimizer.name!r}."
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.clip_factor = clip_factor
        self.epsilon = epsilon
        self.exclude = tuple(exclude)

    def build(self, variables):
        layers = {layer for variable in variables for layer in variable.path.split("/")[:-1]}
        if unknown := set(self.exclude) - layers:
            raise ValueError(
                f"No trainable weight belongs to a layer named {', '.join(sorted(unknown))}: exclude the head by its "
                "name, or pass exclude=() to clip every layer."
            )
        self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        if not self.built:
            self.build(variables)
        self.inner_optimizer.apply([self._clipped(*pair) for pair in zip(grads, variables, strict=True)], variables)

    def _clipped(self, gradient, variable):
        if gradient is None or set(self.exclude) & set(variable.path.split("/")[:-1]):
            return gradient
        gradient = ops.convert_to_tensor(gradient)  # an embedding's is sparse
        return clip(gradient, ops.convert_to_tensor(variable), self.clip_factor, self.epsilon)

    @property
    def variables(self):
        return self._variables + self.inner_optimizer.variables

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        return {
            "name": self.name,
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "clip_factor": self.clip_factor,
            "epsilon": self.epsilon,
            "exclude": self.exclude,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        inner = keras.saving.deserialize_keras_object(config["inner_optimizer"], custom_objects=custom_objects)
        return cls(**{**config, "inner_optimizer": inner})

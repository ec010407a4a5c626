"""Local response normalisation, which networks used before batch normalisation."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("hub")
class LocalResponseNormalization(layers.Layer):
    """x / (bias + alpha * sum of squares over the `size` nearest channels) ** beta, any shape [..., C]; Krizhevsky et
    al. (NIPS 2012), section 3.3, whose constants are the defaults and which VGG's section 2.1 adopts."""

    def __init__(self, size: int = 5, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **kwargs):
        super().__init__(**kwargs)
        self.size, self.bias, self.alpha, self.beta = size, bias, alpha, beta

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        beside = [[0, 0]] * (len(x.shape) - 1) + [[self.size // 2, (self.size - 1) // 2]]
        squares = ops.pad(ops.square(x), beside)
        near = sum(squares[..., i : i + x.shape[-1]] for i in range(self.size))
        return x / ops.power(self.bias + self.alpha * near, self.beta)

    def get_config(self) -> dict:
        own = {"size": self.size, "bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **own}

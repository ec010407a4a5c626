"""Functions that return a `keras.Model`."""

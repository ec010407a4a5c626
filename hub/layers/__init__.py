"""`keras.layers.Layer`s used inside networks."""

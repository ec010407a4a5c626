"""`keras.losses.Loss`es: one value per example."""

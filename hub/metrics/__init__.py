"""`keras.metrics.Metric`s."""

"""What is handed to `compile` or `fit`."""

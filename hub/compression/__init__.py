"""A trained model in, a smaller one out."""

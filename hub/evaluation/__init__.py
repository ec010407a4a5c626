"""(model or its answers, data) in, findings out."""

"""(model, images) in, attribution maps out."""

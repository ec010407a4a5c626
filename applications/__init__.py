"""Programs that use the hub: from a data set's folder to a trained, evaluated, explained and exported model."""

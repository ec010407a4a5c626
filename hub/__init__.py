"""An application-oriented hub of Keras models, layers, losses and methods."""

from hub.backbone import strides
from hub.loading import load
from hub.papers import papers
from hub.registry import Entry, info, list, list_models, register, search

__all__ = ["Entry", "info", "list", "list_models", "load", "papers", "register", "search", "strides"]
__version__ = "0.1.0"

"""`hub.load`: a model by name."""

from typing import Any

from hub import registry


def load(name: str, **kwargs: Any) -> Any:
    """Build the entry called `name`."""
    return registry.build(name, **kwargs)

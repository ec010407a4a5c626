"""Where the hub keeps what can be made or fetched again: the index, published weights, prepared samples."""

import os
import pathlib


def folder(*parts: str) -> pathlib.Path:
    """`$HUB_CACHE`, else `$XDG_CACHE_HOME/keras-application-hub`, else under `~/.cache`. Not created here."""
    base = os.environ.get("HUB_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "keras-application-hub")
    return pathlib.Path(base, *parts)

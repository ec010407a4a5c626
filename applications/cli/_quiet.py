"""TensorFlow's start without its notes on absent GPUs, which no setting of its own silences."""

import importlib
import os
import sys


def start_tensorflow() -> None:
    """Import TensorFlow with the file descriptor of stderr turned away; errors still raise."""
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        importlib.import_module("tensorflow")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

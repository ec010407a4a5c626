"""What of the contract depends on the backend holds on JAX too: forward and backward, mixed precision, layers' files.

A model's graph, stages and seeds are Keras's own work; compiling them once more takes JAX minutes.
"""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.backends
def test_the_contract_on_jax():
    code = """
import hub, sys
from hub import contract
structure = ("documented", "named", "small", "counted", "headless", "viewed", "saved", "seeded", "dynamic", "exported")
broken = seen = 0
for room in ("models", "layers", "losses", "metrics"):
    for entry in hub.list(room=room):
        for promise in contract.promises(entry):
            if promise.__name__ in entry.skip or promise.__name__ in structure:
                continue
            seen += 1
            try:
                promise(entry)
            except Exception as error:
                broken += 1
                print(entry.name, promise.__name__, repr(error)[:300])
import keras
assert keras.backend.backend() == "jax"
print("seen", seen)
sys.exit(broken > 0 or seen < 40)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]

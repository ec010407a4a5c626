"""`hub bench`: the latency of models by runtime, side by side in one run; `hub info` remembers the last one."""

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from applications.cli._quiet import start_tensorflow
from hub import cache

HELP = "time models by runtime (Keras, graph, folded SavedModel, TFLite), each with its largest difference"
RECORD = "bench.json"  # in the hub's cache: name -> the last measurement on this machine
EXAMPLES = """
  hub bench resnet18
  hub bench mobilenet_v2 efficientnet_b0
  hub bench resnet18 --batch-size 8 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="+", help="an image model that `hub list --room models` prints")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images per call (default 1)")
    parser.add_argument("--json", action="store_true", help="an array with one object per name and runtime")


def run(args: argparse.Namespace) -> None:
    from hub import registry

    if args.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1. Received: {args.batch_size}.")
    entries = [registry.info(name) for name in args.names]
    for entry in entries:
        if entry.room != "models":
            raise ValueError(f"hub bench times image models. Received: {entry.name!r}, one of the {entry.room}.")
    start_tensorflow()
    answer = []
    for entry in entries:
        rows = measure(entry.name, args.batch_size)
        _remember(entry.name, args.batch_size, rows)
        answer += [{"name": entry.name, **row} for row in rows]
        if not args.json:
            _show(entry.name, args.batch_size, rows)
    if args.json:
        print(json.dumps(answer))


def recalled(name: str) -> dict[str, Any] | None:
    """The last measurement of `name` on this machine: `day batch_size ms_per_image`, the latter by runtime."""
    try:
        return json.loads(cache.folder(RECORD).read_text()).get(name)
    except (OSError, ValueError):
        return None


def _remember(name: str, batch_size: int, rows: list[dict[str, Any]]) -> None:
    path = cache.folder(RECORD)
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    taken = {row["runtime"]: row["ms_per_image"] for row in rows}
    known[name] = {"day": time.strftime("%Y-%m-%d"), "batch_size": batch_size, "ms_per_image": taken}
    with contextlib.suppress(OSError):  # a read-only home costs the memory, not the answer
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps(known))
        aside.replace(path)


def _show(name: str, batch_size: int, rows: list[dict[str, Any]]) -> None:
    print(f"{name}, batch {batch_size}: ms per image, ratio to Keras's `predict`, difference over scale")
    for row in rows:
        difference = "" if row["max_difference"] is None else f"{row['max_difference']:.1e}"
        print(f"{row['runtime']:<16}{row['ms_per_image']:9.2f}{row['ratio']:8.2f}  {difference}")


def measure(name: str, batch_size: int) -> list[dict[str, Any]]:
    """One row per runtime: `runtime ms_per_image ratio max_difference` (to Keras, over the output's scale)."""
    import keras
    import numpy as np
    import tensorflow as tf

    import hub
    from hub.export import export

    model = hub.load(name)
    shape = [side or 224 for side in model.input_shape[1:]]
    images = np.random.default_rng(0).integers(0, 256, (batch_size, *shape)).astype("float32")
    graph = tf.function(lambda x: model(x, training=False))
    calls: dict[str, Callable[[], Any]] = {
        "keras predict": lambda: model.predict_on_batch(images),
        "tf.function": lambda: graph(tf.constant(images)),
    }
    with tempfile.TemporaryDirectory() as folder:
        facts = export(model, f"{folder}/1", golden=images[:1].repeat(2, 0), image_bytes=False)
        served = tf.saved_model.load(f"{folder}/1").signatures["serving_default"]
        key = next(iter(served.structured_input_signature[1]))
        calls["saved_model"] = lambda: served(**{key: tf.constant(images)})
        calls |= {
            f"tflite {kind}": _lite(f"{folder}/1/model_{kind}.tflite", images)
            for kind in ("float32", "float16", "int8")
        }
        times = {runtime: _milliseconds(call) / batch_size for runtime, call in calls.items()}
    keras.utils.clear_session()
    said = {"saved_model": "saved_model"} | {f"tflite {kind}": kind for kind in facts["formats"]}
    return [
        {
            "runtime": runtime,
            "ms_per_image": round(ms, 4),
            "ratio": round(ms / times["keras predict"], 4),
            "max_difference": _difference(facts["formats"].get(said.get(runtime, ""))),
        }
        for runtime, ms in times.items()
    ]


def _lite(path: str, images: Any) -> Callable[[], Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=2)
    (detail,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(detail["index"], images.shape)
    interpreter.allocate_tensors()
    pixels = images.astype(detail["dtype"])

    def call() -> None:
        interpreter.set_tensor(detail["index"], pixels)
        interpreter.invoke()

    return call


def _milliseconds(call: Callable[[], Any], seconds: float = 2.0) -> float:
    """The median of repeated calls, after two that warm up."""
    import statistics

    call(), call()
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 5:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1e3 * statistics.median(taken)


def _difference(facts: dict[str, Any] | None) -> float | None:
    """The largest difference that `export.json` states, over its output's scale."""
    if not facts:
        return None
    outputs = [out for signature in facts["signatures"].values() for out in signature["outputs"].values()]
    return max(out["difference"] / out["scale"] for out in outputs if out["scale"])

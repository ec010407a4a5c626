"""The child process that proves an export: `python -m hub.export.verify JOB.json`.

It reopens every file in its real runtime, TensorFlow for the SavedModel and LiteRT for `.tflite`, and compares the
answers with those of the Keras model.
"""

import collections
import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hub.export import child, flatbuffer
from hub.export.inputs import Arrays

BATCH = 32
# Format -> (largest difference as a share of the output's scale, least agreement of whole-number outputs).
TOLERANCE = {
    "saved_model": (1e-4, 0.99),
    "float32": (1e-4, 0.99),
    "float16": (1e-2, 0.9),
    "int8": (None, None),  # reported here; what it may cost is the application's to say
}
Answer = Callable[[Arrays], dict[str, np.ndarray]]


def work(job: dict[str, Any], step: child.Progress) -> dict[str, Any]:
    """Findings per format: differences, agreement, operations, names, shapes and whether the batch is free."""
    folder = pathlib.Path(job["folder"])
    golden = dict(np.load(folder / "golden.npz"))
    expected = dict(np.load(folder / "expected.npz"))
    report = {}
    for kind in job["formats"]:
        step(f"verify {kind}")
        found = (
            _saved_model(folder / "saved_model", golden, expected)
            if kind == "saved_model"
            else _tflite(folder / f"model_{kind}.tflite", golden, expected)
        )
        tolerance, agreement = TOLERANCE[kind]
        tolerance = job.get("tolerance", {}).get(kind, tolerance)
        for name, signature in found["signatures"].items():
            where = f"{name} of the SavedModel" if kind == "saved_model" else f"model_{kind}.tflite"
            refuse_difference(where, signature["outputs"], tolerance, agreement)
        report[kind] = {"tolerance": tolerance, "least_agreement": agreement} | found
    return report


def compare(expected: dict[str, np.ndarray], got: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """How far `got` is from `expected`, output by output.

    `difference` is the largest absolute one and `scale` the largest expected magnitude; `agreement` is, for whole
    numbers, the share of examples that are equal throughout, and for logits and maps the share of positions whose
    largest entry along the last axis is the same.

    Raises:
        ExportError: an output is missing or has another shape, or the model's own answer is not a number.
    """
    report = {}
    for name, want in expected.items():
        have = got.get(name)
        if have is None or have.shape != want.shape:
            shape = "no such output" if have is None else f"shape {have.shape}"
            raise child.ExportError(f"Output {name!r} should have shape {want.shape}. Received: {shape}.")
        if np.isnan(want).any():
            raise child.ExportError(f"The model's own output {name!r} is not a number on a golden image.")
        whole = np.issubdtype(want.dtype, np.integer) or want.dtype == bool
        with np.errstate(invalid="ignore"):
            gap = np.where(want == have, 0.0, np.abs(want.astype("float64") - have.astype("float64"))).max()
        if whole:
            agreement = float(np.mean((want == have).reshape(len(want), -1).all(axis=1)))
        elif want.ndim > 1 and want.shape[-1] > 1:
            agreement = float(np.mean(want.argmax(-1) == have.argmax(-1)))
        else:
            agreement = None
        report[name] = {
            "shape": list(want.shape[1:]),
            "dtype": str(have.dtype),
            "difference": float(gap) if np.isfinite(gap) else None,
            "scale": float(np.abs(want).max()),
            "agreement": agreement,
        }
    return report


def refuse_difference(
    what: str, outputs: dict[str, dict[str, Any]], tolerance: float | None, agreement: float | None
) -> None:
    """Raise ExportError when a floating output is over `tolerance` of its scale, or a whole one under `agreement`."""
    for name, found in outputs.items():
        whole = found["dtype"].startswith(("int", "uint", "bool"))
        if not whole and tolerance is not None:
            allowed = tolerance * found["scale"]
            if found["difference"] is None or found["difference"] > allowed:
                raise child.ExportError(
                    f"{what} differs from the Keras model by {found['difference']} in {name!r}, where {allowed:.3g} "
                    "is allowed; nothing was written."
                )
        if whole and agreement is not None and found["agreement"] < agreement:
            raise child.ExportError(
                f"{what} agrees with the Keras model on {found['agreement']:.1%} of the golden images in {name!r}, "
                f"where {agreement:.0%} is asked for; nothing was written."
            )


def _saved_model(folder: pathlib.Path, golden: Arrays, expected: dict[str, np.ndarray]) -> dict[str, Any]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    signatures, ops = {}, collections.Counter()
    for name, call in loaded.signatures.items():
        specs = {spec.name: spec for spec in call.structured_input_signature[1].values()}

        def answer(batch: Arrays, call: Any = call, specs: Any = specs) -> dict[str, np.ndarray]:
            outputs = call(**{key: tf.constant(value, specs[key].dtype) for key, value in batch.items()})
            return {key: value.numpy() for key, value in outputs.items()}

        got = _answers(answer, _as_taken(golden, specs), _count(golden))
        signatures[name] = {
            "inputs": {
                key: {"shape": spec.shape.as_list()[1:], "dtype": spec.dtype.name} for key, spec in specs.items()
            },
            "outputs": compare(expected, got),
        }
        if name == "serving_default":
            functions = call.graph.as_graph_def().library.function
            ops.update(node.op for function in functions for node in function.node_def)
    return {"batch": "any", "verified": True, "ops": _sorted(ops), "flex_ops": [], "signatures": signatures}


def _as_taken(golden: Arrays, specs: dict[str, Any]) -> Arrays:
    """`golden` as a signature takes it: by its names, encoded where it wants strings."""
    import tensorflow as tf

    if set(specs) == set(golden):
        return {name: array.astype(specs[name].dtype.as_numpy_dtype) for name, array in golden.items()}
    ((name, _),) = specs.items()
    (images,) = golden.values()
    return {name: np.array([tf.io.encode_png(image).numpy() for image in images.astype("uint8")], object)}


def _tflite(path: pathlib.Path, golden: Arrays, expected: dict[str, np.ndarray]) -> dict[str, Any]:
    ops = collections.Counter(op.name for op in flatbuffer.operations(path.read_bytes()))
    flex = sorted(op.removeprefix("Flex") for op in ops if op.startswith("Flex"))
    facts = {"ops": _sorted(ops), "flex_ops": flex}
    if flex:  # LiteRT's own runtime cannot open it, and another runtime would prove nothing about this one
        return facts | {"batch": None, "verified": False, "signatures": {}}
    singly, details = _runner(path), _runner(path).get_input_details()
    one = _answers(_call(singly, details), golden, 1)
    batch = 1
    if _count(golden) > 1:
        try:
            many = _answers(_call(_runner(path), details), golden, BATCH)
            free = compare(one, many)
            refuse_difference(path.name, free, tolerance=1e-3, agreement=0.99)
            batch = "any"
        except (RuntimeError, ValueError):
            pass
    taken = {name: {"shape": _shape(each), "dtype": np.dtype(each["dtype"]).name} for name, each in details.items()}
    signature = {"inputs": taken, "outputs": compare(expected, one)}
    return facts | {"batch": batch, "verified": True, "signatures": {"serving_default": signature}}


def _runner(path: pathlib.Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path)).get_signature_runner("serving_default")


def _call(runner: Any, details: dict[str, Any]) -> Answer:
    """`runner` on pixels 0..255: quantised as its inputs ask, which is exact where the scale is 1."""

    def quantised(name: str, batch: np.ndarray) -> np.ndarray:
        scale, zero = details[name]["quantization"]
        if scale:
            limits = np.iinfo(details[name]["dtype"])
            batch = np.clip(np.rint(batch / scale) + zero, limits.min, limits.max)
        return batch.astype(details[name]["dtype"])

    def answer(batch: Arrays) -> dict[str, np.ndarray]:
        return runner(**{name: quantised(name, array) for name, array in batch.items()})

    return answer


def _answers(answer: Answer, arrays: Arrays, batch: int) -> dict[str, np.ndarray]:
    """Answers for `arrays`, the first example alone and the rest in batches, so that two batch sizes are tried."""
    count = _count(arrays)
    cuts = [0, 1, *range(1 + batch, count, batch), count]
    parts = [
        answer({name: array[start:stop] for name, array in arrays.items()})
        for start, stop in itertools.pairwise(cuts)
        if stop > start
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _count(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))


def _shape(detail: dict[str, Any]) -> list[int | None]:
    return [None if size < 0 else int(size) for size in detail["shape_signature"]][1:]


def _sorted(ops: collections.Counter) -> dict[str, int]:
    return dict(sorted(ops.items()))


if __name__ == "__main__":
    child.answer(work)

"""Every model of the hub built at its own size, counted, converted to TFLite float32 and int8, and run there.

    python benchmarks/zoo.py [PATTERN ...]

The work is done in processes beside (a converter can take its process down), small models first; each name leaves one
line in `docs/zoo.jsonl`, and names whose source has not changed since are passed over. Weights are random: the
difference to Keras says whether the file computes the same function, and for int8 only that it runs.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "zoo.jsonl"
KINDS = ("float32", "int8")
LIMIT = 900  # seconds for one name
MEMORY = 5_000_000  # KiB, after which a fresh process goes on


def main() -> None:
    import hub
    from hub import registry

    entries = hub.list(room="models")
    chosen = [entry for pattern in sys.argv[1:] or ["*"] for entry in hub.list(pattern, room="models")]
    known = {row["name"]: row for row in map(json.loads, RESULTS.read_text().splitlines())} if RESULTS.exists() else {}
    known = {entry.name: known[entry.name] for entry in entries if entry.name in known}
    digests = {}
    for entry in chosen:
        source = pathlib.Path(registry.HUB.parent, *entry.module.split(".")).with_suffix(".py")
        digests[entry.name] = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    waiting = [e for e in chosen if known.get(e.name, {}).get("source") != digests[e.name]]
    waiting = [entry.name for entry in sorted(waiting, key=lambda entry: entry.params or 0)]
    while waiting:
        for row in measured(waiting):
            waiting.remove(row["name"])
            print(f"{row['name']:<28}{json.dumps(row)[:160]}", flush=True)
            known[row["name"]] = {**row, "source": digests[row["name"]]}
            lines = [json.dumps(known[each.name]) for each in entries if each.name in known]
            aside = RESULTS.with_suffix(".tmp")
            aside.write_text("\n".join(lines) + "\n")
            aside.replace(RESULTS)


def measured(names: list[str]) -> Iterator[dict]:
    """A row for each of `names` until the child stops: by itself between two, or dead or too slow within one."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    row: dict = {}
    watch = threading.Timer(LIMIT, process.kill)
    watch.start()
    for line in process.stdout:
        if not line.startswith("{"):
            continue
        said = json.loads(line)
        row |= said
        if "done" in said:
            yield {key: value for key, value in row.items() if key != "done"}
            row = {}
            watch.cancel()
            watch = threading.Timer(LIMIT, process.kill)
            watch.start()
    watch.cancel()
    process.wait()
    if row:
        step = next((kind for kind in KINDS if kind not in row), "float32")
        died = f"took more than {LIMIT} s" if process.returncode == -9 else f"ended the process ({process.returncode})"
        yield {**row, step: {"error": f"converting or running it {died}"}}


def child(names: list[str]) -> None:
    import resource

    for name in names:
        say(name=name)
        try:
            one(name)
        except Exception as error:
            say(error=f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:200]}")
        say(done=True)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > MEMORY:  # in KiB; TensorFlow gives nothing back
            return


def one(name: str) -> None:
    import keras
    import numpy as np

    import hub
    from hub.contract import multiply_adds
    from hub.export import fold, inputs, saved_model, tflite

    keras.utils.set_random_seed(0)
    model = hub.load(name)
    params = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    free = any(None in tensor.shape[2:] or len(tensor.shape) > 4 for tensor in model.inputs)
    say(params=params, gmacs=None if free else multiply_adds(model) / 1e9, input=list(model.inputs[-1].shape[1:]))
    arrays = examples(name, model)
    if not isinstance(model.output, dict):
        model = keras.Model(model.input, {f"output{i}": value for i, value in enumerate(model.outputs)})
    expected = {k: np.asarray(v) for k, v in model(inputs.feed(model, arrays), training=False).items()}
    folded, _ = fold.batch_norm(model)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        saved_model.write(folded, folder / "saved_model", False)
        del model, folded
        keras.utils.clear_session()
        for kind in KINDS:
            try:
                path = folder / f"{kind}.tflite"
                path.write_bytes(tflite.convert(folder / "saved_model", kind, arrays, False))
                say(**{kind: {"bytes": path.stat().st_size, **run(path, arrays, expected)}})
            except Exception as error:
                say(**{kind: {"error": f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:200]}"}})


def examples(name: str, model) -> dict:
    """Two random examples by input name, floats in 0..255; sets of frames as the family's contract draws them."""
    import numpy as np

    from hub import registry
    from hub.export import inputs

    (first, *_) = model.inputs
    if own := getattr(registry.module(registry.info(name)), "contract_inputs", None):
        arrays = own(model)
        return {k: np.clip(255 * v, 0, 255).round() if v.dtype == np.float32 else v for k, v in arrays.items()}
    shape = [side or 224 for side in first.shape[1:]]
    (key,) = inputs.names(model)
    return {key: np.random.default_rng(0).integers(0, 256, (2, *shape)).astype("float32")}


def run(path: pathlib.Path, arrays: dict, expected: dict) -> dict:
    """The largest difference to `expected` over its scale, an example at a time, in LiteRT's own interpreter."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path), num_threads=1).get_signature_runner("serving_default")
    details = runner.get_input_details()
    got = [runner(**{k: v[i : i + 1].astype(details[k]["dtype"]) for k, v in arrays.items()}) for i in range(2)]
    worst = 0.0
    for key, want in expected.items():
        have = np.concatenate([each[key] for each in got])
        if have.shape != want.shape or not np.isfinite(have).all():
            return {"error": f"output {key} has shape {have.shape}, finite: {bool(np.isfinite(have).all())}"}
        worst = max(worst, float(np.abs(have - want).max() / max(np.abs(want).max(), 1e-30)))
    return {"difference": worst}


def say(**facts) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    child(sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main()

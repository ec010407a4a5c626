"""Every model of the hub built at its own size, counted, converted to TFLite float32 and int8, and run there.

    python benchmarks/zoo.py [PATTERN ...]

Each name has a process of its own (a converter can take a process down) and leaves one line in `docs/zoo.jsonl`; names
whose source has not changed since are passed over. Weights are random: the difference to Keras says whether the file
computes the same function, and for int8 only that it runs.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "zoo.jsonl"
LIMIT = 900  # seconds for one name


def main() -> None:
    import hub
    from hub import registry

    chosen = [entry for pattern in sys.argv[1:] or ["*"] for entry in hub.list(pattern, room="models")]
    known = {row["name"]: row for row in map(json.loads, RESULTS.read_text().splitlines())} if RESULTS.exists() else {}
    entries = hub.list(room="models")
    known = {entry.name: known[entry.name] for entry in entries if entry.name in known}
    for entry in chosen:
        source = pathlib.Path(registry.HUB.parent, *entry.module.split(".")).with_suffix(".py")
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
        if known.get(entry.name, {}).get("source") == digest:
            continue
        start = time.perf_counter()
        row = {"name": entry.name, "source": digest, **measured(entry.name)}
        print(f"{entry.name:<28}{time.perf_counter() - start:6.0f} s  {json.dumps(row)[:160]}", flush=True)
        known[entry.name] = row
        lines = [json.dumps(known[each.name]) for each in entries if each.name in known]
        aside = RESULTS.with_suffix(".tmp")
        aside.write_text("\n".join(lines) + "\n")
        aside.replace(RESULTS)


def measured(name: str) -> dict:
    """What the child says of `name`, with the reason where it ends early."""
    try:
        done = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"error": f"more than {LIMIT} s"}
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    row = {key: value for line in lines for key, value in line.items()}
    return row if done.returncode == 0 else row | {"error": (done.stderr.strip().splitlines() or ["died"])[-1][:200]}


def one(name: str) -> None:
    import keras
    import numpy as np

    import hub
    from hub.contract import multiply_adds
    from hub.export import fold, saved_model, tflite

    keras.utils.set_random_seed(0)
    model = hub.load(name)
    params = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    say(params=params, gmacs=multiply_adds(model) / 1e9, input=list(model.input_shape[1:]))
    shape = [side or 224 for side in model.input_shape[1:]]
    images = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype("float32")
    if not isinstance(model.output, dict):
        model = keras.Model(model.input, {"output": model.output})
    expected = {key: np.asarray(value) for key, value in model(images, training=False).items()}
    folded, _ = fold.batch_norm(model)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        saved_model.write(folded, "image", folder / "saved_model", False)
        del model, folded
        keras.utils.clear_session()
        for kind in ("float32", "int8"):
            try:
                path = folder / f"{kind}.tflite"
                path.write_bytes(tflite.convert(folder / "saved_model", kind, images, False))
                say(**{kind: {"bytes": path.stat().st_size, **run(path, images, expected)}})
            except Exception as error:
                say(**{kind: {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"}})


def run(path: pathlib.Path, images, expected: dict) -> dict:
    """The largest difference to `expected` over its scale, an image at a time, in LiteRT's own interpreter."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path), num_threads=1).get_signature_runner("serving_default")
    ((name, detail),) = runner.get_input_details().items()
    got = [runner(**{name: image[None].astype(detail["dtype"])}) for image in images]
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
    one(sys.argv[2]) if sys.argv[1:2] == ["--one"] else main()

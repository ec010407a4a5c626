"""The child process that converts: `python -m hub.export.convert JOB.json`."""

import importlib
import pathlib
from typing import Any

import numpy as np

from hub.export import child, inputs
from hub.export.verify import BATCH, compare, refuse_difference


def work(job: dict[str, Any], step: child.Progress) -> dict[str, Any]:
    """Write the formats of `job` into its folder, and the Keras model's own answers to `expected.npz`.

    The answers are those of the reopened, unfolded model on this process's CPU in float32; they must be near those
    the caller's live model gave, or the model does not survive saving.
    """
    step("load")
    import keras

    from hub.export import fold, lint, saved_model, tflite

    folder = pathlib.Path(job["folder"])
    for module in job["modules"]:
        importlib.import_module(module)
    # The file was written a moment ago from a live model of the caller's, so its Lambda layers are the caller's own.
    model = keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=False)
    golden = dict(np.load(folder / "golden.npz"))
    expected = answers(model, golden)
    reloaded = compare(dict(np.load(folder / "live.npz")), expected)
    refuse_difference("The model saved and loaded again", reloaded, tolerance=1e-2, agreement=None)
    np.savez(folder / "expected.npz", **expected)

    model, folded = fold.batch_norm(model)
    kinds = [kind for kind in tflite.FORMATS if kind in job["formats"]]
    findings = lint.check(model) if kinds else []
    if findings and not job["allow_flex"]:
        _refuse(findings, " Nothing was written; allow_flex=True exports it, unverified.")
    if findings and "int8" in kinds:
        _refuse(findings, " Nothing was written; int8 cannot be calibrated with Flex ops, so leave it out of formats.")
    step("saved_model")
    saved_model.write(model, folder / "saved_model", job["image_bytes"])
    samples = dict(np.load(folder / "representative.npz"))
    for kind in kinds:
        step(kind)
        try:
            content = tflite.convert(folder / "saved_model", kind, samples, job["allow_flex"])
        except Exception as error:
            if blamed := lint.explain(model, str(error)):
                _refuse(blamed, " Nothing was written.")
            raise
        (folder / f"model_{kind}.tflite").write_bytes(content)
    return {"folded": folded, "flex": [vars(finding) for finding in findings]}


def answers(model: Any, arrays: inputs.Arrays) -> dict[str, np.ndarray]:
    """Outputs of `model`, which returns a dict, for `arrays` by input name; a batch at a time."""
    from keras import ops

    def part(start: int) -> dict[str, Any]:
        some = {name: array[start : start + BATCH] for name, array in arrays.items()}
        return model(inputs.feed(model, some), training=False)

    parts = [part(start) for start in range(0, len(next(iter(arrays.values()))), BATCH)]
    return {name: np.concatenate([ops.convert_to_numpy(part[name]) for part in parts]) for name in parts[0]}


def _refuse(findings: list[Any], outcome: str) -> None:
    raise child.ExportError("; ".join(map(str, findings)) + "." + outcome)


if __name__ == "__main__":
    child.answer(work)

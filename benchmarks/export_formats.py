"""Every exported format of a street-number run against its Keras model on the same test images.

`python benchmarks/export_formats.py saved_models/street_number/1` prints, per format: size, agreement with Keras on 200
test images (same number read), largest difference of a log-probability there, and sequence accuracy on those 200 and
on all test images of both sets.
"""

import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import hub
from applications.runs import read_json
from applications.street_number import dataset
from applications.street_number.config import Config
from applications.street_number.evaluate import read

FORMATS = ("saved_model", "float32", "float16", "int8")


def keras_answers(folder: pathlib.Path, images: np.ndarray) -> dict[str, np.ndarray]:
    return read(hub.load(str(folder / "model.keras")), images)


def answers(folder: pathlib.Path, kind: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of one exported format, by name."""
    if kind == "saved_model":
        import tensorflow as tf

        served = tf.saved_model.load(str(folder)).signatures["serving_default"]
        parts = [served(image=tf.constant(images[i : i + 256], tf.float32)) for i in range(0, len(images), 256)]
        return {key: np.concatenate([part[key].numpy() for part in parts]) for key in parts[0]}
    runner = Interpreter(str(folder / f"model_{kind}.tflite"), num_threads=2).get_signature_runner("serving_default")
    (name, detail), *_ = runner.get_input_details().items()
    parts = [runner(**{name: image[None].astype(detail["dtype"])}) for image in images]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def size(folder: pathlib.Path, kind: str) -> int:
    if kind != "saved_model":
        return (folder / f"model_{kind}.tflite").stat().st_size
    files = [folder / "saved_model.pb", *(folder / "variables").iterdir()]
    return sum(path.stat().st_size for path in files)


def right(answer: dict[str, np.ndarray], targets: np.ndarray) -> float:
    return float(((answer["length"] == targets[:, 0]) & (answer["digits"] == targets[:, 1:]).all(1)).mean())


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    about = read_json(folder / "run.json")
    source = dataset.prepare(about["data"], Config(**read_json(folder / "config.json")))
    for name, split in dataset.test_splits(source).items():
        expected = keras_answers(folder, split.images)
        few = {key: value[:200] for key, value in expected.items()}
        whole = right(expected, split.targets)
        print(f"{name}: Keras {right(few, split.targets[:200]):.4f} on 200, {whole:.4f} on {len(split.images):,}")
        for kind in FORMATS:
            got = answers(folder, kind, split.images)
            part = {key: value[:200] for key, value in got.items()}
            agree = ((part["digits"] == few["digits"]).all(1) & (part["length"] == few["length"])).mean()
            off = max(np.abs(part[key] - few[key]).max() for key in ("length_logp", "digit_logp"))
            print(
                f"  {kind:<12}{size(folder, kind):>10,} B  agrees {agree:.4f}  largest difference {off:.1e}  "
                f"accuracy {right(part, split.targets[:200]):.4f} on 200, {right(got, split.targets):.4f} on all"
            )

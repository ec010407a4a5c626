"""Ten architectures against timm and keras.applications, side by side in one process, on the CPU.

    python benchmarks/race.py [NAME ...]

Inference at batch 1 and 8 and one training step at batch 8, random weights, the published image size. Every contender
is called in turn, round after round, and its median time counts; what is printed and kept in `docs/race.jsonl` are
ratios to timm in channels-last, eagerly. Run it on a quiet machine; needs torch and timm.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "race.jsonl"
BASE = "timm channels-last"
CONTENDERS = {  # ours -> (timm's, keras.applications' or None)
    "resnet18": ("resnet18", None),
    "resnet50": ("resnet50", "ResNet50"),
    "mobilenet_v2": ("mobilenetv2_100", "MobileNetV2"),
    "mobilenet_v3_large": ("mobilenetv3_large_100", "MobileNetV3Large"),
    "efficientnet_b0": ("efficientnet_b0", "EfficientNetB0"),
    "densenet121": ("densenet121", "DenseNet121"),
    "convnext_tiny": ("convnext_tiny", "ConvNeXtTiny"),
    "inception_v3": ("inception_v3", "InceptionV3"),
    "regnety_008": ("regnety_008", None),
    "deit_small": ("deit_small_patch16_224", None),
}
Call = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--seconds", type=float, default=12.0, help="for each architecture and batch size")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(os.cpu_count())
    rows = {row["name"]: row for row in map(json.loads, RESULTS.read_text().splitlines())} if RESULTS.exists() else {}
    for name in args.names:
        rows[name] = {"name": name, **race(name, args.seconds)}
        RESULTS.write_text("\n".join(json.dumps(rows[key]) for key in CONTENDERS if key in rows) + "\n")
        for event in ("batch 1", "batch 8", "training step"):
            told = ", ".join(f"{who} {ratio:.2f}" for who, ratio in rows[name][event].items())
            print(f"{name:<20}{event:<15}{told}", flush=True)


def race(name: str, seconds: float) -> dict[str, dict[str, float]]:
    """Event -> contender -> its median time over that of `BASE`."""
    import keras

    import hub

    theirs, applications = CONTENDERS[name]
    model = hub.load(name)
    shape = model.input_shape[1:]
    peer = getattr(keras.applications, applications)(weights=None) if applications else None
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        lite = exported(model, pathlib.Path(folder), shape)
        for batch in (1, 8):
            images = np.random.default_rng(0).integers(0, 256, (batch, *shape)).astype("float32")
            calls = timm_calls(theirs, images) | our_calls(model, lite, pathlib.Path(folder), images)
            if peer is not None:
                calls |= peer_calls(peer, images)
            found[f"batch {batch}"] = ratios(calls, seconds)
    calls = {BASE: timm_step(theirs, images), "hub": keras_step(model, images)}
    if peer is not None:
        calls["keras.applications"] = keras_step(peer, images, softmax=True)
    found["training step"] = ratios(calls, seconds)
    keras.utils.clear_session()
    return found


def exported(model, folder: pathlib.Path, shape: tuple[int, ...]) -> dict[str, pathlib.Path]:
    """The folded SavedModel, and TFLite files float32 and int8 made from it."""
    import keras

    from hub.export import fold, saved_model, tflite

    named = keras.Model(model.input, {"output": model.output})
    saved_model.write(fold.batch_norm(named)[0], folder / "saved_model", False)
    samples = np.random.default_rng(1).integers(0, 256, (4, *shape)).astype("float32")
    paths = {}
    for kind in ("float32", "int8"):
        paths[kind] = folder / f"{kind}.tflite"
        paths[kind].write_bytes(tflite.convert(folder / "saved_model", kind, {"image": samples}, False))
    return paths


def our_calls(model, lite: dict[str, pathlib.Path], folder: pathlib.Path, images: np.ndarray) -> dict[str, Call]:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    graph = tf.function(lambda x: model(x, training=False))
    served = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    given = tf.constant(images)
    calls: dict[str, Call] = {
        "hub graph": lambda: graph(given).numpy(),
        "hub folded": lambda: served(image=given)["output"].numpy(),
    }
    for kind, path in lite.items():
        interpreter = Interpreter(str(path), num_threads=os.cpu_count())
        (detail,) = interpreter.get_input_details()
        interpreter.resize_tensor_input(detail["index"], images.shape)
        interpreter.allocate_tensors()

        calls[f"hub TFLite {kind}"] = functools.partial(lite_call, interpreter, images.astype(detail["dtype"]))
    return calls


def lite_call(interpreter, pixels: np.ndarray) -> object:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def peer_calls(peer, images: np.ndarray) -> dict[str, Call]:
    import tensorflow as tf

    graph, given = tf.function(lambda x: peer(x, training=False)), tf.constant(images)
    return {
        "keras.applications predict": lambda: peer.predict_on_batch(images),
        "keras.applications graph": lambda: graph(given).numpy(),
    }


def timm_calls(name: str, images: np.ndarray) -> dict[str, Call]:
    import torch

    network = create(name).eval()
    given = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(memory_format=torch.channels_last)
    compiled = torch.compile(network)

    def run(model) -> object:
        with torch.inference_mode():
            return model(given).numpy()

    return {BASE: lambda: run(network), "timm compiled": lambda: run(compiled)}


def timm_step(name: str, images: np.ndarray) -> Call:
    import torch

    network = create(name).train()
    optimizer = torch.optim.SGD(network.parameters(), 1e-6)
    given = torch.from_numpy(images.transpose(0, 3, 1, 2).copy() / 255).to(memory_format=torch.channels_last)
    labels = torch.zeros(len(images), dtype=torch.long)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(given), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def create(name: str):
    import torch

    torch.manual_seed(0)
    return timm().create_model(name).to(memory_format=torch.channels_last)


@functools.cache
def timm():
    """timm, beside a torchvision without its compiled operators too: no classifier uses them."""
    import torch

    describe = torch.library.register_fake

    def all_but_torchvision(op, *args, **kwargs):
        return (lambda function: function) if str(op).startswith("torchvision::") else describe(op, *args, **kwargs)

    torch.library.register_fake = all_but_torchvision
    try:
        import timm
    finally:
        torch.library.register_fake = describe
    return timm


def keras_step(model, images: np.ndarray, softmax: bool = False) -> Call:
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    model.compile(keras.optimizers.SGD(1e-6), loss, jit_compile=False)
    labels = np.zeros(len(images), "int32")
    return lambda: model.train_on_batch(images / 255, labels)


def ratios(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """The contenders called in turn until the time is up, at least 5 rounds after 2 that warm up."""
    for call in [*calls.values()] * 2:
        call()
    taken: dict[str, list[float]] = {who: [] for who in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken[BASE]) < 5:
        for who, call in calls.items():
            start = time.perf_counter()
            call()
            taken[who].append(time.perf_counter() - start)
    base = statistics.median(taken[BASE])
    return {who: round(statistics.median(times) / base, 3) for who, times in taken.items()}


if __name__ == "__main__":
    main()

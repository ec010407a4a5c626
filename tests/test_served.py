"""The committed model: `hub predict`, REST, and TensorFlow Serving's own gRPC client give the same answer."""

import base64
import json
import pathlib
import re
import signal
import subprocess
import sys
import urllib.request

import grpc
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
VERSION = ROOT / "saved_models" / "street_number" / "1"
PACKAGED = sorted(path.parent for path in (ROOT / "saved_models").glob("*/*/run.json"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three crops of synthetic numbers as PNG files."""
    import cv2

    from hub.data.number_crop import number_crop
    from hub.data.street_numbers import scene

    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for index in range(3):
        drawn = scene(index, seed=77)
        crop = number_crop(drawn.image, drawn.boxes.astype("float32")).numpy()
        paths.append(folder / f"{index}.png")
        cv2.imwrite(str(paths[-1]), crop[..., ::-1])
    return paths


@pytest.fixture(scope="module")
def server():
    """`hub serve saved_models` on free ports; yields (REST address, gRPC address)."""
    command = [sys.executable, "-c", "from applications.cli import main; main()", "serve", "saved_models",
               "--rest-port", "0", "--grpc-port", "0"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    line = process.stdout.readline()
    rest, rpc = re.search(r"(http://\S+)/v1/models and gRPC (\S+)", line).groups()
    yield rest, rpc
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_predict_rest_and_grpc_agree(server, pictures, hub_command):
    from tensorflow import make_ndarray, make_tensor_proto
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    rest, rpc = server
    contents = [path.read_bytes() for path in pictures]
    done = hub_command("predict", "street_number", *pictures, "--run", VERSION, "--json")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr

    body = {"signature_name": "serving_bytes", "instances": [{"b64": base64.b64encode(c).decode()} for c in contents]}
    request = urllib.request.Request(f"{rest}/v1/models/street_number/versions/1:predict", json.dumps(body).encode())
    rows = json.load(urllib.request.urlopen(request, timeout=60))["predictions"]

    message = predict_pb2.PredictRequest()
    message.model_spec.name = "street_number"
    message.model_spec.version.value = 1
    message.model_spec.signature_name = "serving_bytes"
    message.inputs["image_bytes"].CopyFrom(make_tensor_proto(contents))
    with grpc.insecure_channel(rpc) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(message, timeout=60)
    arrays = {key: make_ndarray(value) for key, value in answer.outputs.items()}

    for index, row in enumerate(rows):
        number = "".join(str(digit) for digit in row["digits"] if digit >= 0)
        assert number == said[index]["number"]
        assert row["confidence"] == pytest.approx(said[index]["confidence"], abs=1e-4)
        assert row["digits"] == arrays["digits"][index].tolist()
        np.testing.assert_allclose(row["digit_logp"], arrays["digit_logp"][index], rtol=1e-5)
        print(index, number, row["confidence"], said[index]["confidence"], float(arrays["confidence"][index]))


def test_a_set_and_its_length_are_served(server):
    """Walks of different lengths in one request, padded, by gRPC and as columns of JSON, like Keras on each alone."""
    from tensorflow import make_ndarray, make_tensor_proto
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    import hub
    from applications.gait_recognition.evaluate import embed
    from hub.data import silhouettes
    from hub.data.walker_silhouettes import walker

    rest, rpc = server
    clips = [silhouettes.narrow(silhouettes.clip(walker(who, "nm-01", 54, frames=(8, 8)))) for who in (901, 902)]
    clips[1] = clips[1][:3]
    sets = np.zeros((2, len(clips[0]), 64, 44, 1), "float32")
    for place, clip in zip(sets, clips, strict=True):
        place[: len(clip), ..., 0] = clip
    lengths = np.array([len(clip) for clip in clips], "int32")
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "gait_recognition"
    message.inputs["silhouettes"].CopyFrom(make_tensor_proto(sets))
    message.inputs["length"].CopyFrom(make_tensor_proto(lengths))
    with grpc.insecure_channel(rpc) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(message, timeout=60)
    body = json.dumps({"inputs": {"silhouettes": sets.astype(int).tolist(), "length": lengths.tolist()}}).encode()
    request = urllib.request.Request(f"{rest}/v1/models/gait_recognition:predict", body)
    rows = json.load(urllib.request.urlopen(request, timeout=60))["outputs"]
    network = hub.load(str(ROOT / "saved_models" / "gait_recognition" / "1" / "model.keras"))
    expected = np.concatenate([embed(network, [clip]) for clip in clips])
    for got in (make_ndarray(answer.outputs["embedding"]), np.array(rows)):
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("version", PACKAGED, ids=lambda path: path.parent.name)
def test_the_committed_models_are_whole_and_small(version):
    from hub.export import manifest

    manifest.verify(version)
    assert sum(path.stat().st_size for path in version.rglob("*") if path.is_file()) <= 6_000_000


@pytest.mark.parametrize("version", PACKAGED, ids=lambda path: path.parent.name)
def test_the_model_cards_say_what_the_runs_measured(version):
    from applications.card import figures

    assert figures(version) in (ROOT / "applications" / version.parent.name / "README.md").read_text()


def test_it_reads_the_sample(pictures):
    """Fresh scenes of an unseen seed: most are read, as on the test set."""
    import hub
    from applications.street_number.evaluate import correct, read
    from hub.data.number_crop import labels_to_target, number_crop
    from hub.data.street_numbers import street_numbers

    scenes = list(street_numbers(150, seed=78))
    crops = np.stack([number_crop(s.image, s.boxes.astype("float32")) for s in scenes])
    targets = np.stack([labels_to_target(np.array(s.labels)) for s in scenes])
    assert correct(read(hub.load(str(VERSION)), crops), targets).mean() > 0.85

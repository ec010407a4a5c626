"""Every bad input gets one sentence that names what was received, exit status 2, and leaves nothing behind."""

import json
import zipfile

import numpy as np
import pytest

from applications.cli import dispatch
from applications.street_number import model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small run and every broken thing that the table names."""
    folder = tmp_path_factory.mktemp("bad")
    run = folder / "run"
    run.mkdir()
    model.build("multi_digit_tiny", crop=True).save(run / "model.keras")
    (run / "run.json").write_text(json.dumps({"threshold": 0.5}))
    whole = (run / "model.keras").read_bytes()

    import cv2

    encoded = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), "uint8"))[1].tobytes()
    (folder / "good.png").write_bytes(encoded)
    (folder / "cut.png").write_bytes(encoded[: len(encoded) // 2])
    (folder / "text.jpg").write_text("this is no picture")
    (folder / "nothing.png").write_bytes(b"")
    (folder / "cut.keras").write_bytes(whole[: len(whole) // 2])
    (folder / "noise.keras").write_bytes(bytes(range(256)) * 8)
    (folder / "model.pkl").write_bytes(b"\x80\x04.")
    (folder / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with zipfile.ZipFile(folder / "lambda.keras", "w") as file:
        function = {"class_name": "__lambda__", "config": {"code": "4w"}}
        layer = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None}
        layer["config"] = {"name": "l", "function": function}
        config = {"module": "keras", "class_name": "Sequential", "registered_name": None}
        config["config"] = {"name": "s", "layers": [layer]}
        file.writestr("config.json", json.dumps(config))
        file.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        file.writestr("model.weights.h5", b"")
    for name in ("empty", "svhn", "svhn/train", "svhn/test", "no_model/thing/1"):
        (folder / name).mkdir(parents=True)
    return folder


RUN = ("run", "street_number", "--out", "{}/out")
PREDICT = ("predict", "street_number", "--run", "{}/run")
COMMANDS = {  # what is wrong: (command line, what the sentence must name)
    "unknown command": (("lst",), "list"),
    "unknown flag": (("list", "--jsn"), "--json"),
    "unknown room": (("list", "--room", "kitchen"), "kitchen"),
    "pattern without match": (("list", "zzz*"), "zzz"),
    "unknown name, near miss": (("info", "resnt18"), "resnet18"),
    "check without a name": (("check",), "NAME"),
    "check of an unknown room": (("check", "--all", "kitchen"), "kitchen"),
    "unknown application": (("run", "street_numbr"), "street_numbr"),
    "flag of no application": ((*RUN, "--epoch", "3"), "--epochs"),
    "text for a number": ((*RUN, "--epochs", "many"), "many"),
    "no epochs": ((*RUN, "--epochs", "0"), "epochs=0"),
    "no batch": ((*RUN, "--batch-size", "0"), "batch_size=0"),
    "negative learning rate": ((*RUN, "--learning-rate", "-1"), "-1"),
    "negative seed": ((*RUN, "--seed", "-1"), "seed"),
    "unknown precision": ((*RUN, "--precision", "float8"), "float8"),
    "too small a sample": ((*RUN, "--sample-images", "3"), "sample_images=3"),
    "missing data folder": ((*RUN, "--data", "{}/nowhere"), "nowhere"),
    "data is a file": ((*RUN, "--data", "{}/good.png"), "good.png"),
    "data without digitStruct.mat": ((*RUN, "--data", "{}/svhn"), "digitStruct.mat"),
    "nothing to resume": ((*RUN, "--resume", "--data", "{}/ok"), "--resume"),
    "unknown network": ((*RUN, "--model", "resnet19", "--data", "{}/ok"), "resnet"),
    "a layer as network": ((*RUN, "--model", "maxout", "--data", "{}/ok"), "maxout"),
    "run folder without a model": (("evaluate", "street_number", "--run", "{}/empty"), "empty"),
    "export of nothing": (("export", "street_number", "--out", "{}/empty"), "unfinished"),
    "missing picture": ((*PREDICT, "{}/nowhere.png"), "nowhere.png"),
    "empty picture": ((*PREDICT, "{}/nothing.png"), "nothing.png"),
    "truncated picture": ((*PREDICT, "{}/cut.png"), "cut.png"),
    "text named .jpg": ((*PREDICT, "{}/text.jpg"), "text.jpg"),
    "folder without pictures": ((*PREDICT, "{}/empty"), "empty"),
    "box of three numbers": ((*PREDICT, "{}/good.png", "--box", "1,2,3"), "1,2,3"),
    "box without width": ((*PREDICT, "{}/good.png", "--box", "1,2,0,3"), "1,2,0,3"),
    "threshold above one": ((*PREDICT, "{}/good.png", "--threshold", "1.5"), "1.5"),
    "predict with an unknown network": (("predict", "resnet19", "{}/good.png"), "Did you mean resnet1"),
    "predict with no such weights": (("predict", "resnet18", "{}/good.png", "--weights", "{}/no.pth"), "no.pth"),
    "no class is told": (("predict", "resnet18", "{}/good.png", "--top", "0"), "0"),
    "serve a missing folder": (("serve", "{}/nowhere"), "nowhere"),
    "serve an empty folder": (("serve", "{}/empty"), "empty"),
    "serve folders without models": (("serve", "{}/no_model"), "no_model"),
    "bench of a layer": (("bench", "maxout"), "maxout"),
    "bench of no image": (("bench", "resnet_tiny", "--batch-size", "0"), "0"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_command(case, place, street_folder, capsys, monkeypatch):
    if not (place / "ok").exists():
        (place / "ok").symlink_to(street_folder)
    line, named = COMMANDS[case]
    before = sorted(place.rglob("*"))
    try:
        status = dispatch([part.format(place) for part in line])
    except SystemExit as stop:
        status = stop.code
    said = [text for text in capsys.readouterr().err.strip().splitlines() if text.startswith("hub:")]
    print(f"{case:<32}{said[-1] if said else ''}")
    assert status == 2 and len(said) == 1, said
    assert named in said[0]
    assert "Traceback" not in said[0] and len(said[0]) < 400
    assert sorted(p for p in place.rglob("*") if p.name != "ok") == [p for p in before if p.name != "ok"]


LOADS = {
    "a path that is not there": (("nowhere.keras",), {}, "nowhere.keras"),
    "an unknown name": (("resnet19",), {}, "resnet18"),
    "an unknown argument": (("resnet18",), {"clases": 3}, "clases"),
    "a truncated .keras": (("cut.keras",), {}, "cut.keras"),
    "noise named .keras": (("noise.keras",), {}, "noise.keras"),
    "a .keras with a Lambda": (("lambda.keras",), {}, "Lambda"),
    "a pickle": (("model.pkl",), {}, "pkl"),
    "a whole model in H5": (("model.h5",), {}, "h5"),
    "weights that are not there": (("resnet_tiny",), {"weights": "nowhere.safetensors"}, "nowhere"),
    "a preset without keras-hub": (("keras_hub/nothing",), {}, "keras"),
}


@pytest.mark.parametrize("case", LOADS)
def test_load(case, place, monkeypatch):
    import hub

    monkeypatch.chdir(place)
    args, kwargs, named = LOADS[case]
    with pytest.raises((ValueError, OSError, ImportError)) as refused:
        hub.load(*args, **kwargs)
    said = str(refused.value)
    print(f"{case:<32}{said}")
    assert named.lower() in said.lower() and "\n" not in said and len(said) < 500

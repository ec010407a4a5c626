"""Chest films: every mistake gets one sentence that names what was received, exit status 2, and leaves nothing behind.

A 16-bit film is no mistake: it gets the answer of its 8-bit twin.
"""

import argparse
import json
import pathlib
import shutil

import cv2
import numpy as np
import pytest
from test_dicom import stored, write

from applications import training
from applications.cli import dispatch
from applications.tb_chest_xray import dataset, predict
from applications.tb_chest_xray import evaluate as protocol
from applications.tb_chest_xray import model as models
from applications.tb_chest_xray.config import Config
from hub.data import thorax_phantom
from hub.data.chest_film import read_film

SIZE = 64
FILMS = 24
RUN_FACTS = {"threshold": 0.5, "band": [0.4, 0.6], "unusual": 50.0, "metrics": {}, "synthetic": True}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Prepared films go to a cache of this module, in which nothing half prepared may stay either."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUB_CACHE", str(cache))
        patch.setattr(training, "start", lambda config: "CPU")  # it would change TensorFlow for the tests that follow
        yield cache


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with films, an untrained run, and every broken thing that the tables name."""
    folder = tmp_path_factory.mktemp("bad")
    good = thorax_phantom.write_montgomery(folder / "good", FILMS, seed=5, size=96)
    films = sorted((good / "CXR_png").glob("*.png"))
    _broken_films(folder, films)
    _broken_folders(folder, films)
    _runs(folder, films)
    return folder


def _broken_films(folder, films):
    rng = np.random.default_rng(0)
    dicom = write(stored())
    (folder / "cut.dcm").write_bytes(dicom[: len(dicom) // 2])
    (folder / "no_pixels.dcm").write_bytes(write(stored(), PixelData=None))
    (folder / "hand.dcm").write_bytes(write(stored(), BodyPartExamined="HAND"))
    (folder / "text.dcm").write_text("this is no film\n" * 40)
    cv2.imwrite(str(folder / "black.png"), np.zeros((90, 90), "uint8"))
    cv2.imwrite(str(folder / "dot.png"), np.zeros((1, 1), "uint8"))
    photo = rng.integers(0, 256, (8, 8, 3)).repeat(16, 0).repeat(16, 1)
    cv2.imwrite(str(folder / "photo.png"), photo.astype("uint8"))
    encoded = films[0].read_bytes()
    (folder / "cut.png").write_bytes(encoded[: len(encoded) // 2])
    (folder / "empty").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("films follow by mail")


def _copy(folder, name, keep=lambda path: True):
    """Those of the good films that `keep`, with their masks, as a Montgomery set inside `name`."""
    source, target = folder / "good" / "MontgomerySet", folder / name / "MontgomerySet"
    for path in sorted(source.rglob("*")):
        if path.is_file() and (not path.stem.startswith("MCUCXR") or keep(path)):
            copied = target / path.relative_to(source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copied)
    return target


def _broken_folders(folder, films):
    _copy(folder, "one_class", lambda path: path.stem[-1] == "0")
    few = [next(path.stem for path in order if path.stem[-1] == kind) for order, kind in ((films, "0"), (films, "1"))]
    few.append(next(path.stem for path in films[::-1] if path.stem[-1] == "0"))
    _copy(folder, "few", lambda path: path.stem in few)
    odd = _copy(folder, "odd_mask")
    for side in ("leftMask", "rightMask"):
        cv2.imwrite(str(odd / "ManualMask" / side / films[3].name), np.full((96, 60), 255, "uint8"))
    shutil.rmtree(_copy(folder, "no_masks") / "ManualMask")
    twins = _copy(folder, "twins")
    for path in sorted((twins / "CXR_png").glob("*.png")):
        number, label = path.stem.split("_")[1:]
        for copied in twins.rglob(f"{path.stem}.*"):
            shutil.copy(copied, copied.with_name(f"MCUCXR_{int(number) + 500:04d}_{label}{copied.suffix}"))
    broken = _copy(folder, "broken_film")
    cut = broken / "CXR_png" / films[5].name
    cut.write_bytes(cut.read_bytes()[:900])

    for name, classes in (("no_tb", ("normal",)), ("shared", ("normal", "tb")), ("half_split", ("normal", "tb"))):
        for at, kind in enumerate(classes):
            (folder / name / kind).mkdir(parents=True)
            for path in films[at::2]:
                shutil.copy(path, folder / name / kind / path.name)
    rows = [f"{path.name},P{i // 4},{'train' if i % 4 else 'test'}" for i, path in enumerate(films)]
    (folder / "shared" / "patients.csv").write_text("\n".join(["name,patient,split", *rows]) + "\n")
    rows = [f"{path.name},P{i},{('train', 'train', 'test', '')[i % 4]}" for i, path in enumerate(films)]
    (folder / "half_split" / "patients.csv").write_text("\n".join(["name,patient,split", *rows]) + "\n")


def _lungs():
    """A segmenter that finds two fixed fields, the surer the brighter a pixel."""
    import keras

    image = keras.Input((SIZE, SIZE, 1), name="image")
    layer = keras.layers.LayerNormalization(axis=(1, 2, 3), name="fields")
    model = keras.Model(image, layer(image), name="segmenter")
    rows, columns = np.indices((SIZE, SIZE)) / SIZE
    inside = (abs(rows - 0.5) < 0.3) & (abs(abs(columns - 0.5) - 0.22) < 0.12)
    layer.set_weights([np.full((SIZE, SIZE, 1), 0.5), np.where(inside, 8.0, -8.0)[..., None]])
    return model


def _runs(folder, films):
    """An untrained run, one of lungs alone, one with a damaged file, one that decided nothing."""
    import keras

    from hub.evaluation.mahalanobis import FeatureDistance

    keras.utils.set_random_seed(0)
    images = np.stack([read_film(path, SIZE) for path in films])[..., None]
    lungs = _lungs()
    model = models.whole(lungs, models.reader("wrn_tiny", SIZE), segmented=True)
    arrays = FeatureDistance.fit(protocol.features(model, images)).to_arrays()
    for name in ("run", "cut_reference", "no_threshold"):
        (folder / name).mkdir()
        model.save(folder / name / "model.keras")
        (folder / name / "run.json").write_text(json.dumps(RUN_FACTS))
        (folder / name / "config.json").write_text(json.dumps({"experiment": "segmented"}))
        np.savez(folder / name / "reference.npz", **arrays)
    (folder / "no_threshold" / "run.json").write_text(json.dumps({"metrics": {}}))
    cut = folder / "cut_reference" / "reference.npz"
    cut.write_bytes(cut.read_bytes()[:300])
    (folder / "lungs_run").mkdir()
    shutil.copy(folder / "run" / "model.keras", folder / "lungs_run")
    (folder / "lungs_run" / "run.json").write_text(json.dumps({"application": "tb_chest_xray_lungs", "metrics": {}}))


SMALL = (
    "--size",
    "64",
    "--epochs",
    "1",
    "--segmentation-epochs",
    "1",
    "--model",
    "wrn_tiny",
    "--segmenter",
    "unet_tiny",
)
TRAIN = ("train", "tb_chest_xray", "--out", "{}/out", *SMALL)
RUN = ("run", "tb_chest_xray", "--out", "{}/out", *SMALL)
GOOD = ("--data", "{}/good")
PREDICT = ("predict", "tb_chest_xray", "--run", "{}/run")
FILM = "{}/good/MontgomerySet/CXR_png"
COMMANDS = {  # what is wrong: (command line, what the sentence must name)
    "truncated DICOM": ((*PREDICT, "{}/cut.dcm"), "cut.dcm"),
    "DICOM without pixels": ((*PREDICT, "{}/no_pixels.dcm"), "no pixels"),
    "DICOM of a hand": ((*PREDICT, "{}/hand.dcm"), "HAND"),
    "text named .dcm": ((*PREDICT, "{}/text.dcm"), "text.dcm"),
    "black film": ((*PREDICT, "{}/black.png"), "black.png"),
    "film of one pixel": ((*PREDICT, "{}/dot.png"), "1 x 1"),
    "colour photo": ((*PREDICT, "{}/photo.png"), "photo.png"),
    "truncated PNG": ((*PREDICT, "{}/cut.png"), "cut.png"),
    "film that is not there": ((*PREDICT, "{}/nowhere.dcm"), "nowhere.dcm"),
    "folder without films": ((*PREDICT, "{}/notes"), "notes"),
    "threshold above one": ((*PREDICT, FILM, "--threshold", "1.5"), "1.5"),
    "threshold that is no number": ((*PREDICT, FILM, "--threshold", "nan"), "nan"),
    "report into a file": ((*PREDICT, FILM, "--report", "{}/cut.png"), "cut.png"),
    "run of lungs alone": (("predict", "tb_chest_xray", "--run", "{}/lungs_run", FILM), "lungs_run"),
    "run without a threshold": (("predict", "tb_chest_xray", "--run", "{}/no_threshold", FILM), "no_threshold"),
    "run with a cut file": (("predict", "tb_chest_xray", "--run", "{}/cut_reference", FILM), "reference.npz"),
    "run that is not there": (("predict", "tb_chest_xray", "--run", "{}/nowhere", FILM), "nowhere"),
    "data that is not there": ((*TRAIN, "--data", "{}/nowhere"), "nowhere"),
    "data is an empty name": ((*TRAIN, "--data", ""), "''"),
    "data is a film": ((*TRAIN, "--data", "{}/black.png"), "black.png"),
    "data without a layout": ((*TRAIN, "--data", "{}/notes"), "notes"),
    "empty data folder": ((*TRAIN, "--data", "{}/empty"), "empty"),
    "class folder missing": ((*TRAIN, "--data", "{}/no_tb"), "no folder tb"),
    "one class": ((*TRAIN, "--data", "{}/one_class"), "one_class"),
    "three films": ((*TRAIN, "--data", "{}/few"), "3"),
    "mask of another size": ((*TRAIN, "--data", "{}/odd_mask"), "60 x 96"),
    "film cut short": ((*TRAIN, "--data", "{}/broken_film"), "broken_film"),
    "same file under two names": ((*TRAIN, "--data", "{}/twins"), "same file"),
    "patient in both splits": ((*TRAIN, "--data", "{}/shared"), "patient P"),
    "split for some films only": ((*TRAIN, "--data", "{}/half_split"), "6 films"),
    "lungs without masks": ((*TRAIN, "--data", "{}/no_masks", "--experiment", "segmentation"), "ManualMask"),
    "segmented without masks": ((*TRAIN, "--data", "{}/no_masks"), "ManualMask"),
    "limit of one film": ((*TRAIN, *GOOD, "--limit", "1"), "limit"),
    "nothing to resume": ((*TRAIN, *GOOD, "--resume"), "--resume"),
    "unknown network": ((*TRAIN, *GOOD, "--model", "resnet19"), "resnet18"),
    "U-Net as network": ((*TRAIN, *GOOD, "--model", "unet_small"), "unet_small"),
    "loss as network": ((*TRAIN, *GOOD, "--model", "maxout"), "maxout"),
    "unknown segmenter": ((*TRAIN, *GOOD, "--segmenter", "unet_smal"), "unet_small"),
    "classifier as segmenter": ((*TRAIN, *GOOD, "--segmenter", "resnet18"), "resnet18"),
    "unknown experiment": ((*TRAIN, *GOOD, "--experiment", "both"), "both"),
    "size of 100": ((*TRAIN, *GOOD, "--size", "100"), "size=100"),
    "size of 32": ((*TRAIN, *GOOD, "--size", "32"), "size=32"),
    "one fold": ((*TRAIN, *GOOD, "--folds", "1"), "folds=1"),
    "no segmentation epoch": ((*TRAIN, *GOOD, "--segmentation-epochs", "0"), "segmentation_epochs=0"),
    "sensitivity of 2": ((*TRAIN, *GOOD, "--sensitivity", "2"), "sensitivity=2"),
    "no prevalence": ((*TRAIN, *GOOD, "--prevalence", "0"), "prevalence=0"),
    "unknown balance": ((*TRAIN, *GOOD, "--balance", "some"), "some"),
    "weights that are not there": ((*TRAIN, *GOOD, "--weights", "{}/nowhere.safetensors"), "nowhere.safetensors"),
    "weights nobody published": ((*TRAIN, *GOOD, "--weights", "imagenet"), "wrn_tiny"),
    "table trained": ((*TRAIN, *GOOD, "--experiment", "table"), "hub run"),
    "sources trained": ((*TRAIN, *GOOD, "--experiment", "sources"), "hub run"),
    "unknown backbone in the table": ((*RUN, *GOOD, "--experiment", "table", "--backbones", "resnet18,vgg91"), "vgg91"),
    "U-Net in the table": ((*RUN, *GOOD, "--experiment", "table", "--backbones", "unet_tiny"), "unet_tiny"),
    "sources of one archive": ((*RUN, *GOOD, "--experiment", "sources"), "montgomery"),
    "table of one class": ((*RUN, "--data", "{}/one_class", "--experiment", "table"), "one class"),
    "table of more folds than films": ((*RUN, *GOOD, "--experiment", "table", "--folds", "20"), "20"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_command(case, place, own_cache, capsys):
    line, named = COMMANDS[case]
    before = sorted(place.rglob("*"))
    try:
        status = dispatch([part.format(place) for part in line])
    except SystemExit as stop:
        status = stop.code
    said = [text for text in capsys.readouterr().err.replace("\r", "\n").splitlines() if text.startswith("hub:")]
    print(f"{case:<32}{said[-1].replace(str(place), 'DIR') if said else ''}")
    assert status == 2 and len(said) == 1, said
    assert named in said[0]
    assert "Traceback" not in said[0] and len(said[0]) < 400
    assert sorted(place.rglob("*")) == before
    assert not [path for path in own_cache.rglob("*incomplete*") if path.is_dir()]


def _rows(place, *images, **flags):
    args = argparse.Namespace(images=[str(image) for image in images], threshold=None, report=None, **flags)
    return list(predict.predict(place / "run", args))


def test_a_16_bit_film_gets_the_answer_of_its_8_bit_twin(place, tmp_path):
    """Also of a DICOM twin with 12 bits and a full window; the films are answered, not refused."""
    for path in sorted((place / "good").rglob("CXR_png/*.png"))[:6]:
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(tmp_path / "deep.png"), gray.astype("uint16") * 257)
        assert cv2.imread(str(tmp_path / "deep.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16
        dicom = write(gray.astype("uint16") * 16, WindowCenter=2040.5, WindowWidth=4081)
        (tmp_path / "film").write_bytes(dicom)
        shallow, deep, film = _rows(place, path, tmp_path / "deep.png", tmp_path / "film")
        same = set(shallow) - {"image", "words"}
        assert shallow["code"] == 0 and "probability" in same
        assert {key: shallow[key] for key in same} == {key: deep[key] for key in same}
        assert film["code"] == 0 and film["probability"] == pytest.approx(shallow["probability"], abs=5e-3)


def test_one_bad_film_among_good_ones_costs_no_answer(place):
    """The others get theirs, each in its place, each refusal with its code."""
    films = sorted((place / "good").rglob("CXR_png/*.png"))[:2]
    rows = _rows(place, films[0], place / "cut.dcm", place / "photo.png", place / "cut.png", films[1])
    assert [row["code"] for row in rows[1:4]] == [-2, -1, -3]
    assert all(("error" in row) == (1 <= i <= 3) for i, row in enumerate(rows))
    assert rows[0]["words"].startswith(str(films[0])) and rows[4]["words"].startswith(str(films[1]))


def test_a_folder_gives_its_films_and_nothing_else(place, tmp_path):
    """DICOM under any name, as compact discs have them; no thumbnails of other systems, no notes."""
    data = write(stored())
    for name in ("a.dcm", "b.DICOM", "IM000001", "DICOMDIR"):
        (tmp_path / name).write_bytes(data)
    shutil.copy(place / "black.png", tmp_path / "z.PNG")
    for name in ("._a.dcm", "notes.txt", "README"):
        (tmp_path / name).write_text("words")
    (tmp_path / "more.png").mkdir()
    found = [pathlib.Path(row["image"]).name for row in _rows(place, tmp_path)]
    assert sorted(found) == ["IM000001", "a.dcm", "b.DICOM", "z.PNG"]


@pytest.mark.parametrize("flags", [{}, {"experiment": "segmentation"}])
def test_a_limit_draws_from_all_films(place, flags):
    """The first films of a folder are often all of one class, or of one archive."""
    both = place.parent / "limited"
    if not both.exists():
        for kind, start in (("normal", 0), ("tb", 12)):
            (both / kind).mkdir(parents=True)
            (both / "masks" / kind).mkdir(parents=True)
            for path in sorted((place / "good").rglob("CXR_png/*.png"))[start : start + 12]:
                shutil.copy(path, both / kind / path.name)
                mask = path.parents[1] / "ManualMask" / "leftMask" / path.name
                shutil.copy(mask, both / "masks" / kind / path.name)
    parts = dataset.splits(both, Config(size=SIZE, limit=8, **flags))
    assert len(parts["train"]) == 8 and set(parts["train"].label.tolist()) == {0, 1}
    again = dataset.splits(both, Config(size=SIZE, limit=8, **flags))
    assert again["train"].name.tolist() == parts["train"].name.tolist()


def test_an_archive_marked_as_test_is_not_trained_on(place):
    """Its patients.csv says test throughout; the other archive gives training and validation."""
    from hub.data.thorax_phantom import write_shenzhen

    folder = place.parent / "outside"
    write_shenzhen(folder, 20, seed=9, size=96)
    for kind, start in (("normal", 0), ("tb", 12)):
        (folder / "ours" / kind).mkdir(parents=True)
        for path in sorted((place / "good").rglob("CXR_png/*.png"))[start : start + 12]:
            shutil.copy(path, folder / "ours" / kind / path.name)
    rows = [f"{path.name},,test" for path in sorted((folder / "ours").rglob("*.png"))]
    (folder / "ours" / "patients.csv").write_text("\n".join(["name,patient,split", *rows]) + "\n")
    parts = dataset.splits(folder, Config(size=SIZE))
    assert "ours" not in {*parts["train"].source.tolist(), *parts["validation"].source.tolist()}
    assert parts["test"].source.tolist().count("ours") == FILMS

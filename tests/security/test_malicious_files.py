"""`hub.load` refuses every file of the corpus, in one sentence, before its payload runs."""

import io
import re
import sys
import zipfile

import corpus
import keras
import numpy as np
import pytest
import tensorflow as tf

import hub

REASONS = {  # the refusals that a person may have to act on
    "lambda": r"a Lambda layer, which brings its own code; pass safe_mode=False only",
    "lambda_bytecode_as_loss": r"a lambda, Python code that loading would run; pass safe_mode=False only",
    "vocabulary_file": r"StringLookup layer reads the file '.*secret'",
    "foreign_module": r"from 'innocent_layers', which is not the hub's\.$",
    "unregistered_hub_name": r"this version of the hub has no 'hub>functools'\.$",
    "cve_2025_1550_layer": r"calls os\.system",
    "cve_2025_9905": r"convert it to \.keras",
    "pickle_m.pt": r"hub\.load\(NAME, weights=PATH\)",
    "zip_bomb": r"would unfold to 104,\d+,\d+\.$",
    "zip_two_configs": r"'config\.json' twice",
    "h5_external_link": r"'/layers/dense/vars/0' to another place",
    "saved_model_writes": r"holds WriteFile, .*safe_mode=False",
}
LIVE = [case for case in corpus.CASES if case.unsafe]


def by_name(case):
    return case.name


@pytest.mark.parametrize("case", corpus.CASES, ids=by_name)
def test_refused(case, tmp_path, monkeypatch):
    path = case.write(tmp_path)
    before = set(tmp_path.rglob("*"))
    monkeypatch.syspath_prepend(tmp_path)  # a foreign module could be imported
    monkeypatch.chdir(tmp_path)
    imported, reached = set(sys.modules), []
    for library, loader in ((keras.saving, "load_model"), (tf.saved_model, "load")):
        monkeypatch.setattr(library, loader, lambda path, **_: reached.append(path))
    with pytest.raises(ValueError) as refusal:
        hub.load(path)
    message = str(refusal.value)
    assert not reached, "it was for Keras or TensorFlow to refuse the file"
    assert one_sentence(message) and re.search(REASONS.get(case.name, ""), message)
    assert set(tmp_path.rglob("*")) == before, "loading created a file"
    assert not corpus.canary(path).exists()
    assert not {"innocent_layers", "keras_hub"} & (set(sys.modules) - imported)


def one_sentence(message):
    return message.endswith(".") and "\n" not in message and not re.search(r"[.!?] +[A-Z]", message)


@pytest.mark.parametrize("case", LIVE, ids=by_name)
def test_the_corpus_is_live(case, tmp_path):
    """Loaded without care, the payload gets through: the test above can fail."""
    path = case.write(tmp_path)
    assert not corpus.canary(path).exists()
    assert case.unsafe(path)
    for module in ("innocent_layers", "keras_hub"):
        sys.modules.pop(module, None)


def test_the_user_may_say_otherwise(tmp_path):
    """`safe_mode=False` runs a Lambda and a graph that writes, and nothing less does."""
    for folder, write in (("a", corpus.with_layers()), ("b", corpus.saved_model(corpus.write_file))):
        (tmp_path / folder).mkdir()
        path = write(tmp_path / folder)
        model = hub.load(path, safe_mode=False)
        assert model.predict(np.ones((1, 5, 4) if folder == "a" else (1, 4)), verbose=0) is not None
        assert corpus.canary(path).exists()


@pytest.mark.parametrize("name", ["zip_slip", "zip_bomb", "zip_two_configs", "h5_external_link", "pickle_m.pkl"])
def test_some_refusals_are_for_everybody(name, tmp_path):
    (case,) = (case for case in corpus.CASES if case.name == name)
    with pytest.raises(ValueError):
        hub.load(case.write(tmp_path), safe_mode=False)


def test_the_bomb_costs_nothing(tmp_path):
    import tracemalloc

    path = corpus.bomb(tmp_path)
    tracemalloc.start()
    with pytest.raises(ValueError, match="unfold"):
        hub.load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_a_ring_of_links_ends(tmp_path):
    assert hub.load(corpus.weights(corpus.ring)(tmp_path)).count_params() == 15


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_noise_is_one_sentence_or_a_model(member, tmp_path):
    """Bytes at random places, under a checksum that fits them."""
    with zipfile.ZipFile(io.BytesIO(corpus.template())) as file:
        members = {name: file.read(name) for name in file.namelist()}
    rng, refused = np.random.default_rng(0), 0
    for _ in range(60):
        noisy = np.frombuffer(members[member], "uint8").copy()
        noisy[rng.integers(0, min(len(noisy), 4096), 8)] = rng.integers(0, 256, 8)
        with zipfile.ZipFile(tmp_path / "m.keras", "w") as file:
            for name, content in members.items():
                file.writestr(name, noisy.tobytes() if name == member else content)
        try:
            hub.load(tmp_path / "m.keras")
        except ValueError as error:
            assert one_sentence(str(error))
            refused += 1
    assert refused > 10

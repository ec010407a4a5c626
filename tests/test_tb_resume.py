"""Tuberculosis: a run killed in its first and in its second stage and resumed ends as an uninterrupted one."""

import hashlib
import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
STAGES = ("segmentation", "classification")
EPOCHS = {"segmentation": 3, "classification": 3}
FLAGS = ("--size", "64", "--model", "wrn_tiny", "--segmenter", "unet_tiny", "--epochs", str(EPOCHS["classification"]),
         "--segmentation-epochs", str(EPOCHS["segmentation"]), "--batch-size", "8", "--seed", "3")  # fmt: skip
COMMAND = (sys.executable, "-c", "from applications.cli import main; main()", "train", "tb_chest_xray", *FLAGS)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A hundred synthetic films in two layouts."""
    from hub.data import thorax_phantom

    folder = tmp_path_factory.mktemp("films")
    thorax_phantom.write_montgomery(folder, 60, seed=7, size=96)
    thorax_phantom.write_shenzhen(folder, 40, seed=8, size=96)
    return folder


@pytest.fixture(scope="module")
def whole(films, tmp_path_factory):
    """The work folder of a run that nothing interrupts."""
    return finished(tmp_path_factory.mktemp("whole"), films)


def hashes(work):
    """Stage -> sha256 over every variable of its model and optimizer, with name, type and shape."""
    found = {}
    for stage in STAGES:
        digest = hashlib.sha256()
        with np.load(work / stage / "state.npz", allow_pickle=False) as saved:
            keys = sorted(key for key in saved.files if key.startswith("v"))
            assert len(keys) > 20 and len(keys) == len(saved.files) - 1  # all but the history
            for key in keys:
                digest.update(f"{key} {saved[key].dtype} {saved[key].shape}".encode() + saved[key].tobytes())
        found[stage] = digest.hexdigest()
    return found


def weights(work):
    """sha256 of the weights of the whole network that was saved at the end."""
    import hub

    model = hub.load(str(work / "model.keras"))
    return hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest()


def finished(out, data, *more):
    done = subprocess.run([*COMMAND, "--data", data, "--out", out, *more], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return pathlib.Path(done.stdout.strip().splitlines()[-1])


def epochs_done(work, stage):
    history = work / stage / "history.json"
    return len(json.loads(history.read_text())["loss"]) if history.exists() else 0


def killed(out, data, stage, epochs, *more, by=signal.SIGKILL):
    """Start the run and kill it when `epochs` epochs of `stage` are on disk; returns status and stderr.

    With 0 epochs, when the stage has begun. The stages before it are whole then, those after it have not begun.
    """
    process = subprocess.Popen(
        [*COMMAND, "--data", data, "--out", out, *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell's children ignore Ctrl-C
    )
    work = pathlib.Path(out, "tb_chest_xray", "unfinished-1")
    end = time.monotonic() + 900
    while process.poll() is None and time.monotonic() < end:
        if (work / stage / "config.json").exists() and epochs_done(work, stage) >= epochs:
            break
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(by)
    _, said = process.communicate()
    done = {name: epochs_done(work, name) for name in STAGES}
    if by == signal.SIGKILL:
        assert not (work / "model.keras").exists() and done[stage] < EPOCHS[stage], done
        if stage == "segmentation":
            assert not (work / "classification").exists()
        else:
            assert done["segmentation"] == EPOCHS["segmentation"]
    return process.returncode, said


def test_killed_in_both_stages_and_resumed(films, whole, tmp_path):
    """In the second epoch of the lungs, before the first of the classifier, in its second; twice resumed in between."""
    for stage, epochs, more in (("segmentation", 1, ()), ("classification", 0, ("--resume",)),
                                ("classification", 1, ("--resume",))):  # fmt: skip
        status, _ = killed(tmp_path, films, stage, epochs, *more)
        assert status == -signal.SIGKILL
    work = finished(tmp_path, films, "--resume")
    assert hashes(work) == hashes(whole)
    assert weights(work) == weights(whole)
    for name in ("threshold", "band", "calibration", "unusual"):
        assert json.loads((work / "run.json").read_text())[name] == json.loads((whole / "run.json").read_text())[name]


def test_the_hash_tells_another_seed(films, whole, tmp_path):
    """Else the comparison above would prove nothing."""
    other = hashes(finished(tmp_path, films, "--seed", "4"))
    assert not set(other.values()) & set(hashes(whole).values())


def test_ctrl_c_in_either_stage_says_how_to_go_on(films, tmp_path):
    for stage, more in (("segmentation", ()), ("classification", ("--resume",))):
        status, said = killed(tmp_path, films, stage, 1, *more, by=signal.SIGINT)
        assert status == 130 and "--resume" in said and "Traceback" not in said
        assert (tmp_path / "tb_chest_xray" / "unfinished-1" / stage / "best.npz").is_file()


@pytest.mark.parametrize("flags, named", [(("--seed", "4"), "seed=3"), (("--model", "resnet_tiny"), "wrn_tiny")])
def test_resume_refuses_other_settings(films, tmp_path, hub_command, flags, named):
    killed(tmp_path, films, "segmentation", 0)
    line = ("train", "tb_chest_xray", *FLAGS, "--data", films, "--out", tmp_path, "--resume", *flags)
    done = hub_command(*line)
    assert done.returncode == 2 and named in done.stderr.splitlines()[-1]


def test_resume_refuses_other_films(films, tmp_path, hub_command):
    """Without --data the run would go on with the synthetic sample, and nobody would notice."""
    killed(tmp_path, films, "segmentation", 0)
    line = ("train", "tb_chest_xray", *FLAGS, "--sample-films", "100", "--out", tmp_path, "--resume")
    done = hub_command(*line)
    assert done.returncode == 2 and str(films) in done.stderr.splitlines()[-1]

"""A run that is killed and resumed ends in the weights of an uninterrupted one."""

import hashlib
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = ("--model", "wrn_tiny", "--epochs", "4", "--batch-size", "32", "--seed", "3")
COMMAND = (sys.executable, "-c", "from applications.cli import main; main()", "train", "street_number", *FLAGS)


def weights_hash(work):
    with np.load(work / "state.npz", allow_pickle=False) as saved:
        arrays = [saved[key].tobytes() for key in sorted(saved.files) if key.startswith("v")]
    return hashlib.sha256(b"".join(arrays)).hexdigest()


def finished(out, data, *more):
    done = subprocess.run([*COMMAND, "--data", data, "--out", out, *more], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return pathlib.Path(done.stdout.strip().splitlines()[-1])


def killed(out, data, epochs, delay, *more, by=signal.SIGKILL):
    """Start the run and kill it `delay` seconds after `epochs` epochs are on disk; returns status and stderr."""
    command = [*COMMAND, "--data", data, "--out", out, *more]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell's children ignore Ctrl-C
    )
    history = pathlib.Path(out, "street_number", "unfinished-1", "history.json")
    end = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end:
        if epochs == 0 and history.parent.exists():
            break
        if history.exists() and _epochs(history) >= epochs > 0:
            break
        time.sleep(0.05)
    time.sleep(delay)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(by)
    _, said = process.communicate()
    return process.returncode, said


def _epochs(history):
    import json

    return len(json.loads(history.read_text())["loss"])


@pytest.mark.slow
def test_kill_at_three_moments_then_resume(street_folder, tmp_path):
    """Before the first epoch is whole, in the second, in the last."""
    whole = weights_hash(finished(tmp_path / "whole", street_folder))
    cut = tmp_path / "cut"
    killed(cut, street_folder, epochs=0, delay=1.0)
    killed(cut, street_folder, 1, 0.2, "--resume")
    killed(cut, street_folder, 3, 0.1, "--resume")
    assert weights_hash(finished(cut, street_folder, "--resume")) == whole


@pytest.mark.slow
def test_resume_refuses_another_configuration(street_folder, tmp_path, hub_command):
    killed(tmp_path, street_folder, epochs=1, delay=0.0)
    flags = (*FLAGS[:-1], "4")
    done = hub_command("train", "street_number", *flags, "--data", street_folder, "--out", tmp_path, "--resume")
    assert done.returncode == 2
    assert "seed=3" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_epoch_and_says_how_to_go_on(street_folder, tmp_path):
    status, said = killed(tmp_path, street_folder, 1, 0.2, by=signal.SIGINT)
    assert status == 130 and "--resume" in said and "Traceback" not in said
    assert (tmp_path / "street_number" / "unfinished-1" / "best.npz").is_file()

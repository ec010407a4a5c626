"""What the tests share: a cache of their own, and the smallest sample in SVHN's layout."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def hub_command():
    """Run `hub ...` as a user does, in a process of its own; returns the finished process."""

    def run(*args, **kwargs):
        command = [sys.executable, "-c", "from applications.cli import main; main()", *map(str, args)]
        options = {"capture_output": True, "text": True, "cwd": ROOT, **kwargs}
        return subprocess.run(command, **options)

    return run


@pytest.fixture(scope="session")
def street_folder(tmp_path_factory):
    """240 synthetic training and 40 test images in SVHN's format 1."""
    from hub.data.digit_struct import write_format1
    from hub.data.street_numbers import street_numbers

    folder = tmp_path_factory.mktemp("svhn")
    write_format1(folder / "train", street_numbers(240, seed=11))
    write_format1(folder / "test", street_numbers(40, seed=12))
    return folder

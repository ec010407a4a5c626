"""Where a run lives: a work folder while it trains, `OUT/APP/VERSION` once it is whole."""

import json
import pathlib
import shutil
import sys

PACKAGED = pathlib.Path(__file__).parents[1] / "saved_models"  # models that come with the project
WORK = "unfinished-"


def versions(folder: pathlib.Path) -> list[int]:
    """The version numbers in an application's folder, in order."""
    return sorted(int(p.name) for p in folder.glob("*") if p.name.isdigit() and p.is_dir())


def work_folder(out: pathlib.Path, app: str, resume: bool) -> pathlib.Path:
    """The folder to train in: a new one for the next version, or with `resume` the newest unfinished one.

    Raises:
        ValueError: there is nothing to resume.
    """
    folder = out / app
    unfinished = sorted(folder.glob(f"{WORK}*"), key=lambda p: int(p.name.removeprefix(WORK)))
    if resume:
        if not unfinished:
            raise ValueError(f"There is no unfinished run in {folder} to resume; leave out --resume to start one.")
        return unfinished[-1]
    taken = versions(folder) + [int(p.name.removeprefix(WORK)) for p in unfinished]
    work = folder / f"{WORK}{max(taken, default=0) + 1}"
    work.mkdir(parents=True)
    return work


def final_folder(work: pathlib.Path) -> pathlib.Path:
    """Where the run of `work` goes when it is whole."""
    final = work.with_name(work.name.removeprefix(WORK))
    return final if not final.exists() else work.with_name(str(max(versions(work.parent)) + 1))


def finish(work: pathlib.Path) -> None:
    """Remove the work folder of a run whose final folder is whole."""
    shutil.rmtree(work)


def find(app: str, run: str | None, out: str = "saved_models") -> pathlib.Path:
    """The folder of a finished run: `run` itself, else the newest version here, else the one that is packaged.

    Raises:
        ValueError: there is none.
    """
    if run:
        folder = pathlib.Path(run)
        if folder.is_dir() and (numbers := versions(folder)):
            folder = folder / str(numbers[-1])
        if not (folder / "model.keras").is_file():
            raise ValueError(f"--run must be the folder of a finished run, with model.keras in it. Received: {run!r}.")
        return folder
    for base in (pathlib.Path(out) / app, PACKAGED / app):
        for number in reversed(versions(base)):
            if (base / str(number) / "model.keras").is_file():
                return base / str(number)
    raise ValueError(f"No trained model of {app} is in {out}/{app}; `hub run {app}` makes one.")


def package_versions() -> dict[str, str]:
    """Of the packages that a run's numbers depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("keras-application-hub", "keras", "tensorflow", "numpy")}


def say(message: str) -> None:
    """Progress for a person, on stderr, so that stdout stays the result."""
    print(message, file=sys.stderr, flush=True)


def read_json(path: pathlib.Path) -> dict:
    """A JSON file that a run wrote.

    Raises:
        ValueError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise ValueError(f"{path} is missing or damaged; was this folder written by `hub run`?") from None

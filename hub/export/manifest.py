"""Folders that appear whole or not at all, with a sha256 of every file to hold them to."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator

NAME = "manifest.json"
_open: set[pathlib.Path] = set()  # staged folders of this process that are not sealed yet


@contextlib.contextmanager
def staged(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A temporary sibling of `folder` to write into; sealed with a manifest and renamed when the block ends well.

    When the block raises (Ctrl-C included) everything written is removed. Staging a folder that is itself staged
    by this process yields it as it is, and leaves the sealing to the outer block.

    Raises:
        FileExistsError: `folder` exists and is not an empty folder.
    """
    folder = pathlib.Path(folder).absolute()
    if folder in _open:
        yield folder
        return
    _refuse_existing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    _open.add(aside)
    try:
        yield aside
        seal(aside)
        _refuse_existing(folder)
        aside.rename(folder)
    finally:
        _open.discard(aside)
        shutil.rmtree(aside, ignore_errors=True)


def seal(folder: pathlib.Path) -> None:
    """Write the manifest: relative path -> sha256 of every file in `folder`."""
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in _files(folder)}
    (folder / NAME).write_text(json.dumps({"sha256": files}, indent=2) + "\n")


def verify(folder: str | os.PathLike) -> None:
    """Hold `folder` to its manifest; files that the manifest does not name are none of its business.

    Raises:
        ValueError: the manifest is missing or unreadable, or a file it names is missing or changed.
    """
    folder = pathlib.Path(folder)
    try:
        files = json.loads((folder / NAME).read_text())["sha256"].items()
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {NAME}; export the model again.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{folder / NAME} is damaged; export the model again.") from None
    for name, digest in files:
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path} is missing although {NAME} names it; export the model again.")
        if _sha256(path) != digest:
            raise ValueError(f"{path} has changed since it was exported (sha256 differs); export the model again.")


def _refuse_existing(folder: pathlib.Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} already exists; choose the next version or remove it first.")


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / NAME]


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

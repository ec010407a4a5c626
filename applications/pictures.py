"""The pictures that a command line names."""

import pathlib
from collections.abc import Iterator

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}


def files(names: list[str]) -> Iterator[pathlib.Path]:
    """The images named, folders opened.

    Raises:
        ValueError: a folder holds none.
    """
    for name in names:
        path = pathlib.Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise ValueError(f"{name} holds no image ({', '.join(sorted(SUFFIXES))}).")
            yield from inside
        else:
            yield path

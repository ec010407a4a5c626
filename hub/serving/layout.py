"""TensorFlow Serving's folder layout. Standard library only, so that a wrong folder is refused at once."""

import pathlib
import re

SAVED_MODEL = "saved_model.pb"


def scan(folder: pathlib.Path) -> dict[str, dict[int, pathlib.Path]]:
    """Model name -> version -> its folder.

    Raises:
        ValueError: `folder` does not exist or holds no `NAME/VERSION/saved_model.pb` or `VERSION/saved_model.pb`.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {str(folder)!r}.")
    if (folder / SAVED_MODEL).is_file():
        raise ValueError(f"{str(folder)!r} is one version of a model; serve the folder above it.")
    models = {path.name: _versions(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    models = {folder.resolve().name: _versions(folder)} if _versions(folder) else models
    models = {name: versions for name, versions in models.items() if versions}
    if not models:
        raise ValueError(
            f"No model to serve in {str(folder)!r}: expected NAME/VERSION/{SAVED_MODEL} in it, VERSION a number, "
            "as `hub export` writes it."
        )
    return models


def _versions(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    found = (path.parent for path in folder.glob(f"*/{SAVED_MODEL}"))
    return {int(path.name): path for path in found if re.fullmatch(r"[0-9]+", path.name)}

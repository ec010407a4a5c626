"""The answer for a film, in words a clinician understands, with codes for a film that has none."""

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

from applications.runs import read_json

FILMS = {".png", ".jpg", ".jpeg", ".bmp", ".dcm", ".dicom"}
NOT_A_FILM, INVALID_DICOM, FAILED = -1, -2, -3  # as CAD4TB's


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of `hub predict tb_chest_xray`."""
    parser.add_argument(
        "--threshold", type=float, metavar="P", help="probability from which a film is referred (default: the run's)"
    )
    parser.add_argument("--report", metavar="DIR", help="write a page per film to DIR: film, lungs, heat map, answer")


def predict(folder: pathlib.Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per film: `image code probability threshold referred uncertain unusual lung_area words`.

    `code` is 0 where there is an answer, else that of the refusal: -1 not a frontal chest film, -2 invalid DICOM, -3
    processing failed; such a row has `reason` and `words` instead of an answer, or `error` where the file cannot be
    read at all. With `--report` every row, refused or not, has the path of its page, `report`.
    """
    import numpy as np

    import hub
    from applications.tb_chest_xray import evaluate as protocol
    from applications.tb_chest_xray import film_report, lungs
    from hub.data.chest_film import FilmError, read_film

    about, usual = reference(folder)
    threshold = about["threshold"] if args.threshold is None else args.threshold
    if not 0 <= threshold <= 1:
        raise ValueError(f"--threshold must lie in 0..1. Received: {threshold}.")
    model = hub.load(str(folder / "model.keras"))
    size = model.input_shape[1]
    unmapped = np.zeros((0, size, size), "float32")
    for path in files(args.images):
        try:
            film = read_film(path, size)
            row, found = answer(model, usual, film, about, threshold)
        except FilmError as error:
            film = np.zeros((size, size), "float32")
            row, found = {"code": error.code, "error": str(error)}, lungs.Lungs(film > 0, str(error))
        if args.report:
            heat = unmapped if row["code"] else protocol.explain(model, film[None, :, :, None], "score_cam")
            row["report"] = str(film_report.write(pathlib.Path(args.report), path, film, found, heat, row, about))
        if "error" not in row:
            row["words"] = f"{path}: {words(row)}"
        yield {"image": str(path), **row}


def reference(folder: pathlib.Path) -> tuple[dict[str, Any], Any]:
    """What a run was (`experiment`) and decided (`threshold`, `band`, `unusual`), and what is usual to its reader.

    Raises:
        ValueError: the run answers nothing, as one of lungs alone, or a file of it is missing or damaged.
    """
    import zipfile

    import numpy as np

    from hub.evaluation.mahalanobis import FeatureDistance

    about, path = read_json(folder / "run.json"), folder / "reference.npz"
    if lacking := [key for key in ("threshold", "band", "unusual") if key not in about]:
        raise ValueError(f"{folder} holds no run that reads films: its run.json has no {lacking[0]}; name another.")
    about["experiment"] = read_json(folder / "config.json").get("experiment", "")
    try:
        with np.load(path, allow_pickle=False) as saved:
            return about, FeatureDistance(**saved)
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile):
        raise ValueError(f"{path} is missing or damaged; was this folder written by `hub run`?") from None


def answer(model: Any, usual: Any, film: Any, about: dict[str, Any], threshold: float) -> tuple[dict[str, Any], Any]:
    """The row of one film [S, S] in 0..255 and its lungs (`lungs.Lungs`)."""
    from applications.tb_chest_xray import evaluate as protocol
    from applications.tb_chest_xray import lungs

    images = film[None, :, :, None]
    said = protocol.answers(model, images)
    found = lungs.find(said["lungs"][0] / 255)
    row: dict[str, Any] = {"code": 0, "lung_area": round(found.area, 4)}
    if found.problem:
        return {**row, "code": NOT_A_FILM, "reason": found.problem}, found
    distance = float(usual.distance(protocol.features(model, images))[0])
    probability = float(said["probability"][0])
    low, high = about["band"]
    return {
        **row,
        "probability": round(probability, 6),
        "threshold": threshold,
        "referred": probability >= threshold,
        "uncertain": low <= probability <= high,
        "unusual": distance > about["unusual"],
        "distance": round(distance, 3),
    }, found


def words(row: dict[str, Any]) -> str:
    """The answer as a sentence part."""
    if row["code"]:
        return f"no answer (code {row['code']}): {row['reason']}; a frontal (PA) chest film is needed"
    said = f"probability of tuberculosis {row['probability']:.3f}, operating point {row['threshold']:.3f}: "
    said += "refer for a confirmatory test" if row["referred"] else "not referred"
    if row["uncertain"]:
        said += "; so near the operating point that a person should look"
    if row["unusual"]:
        said += "; unlike the films this was trained on, so trust it less"
    return said + " (not a medical device)"


def files(names: list[str]) -> Iterator[pathlib.Path]:
    """The films named, folders opened."""
    for name in names:
        path = pathlib.Path(name)
        if path.is_dir():
            inside = sorted(filter(is_film, path.iterdir()))
            if not inside:
                raise ValueError(f"{name} holds no film ({', '.join(sorted(FILMS))}).")
            yield from inside
        else:
            yield path


def is_film(path: pathlib.Path) -> bool:
    """Whether a file of a folder is meant to be a film: by its ending, or DICOM under any name, as on a disc."""
    if path.name.startswith(".") or path.name == "DICOMDIR" or not path.is_file():
        return False
    if path.suffix.lower() in FILMS:
        return True
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"

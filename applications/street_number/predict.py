"""The number on a picture, in words a user understands; silence where it would be a guess."""

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

from applications.pictures import files
from applications.runs import read_json
from applications.street_number.config import CROP
from applications.street_number.evaluate import TOO_LONG, read, text


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of `hub predict street_number`."""
    parser.add_argument(
        "--box",
        metavar="LEFT,TOP,WIDTH,HEIGHT",
        help="where the number is, in pixels (default: the picture is a crop of the number)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="confidence below which there is no answer (default: the run's, 98 %% right on validation)",
    )


def predict(folder: pathlib.Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per image: `image number confidence answered words`, or `image error`."""
    import numpy as np

    import hub
    from hub.data.svhn import number_crop
    from hub.export.image_bytes import read_image, resize

    box = _box(args.box)
    threshold = read_json(folder / "run.json")["threshold"] if args.threshold is None else args.threshold
    if not 0 <= threshold <= 1:
        raise ValueError(f"--threshold must lie in 0..1. Received: {threshold}.")
    model = hub.load(str(folder / "model.keras"))
    for path in files(args.images):
        try:
            image = read_image(path)
            crop = number_crop(image, box) if box is not None else resize(image, CROP, CROP)
        except (ValueError, OSError) as error:
            yield {"image": str(path), "error": str(error)}
            continue
        answer = read(model, np.asarray(crop, "float32")[None])
        number, confidence = text(answer["length"][0], answer["digits"][0]), float(answer["confidence"][0])
        answered = confidence >= threshold and number not in ("", TOO_LONG)
        yield {
            "image": str(path),
            "number": number,
            "confidence": round(confidence, 6),
            "answered": answered,
            "words": f"{path}: {words(number, confidence, threshold)}",
        }


def words(number: str, confidence: float, threshold: float) -> str:
    """The answer as a sentence part."""
    sure = f"confidence {confidence:.3f}"
    if number == TOO_LONG:
        return f"no answer: more than five digits ({sure})"
    if not number:
        return f"no answer: no number found ({sure})"
    if confidence < threshold:
        return f"no answer: perhaps {number}, but the {sure} is below {threshold:.3f}"
    return f"{number} ({sure})"


def _box(value: str | None) -> Any:
    import numpy as np

    if value is None:
        return None
    try:
        left, top, width, height = (float(v) for v in value.split(","))
    except ValueError:
        raise ValueError(f"--box takes four numbers LEFT,TOP,WIDTH,HEIGHT. Received: {value!r}.") from None
    if width <= 0 or height <= 0:
        raise ValueError(f"--box needs a width and height above zero. Received: {value!r}.")
    return np.array([[left, top, width, height]], "float32")

"""What a published network takes a picture for."""

import argparse
from collections.abc import Iterator
from typing import Any

from applications.pictures import files
from hub.registry import Entry

CLASSES = 1000  # ImageNet's


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of `hub predict NAME` for the name of a model with published weights."""
    parser.add_argument(
        "--weights",
        default="imagenet",
        metavar="TAG|FILE",
        help="published weights, or a copy of them (default imagenet)",
    )
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many classes are told (default 5)")


def predict(entry: Entry, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per image: `image classes words`, where `classes` are `label name probability`; or `image error`."""
    import numpy as np

    import hub
    from hub.data import imagenet
    from hub.export.image_bytes import read_image

    if not 1 <= args.top <= CLASSES:
        raise ValueError(f"--top takes 1 to {CLASSES}. Received: {args.top}.")
    model = hub.load(entry.name, weights=args.weights)
    published = entry.weights.get(args.weights) or next(iter(entry.weights.values()))
    pixels = {key: published[key] for key in ("mean", "std") if key in published}
    names = [word for _, word in imagenet.classes()]
    for path in files(args.images):
        try:
            picture = imagenet.prepare(read_image(path), model.input_shape[1:3], **pixels)
        except (ValueError, OSError) as error:
            yield {"image": str(path), "error": str(error)}
            continue
        logits = model.predict(picture[np.newaxis], verbose=0)[0].astype("float64")
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = np.argsort(-shares)[: args.top]
        found = [{"label": int(i), "name": names[i], "probability": round(float(shares[i]), 6)} for i in best]
        words = ", ".join(f"{one['name']} {one['probability']:.3f}" for one in found)
        yield {"image": str(path), "classes": found, "words": f"{path}: {words}"}

"""Rahman et al. 2020's argument in miniature: a network that sees the lungs alone cannot lean on marks beside them.

`python benchmarks/claims/tb_chest_xray.py` draws synthetic chest films (thorax phantom, 64 pixels) with a bright marker
that agrees with the diagnosis in 98 % of the training films. Whole-film and segmented-lung classifiers are trained on
them and tested where the marker agrees, says nothing, and lies. The negative control has the marker inside the lungs,
where segmentation cannot help. Three seeds; accuracies with 95 % Wilson intervals, chance 0.5, and where Score-CAM's
heat lies, as lift: the share of the heat over the share of the area.
"""

import argparse
import functools
import json
import multiprocessing
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from applications import training
from applications.tb_chest_xray.config import Config
from hub.data import thorax_phantom
from hub.data.film_look import draw_marker

SIZE = 64
AGREES = {"train": 0.98, "validation": 0.98, "agrees": 0.98, "random": 0.5, "flipped": 0.02}  # marker and diagnosis
MARKER = 1.6  # times 5 by 4 pixels
LUNGS = 1_000  # training films of the segmenter
KINDS = ("plain", "infiltrate", "cavity", "effusion")  # half of the films plain, else one of the other signs


def draw(index: int, seed: int) -> tuple:
    """Film `index` without marker: pixels, lungs, diagnosis."""
    kind = KINDS[0] if index % 2 else KINDS[1 + index // 2 % 3]
    film = thorax_phantom.film(index, seed, SIZE, kind)
    return film.image, film.left | film.right, film.label


def films(count: int, seed: int) -> dict[str, np.ndarray]:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = zip(*pool.map(functools.partial(draw, seed=seed), range(count), chunksize=25), strict=True)
    image, lungs, label = map(np.stack, parts)
    return {"image": image, "lungs": lungs, "label": label}


def marked(plain: dict[str, np.ndarray], agrees: float, inside: bool, seed: int) -> tuple:
    """`Films` with a marker on those of tuberculosis, or, with probability 1 - `agrees`, on the others; its regions."""
    from hub.data.chest_films import Films

    count = len(plain["label"])
    rng = np.random.default_rng([seed, inside])
    there = (plain["label"] == 1) == (rng.random(count) < agrees)
    images, regions = plain["image"].copy(), np.zeros(plain["lungs"].shape, bool)
    for i in np.flatnonzero(there):
        images[i], regions[i] = draw_marker(images[i], plain["lungs"][i], rng, inside, MARKER)
    texts, names = np.full(count, ""), np.array([f"{seed}-{i}" for i in range(count)])
    made = Films(images[..., None], plain["lungs"][..., None].astype("uint8"), np.ones(count, bool),
                 plain["label"].astype("int64"), names, texts, texts, np.full(count, -1), texts, texts, names,
                 names)  # fmt: skip
    return made, regions


def experiment(seed: int, inside: bool, config: Config, train: int, test: int) -> dict:
    """Accuracies and lifts of both classifiers."""
    from applications.tb_chest_xray import evaluate, model
    from applications.tb_chest_xray.train import classification, segmentation
    from hub.evaluation.bootstrap import wilson_interval
    from hub.evaluation.heat_lift import heat_lift, peak_inside

    plain = {"train": films(train, 10 * seed), "validation": films(test // 2, 10 * seed + 1)}
    tested = films(test, 10 * seed + 2)
    parts = {
        name: marked(plain.get(name, tested), share, inside, 100 * seed + i)
        for i, (name, share) in enumerate(AGREES.items())
    }
    found: dict = {"seed": seed, "marker": "inside the lungs" if inside else "outside the lungs"}
    with tempfile.TemporaryDirectory() as folder:
        lungs = segmentation(
            config, parts["train"][0].take(range(LUNGS)), parts["validation"][0], pathlib.Path(folder, "u"), verbose=0
        )
        for kind in ("whole", "segmented"):
            core = classification(
                config,
                parts["train"][0],
                parts["validation"][0],
                lungs if kind == "segmented" else None,
                pathlib.Path(folder, kind),
                verbose=0,
            )
            network = model.whole(lungs, core, kind == "segmented")
            for name in ("agrees", "random", "flipped"):
                data, regions = parts[name]
                said = evaluate.answers(network, data.images)
                right = (said["logit"] > 0) == (data.label == 1)
                found[f"{kind} {name}"] = [round(v, 4) for v in wilson_interval(int(right.sum()), len(right))]
                if name == "random":
                    found["dice"] = round(float(evaluate.overlaps(said["lungs"], data)[0].mean()), 4)
                    shown = np.flatnonzero(regions.any((1, 2)))[:60]
                    heat = evaluate.explain(network, data.images[shown], "score_cam")
                    inner = data.masks[shown, ..., 0] > 0
                    found[f"{kind} lift at the marker"] = round(float(np.nanmean(heat_lift(heat, regions[shown]))), 3)
                    found[f"{kind} lift in the lungs"] = round(float(np.nanmean(heat_lift(heat, inner))), 3)
                    found[f"{kind} peak in the lungs"] = round(float(np.nanmean(peak_inside(heat, inner))), 3)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=3_000)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()

    rows = []
    for seed in range(args.seeds):
        config = Config(size=SIZE, epochs=args.epochs, segmentation_epochs=8, seed=seed, balance="none")
        training.start(config)
        for inside in (False, True):
            rows.append(experiment(seed, inside, config, args.train, args.test))
            print(json.dumps(rows[-1]), flush=True)
    for marker in ("outside the lungs", "inside the lungs"):
        chosen = [row for row in rows if row["marker"] == marker]
        print(f"\nmarker {marker}, mean of {len(chosen)} seeds (least to greatest); synthetic films, chance 0.5")
        for name in rows[0]:
            if name not in ("seed", "marker"):
                values = [row[name][0] if isinstance(row[name], list) else row[name] for row in chosen]
                print(f"  {name:<28} {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")

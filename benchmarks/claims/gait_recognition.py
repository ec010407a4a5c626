"""GaitSet's claims in miniature, on drawn walkers: pooling, the global pipeline, strips, frames, two views, order.

    python benchmarks/claims/gait_recognition.py [--seeds 3] [--epochs 8]

Every variant is trained alike, three seeds each, on 24 drawn people at 6 angles (4 of them kept out) and tested on 16
others: rank-1 across views with identical ones excluded, its mean and Student's 95 % interval over the seeds, beside
chance and the gait energy image. The default network also shows rank-1 over the number of frames, sets of two views
against one, and what the order of the frames changes. One line per training goes to `--out` and is not run again; the
walkers are synthetic.
"""

import argparse
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

VARIANTS = {  # name -> arguments of the network
    "max (default)": {},
    "mean": {"pooling": "mean"},
    "median": {"pooling": "median"},
    "joint sum": {"pooling": "joint_sum"},
    "joint 1x1 convolution": {"pooling": "joint_conv"},
    "attention": {"pooling": "attention"},
    "without the global pipeline": {"global_pipeline": False},
    "without strips": {"pyramid": False},
    "one matrix for all strips": {"shared": True},
}
CONDITIONS = ("NM", "BG", "CL")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gait_claims.jsonl"))
    args = parser.parse_args()

    from applications import training
    from applications.gait_recognition import dataset
    from applications.gait_recognition.config import Config

    config = Config(sample_views=6, epochs=args.epochs)
    source = dataset.load(dataset.prepare(None, config), config)
    training.start(config)
    known = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    for seed in range(args.seeds):
        for name, own in VARIANTS.items():
            if not any((row["name"], row["seed"], row["epochs"]) == (name, seed, args.epochs) for row in known):
                row = {"name": name, "seed": seed, "epochs": args.epochs, **one(source, seed, args.epochs, own)}
                known.append(row)
                with open(args.out, "a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row)[:160], flush=True)
    table(source, [row for row in known if row["epochs"] == args.epochs and row["seed"] < args.seeds])


def one(source, seed: int, epochs: int, own: dict) -> dict:
    """One training and its figures."""
    import keras

    from applications.gait_recognition import dataset, evaluate, train
    from applications.gait_recognition.config import Config
    from hub.evaluation.cross_view import cross_view

    own = dict(own)
    config = Config(sample_views=6, epochs=epochs, seed=seed, pooling=own.pop("pooling", "max"))
    kept, held = dataset.validation(source.train, config)
    with tempfile.TemporaryDirectory() as folder:
        model, _ = train.train(config, kept, held, pathlib.Path(folder), verbose=0, **own)
    test = source.test
    clips = evaluate.clips_of(test)
    found = evaluate.embed(model, clips)
    means = cross_view(found, test.subject, test.condition, test.view, source.protocol).means
    row = {**means, "parameters": model.count_params()}
    if config.pooling == "max" and not own:
        rng = np.random.default_rng(seed)
        mixed = evaluate.embed(model, [rng.permutation(clip) for clip in clips[:100]])
        row["order"] = float(np.abs(mixed - found[:100]).max())
        row |= over_sets(evaluate, model, test, source.protocol)
    keras.utils.clear_session()
    return row


def over_sets(evaluate, model, test, protocol) -> dict:
    """Rank-1 (NM) over the number of frames, and of sets of one and of two views with 14 frames."""
    from hub.evaluation.cross_view import cross_view
    from hub.evaluation.over_frames import over_frames, two_views

    some = test.take(np.char.startswith(test.condition, "nm"))
    said = (some.subject, some.condition, some.view)
    clips = evaluate.clips_of(some)

    def embed(sets):
        return evaluate.embed(model, sets)

    rows = over_frames(embed, clips, lambda e: cross_view(e, *said, protocol).means["NM"], draws=3)
    both = two_views(embed, clips, *said, protocol.gallery, protocol.probes["NM"], frames=14, draws=3)
    return {
        "frames": {row.frames: row.mean for row in rows},
        "one_view": float(both.one.mean()),
        "two_views": float(both.two.mean()),
    }


def table(source, rows: list[dict]) -> None:
    from scipy import stats

    from hub.evaluation.cross_view import cross_view
    from hub.evaluation.gait_energy import gait_energy_image

    def shown(values: list[float]) -> str:
        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5 if values[1:] else 0
        return f"{100 * np.mean(values):.1f} ± {100 * half:.1f}"

    test = source.test
    known = (test.subject, test.condition, test.view, source.protocol)
    energy = cross_view(gait_energy_image(test.frames, test.starts), *known).means
    print("| variant | parameters | " + " | ".join(CONDITIONS) + " |\n| --- | --- |" + " --- |" * len(CONDITIONS))
    for name in VARIANTS:
        own = [row for row in rows if row["name"] == name]
        if own:
            cells = " | ".join(shown([row[condition] for row in own]) for condition in CONDITIONS)
            print(f"| {name} | {own[0]['parameters']:,} | {cells} |")
    print("| gait energy image | - | " + " | ".join(f"{100 * energy[c]:.1f}" for c in CONDITIONS) + " |")
    print(f"| chance | - |{f' {100 / len(set(test.subject)):.1f} |' * len(CONDITIONS)}")
    own = [row for row in rows if "frames" in row]
    for count in own[0]["frames"]:
        print(f"{count} frames: {shown([row['frames'][count] for row in own])}")
    print(f"one view {shown([r['one_view'] for r in own])}, two views {shown([r['two_views'] for r in own])}")
    print(f"largest change by another order of the frames: {max(row['order'] for row in own):.1e}")


if __name__ == "__main__":
    main()

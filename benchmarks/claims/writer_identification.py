"""Writer identification on drawn hands: losses, learned against raw SIFT and untrained, scales, codes, saliency.

    python benchmarks/claims/writer_identification.py [--seeds 3] [--epochs 5]

Every loss trains alike, on the drawn sample of `hub run writer_identification`, and is tested on writers and words that
it never saw. Scores by centroids: top-1 and top-5 of words, top-1 of pages, mean and Student's 95 % interval over the
seeds, beside raw SIFT, the untrained network and chance; with the default loss also one scale against three, and sparse
codes with and without saliency. One line per training goes to `--out` and is not run again; the hands are synthetic.
"""

import argparse
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

FIGURES = ("word top-1", "word top-5", "page top-1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("writer_claims.jsonl"))
    args = parser.parse_args()

    from applications import training
    from applications.writer_identification import dataset
    from applications.writer_identification.config import LOSSES, Config

    config = Config()
    source = dataset.load(dataset.prepare(None, config), config)
    training.start(config)
    known = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    for seed in range(args.seeds):
        for loss in LOSSES:
            if not any((row["loss"], row["seed"], row["epochs"]) == (loss, seed, args.epochs) for row in known):
                found = one(source, Config(loss=loss, seed=seed, epochs=args.epochs))
                known.append({"loss": loss, "seed": seed, "epochs": args.epochs, "found": found})
                with open(args.out, "a") as file:
                    file.write(json.dumps(known[-1]) + "\n")
                print(json.dumps(known[-1])[:160], flush=True)
    table(source, [row for row in known if row["epochs"] == args.epochs and row["seed"] < args.seeds])


def one(source, config) -> dict[str, dict[str, list[float]]]:
    """Test set -> way of scoring -> the figures of one training."""
    import keras

    from applications.writer_identification import model as models
    from applications.writer_identification import scorer, train

    with tempfile.TemporaryDirectory() as folder:
        encode, _ = train.train(config, source.background, source.validation.written, pathlib.Path(folder), verbose=0)
    default = config.loss == "supervised_contrastive"
    fitted = scorer.fit(scorer.embed(encode, source.background.patches), source.background, config) if default else None
    keras.utils.set_random_seed(config.seed)
    untrained = models.encoder(models.build(config, 2))
    found = {}
    for search in source.tests:
        written = search.written
        embeddings = scorer.embed(encode, written.patches)
        ways = {config.loss: scorer.centroids(embeddings, written)}
        if default:
            ways |= {
                "untrained network": scorer.centroids(scorer.embed(untrained, written.patches), written),
                "raw SIFT": scorer.centroids(written.descriptors.astype("float32"), written),
                "sparse codes of 3 scales": scorer.learned(fitted, embeddings, written, weighted=False),
                "sparse codes of 3 scales, saliency": scorer.learned(fitted, embeddings, written),
                "sparse codes of 1 scale": one_scale(source, encode, embeddings, written, config),
            }
        found[search.name] = {name: figures(search, way) for name, way in ways.items()}
    keras.utils.clear_session()
    return found


def one_scale(source, encode, embeddings, written, config):
    """`score` by sparse codes, without saliency, of all patches as one group."""
    import dataclasses

    from applications.writer_identification import scorer

    background = dataclasses.replace(source.background, bins=np.zeros_like(source.background.bins))
    fitted = scorer.fit(scorer.embed(encode, background.patches), background, config)
    return scorer.learned(fitted, embeddings, dataclasses.replace(written, bins=np.zeros_like(written.bins)), False)


def figures(search, way) -> list[float]:
    from applications.writer_identification import scorer

    words = scorer.word_scores(search, way)
    pages = scorer.summed(words, search.written.page[words.rows])
    return [float((words.rank <= 1).mean()), float((words.rank <= 5).mean()), float((pages.rank <= 1).mean())]


def table(source, rows: list[dict]) -> None:
    from scipy import stats

    def shown(values: list[float]) -> str:
        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5 if values[1:] else 0
        return f"{100 * np.mean(values):.1f} ± {100 * half:.1f}"

    for search in source.tests:
        own = [row["found"][search.name] for row in rows]
        print(f"\n| {search.name} | seeds | " + " | ".join(FIGURES) + " |\n| --- | --- |" + " --- |" * len(FIGURES))
        for name in dict.fromkeys(name for found in own for name in found):
            values = np.array([found[name] for found in own if name in found])
            print(f"| {name} | {len(values)} | " + " | ".join(shown(list(column)) for column in values.T) + " |")
        people = {(group, writer) for group, writer in zip(search.group, search.written.writer, strict=True)}
        guess = len({group for group, _ in people}) / len(people)
        print(f"| chance | - | {100 * guess:.1f} | {100 * min(1, 5 * guess):.1f} | {100 * guess:.1f} |")


if __name__ == "__main__":
    main()

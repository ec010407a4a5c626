"""What the gallery knows of handwriting: pages, words and folders of words, one vector for each."""

import argparse
import pathlib
from dataclasses import dataclass
from typing import Any

from applications.runs import read_json
from applications.writer_identification import scorer
from applications.writer_identification.config import Config
from applications.writer_identification.scorer import Scorer

FEWEST = 24  # key points of what is enrolled or looked for: fewer say little


@dataclass(frozen=True, eq=False)
class Embedded:
    """One page, or why there is none."""

    source: str
    vector: Any = None  # float32 [D]
    error: str | None = None
    words: str = ""  # what was found
    patches: Any = None  # float32 [n, d], embeddings of the patches
    bins: Any = None  # int64 [n], scale of each
    word: Any = None  # int64 [n], which word of the source it is of
    page: Any = None  # hub.data.page_words.PageWords, of a page
    picture: Any = None  # uint8 [H, W], the page as it was read


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of every command that embeds handwriting."""
    parser.add_argument(
        "--word", action="store_true", help="a picture shows a single word; else it is a page, which is cut into words"
    )


def open_embedder(folder: pathlib.Path, args: argparse.Namespace) -> "Embedder":
    """The network of the run in `folder`."""
    return Embedder(folder, args.word)


def open_scorer(network: Any, path: pathlib.Path) -> tuple[Any, Scorer]:
    """The encoder inside an exported network, and the scorer that a run kept at `path`.

    Raises:
        ValueError: the file is missing or damaged.
    """
    import numpy as np

    from hub.evaluation.saliency_sparse_pca import SaliencySparsePCA

    try:
        with np.load(path, allow_pickle=False) as arrays:
            kept = {name: arrays[name] for name in arrays.files}
        share = kept.pop("share")
        return network.get_layer("encoder"), Scorer(SaliencySparsePCA(**kept), share)
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is missing or damaged; was this folder written by `hub run`?") from None


class Embedder:
    """Turns sources into vectors; `model` is the network's fingerprint, `width` the numbers of a vector."""

    def __init__(self, folder: pathlib.Path, word: bool = False) -> None:
        import hub
        from applications.writer_identification.pipeline import SCORER
        from hub.export import fingerprint

        network = hub.load(str(folder / "model.keras"))
        self.model = fingerprint(network)
        self.width = network.output["vector"].shape[-1]
        self.encode, self.scorer = open_scorer(network, folder / SCORER)
        about = read_json(folder / "run.json")
        self.threshold, self.search_threshold = about["threshold"], about["search_threshold"]
        self.temperature = about["temperature"]
        self.limit = Config(**read_json(folder / "config.json")).patches
        self.word = word

    def embed(self, sources: list[str]) -> list[Embedded]:
        """Every source, embedded, or a sentence why not."""
        return [self._one(source) for source in sources]

    def embed_union(self, sources: list[str]) -> Embedded:
        """All sources as one: several pages of one writer."""
        import numpy as np

        name, found = " + ".join(sources), [self._one(source) for source in sources]
        if errors := [one.error for one in found if one.error]:
            return Embedded(name, error=errors[0])
        patches, bins = (np.concatenate([getattr(one, part) for one in found]) for part in ("patches", "bins"))
        return Embedded(name, self._vector(patches, bins), words=f"{len(bins)} key points of {len(sources)} sources")

    def words_of(self, one: Embedded) -> tuple[Any, Any, Any]:
        """The words of a source that have key points, int [M], the vector [M, D] of each and its number of these."""
        import numpy as np

        names, vectors = self.scorer.vectors(one.patches, one.bins, one.word)
        return names, vectors.astype(np.float32), np.bincount(one.word)[names]

    def _one(self, source: str) -> Embedded:
        try:
            images, page, picture = self._images(source)
            return self._embedded(source, images, page, picture)
        except (ValueError, OSError) as error:
            return Embedded(source, error=f"{error}" if source in str(error) else f"{source}: {error}")

    def _images(self, source: str) -> tuple[list[Any], Any, Any]:
        """The words of a source; of a page also where they are."""
        from hub.data.page_words import page_words
        from hub.data.word_images import read_picture

        path = pathlib.Path(source)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".png", ".tif", ".tiff", ".jpg"))
            if not files:
                raise ValueError(f"{source} holds no pictures of words; a page, or a folder of words, is needed.")
            return [read_picture(file) for file in files], None, None
        picture = read_picture(path)
        if self.word:
            return [picture], None, picture
        page = page_words(picture)
        return page.images(), page, picture

    def _embedded(self, source: str, images: list[Any], page: Any, picture: Any) -> Embedded:
        import numpy as np

        from hub.data.keypoint_patches import keypoint_patches

        found = [keypoint_patches(image, self.limit) for image in images]
        count = np.array([len(one.patches) for one in found])
        if count.sum() < FEWEST:
            what = "word shows" if len(images) == 1 else f"{len(images)} words show"
            raise ValueError(
                f"{source}: the {what} {count.sum()} key points, and {FEWEST} are needed; show more or larger writing."
            )
        patches, bins = (np.concatenate([getattr(one, part) for one in found]) for part in ("patches", "bins"))
        embeddings, word = scorer.embed(self.encode, patches), np.repeat(np.arange(len(images)), count)
        words = f"{len(images)} words, {count.sum()} key points"
        if len(images) == 1:
            words = f"a word, {count.sum()} key points"
        vector = self._vector(embeddings, bins)
        return Embedded(source, vector, None, words, embeddings, bins, word, page, picture)

    def _vector(self, embeddings: Any, bins: Any) -> Any:
        import numpy as np

        return self.scorer.vectors(embeddings, bins, np.zeros(len(bins), int))[1][0].astype(np.float32)

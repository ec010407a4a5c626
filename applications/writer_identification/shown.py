"""What the report shows of single words: a map, words with whom they were taken for, the patches that spoke."""

from typing import Any

from applications.writer_identification.config import Config
from applications.writer_identification.dataset import Search
from applications.writer_identification.result import Example, Spoken
from applications.writer_identification.scorer import Scorer, Scores

MAPPED, MAPPED_WRITERS = 400, 12  # words and writers on the map
SHOWN, NEAREST = 8, 4  # examples of retrieval
SPOKEN = 6  # words whose patches are shown


def places(names: Any, vectors: Any, written: Any) -> dict[str, Any]:
    """Two coordinates per word in which near ones stay near, of some writers (t-SNE of principal components)."""
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    writer = written.writer[names]
    some = np.flatnonzero(np.isin(writer, np.unique(writer)[:MAPPED_WRITERS]))
    some = some[np.random.default_rng(0).permutation(len(some))[:MAPPED]]
    flat = PCA(min(30, len(some), vectors.shape[1]), random_state=0).fit_transform(vectors[some])
    place = TSNE(perplexity=min(30, (len(some) - 1) / 3), init="pca", random_state=0).fit_transform(flat)
    return {"place": place, "place_writer": writer[some]}


def examples(words: Scores, names: Any, vectors: Any, search: Search) -> list[Example]:
    """Words looked for, right and wrong, and the nearest enrolled word of each of the best writers."""
    import numpy as np

    from hub.data import word_images

    written, found = search.written, []
    for m in _picked(words, SHOWN):
        row = words.rows[m]
        best = np.argsort(-words.scores[m], kind="stable")[:NEAREST]
        near = []
        for name in words.names[best]:
            own = np.flatnonzero(search.enrolled[names] & (written.writer[names] == name))
            gap = ((vectors[own] - vectors[np.searchsorted(names, row)]) ** 2).sum(axis=1)
            word = written.words[int(names[own[gap.argmin()]])]
            near.append((f"{name}: {word.text}", bool(name == words.writer[m]), word_images.read(word)))
        word = written.words[int(row)]
        found.append(Example(f"{words.writer[m]}: {word.text}", word_images.read(word), near))
    return found


def spoken(scorer: Scorer, embeddings: Any, words: Scores, search: Search, config: Config) -> list[Spoken]:
    """Each patch's score for the writer that the word was taken for, less its mean score for the others."""
    import numpy as np

    from hub.data import word_images
    from hub.data.keypoint_patches import HALF, keypoint_patches

    written, found = search.written, []
    enrolled = search.enrolled[written.word]
    known = scorer.fit.enroll(embeddings[enrolled], written.bins[enrolled], written.writer[written.word[enrolled]])
    for m in _picked(words, SPOKEN):
        row = int(words.rows[m])
        own = slice(int(written.starts[row]), int(written.starts[row + 1]))
        bins = written.bins[own]
        each, scores = scorer.fit.score(embeddings[own], bins, np.arange(len(bins)), known)
        among = words.of == words.group[m]
        best = int(np.argmax(words.scores[m]))
        others = among & (np.arange(len(among)) != best)
        evidence = scores[each, best] - scores[each][:, others].mean(axis=1)
        image = word_images.read(written.words[row])
        points = keypoint_patches(image, config.patches).points
        right = "rightly" if words.names[best] == words.writer[m] else f"wrongly, {words.writer[m]} wrote it"
        caption = f"{written.words[row].text}: taken for {words.names[best]}, {right}"
        found.append(Spoken(caption, image, points, np.asarray(HALF)[bins], evidence))
    return found


def _picked(words: Scores, count: int) -> Any:
    """Some words of different writers: three quarters found at once, the others not, where there are."""
    import numpy as np

    order = np.random.default_rng(0).permutation(np.flatnonzero(words.seen))
    order = order[np.sort(np.unique(words.writer[order], return_index=True)[1])]
    hit = words.rank[order] == 1
    wrong = order[~hit][: count // 4]
    return np.concatenate([order[hit][: count - len(wrong)], wrong])

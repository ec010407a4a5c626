"""Who trains and who is looked for in writer identification: by page, by writer, by document.

Words of one page share pen, paper and scanner, so that no protocol here puts one page on both sides; the one exception,
published too, are writers of a single page, whose page is parted between two lines.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from hub.data.word_images import Word, Words

SHARES = {"train": 0.64, "validation": 0.16, "test": 0.2}


class Documents(NamedTuple):
    """D pages, each a query to all others in leave-one-out retrieval."""

    page: np.ndarray  # str [D], sorted
    writer: np.ndarray  # str [D]
    of: np.ndarray  # int64 [N], the page of each word


def documents(words: Words) -> Documents:
    """The pages of N words; `hub.evaluation.retrieval` takes one embedding of each and leaves the query out."""
    page, first, of = np.unique(words.page, return_index=True, return_inverse=True)
    return Documents(page, words.writer[first], of.astype(np.int64))


def by_page(words: Words, line: Callable[[Word], str], seed: int = 0) -> tuple[Words, Words]:
    """(train, test) of the same writers: one page of each tests, the others train.

    The page of a writer who has only one is parted by lines: the first half trains, the middle line too. A writer of
    one line cannot be tested and only trains.

    Args:
        words: of the whole data set, or of a sample.
        line: the line of a word; those of a page sort from top to bottom.
        seed: of the page that tests; each writer's depends on nobody else's words.

    Raises:
        ValueError: nobody could be tested.
    """
    testing = np.zeros(len(words), bool)
    pages, writers = words.page, words.writer
    for writer in np.unique(writers):
        own = np.flatnonzero(writers == writer)
        known = np.unique(pages[own])
        if len(known) > 1:
            rng = np.random.default_rng([seed, *writer.encode()])
            testing[own] = pages[own] == known[rng.integers(len(known))]
        else:
            testing[own] = _lower_half([words[index] for index in own], line)
    if not testing.any():
        raise ValueError(f"{len(words)} words leave nobody to test; a writer of two pages, or of two lines, is needed.")
    return words.take(~testing), words.take(testing)


def two_documents(words: Words, line: Callable[[Word], str], seed: int = 0) -> Words:
    """Words of two documents of each writer, for page-level leave-one-out: two pages, or the halves of the only one.

    The halves are pages of their own, `a01-000u, lines 1` and `a01-000u, lines 2`; who wrote one line is left out.

    Args:
        words, line, seed: as `by_page`; the seed is of the two pages of writers who have more.
    """
    kept: list[Word | None] = [None] * len(words)
    pages, writers = words.page, words.writer
    for writer in np.unique(writers):
        own = np.flatnonzero(writers == writer)
        known = np.unique(pages[own])
        if len(known) > 1:
            chosen = np.random.default_rng([seed, *writer.encode()]).permutation(len(known))[:2]
            for index in own[np.isin(pages[own], known[chosen])]:
                kept[index] = words[index]
        else:
            lower = _lower_half([words[index] for index in own], line)
            for index, half in zip(own, lower, strict=True) if lower.any() else ():
                kept[index] = dataclasses.replace(words[index], page=f"{known[0]}, lines {1 + half}")
    return Words(tuple(word for word in kept if word is not None))


def by_writer(words: Words, shares: Mapping[str, float] = SHARES, seed: int = 0) -> dict[str, Words]:
    """Whole writers to each split, for verification and for retrieval of people who were never seen.

    Args:
        words: N words.
        shares: split -> share of the writers, adding up to 1.
        seed: same seed, same split, whatever the order of the words.

    Returns:
        split -> its words, in their order; together every word once.

    Raises:
        ValueError: shares that do not add up to 1, or a split of fewer than two writers, who make no wrong pair.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"Shares must be positive and add up to 1. Received: {dict(shares)}.")
    people, of = np.unique(words.writer, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(people))
    edges = np.rint(np.cumsum([0, *shares.values()]) * len(people)).astype(int)
    found = {}
    for name, start, stop in zip(shares, edges[:-1], edges[1:], strict=True):
        if stop - start < 2:
            raise ValueError(f"{len(people)} writers are too few for {len(shares)} splits: {name} would have "
                             f"{stop - start}, two are needed.")  # fmt: skip
        found[name] = words.take(np.isin(of, order[start:stop]))
    return found


def _lower_half(words: list[Word], line: Callable[[Word], str]) -> np.ndarray:
    """bool [N]: whether a word lies in the lower half of its page's lines, the middle one not."""
    at = np.unique([line(word) for word in words], return_inverse=True)[1]
    return at >= (at.max() + 2) // 2

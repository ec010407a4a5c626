"""Written pages: words set in lines with their true boxes, and IAM's layout on disk."""

import functools
import itertools
import multiprocessing
import os
import pathlib
import shutil
import signal
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from hub.data import hand_paper, hands
from hub.data.hand_fonts import FONTS

Box = tuple[int, int, int, int]  # x, y, width, height
WIDTH = 2000  # pixels of a page at 300 dpi, margins and all
MARGIN = 120
LINE = 170  # pixels from baseline to baseline
CAPITALISED = 0.12
ALONE = 4  # fewer pages are not worth starting processes for
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 3)


class Page(NamedTuple):
    """A scanned page."""

    image: np.ndarray  # grey uint8 [H, W]
    boxes: list[Box]  # of the words' ink, in the order written
    texts: list[str]


def page(
    writer: int,
    words: Sequence[str],
    seed: int = 0,
    kind: str = "strokes",
    *,
    instance: int = 0,
    width: int = WIDTH,
    fonts: Sequence[str] = tuple(FONTS),
) -> Page:
    """A page of several lines in one hand; it depends on the arguments alone. They are those of `hand`.

    Args:
        words: as they follow each other; the lines break by themselves. Word n is the writer's instance + n.
        width: of the page in pixels; a longer word stands alone and is refused if it does not fit.

    Raises:
        ValueError: as `hand`; there are no words, or one is wider than the page.
    """
    if not words:
        raise ValueError("A page needs at least one word; received none.")
    drawn = [hands.drawn(writer, text, instance + n, seed, kind, fonts) for n, text in enumerate(words)]
    rng = np.random.default_rng([31, seed, writer, instance, *" ".join(words).encode()])
    boxes = _layout(drawn, width, rng)
    if max(x + w for x, _, w, _ in boxes) > width:
        raise ValueError(f"A word is wider than the page of {width} pixels; make the page wider.")
    ink = np.zeros((max(y + h for _, y, _, h in boxes) + MARGIN, width), np.uint8)
    for (x, y, w, h), word in zip(boxes, drawn, strict=True):
        part = ink[y : y + h, x : x + w]
        np.maximum(part, word.ink, out=part)
    # People have several pens: ink that tells its owner would be learned in place of the hand.
    return Page(hand_paper.scanned(ink, rng, rng), boxes, list(words))


def write(
    folder: str | os.PathLike,
    writers: Sequence[int],
    pages: int = 2,
    words_per_page: int = 30,
    *,
    seed: int = 0,
    kind: str = "strokes",
    fonts: Sequence[str] = tuple(FONTS),
    held_out: float = 0.4,
    report: Callable[[str], None] = print,
) -> None:
    """Words of `writers` as a new `folder` in IAM's layout, drawn by all cores; it appears when it is whole.

    `words/a01/a01-000u/a01-000u-00-00.png` (form, line, word), `words.txt` (nine fields) and `forms.txt`, whose second
    field is the writer. A writer's forms follow each other; the last one is meant for the test.

    Args:
        held_out: share of the word list that stands on last pages alone, and they hold nothing else; 0 mixes.

    Raises:
        ValueError: the folder is there already, nothing is to be written, or `held_out` is not in [0, 1).
    """
    target = pathlib.Path(folder)
    if target.exists():
        raise ValueError(f"{target} exists already; remove it or name another folder.")
    if not writers or pages < 1 or words_per_page < 1 or not 0 <= held_out < 1:
        raise ValueError(
            f"Nothing to write: {len(writers)} writers, {pages} pages, {words_per_page} words, held_out={held_out} "
            "(needs at least one each and a share in [0, 1))."
        )
    jobs = [(n * pages + p, writer, p, p == pages - 1) for n, writer in enumerate(writers) for p in range(pages)]
    aside = target.parent / f".{target.name}-{uuid.uuid4().hex[:8]}"
    report(f"Writing {len(jobs)} pages of {words_per_page} words by {len(writers)} people to {target}.")
    aside.mkdir(parents=True)
    work = functools.partial(_write_page, aside, seed, kind, tuple(fonts), words_per_page, held_out)
    try:
        listed = [work(job) for job in jobs] if len(jobs) < ALONE else _all_cores(work, jobs)
        forms, words = zip(*listed, strict=True)
        (aside / "forms.txt").write_text("#--- forms.txt ---#\n" + "\n".join(forms) + "\n")
        (aside / "words.txt").write_text("#--- words.txt ---#\n" + "\n".join(itertools.chain(*words)) + "\n")
        aside.replace(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def word_list() -> list[str]:
    """About 1,600 common English words of three letters or more."""
    return pathlib.Path(__file__).with_name("word_list.tsv").read_text().split()[1:]


def split_words(held_out: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """The word list in two parts that share nothing: (the rest, the share `held_out`)."""
    words = np.random.default_rng([32, seed]).permutation(word_list()).tolist()
    cut = round(len(words) * (1 - held_out))
    return words[:cut], words[cut:]


def _layout(words: Sequence[hands.Drawn], width: int, rng: np.random.Generator) -> list[Box]:
    """Boxes of words on their baselines, line by line."""
    gap = rng.uniform(28, 48)
    x, base, boxes = MARGIN, MARGIN + LINE // 2, []
    for word in words:
        tall, wide = word.ink.shape
        if boxes and x + wide > width - MARGIN:
            x, base = MARGIN + round(rng.normal(0, 8)), base + LINE
        boxes.append((x, max(base - word.baseline + round(rng.normal(0, 2)), 0), wide, tall))
        x += wide + round(gap * np.exp(rng.normal(0, 0.15)))
    return boxes


def _write_page(
    folder: pathlib.Path, seed: int, kind: str, fonts: tuple[str, ...], count: int, held_out: float, job: tuple
) -> tuple[str, list[str]]:
    """The line of forms.txt and those of words.txt."""
    number, writer, which, last = job
    rng = np.random.default_rng([33, seed, writer, which])
    seen, unseen = split_words(held_out, seed)
    pool = unseen if last and unseen else seen
    texts = [str(text) for text in rng.choice(pool, count, replace=count > len(pool))]
    texts = [text.capitalize() if rng.random() < CAPITALISED else text for text in texts]
    group = f"{chr(97 + number // 9900)}{number // 100 % 99 + 1:02d}"
    form = f"{group}-{number % 100:03d}u"
    (folder / "words" / group / form).mkdir(parents=True)
    first = which * count
    scan = page(writer, texts, seed, kind, instance=first, fonts=fonts)  # one paper and one scanner for all its words
    high, wide = scan.image.shape
    lines, line, place, left = [], -1, 0, WIDTH
    for text, (x, y, width, height) in zip(texts, scan.boxes, strict=True):
        line, place = (line + 1, 0) if x < left else (line, place + 1)
        left = x
        name = f"{form}-{line:02d}-{place:02d}"
        above, aside = rng.integers(4, 11, 2)
        image = scan.image[
            max(y - above, 0) : min(y + height + above, high), max(x - aside, 0) : min(x + width + aside, wide)
        ]
        (folder / "words" / group / form / f"{name}.png").write_bytes(cv2.imencode(".png", image, PNG)[1].tobytes())
        lines.append(f"{name} ok 160 {x} {y} {width} {height} NN {text}")
    return f"{form} {writer:03d} 1 all {line + 1} {line + 1} {count} {count}", lines


def _all_cores(work: Callable, jobs: list) -> list:
    from tqdm.auto import tqdm

    with multiprocessing.get_context("spawn").Pool(initializer=_worker) as pool:
        return list(tqdm(pool.imap(work, jobs, chunksize=2), "hands", len(jobs), unit=" pages", leave=False))


def _worker() -> None:
    """One thread per process; Ctrl-C is the parent's business."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

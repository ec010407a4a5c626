"""The generated part of a model card: what a finished run measured, as Markdown."""

import pathlib

from applications.runs import read_json

BEGIN, END = "<!-- figures: generated from run.json -->", "<!-- end of figures -->"


WIDE = 3  # test sets, or methods, that stand beside each other; more stand below each other


def figures(folder: pathlib.Path) -> str:
    """A table of every metric on every test set, or of every method, with its 95 % interval, and what made the run."""
    about = read_json(folder / "run.json")
    metrics = about["metrics"]
    synthetic = "synthetic" if about["synthetic"] else "real"
    rows = list(dict.fromkeys(row for found in metrics.values() for row in found))
    cells = {(name, row): _cell(metrics[name].get(row)) for name in metrics for row in rows}
    shown = {row: row.replace("_", " ") for row in rows}
    if len(metrics) > WIDE:
        lines = _table([synthetic, *shown.values()], [[name, *(cells[name, row] for row in rows)] for name in metrics])
    else:
        said = [f"{name} ({about.get(name) or synthetic})" for name in metrics]
        lines = _table(["figure", *said], [[shown[row], *(cells[name, row] for name in metrics)] for row in rows])
    made = f"Made by `{about['command']}` on {about['device']}"
    if "threshold" in about:
        made += f"; threshold {about['threshold']:.3f}, chosen on validation"
    return "\n".join([BEGIN, *lines, "", f"{made}.", END])


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]


def fill(card: pathlib.Path, folder: pathlib.Path) -> None:
    """Replace the generated part of `card` by the figures of the run in `folder`."""
    before, _, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    card.write_text(before + figures(folder) + rest.partition(END)[2], encoding="utf-8")


def _cell(figure: dict | None) -> str:
    return "-" if figure is None else f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"

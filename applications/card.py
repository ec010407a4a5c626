"""The generated part of a model card: what a finished run measured, as Markdown."""

import pathlib

from applications.runs import read_json

BEGIN, END = "<!-- figures: generated from run.json -->", "<!-- end of figures -->"


def figures(folder: pathlib.Path) -> str:
    """A table of every metric on every test set with its 95 % interval, and the command that made the run."""
    about = read_json(folder / "run.json")
    names = list(about["metrics"])
    rows = list(next(iter(about["metrics"].values())))
    said = {name: f"{name} ({about.get(name) or ('synthetic' if about['synthetic'] else 'real')})" for name in names}
    lines = ["| figure | " + " | ".join(said[name] for name in names) + " |", "| --- |" + " --- |" * len(names)]
    for row in rows:
        cells = [_cell(about["metrics"][name].get(row)) for name in names]
        lines.append(f"| {row.replace('_', ' ')} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Made by `{about['command']}` on {about['device']}; threshold {about['threshold']:.3f}, chosen on validation.",
    ]
    return "\n".join([BEGIN, *lines, END])


def fill(card: pathlib.Path, folder: pathlib.Path) -> None:
    """Replace the generated part of `card` by the figures of the run in `folder`."""
    before, _, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    card.write_text(before + figures(folder) + rest.partition(END)[2], encoding="utf-8")


def _cell(figure: dict | None) -> str:
    return "-" if figure is None else f"{figure['value']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"

"""The catalogue of papers, and which of them the hub has built."""

import pathlib

from hub import registry

CATALOGUE = pathlib.Path(__file__).with_name("catalogue.tsv")  # slug, title, citation


def papers() -> list[dict]:
    """One row per paper, by slug: `slug title paper entries application checked`.

    `entries` are the registered names that carry the slug, `application` the application that follows the paper
    or None, `checked` how the first entry was checked ("" where the paper is not built yet).
    """
    rows = {}
    for line in CATALOGUE.read_text(encoding="utf-8").splitlines()[1:]:
        slug, title, citation = line.split("\t")
        rows[slug] = {
            "slug": slug,
            "title": title,
            "paper": citation,
            "entries": [],
            "application": None,
            "checked": "",
        }
    for entry in registry.list():
        for slug in entry.slug.split():
            row = rows.setdefault(slug, {"slug": slug, "title": entry.title, "paper": entry.paper,
                                         "entries": [], "application": None, "checked": ""})  # fmt: skip
            row["entries"].append(entry.name)
            row["checked"] = row["checked"] or entry.checked
    for name, said in _applications():
        for slug in said.get("Slug", "").split():
            if slug in rows:
                rows[slug]["application"] = name
                rows[slug]["checked"] = rows[slug]["checked"] or said.get("Checked", "")
    return list(rows.values())


def _applications() -> list[tuple[str, dict[str, str]]]:
    """Installed applications and what their `config.py` says, found without importing them."""
    import ast
    from importlib.util import find_spec

    spec = find_spec("applications")
    if spec is None:
        return []
    return [
        (path.parent.name, registry.labels(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""))
        for base in spec.submodule_search_locations
        for path in sorted(pathlib.Path(base).glob("*/config.py"))
    ]

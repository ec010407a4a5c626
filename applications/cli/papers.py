"""`hub papers`: the catalogue, and what of it is built."""

import argparse
import json

import hub

HELP = "print the papers of the catalogue and which are built"
EXAMPLES = """
  hub papers
  hub papers --missing
  hub papers --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--missing", action="store_true", help="only papers that nothing here follows yet")
    parser.add_argument("--json", action="store_true", help="an array of objects, one per paper")


def run(args: argparse.Namespace) -> None:
    rows = [row for row in hub.papers() if not (args.missing and (row["entries"] or row["application"]))]
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        built = row["application"] or ", ".join(row["entries"][:3]) + (" ..." if len(row["entries"]) > 3 else "")
        print(f"{row['slug']:<32}{built or '-':<44}{row['title']}")
    done = sum(bool(row["entries"] or row["application"]) for row in rows)
    print(f"{len(rows)} papers, {done} built.")

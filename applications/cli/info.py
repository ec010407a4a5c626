"""`hub info`: one entry, as its source file describes it."""

import argparse
import json
from dataclasses import asdict

from hub import registry

HELP = "print what is known of one name: paper, size, differences, how it was checked"
EXAMPLES = """
  hub info resnet50
  hub info ResNet-18 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a name that `hub list` prints")
    parser.add_argument("--json", action="store_true", help="one object")


def run(args: argparse.Namespace) -> None:
    entry = registry.info(args.name)
    facts = {key: value for key, value in asdict(entry).items() if key != "order" and value not in ("", None, {})}
    if args.json:
        print(json.dumps(facts, indent=1))
        return
    facts |= {"params": f"{entry.params:,}"} if entry.params else {}
    for key, value in facts.items():
        value = "; ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{key:>8}  {value}")

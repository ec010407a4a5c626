"""`hub list`: the names the hub can load."""

import argparse
import json

from hub import registry

HELP = "print the names that hub.load takes"
EXAMPLES = """
  hub list 'resnet*'
  hub list --room layers
  hub list --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", metavar="PATTERN", help="glob, such as 'wide_*'; case does not matter")
    parser.add_argument("--room", choices=registry.ROOMS, help="only entries of this room")
    parser.add_argument("--json", action="store_true", help="an array of objects, one per entry")


def run(args: argparse.Namespace) -> None:
    entries = registry.list(args.pattern, args.room)
    if args.json:
        keys = ("name", "room", "module", "title", "paper", "slug", "params", "gmacs")
        print(json.dumps([{key: getattr(entry, key) for key in keys} for entry in entries], indent=1))
        return
    if not entries:
        raise ValueError(f"No name matches {args.pattern!r}. `hub list` prints every name.")
    wide = max(len(entry.name) for entry in entries)
    for entry in entries:
        size = f"{entry.params / 1e6:9.2f} M" if entry.params else " " * 11
        print(f"{entry.name:<{wide}}  {entry.room:<11}{size}  {entry.title}")

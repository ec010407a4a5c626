"""`hub check`: run the contract on one name, a room, or everything."""

import argparse

from applications.cli._quiet import start_tensorflow
from hub import registry

HELP = "run the hub's contract on a name, a room or everything"
EXAMPLES = """
  hub check resnet18
  hub check --all
  hub check --all layers
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a name that `hub list` prints")
    parser.add_argument("--all", nargs="?", const="", metavar="ROOM", help="every name, or every name of ROOM")


def run(args: argparse.Namespace) -> int:
    if (args.name is None) == (args.all is None):
        raise ValueError("Give one NAME, or --all with or without a ROOM.")
    names = [registry.info(args.name).name] if args.name else [e.name for e in registry.list(room=args.all or None)]
    start_tensorflow()
    from hub import contract

    broken = 0
    for name in names:
        excused = registry.info(name).skip
        for promise, failure in contract.check(name):
            reason = excused.get(promise)
            wrong = bool(failure) != bool(reason)
            broken += wrong
            said = failure if wrong and failure else "mended: remove its exception" if wrong else reason or ""
            print(f"{'broken' if wrong else 'excused' if reason else 'kept':<8}{name:<28}{promise:<14}{said}")
    print(f"{len(names)} names, {broken} promises broken.")
    return 1 if broken else 0

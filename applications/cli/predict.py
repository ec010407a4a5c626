"""`hub predict`: an application's answer on the user's own images."""

import argparse
import json
import sys

from applications.cli import _app
from applications.cli._quiet import start_tensorflow
from applications.runs import find

HELP = "apply a trained application to images"
EXAMPLES = """
  hub predict street_number house.jpg
  hub predict street_number *.png --json
  hub predict tb_chest_xray film.dcm --report pages
"""


def configure(parser: argparse.ArgumentParser) -> None:
    for app, sub in _app.subparsers(parser).items():
        sub.add_argument("images", nargs="+", metavar="IMG", help="image files or folders of them")
        _app.add_run(sub)
        sub.add_argument("--json", action="store_true", help="one object per line")
        _app.predictor(app).configure(sub)


def run(args: argparse.Namespace) -> int:
    folder = find(args.app, args.run)
    start_tensorflow()
    failed = 0
    for row in _app.predictor(args.app).predict(folder, args):
        failed += "error" in row
        if args.json:
            print(json.dumps(row))
        elif "error" in row:
            print(f"hub: {row['error']}", file=sys.stderr)
        else:
            print(row["words"])
    return 2 if failed else 0

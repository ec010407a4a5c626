"""`hub evaluate`: an application's protocol on a finished run."""

import argparse
import json

from applications.cli import _app
from applications.runs import find

HELP = "measure a finished run on the test data of a folder"
EXAMPLES = """
  hub evaluate street_number
  hub evaluate street_number --data ~/svhn --run saved_models/street_number/2 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    for sub in _app.subparsers(parser).values():
        _app.add_data(sub)
        _app.add_run(sub)
        sub.add_argument("--json", action="store_true", help="one object instead of a table")


def run(args: argparse.Namespace) -> None:
    folder = find(args.app, args.run)
    result = _app.pipeline(args.app).evaluate(folder, args.data)
    if args.json:
        print(json.dumps(result))
        return
    for name, metrics in result.items():
        for metric, figure in metrics.items():
            print(f"{name:<10} {metric:<24}{figure['value']:.4f}  [{figure['low']:.4f}, {figure['high']:.4f}]")

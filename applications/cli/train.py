"""`hub train`: only the training of an application."""

import argparse
import pathlib

from applications.cli import _app

HELP = "train an application's network; `hub export` makes a version of the result"
EXAMPLES = """
  hub train street_number --epochs 30
  hub train street_number --resume
"""


def configure(parser: argparse.ArgumentParser) -> None:
    for app, sub in _app.subparsers(parser).items():
        _app.add_data(sub)
        _app.add_out(sub)
        sub.add_argument("--resume", action="store_true", help="go on with the newest unfinished run in --out")
        _app.add_config(sub, app)


def run(args: argparse.Namespace) -> None:
    config = _app.config(args)
    print(_app.pipeline(args.app).train(config, args.data, pathlib.Path(args.out), args.resume))

"""`hub run`: an application from data to exported model, in one command."""

import argparse
import json
import pathlib

from applications.cli import _app

HELP = "prepare data, train, evaluate, explain, export and report, in one command"
EXAMPLES = """
  hub run street_number
  hub run tb_chest_xray --data ~/films --model densenet121 --weights imagenet --size 224
  hub run street_number --data ~/svhn --epochs 60 --model multi_digit
  hub run street_number --resume
"""


def configure(parser: argparse.ArgumentParser) -> None:
    for app, sub in _app.subparsers(parser).items():
        _app.add_data(sub)
        _app.add_out(sub)
        sub.add_argument("--resume", action="store_true", help="go on with the newest unfinished run in --out")
        sub.add_argument("--json", action="store_true", help="end with one line: the metrics and paths as JSON")
        _app.add_config(sub, app)


def run(args: argparse.Namespace) -> None:
    config = _app.config(args)
    result = _app.pipeline(args.app).run(config, args.data, pathlib.Path(args.out), args.resume)
    if args.json:
        print(json.dumps(result))
    else:
        print(f"model   {result['folder']}\nreport  {result['report']}")

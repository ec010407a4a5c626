"""`hub predict`: what an application, or a published network, says of the user's own images."""

import argparse
import json
import sys

from applications import classify
from applications.cli import _app
from applications.cli._quiet import start_tensorflow
from applications.runs import find
from hub import registry

HELP = "apply a trained application, or a network with published weights, to images"
EXAMPLES = """
  hub predict street_number house.jpg
  hub predict street_number *.png --json
  hub predict tb_chest_xray film.dcm --report pages
  hub predict efficientnet_b0 cat.jpg --top 3
  hub predict tf_efficientnet_lite0 pictures --weights efficientnet-lite0.pth
"""


def configure(parser: argparse.ArgumentParser) -> None:
    published = [e.name for e in registry.list(room="models") if any(tag.startswith("imagenet") for tag in e.weights)]
    for name, sub in _app.subparsers(parser, published, metavar="APP|MODEL").items():
        sub.add_argument("images", nargs="+", metavar="FILE", help="files, or folders of them")
        sub.add_argument("--json", action="store_true", help="one object per line")
        if name in _app.APPLICATIONS:
            _app.add_run(sub)
            _app.predictor(name).configure(sub)
        else:
            classify.configure(sub)


def run(args: argparse.Namespace) -> int:
    if args.app in _app.APPLICATIONS:
        folder = find(args.app, args.run)
        start_tensorflow()
        rows = _app.predictor(args.app).predict(folder, args)
    else:
        start_tensorflow()
        rows = classify.predict(registry.info(args.app), args)
    failed = 0
    for row in rows:
        failed += "error" in row
        if args.json:
            print(json.dumps(row))
        elif "error" in row:
            print(f"hub: {row['error']}", file=sys.stderr)
        else:
            print(row["words"])
    return 2 if failed else 0

"""`hub export`: files to serve, from a trained run."""

import argparse
import pathlib

from applications.cli import _app

HELP = "export a trained run as SavedModel and TFLite, or write TensorFlow Serving's configuration"
EXAMPLES = """
  hub export street_number
  hub export street_number --run saved_models/street_number/unfinished-2
  hub export street_number --serving
"""


def configure(parser: argparse.ArgumentParser) -> None:
    for sub in _app.subparsers(parser).values():
        _app.add_out(sub)
        sub.add_argument("--run", metavar="DIR", help="folder that `hub train` printed (default: the newest)")
        sub.add_argument(
            "--serving", action="store_true", help="write models.config, batching_parameters.txt and a compose file"
        )


def run(args: argparse.Namespace) -> None:
    out = pathlib.Path(args.out)
    if args.serving:
        from hub.export.serving import write_serving_config

        for path in write_serving_config(out):
            print(path)
        return
    print(_app.pipeline(args.app).export(out, args.run and pathlib.Path(args.run)))

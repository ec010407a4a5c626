"""`hub serve`: the models of a folder over REST and gRPC, as TensorFlow Serving serves them."""

import argparse
import contextlib
import pathlib
import signal

from applications.cli._quiet import start_tensorflow
from hub.serving.layout import scan

HELP = "serve SavedModels over REST and gRPC with TensorFlow Serving's contract"
EXAMPLES = """
  hub serve saved_models
  hub serve saved_models --rest-port 0 --grpc-port 0
  curl http://127.0.0.1:8501/v1/models/street_number/metadata
  curl -d '{"signature_name": "serving_bytes", "instances": [{"b64": "..."}]}' \\
      http://127.0.0.1:8501/v1/models/street_number:predict
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", help="NAME/VERSION/saved_model.pb, or one model's VERSION/saved_model.pb"
    )
    parser.add_argument(
        "--rest-port", type=int, default=8501, help="port of the REST API, 0 for a free one (%(default)s)"
    )
    parser.add_argument(
        "--grpc-port", type=int, default=8500, help="port of the gRPC API, 0 for a free one (%(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")


def run(args: argparse.Namespace) -> None:
    scan(pathlib.Path(args.folder))  # refuses a wrong folder before TensorFlow takes its seconds to load
    start_tensorflow()
    from hub.serving.repository import Repository
    from hub.serving.server import Server

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a process manager's stop is a Ctrl-C
    repository = Repository(args.folder)
    with Server(repository, args.host, args.rest_port, args.grpc_port) as server:
        urls = f"REST {server.rest_url}/v1/models and gRPC {server.grpc_address}"
        print(f"Serving {', '.join(repository.names)}: {urls} (Ctrl-C stops)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()

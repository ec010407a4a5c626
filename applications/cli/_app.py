"""What the verbs `run train evaluate predict export` share: the application, its flags, its pipeline."""

import argparse
import dataclasses
import importlib
import pathlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from applications.cli._quiet import start_tensorflow

APPLICATIONS = sorted(path.parent.name for path in pathlib.Path(__file__).parents[1].glob("*/config.py"))


def subparsers(
    parser: argparse.ArgumentParser, unlisted: Iterable[str] = (), metavar: str = "APP"
) -> dict[str, argparse.ArgumentParser]:
    """One parser per application, by name, and one for each of `unlisted`, of which the help says nothing."""
    apps = parser.add_subparsers(dest="app", metavar=metavar, required=True)
    listed = {
        name: apps.add_parser(name, help=(config_module(name).__doc__ or "").partition("\n")[0], allow_abbrev=False)
        for name in APPLICATIONS
    }
    return listed | {name: apps.add_parser(name, allow_abbrev=False) for name in unlisted}


def config_module(app: str) -> ModuleType:
    return importlib.import_module(f"applications.{app}.config")


def pipeline(app: str) -> ModuleType:
    """The application's stages; imports what they need."""
    start_tensorflow()
    return importlib.import_module(f"applications.{app}.pipeline")


def predictor(app: str) -> ModuleType:
    """The application's `predict.py`: configure(parser) and predict(folder, args)."""
    return importlib.import_module(f"applications.{app}.predict")


def add_config(parser: argparse.ArgumentParser, app: str) -> None:
    """A flag per field of the application's configuration."""
    group = parser.add_argument_group("the run")
    for field in dataclasses.fields(config_module(app).Config):
        flag, text = "--" + field.name.replace("_", "-"), field.metadata["help"]
        if isinstance(field.default, bool):
            group.add_argument(flag, action="store_true", default=field.default, help=text)
        else:
            choices = field.metadata["choices"]
            group.add_argument(
                flag,
                type=type(field.default),
                default=field.default,
                choices=choices,
                metavar=None if choices else type(field.default).__name__.upper(),
                help=f"{text} (default {field.default})",
            )


def config(args: argparse.Namespace) -> Any:
    """The configuration that the flags say."""
    kind = config_module(args.app).Config
    return kind(**{field.name: getattr(args, field.name) for field in dataclasses.fields(kind)})


def add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="saved_models", metavar="DIR", help="where models go (default saved_models)")


def add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="DIR", help="folder of a finished run (default: the newest)")


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", help="the public data set's folder (default: a synthetic sample)")

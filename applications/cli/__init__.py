"""The `hub` command: one verb per file of this folder, each with HELP, EXAMPLES, configure(parser) and run(args)."""

import argparse
import importlib
import os
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from hub import registry

VERBS = sorted(path.stem for path in pathlib.Path(__file__).parent.glob("[!_]*.py"))


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one sentence and exit status 2."""

    def error(self, message: str) -> NoReturn:
        if (choice := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)) and len(choice[2]) > 400:
            known = re.findall(r"[\w.-]+", choice[2])
            message = f"{choice[1]!r} is not known here. {registry.suggest(choice[1], known)}"
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            flag = unknown.split()[0]
            message = f"unknown argument {flag!r}.{self._near(flag)}"
        message = message[:1].upper() + message[1:]
        message += "" if message.endswith((".", "?")) else "."
        print(f"hub: {message} `{self.prog} --help` shows what it takes.", file=sys.stderr)
        raise SystemExit(2)

    def _near(self, flag: str) -> str:
        import difflib

        subs = [sub for action in self._actions if isinstance(action.choices, dict) for sub in action.choices.values()]
        known = [text for parser in (self, *subs) for text in parser._option_string_actions]
        close = difflib.get_close_matches(flag, known, n=1)
        return f" Did you mean {close[0]}?" if close else ""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 wrong input, 130 interrupted."""
    raise SystemExit(dispatch(sys.argv[1:] if argv is None else list(argv)))


def dispatch(argv: list[str]) -> int:
    """Run one command line and return its exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # notes on absent GPUs and unknown graph attributes help nobody
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what is wrong with a video is said in a sentence of our own
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return 0
    if argv[0] == "--version":
        import hub

        print(f"hub {hub.__version__}")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        hint = registry.suggest(verb, VERBS) if not verb.startswith("-") else ""
        print(f"hub: unknown command {verb!r}. {hint} `hub --help` lists them.", file=sys.stderr)
        return 2
    module = importlib.import_module(f"applications.cli.{verb}")
    parser = Parser(
        prog=f"hub {verb}",
        description=module.HELP,
        epilog=f"examples:\n{module.EXAMPLES.rstrip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    try:
        module.configure(parser)
        return module.run(parser.parse_args(argv[1:])) or 0
    except KeyboardInterrupt:
        print("hub: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("HUB_TRACEBACK"):
            raise
        print(f"hub: {sentence(error)}", file=sys.stderr)
        return 2


def sentence(error: Exception) -> str:
    """The message of `error` on one line."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.strerror}: {error.filename}."
    return " ".join(str(error).split()) or type(error).__name__


def overview() -> str:
    """What `hub --help` prints."""
    rows = [(verb, importlib.import_module(f"applications.cli.{verb}").HELP) for verb in VERBS]
    lines = "\n".join(f"  {verb:<10}{text}" for verb, text in rows)
    return f"usage: hub COMMAND ...\n\n{lines}\n\n`hub COMMAND --help` shows a command's arguments and examples."

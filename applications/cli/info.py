"""`hub info`: one entry, as its source file describes it."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from applications.cli import bench
from hub import registry
from hub.registry import Entry

HELP = "print what is known of one name: paper, size, weights and their licence, differences, how it was checked"
EXAMPLES = """
  hub info resnet50
  hub info ResNet-18 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a name that `hub list` prints")
    parser.add_argument("--json", action="store_true", help="one object")


def run(args: argparse.Namespace) -> None:
    entry = registry.info(args.name)
    facts = known(entry)
    if args.json:
        print(json.dumps(facts, indent=1))
        return
    facts |= {"params": f"{entry.params:,}"} if entry.params else {}
    facts |= {"memory": f"{facts['memory'] / 1e6:,.1f} MB of float32 weights"} if entry.params else {}
    for key, value in facts.items():
        value = "; ".join(f"{k}: {_plain(v)}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{key:>8}  {value}")


def known(entry: Entry) -> dict[str, Any]:
    """What the source says of `entry`, what follows from it, and what `hub bench` last measured on this machine."""
    facts = {key: value for key, value in asdict(entry).items() if key != "order" and value not in ("", None, {})}
    if entry.params:
        facts["memory"] = 4 * entry.params  # bytes
    if entry.room == "models":
        facts["latency"] = bench.recalled(entry.name) or f"not measured on this machine: hub bench {entry.name}"
    return facts


def _plain(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)

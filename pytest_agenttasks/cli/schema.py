"""`agenttasks schema`: the JSON schema of agenttasks.yaml."""

from __future__ import annotations

import argparse
import json

from ..settings.schema import schema


def configure(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments."""
    parser.epilog = (
        "For the YAML language server: `agenttasks schema > .agenttasks.schema.json` and, as the first "
        "line of agenttasks.yaml, `# yaml-language-server: $schema=.agenttasks.schema.json`"
    )


def run(args: argparse.Namespace) -> int:  # noqa: ARG001 - every verb has this signature
    """Print the schema."""
    print(json.dumps(schema(), indent=2))
    return 0

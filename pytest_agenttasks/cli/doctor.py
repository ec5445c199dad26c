"""`agenttasks doctor`: everything that a night's run needs, looked at in one go; each finding with its remedy."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ..diagnosis.examination import Asked, examine
from ..diagnosis.finding import Finding, Level
from ..outcome import SetupError
from ..report.printable import one_line

MOST_WORKERS = 64
_LONGEST = 1000
_COLUMN = 11
_SHOWN = {Level.OK: "ok", Level.WARN: "warn", Level.FAIL: "FAIL"}
_COLOURS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "1;31"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", dest="workers", type=_workers, default=1, metavar="N", help="agents at once (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )
    parser.add_argument("--agent", metavar="NAME", help="look at this agent instead of the settings' one")
    parser.add_argument(
        "--agent-config",
        type=Path,
        metavar="FILE",
        help="settings file (default: agenttasks.yaml in the top folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Print every finding; 1 when one of them would stop a run. Raises SetupError for a file that is not there."""
    if args.agent_config is not None and not args.agent_config.is_file():
        raise SetupError(f"--agent-config {args.agent_config}: no such file")
    asked = Asked(
        start=Path.cwd(),
        queue=args.queue,
        settings_file=None if args.agent_config is None else args.agent_config.absolute(),
        overrides={} if args.agent is None else {"agent.name": args.agent},
        workers=args.workers,
        tell=_tell,
    )
    found = []
    for finding in examine(asked):
        found.append(finding)
        if not args.json:
            print(lines(finding, colours=_colours(sys.stdout)), flush=True)
    print(as_json(found) if args.json else summary(found))
    return 1 if _count(found, Level.FAIL) else 0


def lines(finding: Finding, *, colours: bool) -> str:
    """One line, and one for the remedy below its text."""
    word = f"{_SHOWN[finding.level]:<4}"
    if colours:
        word = f"\x1b[{_COLOURS[finding.level]}m{word}\x1b[0m"
    first = f"{word}  {finding.check:<{_COLUMN}}  {one_line(finding.text, _LONGEST)}"
    if not finding.remedy:
        return first
    return f"{first}\n{'':<4}  {'':<{_COLUMN}}  -> {one_line(finding.remedy, _LONGEST)}"


def as_json(found: Sequence[Finding]) -> str:
    """The same for programs; `level` is ok, warn or fail."""
    findings = [
        {
            "check": finding.check,
            "level": finding.level.value,
            "text": one_line(finding.text, _LONGEST),
            "remedy": one_line(finding.remedy, _LONGEST),
        }
        for finding in found
    ]
    return json.dumps({"ready": not _count(found, Level.FAIL), "findings": findings}, indent=2)


def summary(found: Sequence[Finding]) -> str:
    """The last line: whether a run can start."""
    failed, warned = _count(found, Level.FAIL), _count(found, Level.WARN)
    notes = f", {warned} warning{'s' * (warned != 1)}" if warned else ""
    if failed:
        return f"not ready: {failed} finding{'s' * (failed != 1)} would stop a run{notes}"
    return f"ready: a run can start{notes}"


def _count(found: Sequence[Finding], level: Level) -> int:
    return sum(finding.level is level for finding in found)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST_WORKERS}, got {text}")
    return int(text)


def _tell(line: str) -> None:
    """What takes long, for whoever waits at a terminal."""
    if sys.stderr.isatty():
        print(f"      {one_line(line)}", file=sys.stderr, flush=True)


def _colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")

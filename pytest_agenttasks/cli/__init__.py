"""The `agenttasks` command: one small module a verb, imported when the verb is used.

A verb's module has `configure(parser)`, which adds its arguments, and `run(args) -> int`, which does the work
and returns the exit status. To add a verb, write the module and put its line into `VERBS`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from .. import __version__
from ..outcome import SetupError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_STOPPED = 2
EXIT_UNUSABLE = 4
EXIT_EMPTY = 5


class Verb(NamedTuple):
    """One line of the help. `passes_on`: its arguments are another program's and are left alone."""

    help: str
    passes_on: bool = False


VERBS = {
    "init": Verb("write agenttasks.yaml and the queue folders for this repository"),
    "new": Verb("write a new task file from the template"),
    "lint": Verb("check the queue's task files; spends nothing"),
    "plan": Verb("order, what runs beside what, critical path, best makespan"),
    "doctor": Verb("everything that a night's run needs, each finding with its remedy; spends nothing"),
    "run": Verb("run the queue, apart from the project's own pytest set-up", passes_on=True),
    "watch": Verb("run the queue, in a fresh process, whenever it has tasks", passes_on=True),
    "show": Verb("one task's attempts, evidence and diff"),
    "status": Verb("what lies in the queue, what came of it, what was spent"),
    "review": Verb("the morning after: what needs you, what landed, what it cost, what to type"),
    "approve": Verb("write down that a person has reviewed what landed and failed"),
    "reject": Verb("revert what a task landed as, and queue it again with a note"),
    "open": Verb("finish a task by hand: a worktree with an attempt's files, and what is known of it"),
    "land": Verb("land what was finished by hand: the same checks, gates and landing"),
    "requeue": Verb("failed or held tasks back to pending"),
    "clean": Verb("drop old attempts, workspaces and logs; never anything unreviewed"),
    "verify": Verb("from git alone: every task commit in scope, and green when gated again"),
    "demo": Verb("play a small queue in a throw-away repository"),
    "schema": Verb("print the JSON schema of agenttasks.yaml, for editors"),
}
"""Every verb, in the order of the help; the module of the same name in this package does the work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status: 4 for an unusable set-up or a wrong command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _never_fail_to_print()
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is noticed
    except SetupError as error:
        print(f"agenttasks: error: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except BrokenPipeError:
        # Whoever read the output has gone; python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"agenttasks: error: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        print("agenttasks: interrupted", file=sys.stderr)
        return EXIT_STOPPED
    return status


class _Parser(argparse.ArgumentParser):
    """argparse with this command's exit status and form of errors."""

    def error(self, message: str) -> NoReturn:
        raise SetupError(f"{message}; see `{self.prog} --help`")


def _dispatch(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else ""
    if verb in VERBS and VERBS[verb].passes_on:
        return _status(importlib.import_module(f".{verb}", __package__).run(arguments[1:]))
    parser = _Parser(prog="agenttasks", description="Agent tasks as pytest tests.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"agenttasks {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, described in VERBS.items():
        inner = verbs.add_parser(name, help=described.help, description=described.help, allow_abbrev=False)
        if name == verb:
            module = importlib.import_module(f".{name}", __package__)
            module.configure(inner)
    if not arguments:
        parser.print_help()
        return EXIT_OK
    try:
        args = parser.parse_args(arguments)
    except SystemExit as request:  # --help and --version, already printed
        return _status(request.code or EXIT_OK)
    return _status(module.run(args))


def _status(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a verb returned {value!r} instead of an exit status")
    return value


def _never_fail_to_print() -> None:
    """Show what the terminal's encoding lacks as escapes: a title in Greek must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")

"""`agenttasks run`: pytest on the queue, apart from the project's own pytest set-up.

A fresh process, so that nothing of this one is in the way, and so that signals and the exit status are
pytest's own. The project's ini file, addopts, conftest files and plugins are not read; the conftest.py beside
the queue's folders is (`integration/tasks_conftest.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..outcome import SetupError
from ..trees.repository import discover
from .new import DEFAULT_QUEUE

CONFTEST_VARIABLE = "AGENTTASKS_CONFTEST"
"""Names the queue's conftest.py. A variable: the file is read before options are, for it may add some."""

OPTION = "--agent-tasks"
PLUGINS = (
    "pytest_agenttasks.plugin",
    "xdist.plugin",
    "pytest_timeout",
    "pytest_agenttasks.integration.tasks_conftest",
)
"""Modules, not entry points: xdist's workers import them by these names too."""

HELP = """usage: agenttasks run [PYTEST ARGS]

run the queue (tasks/pending, or the one that --agent-tasks names) apart from the project's own pytest
set-up: its ini file, addopts, conftest files and plugins are not read; tasks/conftest.py is

for example:
  agenttasks run -k jwt
  agenttasks run --collect-only -q
  agenttasks run --junitxml=report.xml

pytest's own help follows
"""


def run(arguments: Sequence[str]) -> int:
    """Become pytest. Raises SetupError when there is no repository or no queue."""
    if any(argument in ("-h", "--help") for argument in arguments):
        print(HELP, flush=True)
    cwd = Path.cwd()
    variables = dict(os.environ)  # before `discover` takes git's out of this process
    repository = discover(cwd)
    named = named_queue(arguments)
    queue = repository.top / DEFAULT_QUEUE if named is None else cwd / named
    if named is None and not queue.is_dir():
        raise SetupError(
            f"{queue}: no such folder; `agenttasks init` makes a queue, or name another with {OPTION}"
        )
    command = [
        sys.executable,
        "-m",
        "pytest",
        *pytest_arguments(
            arguments,
            top=repository.top,
            cache=repository.home / "pytest-cache",
            queue=os.path.relpath(queue) if named is None else None,
        ),
    ]
    sys.stdout.flush()
    sys.stderr.flush()
    return become(command, environment(variables, conftest_of(queue)))


def become(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Replace this process by `command`; it does not return."""
    os.execve(command[0], list(command), dict(variables))  # noqa: S606 - no shell is wanted


def pytest_arguments(arguments: Sequence[str], *, top: Path, cache: Path, queue: str | None) -> list[str]:
    """pytest's command line: what keeps the project's set-up out, then what the user typed, which wins.

    `queue` is the folder to run when the user named none, else None.
    """
    return [
        *(part for plugin in PLUGINS for part in ("-p", plugin)),
        "--noconftest",
        f"-c{os.devnull}",
        f"--rootdir={top}",
        f"-ocache_dir={cache}",
        *([f"{OPTION}={queue}"] if queue is not None else []),
        *arguments,
    ]


def named_queue(arguments: Sequence[str]) -> str | None:
    """The queue that the user named; the last one counts, as it does for pytest."""
    named = None
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == OPTION and position + 1 < len(arguments):
            named = arguments[position + 1]
        elif argument.startswith(f"{OPTION}="):
            named = argument.removeprefix(f"{OPTION}=")
    return named


def conftest_of(queue: Path) -> Path | None:
    """The conftest.py beside pending, done and failed, for a queue folder or one task file in it."""
    folder = queue if queue.is_dir() else queue.parent
    file = folder.resolve().parent / "conftest.py"
    return file if file.is_file() else None


def environment(source: Mapping[str, str], conftest: Path | None) -> dict[str, str]:
    """`source` without what steers pytest, and with no module of the current folder in anything's place."""
    steering = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", CONFTEST_VARIABLE)
    kept = {name: value for name, value in source.items() if name not in steering}
    kept |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONSAFEPATH": "1"}
    if conftest is not None:
        kept[CONFTEST_VARIABLE] = str(conftest)
    return kept

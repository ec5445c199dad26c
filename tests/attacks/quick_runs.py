"""Runs of pytest and of the command line, from a process with everything imported: half the time of an ordinary start."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "pytest",
        "pytest_timeout",
        "_pytest.junitxml",
        "pytest_agenttasks.integration.session",
        "pytest_agenttasks.cli",
        "git",
    ]
)


def run_pytest(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output: Path,
    timeout: float,
    first: Callable[[], None] | None = None,
    main: Callable[[list[str]], int] | None = None,
) -> int:
    """Run pytest with `argv` in a process of its own, its output to a file; `timeout` in seconds.

    `first`, a function of a module, is called in that process before, `main` instead of pytest. Returns the exit status, -9
    after a timeout.
    """
    process = _SERVER.Process(
        target=_run, args=(tuple(argv), str(cwd), dict(env), str(output), first, main or _pytest)
    )
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(
    argv: tuple[str, ...],
    cwd: str,
    env: dict[str, str],
    output: str,
    first: Callable[[], None] | None,
    main: Callable[[list[str]], int],
) -> None:
    os.environ.clear()
    os.environ.update(env)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in env  # python looks when it starts only
    os.chdir(cwd)
    os.setsid()
    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(target, 1)
    os.dup2(target, 2)
    sys.path.insert(0, cwd)  # as `python -m pytest` does
    if first is not None:
        first()
    sys.exit(main(list(argv)))


def _pytest(argv: list[str]) -> int:
    import pytest

    return pytest.main(argv)

"""Every call of git, and the environment that keeps agents and surprises out of it.

The facts behind the variables: an agent can plant hooks, filters, aliases, pagers and replace refs; a git
hook that starts pytest leaks GIT_DIR; a missing object can start a download. Callers pass hex ids and
`--` before paths; paths are bytes and come back `-z` separated.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from git.cmd import Git

from .changes import shown

MINIMUM = (2, 39)

DEAF: Mapping[str, str] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
    "GIT_ASKPASS": "false",
    "GIT_ALLOW_PROTOCOL": "file",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
"""What both profiles share."""

NO_HOOKS: Mapping[str, str] = {"core.hooksPath": os.devnull, "core.fsmonitor": "false", "gc.auto": "0"}
"""Settings that a user's repository is never read or moved without; see `overriding`."""


def overriding(settings: Mapping[str, str]) -> dict[str, str]:
    """Variables with which settings beat the repository's own configuration: only `git -c` ranks as high."""
    pairs = [(f"GIT_CONFIG_KEY_{n}", key) for n, key in enumerate(settings)]
    pairs += [(f"GIT_CONFIG_VALUE_{n}", value) for n, value in enumerate(settings.values())]
    return {"GIT_CONFIG_COUNT": str(len(settings)), **dict(pairs)}


class GitError(Exception):
    """git ended with an error; `status` is its exit status, `stderr` its words."""

    def __init__(self, args: Sequence[str | bytes], status: int, stderr: str) -> None:
        command = " ".join(shown(a) if isinstance(a, bytes) else a for a in args)
        super().__init__(f"`{command}` ended with status {status}: {stderr.strip() or 'no message'}")
        self.status = status
        self.stderr = stderr


def take_callers_environment() -> dict[str, str]:
    """Remove every GIT_* variable from this process and return them.

    GitPython merges the process's environment into each call, so they have to go for good.
    """
    names = [name for name in os.environ if name.startswith("GIT_") and not name.startswith("GIT_PYTHON_")]
    return {name: os.environ.pop(name) for name in names}


def git(
    args: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes | Path | None = None,
    accept: Sequence[int] = (0,),
) -> bytes:
    """The standard output of `git ARGS`; `stdin` are bytes, or a file. Raises GitError when its exit status is not in
    `accept`."""
    command = ["git", *args]
    with _input(stdin) as source:
        try:
            status, stdout, stderr = _execute(Git(cwd), command, {**env, "PATH": absolute_path()}, source)
        except OSError as error:
            raise GitError(command, 127, f"git cannot be started in {cwd}: {error}") from error
    if status not in accept:
        raise GitError(command, status, stderr)
    return stdout


def absolute_path() -> str:
    """PATH without its relative places: in a workspace those hold whatever an agent put there."""
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(place for place in places if os.path.isabs(place))  # noqa: PTH117


class _Answer(NamedTuple):
    status: int
    stdout: bytes
    stderr: str


def _as_bytes(value: object) -> bytes:
    """GitPython's type depends on its arguments in a way that its annotations do not tell."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _execute(wrapper: Git, command: list[str], env: Mapping[str, str], source: Any) -> _Answer:
    status, stdout, stderr = wrapper.execute(
        command,
        istream=source,
        with_extended_output=True,
        with_exceptions=False,
        stdout_as_string=False,
        strip_newline_in_stdout=False,
        env=dict(env),
    )
    return _Answer(int(status), _as_bytes(stdout), _as_bytes(stderr).decode("utf-8", "replace"))


class _input:
    """A file handle on some bytes, or on a file: GitPython takes nothing else as standard input."""

    def __init__(self, data: bytes | Path | None) -> None:
        self._data = data
        self._file: Any = None

    def __enter__(self) -> Any:
        if self._data is None:
            return None
        if isinstance(self._data, Path):
            self._file = self._data.open("rb")
            return self._file
        self._file = tempfile.TemporaryFile()
        self._file.write(self._data)
        self._file.seek(0)
        return self._file

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def version() -> tuple[int, ...]:
    """The installed git's version, (0,) when there is none."""
    try:
        text = subprocess.run(
            ["git", "version"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PATH": absolute_path()},
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0,)
    digits = text.split()[2].split(".") if len(text.split()) > 2 else []
    return tuple(int(part) for part in digits[:2] if part.isdigit())


def split(output: bytes) -> list[bytes]:
    """The items of a `-z` output."""
    return output.split(b"\0")[:-1]

"""The program that `agent.command` names."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping

from ..outcome import SetupError
from ..settings.records import AgentSettings


def command_line(agent: AgentSettings) -> tuple[str, ...]:
    """`agent.command` as an argv. Raises SetupError when it is none."""
    command = agent.command
    try:
        argv = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError as error:
        raise SetupError(f"`agent.command`: `{command}` is no command line: {error}") from None
    if not argv:
        raise SetupError("`agent.command` is empty; name the program to run")
    return tuple(argv)


def find_program(name: str, environment: Mapping[str, str], remedy: str) -> str:
    """The absolute path of `name` on the PATH of `environment`. Raises SetupError with the `remedy`."""
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    if found is None:
        where = "no such program" if os.sep in name else "not on the PATH"
        raise SetupError(f"`agent.command`: `{name}` is {where}; {remedy}")
    return os.path.abspath(found)  # noqa: PTH100 - following links would change what the program sees as its name

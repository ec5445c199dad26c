"""Whether the Claude Code CLI is logged in, asked without a request to the model."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping

from ..report.printable import one_line
from ..settings.records import AgentSettings
from .claude import PROBE_SECONDS, session_environment
from .program import command_line, find_program


def login(agent: AgentSettings, environment: Mapping[str, str]) -> tuple[bool | None, str]:
    """Whether there is a login (None: it cannot be told), and in what way or why not.

    The CLI looks at its own files and variables only: that a key is valid shows in the first session. Raises
    SetupError when the program is not there.
    """
    name, *rest = command_line(agent)
    program = [find_program(name, environment, "install it"), *rest]
    variables = session_environment(environment, agent.stall_timeout)
    # A version without this command would take the words for a prompt, and spend.
    if not re.search(r"Usage: \S+ auth\b", _ask([*program, "auth", "--help"], variables)):
        return None, f"`{shlex.join(program)}` has no `auth status`"
    said = _ask([*program, "auth", "status"], variables)
    try:
        told = json.loads(said)
        logged_in, method = told["loggedIn"], told["authMethod"]
    except (ValueError, KeyError, TypeError):
        return None, f"`{shlex.join(program)} auth status` said: {one_line(said)}"
    return bool(logged_in), one_line(str(told.get("apiKeySource") or method))


def _ask(argv: list[str], environment: Mapping[str, str]) -> str:
    """What the program prints; nothing where it does not answer."""
    try:
        answer = subprocess.run(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace")

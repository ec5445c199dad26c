"""The agent: its program, and its login as far as that can be told without a session."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from ..agents import claude
from ..agents.claude_login import login
from ..agents.program import command_line
from ..agents.registry import preflight
from ..outcome import SetupError
from ..processes.environment import scrub
from ..run import agent_environment
from ..settings.records import Settings
from .finding import Finding, fail, ok, refused, warn


def agent(settings: Settings) -> Iterator[Finding]:
    """The program of `agent.name`, in the environment that a session gets."""
    chosen = settings.agent
    variables = scrub(os.environ, agent_environment(settings), chosen.env).variables
    try:
        described = preflight(chosen, variables)
    except SetupError as error:
        yield refused("agent", error, "name a program that is there in `agent.command`")
        return
    if described is None:
        yield warn(
            "agent",
            f"`{chosen.name}` is none of claude, command and replay",
            "make sure that a plugin or tasks/conftest.py brings it: only a run can tell",
        )
        return
    yield ok("agent", f"{chosen.name}: {described}")
    if chosen.name == claude.NAME:
        logged_in, how = login(chosen, variables)
        program = shlex.join(command_line(chosen))
        remedy = f"`{program} auth login`, or set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN"
        if logged_in:
            yield ok("login", f"{how} (whether it is still valid shows in the first session)")
        elif logged_in is None:
            yield warn("login", f"cannot be told: {how}", f"try it once: `{program} --print hello`")
        else:
            yield fail("login", f"`{program}` is not logged in", remedy)

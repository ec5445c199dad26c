"""Whose usage limit it is: sessions of the same agent with the same login wait for the same pause, in whatever repository
of this user on this machine."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from .agents.program import command_line
from .outcome import SetupError
from .settings.records import AgentSettings

_LOGINS: Mapping[str, tuple[str, ...]] = {
    "claude": (
        "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY",
        "AWS_PROFILE", "HOME",
    ),
}  # fmt: skip
"""Variables that choose the login, of agents that this is known of; another's command line stands for its login."""


def pause_file(agent: AgentSettings, environment: Mapping[str, str]) -> Path:
    """Where the pause of this agent's account is kept, in the user's state folder. Holds nothing of a login itself."""
    variables = {**environment, **agent.env}
    names = _LOGINS.get(agent.name)
    chosen = tuple(f"{name}={variables[name]}" for name in names or () if variables.get(name))
    parts = _command(agent) if names is None else chosen
    text = "\0".join((agent.name, *parts)).encode("utf-8", "surrogateescape")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", agent.name)[:40]
    return pauses() / f"{name}-{hashlib.sha256(text).hexdigest()[:16]}.json"


def pauses() -> Path:
    """The folder of all pauses, of all accounts."""
    return Path(os.path.abspath(platformdirs.user_state_path("agenttasks"))) / "pauses"  # noqa: PTH100


def _command(agent: AgentSettings) -> tuple[str, ...]:
    try:
        return command_line(agent)
    except SetupError:
        return (str(agent.command),)

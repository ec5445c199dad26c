"""What belongs to an agent outside its workspace, and what of that a sandboxed session may change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..outcome import SetupError
from ..settings.records import AgentSettings

CLAUDE_RUNS = {
    "settings.json": "{}\n", "CLAUDE.md": "", "agents": None, "commands": None, "skills": None, "hooks": None,
    "output-styles": None, "plugins": None,
}  # fmt: skip
"""What in claude's folder the user's next session would run or obey → what to make where it is missing (None: a
folder), for a path that does not exist cannot be kept read-only."""

CLAUDE_KEEPS = ("projects", "sessions", "shell-snapshots", "session-env", "todos", "file-history")
"""Folders there that hold sessions, and shell code and memories that other sessions take up: each begins empty."""


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """`writable` may be changed, but for `fixed`; of the files `copied` a session gets a copy, and of the folders
    `emptied` an empty one, both thrown away afterwards."""

    writable: tuple[Path, ...] = ()
    fixed: tuple[Path, ...] = ()
    copied: tuple[Path, ...] = ()
    emptied: tuple[Path, ...] = ()


def own_files(agent: AgentSettings, variables: Mapping[str, str], home: Path | None) -> OwnFiles:
    """Those of the built-in agents, and what `agent.writable` names. Raises SetupError when that does not exist."""
    named = tuple(_named(path, home) for path in agent.writable)
    if agent.name != "claude" or home is None:
        return OwnFiles(named)
    given = variables.get("CLAUDE_CONFIG_DIR")
    folder = Path(given) if given else home / ".claude"
    logins = [home / path for variable, path in _CLOUDS.items() if variables.get(variable)]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in CLAUDE_RUNS.items():
        path = folder / name
        if not os.path.lexists(path):
            path.mkdir() if text is None else path.write_text(text)
    for name in CLAUDE_KEEPS:
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    return OwnFiles(
        writable=(folder, *(path for path in logins if path.exists()), *named),
        fixed=tuple(folder / name for name in CLAUDE_RUNS if (folder / name).exists()),
        # It can name servers to start.
        copied=((folder if given else home) / ".claude.json",),
        emptied=tuple(folder / name for name in CLAUDE_KEEPS),
    )


_CLOUDS = {
    "CLAUDE_CODE_USE_BEDROCK": ".aws",
    "CLAUDE_CODE_USE_VERTEX": ".config/gcloud",
    "CLAUDE_CODE_USE_FOUNDRY": ".azure",
}


def _named(path: str, home: Path | None) -> Path:
    found = home / path.removeprefix("~/") if home is not None and path.startswith("~/") else Path(path)
    if not found.exists():
        raise SetupError(
            f"`agent.writable`: `{path}` is not there; start the agent by hand once, make it (mkdir), or remove it"
        )
    return found

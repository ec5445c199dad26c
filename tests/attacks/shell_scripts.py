"""What the scripts of attacks are made of."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.attack import Played

"""What an attack waits for that an agent's own rights allow as long as nothing confines it."""

UNCONFINED = {"sandbox": "none"}
"""Settings for attacks that show what holds without a sandbox."""

PRIVATE = 'private=$(dirname "$(sed -n 2p .git/objects/info/alternates)")'
"""A shell line that finds the runner's private repository, as an agent would."""

CANARY = 'touch "$ATTACK_VICTIM/../executed"'
"""A shell command that must never be run by git."""

LIFETIME = 25
"""Seconds after which a process that an attack leaves behind ends by itself."""

REAPER = "a subreaper ends every descendant before the files are looked at"

QUIET = f"""
import contextlib, os, signal, subprocess, sys, time
from pathlib import Path

victim, home, marker = Path(os.environ["ATTACK_VICTIM"]), Path(os.environ["ATTACK_HOME"]), os.environ["ATTACK_MARKER"]
LIFETIME = {LIFETIME}
"""
"""What most scripts begin with; processes of theirs end by themselves after LIFETIME seconds."""


def shell(lines: str) -> str:
    """A script that runs shell lines; the first that fails ends it, and the agent with it."""
    return f"import subprocess\nsubprocess.run(['sh', '-euc', {lines!r}], check=True)\n"


def nothing_executed(played: Played) -> None:
    """Nobody ran CANARY."""
    assert not executed(played).exists()


def executed(played: Played) -> Path:
    """The file that CANARY makes."""
    return played.project.path.parent / "executed"

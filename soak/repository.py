"""Plain git in a folder, as the user, the loop and the oracle use it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

BRANCH = "work"


def git(
    folder: Path, *args: str, env: Mapping[str, str] | None = None, accept: tuple[int, ...] = (0,)
) -> str:
    """What the command prints. Raises RuntimeError with git's own words for any other status."""
    done = subprocess.run(
        ["git", *args], cwd=folder, capture_output=True, check=False, env={**os.environ, **(env or {})}
    )
    if done.returncode not in accept:
        raise RuntimeError(f"git {' '.join(args)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode("utf-8", "surrogateescape")


def make(folder: Path, files: Mapping[str, str]) -> str:
    """A repository with one commit of these files; the commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", BRANCH)
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return git(folder, "rev-parse", "HEAD").strip()

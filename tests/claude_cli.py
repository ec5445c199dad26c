"""Finds the real claude CLI for the tests; run as a program, installs it.

Looked for in AGENTTASKS_TEST_CLAUDE, then in the repository's `.cache/claude`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "@anthropic-ai/claude-code@2.1.197"
FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "claude"
PROGRAM = Path("node_modules", ".bin", "claude")
REMEDY = "run `python tests/claude_cli.py` (it needs npm), or set AGENTTASKS_TEST_CLAUDE to a claude CLI"


def find() -> Path | None:
    """The CLI's path, or None. AGENTTASKS_TEST_CLAUDE must name a file when it is set."""
    if named := os.environ.get("AGENTTASKS_TEST_CLAUDE"):
        path = Path(named).absolute()
        if not path.is_file():
            raise FileNotFoundError(f"AGENTTASKS_TEST_CLAUDE names {path}, which is no file")
        return path
    cached = FOLDER / PROGRAM
    return cached if cached.is_file() else None


def install() -> Path:
    """Put the CLI into the repository's cache folder, unless it is there; raises CalledProcessError."""
    program = FOLDER / PROGRAM
    if not program.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(FOLDER), PACKAGE]
        subprocess.run(command, check=True)
    return program


def require() -> Path:
    """The CLI's path. Without one the test is skipped, but fails where CI is set: there it has to exist."""
    path = find()
    if path is None:
        message = f"the real claude CLI is not installed; {REMEDY}"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def claude_cli() -> Path:
    """The real CLI; see `require`."""
    return require()


if __name__ == "__main__":
    print(install())
    sys.exit(0)

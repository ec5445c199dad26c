"""Every test has a HOME of its own, a known git identity, and none of the caller's settings."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from tests.agent_sessions import agent_sessions
from tests.bubblewrap import bubblewrap
from tests.claude_api import claude_api
from tests.claude_cli import claude_cli
from tests.far_machine import far
from tests.own_cgroups import own_cgroups
from tests.queue_runs import Project
from tests.user_repository import UserRepository, make_repository

hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], database=None
)
hypothesis.settings.load_profile("suite")

# Whoever starts the suite in the background, or by nohup, has these ignored, and children inherit that.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

__all__ = ["agent_sessions", "bubblewrap", "claude_api", "claude_cli", "far", "own_cgroups"]

_FOREIGN = ("GIT_", "AGENTTASKS_", "ANTHROPIC_", "CLAUDE", "XDG_", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "CI")
_OWN = ("AGENTTASKS_TEST_", "CLAUDE_TEST")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home with a git identity; the user's own settings and logins are out of reach."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".gitconfig").write_text(
        "[user]\n\tname = Test User\n\temail = test@example.org\n[init]\n\tdefaultBranch = work\n"
        "[advice]\n\tdetachedHead = false\n[gc]\n\tauto = 0\n"
    )
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and not name.startswith(_OWN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    # Runs with workers make temporary folders, and clean up after all earlier runs of the user when they end.
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(folder))
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> UserRepository:
    """A repository with one commit: `src/a.txt`, `src/b.txt`, an ignore file, an empty tracked queue."""
    made = make_repository(tmp_path / "project")
    made.write("src/a.txt", "a\n")
    made.write("src/b.txt", "b\n")
    made.write(".gitignore", "*.log\nbuild/\n")
    for folder in ("pending", "done", "failed"):
        made.write(f"tasks/{folder}/.gitkeep", "")
    made.commit("first")
    return made


@pytest.fixture
def project(repository: UserRepository, tmp_path: Path) -> Project:
    """The repository with a green gate and an agent that appends a line to `src/a.txt`."""
    made = Project(repository, tmp_path / "agent.sh")
    made.agent('echo "by $AGENTTASKS_TASK" >> src/a.txt')
    made.configure()
    return made

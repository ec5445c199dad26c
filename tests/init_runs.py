"""Running `agenttasks init` in tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agenttasks.cli import main
from tests.user_repository import UserRepository, make_repository

Init = Callable[..., tuple[int, str, str]]
"""Arguments, and `cwd` → exit status, standard output, standard error."""


@pytest.fixture
def user(tmp_path: Path) -> UserRepository:
    """A project with a Makefile on branch main, in a folder with a blank in its name."""
    made = make_repository(tmp_path / "my app")
    made.git("checkout", "-q", "-b", "main")
    made.commit("first", Makefile="test:\n\ttrue\n")
    return made


@pytest.fixture
def init(user: UserRepository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Init:
    def init(*args: str, cwd: Path | None = None) -> tuple[int, str, str]:
        monkeypatch.chdir(cwd or user.path)
        status = main(["init", *args])
        out, err = capsys.readouterr()
        return status, out, err

    return init


@pytest.fixture
def agents(user: UserRepository) -> UserRepository:
    return UserRepository(user.path.with_name("my app.agents"))

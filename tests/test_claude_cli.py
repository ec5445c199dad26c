from __future__ import annotations

from pathlib import Path

import pytest

from tests import claude_cli


def test_without_the_cli_a_test_is_skipped_but_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTTASKS_TEST_CLAUDE", raising=False)
    monkeypatch.setattr(claude_cli, "FOLDER", tmp_path)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"python tests/claude_cli\.py"):
        claude_cli.require()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="is not installed"):
        claude_cli.require()


def test_the_cli_in_the_cache_folder_is_found_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTTASKS_TEST_CLAUDE", raising=False)
    monkeypatch.setattr(claude_cli, "FOLDER", tmp_path)
    cached = tmp_path / claude_cli.PROGRAM
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert claude_cli.require() == cached
    other = tmp_path / "other"
    monkeypatch.setenv("AGENTTASKS_TEST_CLAUDE", str(other))
    with pytest.raises(FileNotFoundError, match="is no file"):
        claude_cli.require()
    other.touch()
    assert claude_cli.require() == other

"""Whole runs in the sandbox: the real claude CLI, and what it must not reach."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import psutil
import pytest

from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.processes.sandbox import Sandbox
from tests.claude_api import Say, ScriptedApi, Use
from tests.opened import opened, outcome
from tests.queue_runs import GREEN, Project
from tests.user_repository import UserRepository
from tests.virtual_environments import virtual_environment

pytestmark = pytest.mark.usefixtures("bubblewrap")


@pytest.mark.real_claude
def test_claude_works_and_reaches_nothing_else(
    repository: UserRepository, tmp_path: Path, home: Path, claude_cli: Path, claude_api: ScriptedApi
) -> None:
    project = Project(repository, tmp_path / "unused.sh")
    project.environment = claude_api.environment(home, CLAUDE_CODE_MAX_RETRIES="1")
    settings = (
        f"gates:\n  - {{name: tests, run: {GREEN!r}}}\nagent: {{command: '{claude_cli}'}}\nsandbox: bwrap\n"
    )
    repository.commit("settings", **{"agenttasks.yaml": settings})
    (home / ".ssh").mkdir()
    (home / ".ssh/id").write_text("PRIVATE KEY")
    (home / ".claude").mkdir()
    (home / ".claude/settings.json").write_text('{"model": "sonnet"}')
    (home / ".claude.json").write_text('{"mcpServers": {}}')
    journal = repository.path / ".git/agenttasks/journal.jsonl"
    mark = f"daemon-of-{os.getpid()}"
    attack = f"""
        echo by claude >> src/a.txt
        cat ~/.ssh/id >> src/a.txt
        echo x > ~/evil
        echo x > {repository.path}/evil
        echo x >> {repository.path}/src/b.txt
        echo x >> {journal}
        echo x > ~/.claude/settings.json
        echo evil > ~/.claude/projects/evil
        echo '{{"evil": 1}}' > ~/.claude.json
        setsid nohup sh -c ': {mark}; sleep 600' >/dev/null 2>&1 &
        """
    claude_api.add(
        [
            Use("Write", file_path="attack.sh", content="#"),  # refused by the hook, which must be readable
            Use("Bash", command=f"sh -c '{attack.replace(chr(39), chr(34))}'", description="attack"),
            Use("Write", file_path="src/new.txt", content="new\n"),
            Say("Done."),
        ]
    )
    project.task("001-first", scope=("src/a.txt", "src/new.txt"))
    before = journal.read_bytes() if journal.exists() else b""
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert "sandbox: bubblewrap" in result.output
    assert repository.read("src/a.txt") == "a\nby claude\n"
    assert repository.read("src/new.txt") == "new\n"
    assert repository.read("src/b.txt") == "b\n"
    assert not (home / "evil").exists()
    assert not (repository.path / "evil").exists()
    assert journal.read_bytes().startswith(before)
    assert b"\nx\n" not in journal.read_bytes()
    assert (home / ".claude/settings.json").read_text() == '{"model": "sonnet"}'
    assert "evil" not in (home / ".claude.json").read_text()
    assert list((home / ".claude/projects").iterdir()) == []
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]
    assert "Files in Scope" in (project.path / "tasks/logs/001-first/attempt-1.jsonl").read_text()


def test_gates_are_confined_and_the_user_is_told(project: Project, home: Path) -> None:
    gate = f"! echo x > {project.path}/evil && ! echo x >> ~/.gitconfig && ! echo x > ~/.bashrc && test -w . && touch $TMPDIR/x"
    project.configure("sandbox: auto\n", gate=gate)
    project.task("001-first")
    before = (home / ".gitconfig").read_text()
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert "sandbox: bubblewrap" in result.output
    assert (home / ".gitconfig").read_text() == before
    assert not (home / ".bashrc").exists()
    assert not (project.path / "evil").exists()
    assert "sandbox - active=bwrap" in (project.path / "tasks/logs/orchestration.log").read_text()


def test_a_copied_environment_runs_its_tests(repository: UserRepository) -> None:
    site = virtual_environment(repository.path / ".venv")
    (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    repository.commit(
        "test", **{".gitignore": ".venv/\n", "test_it.py": "def test_it(tmp_path): tmp_path.touch()\n"}
    )
    gate = {
        "name": "tests",
        "run": ".venv/bin/python -m pytest -q -p no:cacheprovider test_it.py",
        "env": {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    }
    with opened(repository, sandbox="bwrap", gates=[gate], workspace={"copy": [".venv"]}) as run:
        found = outcome(run)
        assert found.landed, found


def test_a_refused_write_is_explained(repository: UserRepository) -> None:
    gate = {"name": "tests", "run": "! grep -q attempt src/a.txt || touch ~/.tool"}
    with opened(repository, sandbox="bwrap", gates=[gate]) as run:
        found = outcome(run)
    assert found.kind is Kind.GATE
    assert "in the sandbox a gate can write to its workspace" in found.evidence


def test_without_one_the_run_says_what_that_means(project: Project) -> None:
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert "sandbox: none (`sandbox: none` in the settings" in result.output
    assert "nothing protects your home" in result.output


def test_a_sandbox_that_is_asked_for_and_missing_stops_the_run(
    project: Project, bubblewrap: Sandbox, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    assert bubblewrap.program is not None
    (tools / "bwrap").write_text(
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n"
    )
    (tools / "bwrap").chmod(0o755)
    project.environment["PATH"] = f"{tools}:{os.environ['PATH']}"
    project.configure("sandbox: bwrap\n")
    project.task("001-first")
    result = project.run()
    assert result.status == 4
    assert "setting up uid map: Permission denied" in result.output
    assert project.where("001-first") == ["pending"]
    project.configure("sandbox: auto\n")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert "sandbox: none" in result.output
    assert "uid map" in result.output


def test_a_gate_that_speaks_like_bubblewrap_is_red_and_nothing_more(repository: UserRepository) -> None:
    gates = [{"name": "t", "run": "if grep -q attempt src/a.txt; then echo 'bwrap: gotcha'; exit 1; fi"}]
    with opened(repository, gates=gates, sandbox="bwrap") as run:
        found = outcome(run)
        assert found.kind is Kind.GATE, found
        assert "bwrap: gotcha" in found.evidence

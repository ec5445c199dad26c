from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_agenttasks import guard
from pytest_agenttasks.tasks.scope import Rules
from pytest_agenttasks.tasks.task import ScopeEntry


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    (tmp_path / "ws/src").mkdir(parents=True)
    (tmp_path / "ws/src/old.txt").write_text("x")
    (tmp_path / "tmp").mkdir()
    file = tmp_path / "attempt-1.guard.json"
    guard.write_rules(
        file,
        workspace=tmp_path / "ws",
        tmp=tmp_path / "tmp",
        scope=[ScopeEntry("src/", 1)],
        allow_tests=False,
        rules=Rules(protected=("src/locked/",)),
    )
    return file


def asked(rules_file: Path, tool_input: dict[str, str]) -> str | None:
    document = json.loads(rules_file.read_text())
    return guard.refusal(document, {"cwd": document["workspace"], "tool_input": tool_input})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("src/old.txt", None),
        ("src/new/deep.txt", None),
        ("CLAUDE.md", None),
        ("../tmp/note", None),
        ("other.txt", "not in Files in Scope"),
        ("src/locked/x", "protected"),
        ("src/conftest.py", "names this very file"),
        ("tasks/pending/x.md", "never writable"),
        ("../elsewhere", "outside the workspace"),
        ("/etc/passwd", "outside the workspace"),
        ("src/../../elsewhere", "outside the workspace"),
    ],
)
def test_what_could_not_land_is_refused_with_the_reason(
    rules_file: Path, path: str, reason: str | None
) -> None:
    told = asked(rules_file, {"file_path": path})
    assert told is None if reason is None else reason in (told or "")


def test_a_link_that_leads_out_is_followed(rules_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "ws/src/way").symlink_to(tmp_path / "out")
    assert "outside the workspace" in (asked(rules_file, {"file_path": "src/way/x"}) or "")


def test_calls_without_a_path_go_on(rules_file: Path) -> None:
    assert asked(rules_file, {"command": "rm -rf /"}) is None


def test_the_script_answers_as_the_cli_expects(rules_file: Path, tmp_path: Path) -> None:
    settings = json.loads(guard.session_settings(rules_file))
    command = settings["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    call = {"cwd": str(tmp_path / "ws"), "tool_name": "Write", "tool_input": {"file_path": "other.txt"}}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    answer = subprocess.run(
        command,
        shell=True,
        input=json.dumps(call),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert json.loads(answer.stdout)["hookSpecificOutput"]["permissionDecision"] == "deny", sys.executable
    call["tool_input"] = {"file_path": "src/old.txt"}
    quiet = subprocess.run(
        command,
        shell=True,
        input=json.dumps(call),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert quiet.stdout == ""


def test_refusals_are_counted_whatever_the_session_makes_of_the_list(
    rules_file: Path, tmp_path: Path
) -> None:
    call = {"cwd": str(tmp_path / "ws"), "tool_name": "Write", "tool_input": {"file_path": "other.txt"}}
    command = json.loads(guard.session_settings(rules_file))["hooks"]["PreToolUse"][0]["hooks"][0]["command"]

    def ask() -> str:
        done = subprocess.run(
            command, shell=True, input=json.dumps(call), capture_output=True, text=True, check=True
        )
        return done.stdout

    tmp = Path(json.loads(rules_file.read_text())["tmp"])
    tmp.mkdir(exist_ok=True)
    assert guard.refused(rules_file, tmp) == 0
    assert "deny" in ask()
    assert "deny" in ask()
    assert guard.refused(rules_file, tmp) == 2
    record = rules_file.with_name("attempt-1.refused.jsonl")
    assert json.loads(record.read_text().splitlines()[0])["tool"] == "Write"
    made = tmp / guard.REFUSALS
    made.unlink()
    made.symlink_to(rules_file)
    assert guard.refused(rules_file, tmp) == 0
    made.unlink()
    os.mkfifo(made)
    assert guard.refused(rules_file, tmp) == 0
    made.unlink()
    made.mkdir()
    assert "deny" in ask()
    assert guard.refused(rules_file, tmp) == 0

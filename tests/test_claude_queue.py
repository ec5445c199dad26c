"""The queue with the real claude CLI, against a scripted API on loopback."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import psutil
import pytest

from pytest_agenttasks.cli import main
from tests.claude_api import Refusal, Say, ScriptedApi, Silence, Use, usage_limit
from tests.queue_runs import GREEN, Project
from tests.user_repository import UserRepository

pytestmark = pytest.mark.real_claude


@pytest.fixture
def claude(
    repository: UserRepository, tmp_path: Path, home: Path, claude_cli: Path, claude_api: ScriptedApi
) -> Project:
    """A project whose agent is the real CLI, logged in at the scripted API."""
    project = Project(repository, tmp_path / "unused.sh")
    configure(project, claude_cli)
    project.environment = claude_api.environment(home, CLAUDE_CODE_MAX_RETRIES="1")
    return project


def configure(project: Project, cli: Path, gate: str = GREEN, more: str = "") -> None:
    text = f"gates:\n  - {{name: tests, run: {gate!r}}}\nretry_delay: 0\nagent: {{command: '{cli}'}}\n{more}"
    project.repository.commit("settings", **{"agenttasks.yaml": text})


def append(text: str, name: str = "src/a.txt") -> Use:
    return Use("Bash", command=f"echo {text} >> {name}", description="append a line")


def test_a_task_lands(claude: Project, claude_api: ScriptedApi) -> None:
    claude_api.add(
        [append("by claude"), Use("Write", file_path="src/new.txt", content="new\n"), Say("Done.")]
    )
    claude.task("001-first", scope=("src/a.txt", "src/new.txt"))
    result = claude.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert result.status == 0
    assert claude.repository.read("src/a.txt") == "a\nby claude\n"
    assert claude.repository.read("src/new.txt") == "new\n"
    assert "Task 001-first" in claude_api.requests[0].text
    found = result.properties["001-first"]
    assert float(found["cost_usd"]) > 0
    assert f"Agent-Session: {found['session']}" in claude.repository.git("log", "-1", "--format=%(trailers)")
    transcript = (claude.path / "tasks/logs/001-first/attempt-1.transcript.md").read_text()
    assert "by claude" in transcript


def test_a_scope_violation_is_refused_and_told(claude: Project, claude_api: ScriptedApi) -> None:
    claude_api.add(
        [append("x"), append("x", "src/b.txt"), Say("All done, only src/a.txt was changed.")],
        [append("y"), Say("Done.")],
    )
    claude.task("001-stray")
    result = claude.run()
    assert result.outcomes == {"001-stray": "landed"}, result.output
    assert claude.repository.read("src/b.txt") == "b\n"
    assert claude.repository.read("src/a.txt") == "a\ny\n"
    assert "src/b.txt" in claude_api.session(1)[0].text


def test_a_gates_evidence_reaches_the_second_session(
    claude: Project, claude_api: ScriptedApi, claude_cli: Path
) -> None:
    gate = (
        "if grep -q wrong src/a.txt && ! grep -q right src/a.txt; then echo 'expected 42, got 41'; exit 1; fi"
    )
    configure(claude, claude_cli, gate)
    claude_api.add([append("wrong"), Say("Done, all tests pass.")], [append("right"), Say("Fixed.")])
    claude.task("001-second")
    result = claude.run()
    assert result.outcomes == {"001-second": "landed"}, result.output
    assert "expected 42, got 41" in claude_api.session(1)[0].text
    assert claude.repository.read("src/a.txt") == "a\nwrong\nright\n"


def test_max_turns_is_charged_and_lands_nothing(claude: Project, claude_api: ScriptedApi) -> None:
    claude_api.add([append("x") for _ in range(5)])
    claude.task("001-long", front="max_turns: 2\nmax_attempts: 1")
    result = claude.run()
    assert result.outcomes == {"001-long": "agent"}
    assert "turns" in result.output
    assert claude.where("001-long") == ["failed"]
    assert "+x" in (claude.path / "tasks/logs/001-long/attempt-1.diff").read_text()


def test_a_usage_limit_is_waited_for_and_not_charged(
    claude: Project, claude_api: ScriptedApi, home: Path
) -> None:
    reset = int(time.time()) + 1
    claude_api.add([usage_limit(reset)], [append("x"), Say("Done.")])
    del claude.environment["ANTHROPIC_API_KEY"]
    claude.environment["CLAUDE_CODE_OAUTH_TOKEN"] = "dummy"
    claude.task("001-first", front="max_attempts: 1")
    result = claude.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert result.properties["001-first"]["attempt.1"].startswith("usage-limit")
    assert time.time() >= reset


@pytest.mark.parametrize(
    ("turn", "outcome"),
    [
        (Refusal(529, "overloaded_error"), "overloaded"),
        (
            Refusal(
                400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."
            ),
            "auth",
        ),
    ],
    ids=["529", "400"],
)
def test_an_outage_stops_with_the_queue_untouched(
    claude: Project, claude_api: ScriptedApi, turn: Refusal, outcome: str
) -> None:
    claude_api.add([turn])
    claude.task("001-first")
    claude.task("002-second")
    result = claude.run("--agent-wait", "0")
    assert (result.status, result.outcomes) == (2, {"001-first": outcome}), result.output
    assert claude.where("001-first") == ["pending"]
    assert claude.where("002-second") == ["pending"]
    assert claude.run("--collect-only", "-q").status == 0


def test_no_login_stops_with_the_remedy(claude: Project) -> None:
    del claude.environment["ANTHROPIC_API_KEY"]
    claude.task("001-first")
    result = claude.run()
    assert (result.status, result.outcomes) == (2, {"001-first": "auth"}), result.output
    assert "log in" in result.output or "/login" in result.output


def test_background_daemons_are_ended_before_the_files_are_read(
    claude: Project, claude_api: ScriptedApi
) -> None:
    mark = f"daemon-of-{os.getpid()}"
    script = f"setsid nohup sh -c ': {mark}; sleep 2; echo late >> src/a.txt; sleep 600' >/dev/null 2>&1 &"
    claude_api.add([Use("Bash", command=script, description="start a server"), append("x"), Say("Done.")])
    claude.task("001-first")
    result = claude.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert claude.repository.read("src/a.txt") == "a\nx\n"
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]


def test_an_agent_that_is_not_there_is_said_before_anything(claude: Project) -> None:
    configure(claude, Path("/nowhere/claude"))
    claude.task("001-first")
    result = claude.run()
    assert result.status == 4
    assert "/nowhere/claude" in result.output
    assert "npm install" in result.output


def test_a_session_that_strays_is_told_at_once_and_lands_in_one_attempt(
    claude: Project,
    claude_api: ScriptedApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    claude_api.add(
        [
            Use("Write", file_path="src/stray.txt", content="x"),
            Use("Write", file_path="package.json", content="{}"),
            Use("Write", file_path="src/new.txt", content="n\n"),
            Say("Done."),
        ]
    )
    claude.task("001-strays", scope=("src/new.txt",))
    result = claude.run()
    assert result.outcomes == {"001-strays": "landed"}, result.output
    assert result.properties["001-strays"]["attempts"] == "1"
    told = json.dumps(claude_api.requests[-1].body)
    assert "not in Files in Scope. This task may change: src/new.txt" in told
    record = json.loads((claude.path / "tasks/logs/001-strays/attempt-1.json").read_text())
    assert len([d for d in record["denials"] if "src/stray.txt" in d or "package.json" in d]) == 2
    assert (record["denied"], result.properties["001-strays"]["denials"]) == (2, "2")
    assert "2 edits or commands refused" in result.output
    folder = claude.path / "tasks/logs/001-strays"
    assert len((folder / "attempt-1.refused.jsonl").read_text().splitlines()) == 2
    assert re.search(
        r"## End: success, \d turns, 2 refused", (folder / "attempt-1.transcript.md").read_text()
    )
    monkeypatch.chdir(claude.path)
    assert main(["show", "001-strays", "--attempt", "1"]) == 0
    told = capsys.readouterr().out
    assert "2 refused while it went on" in told
    assert "refused while it went on: Write" in told


def test_a_session_that_is_cut_short_still_tells_what_it_was_refused(
    claude: Project, claude_api: ScriptedApi
) -> None:
    claude_api.add([Use("Write", file_path="src/stray.txt", content="x"), Silence()])
    claude.task("001-strays", front="timeout: 8\nmax_attempts: 1")
    result = claude.run()
    assert result.outcomes == {"001-strays": "agent"}, result.output
    assert result.properties["001-strays"]["denials"] == "1"


def test_a_session_that_uses_up_what_the_run_has_left_is_not_charged(
    claude: Project, claude_api: ScriptedApi, claude_cli: Path
) -> None:
    configure(claude, claude_cli, more="max_attempts: 1\n")
    claude_api.add([append("x"), append("y"), Say("done")])
    claude.task("001-dear")
    claude.task("002-later")
    result = claude.run("--agent-budget-usd=0.001")
    assert (result.status, result.outcomes) == (2, {"001-dear": "interrupted"}), result.output
    assert "the session used up what was left of the budget of this run (0.001 USD)" in result.output
    assert claude.where("001-dear") == claude.where("002-later") == ["pending"]
    assert "not run, still pending (1): 002-later" in result.output
    assert len(claude_api.requests) == 1

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pytest_agenttasks.agents.contract import AgentResult
from pytest_agenttasks.agents.replay import ReplayAgent, play, preflight, recorded_attempt
from pytest_agenttasks.outcome import Kind, Outcome, SetupError
from pytest_agenttasks.settings.records import AgentSettings
from tests.agent_sessions import TASK, Sessions
from tests.claude_events import DONE, INIT, api_error, call

ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class Recordings:
    """A workspace with a base commit, and a folder of recorded attempts of the task."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.folder = sessions.folder / "recorded"
        (self.folder / TASK.name).mkdir(parents=True)
        self.git("init", "-q")
        (sessions.path / "a.txt").write_text("one\ntwo  \n", encoding="utf-8")
        (sessions.path / "image.bin").write_bytes(bytes(range(256)))
        (sessions.path / ".gitignore").write_text("deps/\n", encoding="utf-8")
        self.git("add", "-A")
        self.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "base")

    def git(self, *arguments: str) -> bytes:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.sessions.home), **ENVIRONMENT}
        done = subprocess.run(
            ["git", *arguments], cwd=self.sessions.path, env=environment, check=True, capture_output=True
        )
        return done.stdout

    def record(self, attempt: int, *events: object, diff: bytes | None = b"") -> None:
        stem = self.folder / TASK.name / f"attempt-{attempt}"
        if events:
            text = "".join(json.dumps(event) + "\n" for event in events)
            stem.with_name(f"{stem.name}.jsonl").write_text(text, encoding="utf-8")
        if diff is not None:
            stem.with_name(f"{stem.name}.diff").write_bytes(diff)

    def diff_of_changes(self) -> bytes:
        """The diff of what was done to the workspace, which is back at its base afterwards."""
        self.git("add", "-A")
        diff = self.git("diff", "--binary", "--cached")
        self.git("reset", "--hard", "-q")
        return diff

    def play(self, attempt: int = 1) -> AgentResult:
        agent = AgentSettings(name="replay", command=str(self.folder))
        workspace = self.sessions.workspace(agent, ENVIRONMENT, attempt=attempt)
        return play(TASK, workspace)

    def files(self) -> set[str]:
        top = self.sessions.path
        return {
            str(path.relative_to(top))
            for path in top.rglob("*")
            if ".git" not in path.parts and path.is_file()
        }


@pytest.fixture
def recordings(agent_sessions: Sessions) -> Recordings:
    return Recordings(agent_sessions)


def failure_of(result: AgentResult) -> Outcome:
    assert result.failure is not None
    return result.failure


def test_a_recorded_session_is_played_with_its_changes(recordings: Recordings) -> None:
    top = recordings.sessions.path
    (top / "a.txt").write_text("one\nTWO  \n", encoding="utf-8")
    (top / "image.bin").write_bytes(bytes(range(255, -1, -1)))
    (top / "new").mkdir()
    (top / "new" / "run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (top / "new" / "run.sh").chmod(0o755)
    (top / "link").symlink_to("a.txt")
    recordings.record(1, INIT, call("Edit", file_path="/w/a.txt"), DONE, diff=recordings.diff_of_changes())
    assert recordings.files() == {"a.txt", "image.bin", ".gitignore"}

    result = recordings.play()

    assert result.failure is None
    assert (result.session, result.final_text, result.cost_usd) == ("s-1", "All done.", 0.5)
    assert result.notes == (f"played attempt 1 of {recordings.folder / TASK.name}",)
    assert (top / "a.txt").read_text(encoding="utf-8") == "one\nTWO  \n"
    assert (top / "image.bin").read_bytes() == bytes(range(255, -1, -1))
    assert (top / "new" / "run.sh").stat().st_mode & 0o111
    assert (top / "link").is_symlink()
    recorded = recordings.folder / TASK.name / "attempt-1.jsonl"
    assert (recordings.sessions.logs / "attempt-1.jsonl").read_bytes() == recorded.read_bytes()
    assert "Edit a.txt" in [progress.step for progress in recordings.sessions.progress]


def test_a_later_attempt_starts_from_the_base_again(recordings: Recordings) -> None:
    top = recordings.sessions.path
    (top / "a.txt").write_text("second\n", encoding="utf-8")
    recordings.record(2, INIT, DONE, diff=recordings.diff_of_changes())
    (top / "a.txt").write_text("left by the first\n", encoding="utf-8")
    (top / "stray.txt").write_text("left by the first\n", encoding="utf-8")
    (top / "deps").mkdir()
    (top / "deps" / "kept.txt").write_text("installed\n", encoding="utf-8")
    recordings.git("add", "a.txt")

    assert recordings.play(attempt=2).failure is None

    assert (top / "a.txt").read_text(encoding="utf-8") == "second\n"
    assert recordings.files() == {"a.txt", "image.bin", ".gitignore", "deps/kept.txt"}


def test_a_failed_session_is_played_as_one(recordings: Recordings) -> None:
    info = {"status": "rejected", "resetsAt": 1_800_000_000}
    recordings.record(
        1, INIT, {"type": "rate_limit_event", "rate_limit_info": info}, *api_error("rate_limit", 429)
    )
    failure = failure_of(recordings.play())
    assert (failure.kind, failure.resumes_at) == (Kind.USAGE_LIMIT, 1_800_000_000.0)


@pytest.mark.parametrize("diff", [b"", None])
def test_no_recorded_change_is_no_change(recordings: Recordings, diff: bytes | None) -> None:
    recordings.record(1, INIT, DONE, diff=diff)
    assert recordings.play().failure is None
    assert recordings.git("status", "--porcelain") == b""


def test_changes_without_a_stream_are_enough(recordings: Recordings) -> None:
    (recordings.sessions.path / "a.txt").unlink()
    recordings.record(1, diff=recordings.diff_of_changes())
    assert recordings.play().failure is None
    assert recordings.files() == {"image.bin", ".gitignore"}
    assert (recordings.sessions.logs / "attempt-1.jsonl").read_bytes() == b""


def test_the_recording_of_another_agent_is_played_for_its_changes(recordings: Recordings) -> None:
    (recordings.folder / TASK.name / "attempt-1.jsonl").write_text("I did it\n", encoding="utf-8")
    result = recordings.play()
    assert (result.failure, result.final_text) == (None, "I did it\n")


def test_changes_that_do_not_fit_the_base_are_a_failure_with_gits_words(recordings: Recordings) -> None:
    (recordings.sessions.path / "a.txt").write_text("other\n", encoding="utf-8")
    diff = recordings.diff_of_changes().replace(b"-one", b"-uno")
    recordings.record(1, INIT, DONE, diff=diff)
    failure = failure_of(recordings.play())
    assert failure.kind is Kind.AGENT
    assert "attempt-1.diff" in failure.summary
    assert "patch does not apply" in failure.evidence


def test_hooks_in_the_workspace_are_not_run(recordings: Recordings) -> None:
    hook = recordings.sessions.path / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {recordings.sessions.folder}/hooked\n", encoding="utf-8")
    hook.chmod(0o755)
    (recordings.sessions.path / "a.txt").write_text("other\n", encoding="utf-8")
    recordings.record(1, INIT, DONE)
    assert recordings.play().failure is None
    assert not (recordings.sessions.folder / "hooked").exists()


def test_a_task_without_a_recording_fails_and_says_where_it_looked(recordings: Recordings) -> None:
    failure = failure_of(recordings.play())
    assert failure.kind is Kind.AGENT
    assert failure.summary == f"no recorded attempt of {TASK.name} in {recordings.folder / TASK.name}"


def test_attempts_beyond_the_recorded_ones_play_the_last(tmp_path: Path) -> None:
    assert recorded_attempt(tmp_path, 1) is None
    for name in ("attempt-2.jsonl", "attempt-10.diff", "attempt-x.jsonl", "attempt-99.prompt.md"):
        (tmp_path / name).touch()
    assert [recorded_attempt(tmp_path, number) for number in (1, 2, 3, 10, 11)] == [10, 2, 10, 10, 10]
    assert recorded_attempt(tmp_path / "missing", 1) is None


def test_preflight_wants_a_folder(recordings: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recordings.sessions.folder)
    assert preflight(AgentSettings(command="recorded"), {}) == str(recordings.folder)
    with pytest.raises(SetupError, match="`claude` is no folder"):
        preflight(AgentSettings(), {})
    with pytest.raises(SetupError, match="one folder"):
        preflight(AgentSettings(command=("a", "b")), {})


def test_another_agents_sessions_are_left_to_it(agent_sessions: Sessions) -> None:
    assert ReplayAgent().pytest_agenttasks_run_agent(TASK, agent_sessions.workspace(AgentSettings())) is None

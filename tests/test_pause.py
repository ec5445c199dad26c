"""A service that is out for one process is out for all of them."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pytest_agenttasks import accounts, pause, room
from pytest_agenttasks.agents.contract import STARTING, Progress
from pytest_agenttasks.cli import main
from pytest_agenttasks.journal_records import AttemptEnded
from pytest_agenttasks.outcome import Ended, Kind, Outcome
from pytest_agenttasks.pause import Pause, shows_life
from pytest_agenttasks.retry import RESET_MARGIN
from pytest_agenttasks.settings.records import AgentSettings
from pytest_agenttasks.state_file import load, save
from tests.living import until
from tests.opened import opened
from tests.runner_processes import configured, go, hold, processes, queued, steps, there
from tests.user_repository import UserRepository, make_repository

NAMES = ("001-a", "002-b", "003-c")
LATER = time.time() + 3600


@pytest.fixture
def script(repository: UserRepository, tmp_path: Path) -> Path:
    """Sessions of `001-a` meet an overloaded service the first time; all others go on until they are told."""
    configured(repository)
    queued(repository, {name: f"src/{name}.txt" for name in NAMES})
    file = tmp_path / "agent.sh"
    file.write_text(
        'echo "$TASK" >> "$FILE"\n[ "$TASK-$ATTEMPT" != 001-a-1 ] || exit 75\n'
        + hold(tmp_path, *NAMES)
        + f"[ ! -e {tmp_path}/out ] || exit 75\n"
    )
    return file


def pause_file() -> Path:
    """That of the scripted agent's account, in the test's own home."""
    return accounts.pause_file(AgentSettings(name="scripted"), os.environ)


def paused() -> Pause:
    found = load(pause_file(), Pause)
    assert found is not None
    return found


def until_then(until: float) -> None:
    save(pause_file(), msgspec.structs.replace(paused(), until=until))


def begun(tmp_path: Path) -> set[str]:
    return {session[:5] for session in there(tmp_path)}


def test_all_wait_for_the_end_of_a_pause_and_then_for_the_first_that_shows_life(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    with processes(repository, script, 3) as (first, *others):
        assert first.attempt("001-a")["kind"] == "overloaded"
        assert (paused().kind, paused().task) == (Kind.OVERLOADED, "001-a")
        until_then(LATER)
        for process, name in zip(others, NAMES[1:], strict=True):
            process.tell("attempt", name)
        for name in NAMES[1:]:
            until(lambda name=name: f"{name}: waiting until" in steps(script))  # type: ignore[misc]
        assert begun(tmp_path) == set()
        until_then(time.time())
        until(lambda: "waiting for the session that goes first" in steps(script))
        until(lambda: begun(tmp_path))
        (one,) = begun(tmp_path)
        (other,) = {*NAMES[1:]} - {one}
        assert f"{other}: waiting for the session that goes first" in steps(script)
        assert f"{one}: starting" in steps(script)
        (tmp_path / f"alive-{one}-1").touch()
        until(lambda: begun(tmp_path) == {one, other})
        assert not pause_file().exists()
        log = (repository.path / "tasks/logs/orchestration.log").read_text().splitlines()
        told = [line.split()[1:3] for line in log if line.split()[1] in ("pause", "resumed")]
        assert told == [["pause", "001-a"], ["resumed", one]]
        for name in NAMES[1:]:
            go(tmp_path, f"{name}-1")
        assert [process.answer()["kind"] for process in others] == ["landed", "landed"]


def test_who_goes_first_and_finds_the_service_still_out_makes_all_wait_on(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    with processes(repository, script, 3) as (first, *others):
        assert first.attempt("001-a")["kind"] == "overloaded"
        until_then(LATER)
        for process, name in zip(others, NAMES[1:], strict=True):
            process.tell("attempt", name)
        for name in NAMES[1:]:
            until(lambda name=name: f"{name}: waiting until" in steps(script))  # type: ignore[misc]
        before = paused()
        until_then(time.time())
        until(lambda: begun(tmp_path))
        (one,) = begun(tmp_path)
        (tmp_path / "out").touch()
        go(tmp_path, f"{one}-1")
        answering = others[NAMES.index(one) - 1]
        assert answering.answer()["kind"] == "overloaded"
        after = paused()
        until_then(LATER)
        assert (before.count, after.count, after.task) == (0, 1, one)
        assert begun(tmp_path) == {one}
        (tmp_path / "out").unlink()
        # And then one that ends well is as good as one that shows life.
        until_then(time.time())
        until(lambda: len(begun(tmp_path)) == 2)
        (other,) = begun(tmp_path) - {one}
        go(tmp_path, f"{other}-1")
        assert others[NAMES.index(other) - 1].answer()["kind"] == "landed"
        assert not pause_file().exists()


def test_when_who_goes_first_is_killed_another_does(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    with processes(repository, script, 3) as (first, *others):
        assert first.attempt("001-a")["kind"] == "overloaded"
        until_then(time.time())
        for process, name in zip(others, NAMES[1:], strict=True):
            process.tell("attempt", name)
        until(lambda: "waiting for the session that goes first" in steps(script))
        until(lambda: begun(tmp_path))
        (one,) = begun(tmp_path)
        (other,) = {*NAMES[1:]} - {one}
        others[NAMES.index(one) - 1].kill()
        until(lambda: other in begun(tmp_path))
        go(tmp_path, f"{other}-1")
        assert others[NAMES.index(other) - 1].answer()["kind"] == "landed"


def test_a_pause_outlives_its_run_and_can_be_interrupted(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    with processes(repository, script, 1) as (first,):
        assert first.attempt("001-a")["kind"] == "overloaded"
    until_then(LATER)
    with processes(repository, script, 1) as (second,):
        second.tell("attempt", "002-b")
        until(lambda: "002-b: waiting until" in steps(script))
        second.process.send_signal(signal.SIGINT)
        second.process.wait(timeout=20)
    assert begun(tmp_path) == set()
    assert not list((repository.path / ".git/agenttasks/claims").glob("*.json"))
    assert (repository.path / "tasks/pending/002-b.md").exists()


def test_nobody_waits_longer_than_the_settings_allow(repository: UserRepository, script: Path) -> None:
    configured(repository, wait=60)
    with processes(repository, script, 1) as (first,):
        assert first.attempt("001-a")["kind"] == "overloaded"
        until_then(LATER)
        answer = first.attempt("002-b")
    assert answer["kind"] == "overloaded"
    assert "met by 001-a" in answer["summary"]
    assert str(pause_file()) in answer["summary"]


@pytest.mark.parametrize(
    ("progress", "life"),
    [
        (STARTING, False),
        (Progress(session="s"), False),
        (Progress(step="API retry 1/10 (overloaded)", session="s"), False),
        (Progress(turns=1, session="s"), True),
        (Progress(step="a line of output"), True),
        (Progress(), False),
    ],
)
def test_what_shows_life(progress: Progress, life: bool) -> None:
    assert shows_life(progress) is life


def test_status_tells_until_when_nothing_begins(
    repository: UserRepository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.path)
    known = Pause(kind=Kind.USAGE_LIMIT, why="usage limit reached", task="001-a", until=LATER)
    save(pause_file(), known)
    assert main(["status"]) == 0
    assert "usage limit" not in capsys.readouterr().out, "it is of an account that nobody uses here"
    save(repository.path / ".git/agenttasks/accounts.json", [pause_file().name])
    assert main(["status"]) == 0
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(LATER))
    assert f"no session begins before {at}: usage limit reached" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pause"]["until"] == pytest.approx(LATER)
    save(pause_file(), msgspec.structs.replace(known, until=1.0))
    assert main(["status"]) == 0
    assert "usage limit" not in capsys.readouterr().out


def test_status_tells_that_the_disk_is_full(
    repository: UserRepository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.path)
    monkeypatch.setattr(room, "LOW_DISK", 10**18)
    assert main(["status"]) == 0
    assert "no session begins before there is room" in capsys.readouterr().out


GATES = [{"name": "tests", "run": "true"}]
LIMIT = Outcome(Kind.USAGE_LIMIT, "usage limit reached")


def test_a_pause_holds_for_every_repository_of_the_user_and_says_where_it_was_met(
    repository: UserRepository,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = make_repository(tmp_path / "other")
    other.write("tasks/pending/.gitkeep", "")
    other.commit("first")
    with opened(repository, gates=GATES) as run:
        pause.announce(run, "001-a", replace(LIMIT, resumes_at=LATER))
    with opened(other, gates=GATES, wait=60) as run, pytest.raises(Ended) as ended:
        pause.wait(run, "009-z")
    assert ended.value.outcome.kind is Kind.USAGE_LIMIT
    assert f"met by 001-a in {repository.path}" in ended.value.outcome.summary
    monkeypatch.chdir(other.path)
    assert main(["status"]) == 0
    assert "usage limit reached" in capsys.readouterr().out


def test_a_pause_is_of_one_account(repository: UserRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    claude = AgentSettings()
    with opened(repository, gates=GATES, wait=60) as run:
        pause.announce(run, "001-a", replace(LIMIT, resumes_at=LATER), claude)
        assert pause.wait(run, "001-a") < 60, "another agent"
        with pytest.raises(Ended):
            pause.wait(run, "001-a", claude)
        monkeypatch.setenv("CLAUDE_CODE_MAX_RETRIES", "3")
        with pytest.raises(Ended):
            pause.wait(run, "001-a", claude)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "another")
        assert pause.wait(run, "001-a", claude) < 60
    assert not any("another" in file.name for file in accounts.pauses().iterdir())


def test_a_wait_is_a_little_longer_than_it_must_be(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        ends = set()
        for _ in range(5):
            pause_file().unlink(missing_ok=True)
            pause.announce(run, "001-a", replace(LIMIT, resumes_at=LATER))
            ends.add(paused().until)
    assert len(ends) > 1
    assert LATER + RESET_MARGIN <= min(ends) <= max(ends) <= LATER + RESET_MARGIN + pause.MOST_JITTER


def test_nobody_waits_for_a_time_after_which_nothing_is_begun(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as opened_run:
        run = replace(opened_run, until=LATER - 60)
        pause.announce(run, "001-a", replace(LIMIT, resumes_at=LATER))
        with pytest.raises(Ended):
            pause.wait(run, "001-a")


def worked(task: str) -> AttemptEnded:
    return AttemptEnded(task=task, attempt=1, kind=Kind.LANDED, summary="", turns=3)


def test_a_login_that_was_lost_is_waited_for_and_one_that_never_was_is_not(
    repository: UserRepository,
) -> None:
    lost = Outcome(Kind.AUTH, "the claude CLI is not logged in")
    with opened(repository, gates=GATES, retry_delay=30) as run:
        pause.announce(run, "001-a", lost)
        assert paused().until <= time.time()
        run.journal.write(worked("001-a"))
        pause.announce(run, "001-a", lost)
        assert paused().until > time.time() + 20
        late = replace(run, until=time.time())
        with pytest.raises(Ended):
            pause.wait(late, "002-b")
    with opened(repository) as run:
        assert pause.wait(run, "002-b") < 20, "who starts anew has logged in"


def test_room_on_the_disk_is_waited_for_and_nothing_is_written(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Progress] = []
    with opened(repository, gates=GATES) as opened_run:
        before = opened_run.events.path.exists()

        def progress(_task: str, now: Progress) -> None:
            said.append(now)
            monkeypatch.undo()

        run = replace(opened_run, progress=progress)
        monkeypatch.setattr(room, "LOW_DISK", 10**18)
        assert room.wait(run, "001-a") > 0
        assert run.events.path.exists() is before
    assert "waiting for room" in said[0].step


def test_room_on_the_disk_is_waited_for_no_longer_than_the_settings_allow(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repository, gates=GATES, wait=0) as run:
        monkeypatch.setattr(room, "LOW_DISK", 10**18)
        with pytest.raises(Ended) as ended:
            room.wait(run, "001-a")
    assert ended.value.outcome.kind is Kind.DISK


def test_a_pause_that_several_sessions_meet_is_told_once(repository: UserRepository) -> None:
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        for task, later in (("001-a", 0.0), ("002-b", 1.0), ("003-c", 7200.0)):
            met = Outcome(Kind.USAGE_LIMIT, "limit", resumes_at=LATER + later)
            pause.announce(run, task, met)
        told = [line.split()[1:3] for line in run.events.path.read_text().splitlines()]
    assert told == [["pause", "001-a"], ["pause-met", "002-b"], ["pause", "003-c"]]

"""A service that is out for one process is out for all of them."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import msgspec
import pytest

from pytest_agenttasks.agents.contract import STARTING, Progress
from pytest_agenttasks.cli import main
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.pause import Pause, shows_life
from pytest_agenttasks.state_file import load, save
from tests.living import until
from tests.runner_processes import configured, go, hold, processes, queued, steps, there
from tests.user_repository import UserRepository

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


def pause_file(repository: UserRepository) -> Path:
    return repository.path / ".git/agenttasks/pause.json"


def paused(repository: UserRepository) -> Pause:
    found = load(pause_file(repository), Pause)
    assert found is not None
    return found


def until_then(repository: UserRepository, until: float) -> None:
    save(pause_file(repository), msgspec.structs.replace(paused(repository), until=until))


def begun(tmp_path: Path) -> set[str]:
    return {session[:5] for session in there(tmp_path)}


def test_all_wait_for_the_end_of_a_pause_and_then_for_the_first_that_shows_life(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    with processes(repository, script, 3) as (first, *others):
        assert first.attempt("001-a")["kind"] == "overloaded"
        assert (paused(repository).kind, paused(repository).task) == (Kind.OVERLOADED, "001-a")
        until_then(repository, LATER)
        for process, name in zip(others, NAMES[1:], strict=True):
            process.tell("attempt", name)
        for name in NAMES[1:]:
            until(lambda name=name: f"{name}: waiting until" in steps(script))  # type: ignore[misc]
        assert begun(tmp_path) == set()
        until_then(repository, time.time())
        until(lambda: "waiting for the session that goes first" in steps(script))
        until(lambda: begun(tmp_path))
        (one,) = begun(tmp_path)
        (other,) = {*NAMES[1:]} - {one}
        assert f"{other}: waiting for the session that goes first" in steps(script)
        assert f"{one}: starting" in steps(script)
        (tmp_path / f"alive-{one}-1").touch()
        until(lambda: begun(tmp_path) == {one, other})
        assert not pause_file(repository).exists()
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
        until_then(repository, LATER)
        for process, name in zip(others, NAMES[1:], strict=True):
            process.tell("attempt", name)
        for name in NAMES[1:]:
            until(lambda name=name: f"{name}: waiting until" in steps(script))  # type: ignore[misc]
        before = paused(repository)
        until_then(repository, time.time())
        until(lambda: begun(tmp_path))
        (one,) = begun(tmp_path)
        (tmp_path / "out").touch()
        go(tmp_path, f"{one}-1")
        answering = others[NAMES.index(one) - 1]
        assert answering.answer()["kind"] == "overloaded"
        after = paused(repository)
        until_then(repository, LATER)
        assert (before.count, after.count, after.task) == (0, 1, one)
        assert begun(tmp_path) == {one}
        (tmp_path / "out").unlink()
        # And then one that ends well is as good as one that shows life.
        until_then(repository, time.time())
        until(lambda: len(begun(tmp_path)) == 2)
        (other,) = begun(tmp_path) - {one}
        go(tmp_path, f"{other}-1")
        assert others[NAMES.index(other) - 1].answer()["kind"] == "landed"
        assert not pause_file(repository).exists()


def test_when_who_goes_first_is_killed_another_does(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    with processes(repository, script, 3) as (first, *others):
        assert first.attempt("001-a")["kind"] == "overloaded"
        until_then(repository, time.time())
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
    until_then(repository, LATER)
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
        until_then(repository, LATER)
        answer = first.attempt("002-b")
    assert answer["kind"] == "overloaded"
    assert "met by 001-a" in answer["summary"]
    assert str(pause_file(repository)) in answer["summary"]


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
    home = repository.path / ".git/agenttasks"
    known = Pause(kind=Kind.USAGE_LIMIT, why="usage limit reached", task="001-a", until=LATER)
    save(home / "pause.json", known)
    assert main(["status"]) == 0
    assert "usage limit reached" in capsys.readouterr().out
    save(home / "pause.json", msgspec.structs.replace(known, until=1.0))
    assert main(["status"]) == 0
    assert "usage limit" not in capsys.readouterr().out

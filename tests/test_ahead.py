"""Places that are cleaned or made ready while the run goes on with something else."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.run import Run
from pytest_agenttasks.trees import checkout, workspace
from pytest_agenttasks.trees.ahead import Ahead, Prepared
from pytest_agenttasks.trees.places import Place, place
from pytest_agenttasks.trees.switch import Swept
from tests.living import until
from tests.opened import append, attempt_task, opened
from tests.user_repository import UserRepository

GATE = [{"name": "tests", "run": "test ! -e left && test ! -e src/left"}]


def files(where: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(where)): path.read_bytes()
        for path in where.rglob("*")
        if path.is_file() and path.relative_to(where).parts[0] != ".git"
    }


def of_tip(run: Run) -> dict[str, bytes]:
    git = run.repository.git
    return {
        path.decode(): git("show", f"HEAD:{path.decode()}")
        for path in git("ls-tree", "-r", "-z", "--name-only", "HEAD").split(b"\0")[:-1]
    }


def later_than(folder: Path) -> Callable[[], bool]:
    probe, then = folder.with_name("probe"), folder.lstat().st_ctime_ns

    def ticked() -> bool:
        probe.touch()
        return probe.lstat().st_ctime_ns > then

    return ticked


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("the place was made ready once more")


def test_the_next_session_finds_its_workspace_ready(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repository, gates=GATE) as run:
        attempt_task(run)
        tip = run.repository.tip()
        monkeypatch.setattr(checkout, "move_to", refuse)
        where = checkout.ready(run, "agent", run.tree_of(tip), tip)
        assert files(where.path) == of_tip(run)
        assert where.intact
        assert not list(where.tmp.iterdir())
        head = (where.path / ".git/packed-refs").read_text()
        assert tip in head
        with pytest.raises(AssertionError):  # it is believed once: from now on a program may have been in it
            checkout.ready(run, "agent", run.tree_of(tip), tip)


def test_a_workspace_made_for_another_commit_is_moved_on(repository: UserRepository) -> None:
    with opened(repository, gates=GATE) as run:
        attempt_task(run)
        repository.commit("meanwhile", **{"src/b.txt": "mine\n", "new.txt": "new\n"})
        tip = run.repository.tip()
        where = checkout.ready(run, "agent", run.tree_of(tip), tip)
        assert files(where.path) == of_tip(run)


def test_a_second_attempt_starts_without_what_the_first_has_left(repository: UserRepository) -> None:
    found: list[bool] = []

    def agent(session: AgentWorkspace) -> None:
        found.append((session.path / "src/left").exists())
        append(session)
        (session.path / "src/left").write_text("mine\n")

    with opened(repository, agent, gates=GATE, retry_from="base") as run:
        outcomes = [attempt_task(run, name=name).outcome for name in ("001-first", "001-first", "001-first")]
    assert [o.kind for o in outcomes if o] == [Kind.SCOPE] * 3
    assert found == [False] * 3


def test_what_an_agent_puts_into_the_checkout_of_the_gates_is_gone_before_they_run(
    repository: UserRepository,
) -> None:
    holder: list[Run] = []

    def agent(session: AgentWorkspace) -> None:
        append(session)
        if begun := holder[0].ahead._places.get("gate"):
            begun.result()
        gates = place(holder[0].shadow, "gate", 0).path
        (gates / "left").write_text("mine\n")

    with opened(repository, agent, gates=GATE) as run:
        holder.append(run)
        for name in ("001-first", "002-second"):
            this = attempt_task(run, name=name)
            assert this.outcome
            assert this.outcome.kind is Kind.LANDED, this.outcome
            assert not this.flaky, "red at first"


def test_work_that_failed_is_done_where_it_is_needed(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = workspace.sweep

    def fails_beside(*args: object, **more: object) -> Swept:
        if threading.current_thread() is not threading.main_thread():
            raise OSError("not now")
        return really(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(checkout, "sweep", fails_beside)
    monkeypatch.setattr(workspace, "sweep", fails_beside)
    with opened(repository, gates=GATE) as run:
        for name in ("001-first", "002-second"):
            found = attempt_task(run, name=name).outcome
            assert found
            assert found.kind is Kind.LANDED, found


def test_of_a_place_one_thing_is_known_and_to_one_only(tmp_path: Path) -> None:
    where = Place("agent", 0, tmp_path, tmp_path / "p", tmp_path / "index")
    ahead = Ahead()
    try:
        assert ahead.take("agent") is None
        may_end = threading.Event()
        order: list[str] = []

        def first() -> Prepared:
            may_end.wait(10)
            order.append("first")
            return Prepared(where, (1, 1, 1), "1", "1")

        def second() -> Prepared:
            order.append("second")
            return Prepared(where, (1, 1, 1), "2", "2")

        ahead.start("agent", first)
        threading.Timer(0, may_end.set).start()
        ahead.start("agent", second)
        assert ahead.take("gate") is None
        assert ahead.take("agent") == Prepared(where, (1, 1, 1), "2", "2")
        assert order == ["first", "second"]
        assert ahead.take("agent") is None
    finally:
        ahead.close()


@pytest.mark.parametrize("put", ["link", "folder", "folder anew"])
@pytest.mark.parametrize("prepared", ["cleaned", "ready"])
def test_a_place_that_was_swapped_after_its_preparation_is_not_believed(
    repository: UserRepository, prepared: str, put: str
) -> None:
    with opened(repository, gates=GATE) as run:
        attempt_task(run)
        tip = run.repository.tip()
        tree = run.tree_of(tip)
        ready = checkout.ready(run, "agent", tree, tip).path
        if prepared == "ready":
            checkout.make_ahead(run, "agent", tree, tip)
        else:
            checkout.sweep_ahead(run, "agent")
        run.ahead._places["agent"].result()
        users = files(repository.path)
        if put == "folder anew":
            until(later_than(ready))  # the clock of a file system ticks a few hundred times a second
            shutil.rmtree(ready)
        else:
            ready.rename(ready.with_name("moved"))
        if put == "link":
            ready.symlink_to(repository.path)
        else:
            ready.mkdir()
            (ready / "left").write_text("mine\n")
        repository.commit("meanwhile", **{"src/b.txt": "mine\n"})
        users |= {"src/b.txt": b"mine\n"}
        tip = run.repository.tip() if prepared == "cleaned" else tip
        where = checkout.ready(run, "agent", run.tree_of(tip), tip)
        assert files(repository.path) == users
        assert not where.path.is_symlink()
        git = run.repository.git
        listed = git("ls-tree", "-r", "-z", "--name-only", tip).split(b"\0")[:-1]
        assert set(files(where.path)) == {path.decode() for path in listed}

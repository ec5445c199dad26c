"""One attempt whose session is held by a Python with another home, over a pipe: what goes there and what comes back."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from pytest_agenttasks.attempt import attempt
from pytest_agenttasks.attempt_record import Attempt
from pytest_agenttasks.far import connection as connection_module
from pytest_agenttasks.far import messages, packs
from pytest_agenttasks.far.connection import Connection
from pytest_agenttasks.far.machine import Machine
from pytest_agenttasks.far.names import Elsewhere
from pytest_agenttasks.journal_records import AttemptStarted
from pytest_agenttasks.outcome import Kind, Outcome, SetupError
from pytest_agenttasks.processes.orphans import process_start_time
from pytest_agenttasks.run import Run
from pytest_agenttasks.settings.records import AgentSettings
from pytest_agenttasks.tasks.task import read
from pytest_agenttasks.trees.attempts import kept
from tests.living import until
from tests.opened import opened
from tests.user_repository import UserRepository, make_repository, task_text


@dataclass
class There:
    """A run whose sessions are held in `home`; the agent there is a shell script."""

    run: Run
    home: Path
    script: Path

    def attempt(self, script: str, *failures: Outcome, scope: tuple[str, ...] = ("src/a.txt",)) -> Attempt:
        self.script.write_text(f"set -eu\n{script}\n")
        file = self.run.queue.pending / "001-first.md"
        if not file.exists():
            file.write_text(task_text("Task", scope))
        return attempt(self.run, read(file), failures)

    def seen(self, name: str) -> str:
        """A file that the agent left beside its workspace."""
        (file,) = (self.home / ".local/state/agenttasks").glob(f"*/agent-0/{name}")
        return file.read_text()


@contextmanager
def elsewhere(repository: UserRepository, tmp_path: Path, **wanted: Any) -> Iterator[There]:
    home, script = tmp_path / "far-home", tmp_path / "far.sh"
    home.mkdir(exist_ok=True)
    gates = [{"name": "tests", "run": "true"}]
    with opened(repository, **{"gates": gates, **wanted}) as run:
        agent = AgentSettings(name="command", command=f"sh {script}")
        run = replace(run, settings=msgspec.structs.replace(run.settings, agent=agent))
        machine = Machine(Elsewhere(f"popen//python={sys.executable}//env:HOME={home}"))
        try:
            yield There(replace(run, machine=machine), home, script)
        finally:
            machine.close()


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_modes_links_deletions_and_odd_names_come_back_as_they_are(
    tmp_path: Path, object_format: str
) -> None:
    repository = make_repository(tmp_path / "project", object_format)
    repository.commit(
        "first",
        **{
            "src/a.txt": "a\n",
            "src/gone.txt": "x\n",
            "tasks/pending/.gitkeep": "",
            "tasks/done/.gitkeep": "",
        },
    )
    (repository.path / ".git/info/exclude").write_text("*.mine\n")
    with elsewhere(repository, tmp_path) as there:
        this = there.attempt(
            "echo $HOME > ../home; printf 'a\\nb\\000c' > src/a.txt; chmod +x src/a.txt; rm src/gone.txt\n"
            "ln -s a.txt src/link; echo x > \"src/$(printf 'o\\304\\205 d')\"; echo y > src/not.mine",
            scope=("src/",),
        )
        assert this.outcome is not None
        assert this.outcome.landed, this.outcome
        assert there.seen("home") == f"{there.home}\n"
    listed = repository.git("ls-tree", "-z", "HEAD:src").split("\0")
    assert [line.split()[0] for line in listed if line] == ["100755", "120000", "100644"]
    assert (repository.path / "src/a.txt").read_bytes() == b"a\nb\0c"
    assert "src/oą d" in repository.git("ls-tree", "-z", "-r", "--name-only", "HEAD").split("\0")
    assert any("not.mine" in note for note in this.notes), "left out by the ignore rules from here"


def test_later_sessions_take_only_what_is_new(
    repository: UserRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    real = packs.pieces

    def counting(*args: Any) -> Iterator[bytes]:
        for number, piece in enumerate(real(*args)):
            if number == 0:
                counts.append(int.from_bytes(piece[8:12], "big"))
            yield piece

    monkeypatch.setattr("pytest_agenttasks.far.machine.pieces", counting)
    monkeypatch.setattr("pytest_agenttasks.far.venue.pieces", counting)
    repository.commit("many", **{f"lib/{n}.txt": f"{n}\n" for n in range(200)})
    with elsewhere(
        repository, tmp_path, gates=[{"name": "tests", "run": "! grep -q bad src/a.txt"}]
    ) as there:
        first = there.attempt("echo bad > src/a.txt")
        assert first.outcome is not None
        assert first.outcome.kind is Kind.GATE
        assert len(counts) == 1, "the clone; its tip was the base"
        assert counts[0] > 200
        second = there.attempt("cat src/a.txt > ../began; echo good > src/a.txt", first.outcome)
        assert second.outcome is not None
        assert second.outcome.landed, second.outcome
        assert there.seen("began") == "bad\n"
    assert counts[1:] == [3], "the files that it goes on from: two trees and a file"


def test_what_was_stored_there_and_not_here_is_fetched_first(
    repository: UserRepository, tmp_path: Path
) -> None:
    with elsewhere(repository, tmp_path) as there:
        machine = there.run.machine
        assert isinstance(machine, Machine)
        real = machine.fetch

        def lost(*_: Any, **__: Any) -> str:
            raise connection_module.Lost("cut")

        machine.fetch = lost  # type: ignore[method-assign]
        first = there.attempt("echo one >> src/a.txt; echo said")
        machine.fetch = real  # type: ignore[method-assign]
        assert first.outcome is not None
        assert (first.outcome.kind, first.outcome.kind.charged) == (Kind.NETWORK, False)
        assert any("until it can be fetched" in note for note in first.notes)
        assert kept(there.run.shadow, "refs/attempts/001-first/1") is None
        second = there.attempt("echo two >> src/a.txt")
        assert second.outcome is not None
        assert second.outcome.landed
        assert second.number == 2
        tree = kept(there.run.shadow, "refs/attempts/001-first/1")
        assert there.run.shadow.git("cat-file", "blob", f"{tree}:src/a.txt") == b"a\none\n"
        there.run.ahead.submit(lambda: None).result()
    assert "+one" in (repository.path / "tasks/logs/001-first/attempt-1.diff").read_text()
    assert repository.read("src/a.txt") == "a\ntwo\n"


def test_a_side_that_goes_silent_is_given_up_and_ends_what_it_did(
    repository: UserRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    with elsewhere(repository, tmp_path) as there:
        frozen: list[psutil.Process] = []

        def tick() -> None:
            if ready.exists() and not frozen:
                agent = psutil.Process(int(ready.read_text()))
                frozen.append(agent)
                frozen.append(psutil.Process(psutil.Process(agent.ppid()).ppid()))
                frozen[1].send_signal(signal.SIGSTOP)
                monkeypatch.setattr(messages, "SILENCE", 3.0)  # not sooner: signs of life come every ten

        there.run.supervisor.tick = tick
        this = there.attempt(
            f"[ $AGENTTASKS_ATTEMPT = 1 ] || exit 0; echo x >> src/a.txt; echo $$ > {ready}.part; mv {ready}.part {ready}; "
            "n=0; while [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done"
        )
        assert this.outcome is not None
        assert this.outcome.kind is Kind.NETWORK
        assert "silent" in this.outcome.summary
        until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in frozen))


def test_a_failed_set_up_there_is_nothing_the_task_did(repository: UserRepository, tmp_path: Path) -> None:
    setup = {"setup": "echo no network; exit 3", "setup_inputs": ["src/a.txt"]}
    with elsewhere(repository, tmp_path, workspace=setup) as there:
        this = there.attempt("echo x >> src/a.txt")
    assert this.outcome is not None
    assert (this.outcome.kind, this.outcome.gate) == (Kind.BASE_RED, "setup")
    assert "no network" in this.outcome.evidence


def test_services_are_up_there_while_the_session_goes_on(repository: UserRepository, tmp_path: Path) -> None:
    log = tmp_path / "services"
    workspace = {"up": f"echo up $HOME >> {log}", "down": f"echo down >> {log}"}
    with elsewhere(repository, tmp_path, workspace=workspace) as there:
        this = there.attempt(f"echo session >> {log}; echo x >> src/a.txt")
        assert this.outcome is not None
        assert this.outcome.landed, this.outcome
        lines = log.read_text().splitlines()
        assert lines[:3] == [f"up {there.home}", "session", "down"]


def test_a_session_that_fails_says_so_here(repository: UserRepository, tmp_path: Path) -> None:
    with elsewhere(repository, tmp_path) as there:
        this = there.attempt("echo x >> src/a.txt; echo '\033[31mbroken' >&2; exit 7")
        stderr = (repository.path / "tasks/logs/001-first/attempt-1.stderr.log").read_bytes()
    assert this.outcome is not None
    assert this.outcome.kind is Kind.AGENT
    assert "exit status 7" in this.outcome.summary
    assert "broken" in this.outcome.evidence
    assert stderr == b"\033[31mbroken\n"


def test_a_time_limit_holds_there(repository: UserRepository, tmp_path: Path) -> None:
    with elsewhere(repository, tmp_path) as there:
        there.run.queue.pending.joinpath("001-first.md").write_text(
            task_text("Task", ("src/a.txt",), "timeout: 1")
        )
        this = there.attempt("n=0; while [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done")
    assert this.outcome is not None
    assert this.outcome.kind is Kind.AGENT
    assert "not done after" in this.outcome.summary


def test_what_the_user_has_set_for_git_holds_there_too(repository: UserRepository, tmp_path: Path) -> None:
    repository.git("config", "filter.upper.clean", "tr a-z A-Z")
    repository.git("config", "filter.upper.smudge", "cat")
    repository.commit("filter", **{".gitattributes": "*.up filter=upper\n", "src/x.up": "X\n"})
    with elsewhere(repository, tmp_path) as there:
        this = there.attempt("git config user.name > ../who; echo word > src/x.up", scope=("src/x.up",))
        assert this.outcome is not None
        assert this.outcome.landed, this.outcome
        assert there.seen("who") == "Test User\n"
    assert repository.git("show", f"{this.outcome.commit}:src/x.up") == "WORD"


def test_an_opening_that_fails_leaves_no_process(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with pytest.raises(connection_module.Unreachable):
        Connection(Elsewhere(f"popen//python={tmp_path}/nothing"))
    after = {process.pid for process in psutil.Process().children(recursive=True)}
    assert after <= before


def test_the_record_says_where_a_session_was_held(repository: UserRepository, tmp_path: Path) -> None:
    with elsewhere(repository, tmp_path) as there:
        there.attempt("echo x >> src/a.txt")
    record = json.loads((repository.path / "tasks/logs/001-first/attempt-1.json").read_text())
    assert any("its session was held on" in note for note in record["notes"])


def test_what_another_worker_is_about_to_fetch_is_left_to_it(
    repository: UserRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with elsewhere(repository, tmp_path) as there:
        machine, run = there.run.machine, there.run
        assert isinstance(machine, Machine)
        asked: list[str] = []
        monkeypatch.setattr(machine, "_take_over", lambda _, held: asked.append(held.task))
        monkeypatch.setattr(machine, "forget", lambda *_: None)
        parent = psutil.Process(psutil.Process().ppid())
        living = f"{parent.pid}-{process_start_time(parent.pid)!r}/7"
        dead = f"{parent.pid}-1.5/8"
        for owner, task in ((living, "001-a"), (dead, "002-b")):
            run.journal.history.running[owner] = AttemptStarted(
                task=task, attempt=1, base="", task_blob="", owner=owner
            )
        machine.fetch_left(
            run, [messages.Held(task=name, attempt=1, tree="") for name in ("001-a", "002-b")], lambda _: None
        )
    assert asked == ["002-b"]


def test_a_tree_that_is_not_all_there_is_not_kept(
    repository: UserRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs.Arriving, "unpack", lambda *_, **__: None)
    with elsewhere(repository, tmp_path) as there:
        with pytest.raises(SetupError, match="did not arrive whole"):
            there.attempt("echo x >> src/a.txt")
        assert kept(there.run.shadow, "refs/attempts/001-first/1") is None


def test_what_a_session_there_may_cost_and_has_cost_is_counted_here(
    repository: UserRepository, tmp_path: Path
) -> None:
    with elsewhere(repository, tmp_path, budget={"sessions": 9, "task_sessions": 1}) as there:
        first = there.attempt("echo more >> src/a.txt; echo out > out.txt")
        assert first.outcome
        assert first.outcome.kind is Kind.SCOPE
        assert len(first.bills) == 1
        ledger = there.run.journal.history.ledger
        assert ledger.of_task("001-first").sessions == 1
        assert ledger.of_run(there.run.began).sessions == 1
        assert not ledger.going_on
        second = there.attempt("echo more >> src/a.txt")
        assert second.outcome
        assert second.outcome.kind is Kind.AGENT
        assert second.outcome.summary == "all 1 session of 001-first are used"

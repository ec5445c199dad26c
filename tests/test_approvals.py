"""What has been approved, and what is left to be reviewed."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from pytest_agenttasks import approvals
from pytest_agenttasks.approval import covering
from pytest_agenttasks.approvals import Approved, Awaiting, Covered, Rejected, Review
from pytest_agenttasks.approving import record
from pytest_agenttasks.bookkeeping import give_up
from pytest_agenttasks.journal_records import Passed, Released
from pytest_agenttasks.landing import InTheWay
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.run import Run
from pytest_agenttasks.tasks.scope import QUEUE, Rules, read_only
from pytest_agenttasks.tasks.task import read
from tests.opened import attempt_task, opened
from tests.user_repository import UserRepository, task_text

GATES = [{"name": "tests", "run": "true"}]
A_COMMIT = "a" * 40


def land(run: Run, name: str) -> str:
    """Let a task land; its commit."""
    done = attempt_task(run, name=name).outcome
    assert done is not None
    assert done.commit is not None, done
    return done.commit


def fail(run: Run, name: str) -> None:
    """Let a task be given up."""
    file = run.queue.pending / f"{name}.md"
    file.write_text(task_text(f"Task {name}"))
    if run.queue.tracked:
        run.repository.git("add", "-A")
        run.repository.git("commit", "-q", "-m", "queue")
    assert give_up(run, read(file)) is None


def now(*covered: str, run: Run | None = None) -> datetime:
    if run is None:
        return datetime.now(UTC)
    return approvals.moment(time.time(), run.journal.history, covered)


def approve(run: Run, up_to: str | None = None, **tasks: str | None) -> None:
    covered = tuple(Covered(task=name, commit=commit) for name, commit in tasks.items())
    record(
        run, Approved(at=now(*tasks, run=run), by="me", up_to=up_to, tasks=covered), "chore(tasks): approve"
    )


def awaiting(run: Run) -> Awaiting:
    reviews = approvals.read(run.repository, run.queue)
    return approvals.awaiting(run.repository, run.queue, run.journal.history, reviews)


def settled(run: Run) -> frozenset[str]:
    reviews = approvals.read(run.repository, run.queue)
    return approvals.settled(run.repository, run.queue, run.journal.history, reviews)


@pytest.fixture(params=["tracked", "untracked"])
def queued(request: pytest.FixtureRequest, repository: UserRepository) -> UserRepository:
    """A repository whose queue git tracks, and one whose queue it ignores."""
    if request.param == "untracked":
        repository.git("rm", "-rq", "--cached", "tasks")
        repository.commit("no queue", **{".gitignore": "tasks/\n"})
        for folder in ("pending", "done", "failed"):
            (repository.path / "tasks" / folder).mkdir(parents=True, exist_ok=True)
    return repository


def test_records_come_back_as_they_were_written() -> None:
    covered = (Covered(task="001-a", commit=A_COMMIT), Covered(task="002-b"))
    written: tuple[Review, ...] = (
        Approved(at=now(), by="Zoë <z@example.org>", up_to=A_COMMIT, tasks=covered),
        Rejected(at=now(), by="me", task="003-c", commit="b" * 64, why="no\nlines"),
    )
    data = b"".join(map(approvals.encode, written))
    assert data.count(b"\n") == 2
    assert tuple(approvals.parse(b"\n" + data.rstrip(b"\n"), "here")) == written


def test_a_name_that_is_no_utf8_can_be_approved(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        name = "x\udcff"
        (run.queue.failed / f"{name}.md").write_text("x")
        assert awaiting(run).failed == (name,)
        approve(run, **{name: None})
        assert awaiting(run).failed == ()
    why = Rejected(at=now(), by="m\udcffe", task="a", commit=A_COMMIT, why="\udcff")
    assert b"udcff" in approvals.encode(why)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"review":"approved","at":"2026-01-01T00:00:00Z","by":"me","up_to":"--all"}', "up_to"),
        ('{"review":"approved","at":"2026-01-01T00:00:00","by":"me"}', "at"),
        ('{"review":"approved","at":"2026-01-01T00:00:00Z","by":"me","upto":"' + A_COMMIT + '"}', "upto"),
        ('{"review":"approved","at":"2026-01-01T00', "truncated"),
        ("<<<<<<< HEAD", "left by a merge"),
        ("\xff", "line 2"),
    ],
)
def test_a_line_that_is_no_record_is_named(line: str, said: str) -> None:
    first = approvals.encode(Approved(at=now(), by="me"))
    with pytest.raises(SetupError, match=r"f\.jsonl, line 2: ") as refused:
        tuple(approvals.parse(first + line.encode("latin-1") + b"\n", "f.jsonl"))
    assert said in str(refused.value)


def test_what_landed_is_open_until_it_is_approved(queued: UserRepository) -> None:
    with opened(queued, gates=GATES) as run:
        first, second = land(run, "001-first"), land(run, "002-second")
        assert [(landed.task, landed.commit) for landed in awaiting(run).landed] == [
            ("001-first", first),
            ("002-second", second),
        ]
        approve(run, up_to=first)
        assert [landed.task for landed in awaiting(run).landed] == ["002-second"]
        assert settled(run) == {"001-first"}
        third = land(run, "003-third")
        approve(run, **{"003-third": third})
        assert [landed.task for landed in awaiting(run).landed] == ["002-second"]
        assert settled(run) == {"001-first", "003-third"}
        assert approvals.approved_up_to(approvals.read(run.repository, run.queue)) == first
    assert queued.status() == ""


def test_records_are_where_the_queue_is(queued: UserRepository) -> None:
    with opened(queued, gates=GATES) as run:
        before = queued.head()
        land(run, "001-first")
        approve(run, up_to=queued.head())
        tracked = run.queue.tracked
        private = run.repository.home / approvals.FILE
    assert private.exists() is not tracked
    if tracked:
        assert queued.subjects()[-1] == "chore(tasks): approve"
        assert queued.files_of("HEAD") == ["tasks/reviews.jsonl"]
        assert queued.read("tasks/reviews.jsonl").count("\n") == 1
    else:
        assert "tasks/reviews.jsonl" not in queued.git("ls-files")
        assert len(queued.git("rev-list", f"{before}..HEAD").split()) == 1


def test_a_failed_task_is_open_until_it_is_approved_after_it_failed(queued: UserRepository) -> None:
    with opened(queued, gates=GATES) as run:
        fail(run, "002-bad")
        assert awaiting(run).failed == ("002-bad",)
        assert "002-bad" not in settled(run)
        approve(run, up_to=queued.head())
        assert awaiting(run).failed == ("002-bad",), "an approval covers only failed tasks that it names"
        approve(run, **{"002-bad": None})
        assert awaiting(run).failed == ()
        assert "002-bad" in settled(run)
        # requeued, and given up once more
        (run.queue.failed / "002-bad.md").rename(run.queue.pending / "002-bad.md")
        run.journal.write(Released(task="002-bad"))
        assert "002-bad" not in settled(run)
        fail(run, "002-bad")
        assert awaiting(run).failed == ("002-bad",)
        assert "002-bad" not in settled(run)


def test_an_approval_is_never_before_what_it_approves(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repository, gates=GATES) as run:
        fail(run, "002-bad")
        a_day_ago = time.time() - 86400
        assert approvals.moment(a_day_ago, run.journal.history, []).timestamp() == pytest.approx(
            a_day_ago, abs=0.01
        )
        monkeypatch.setattr(time, "time", lambda: a_day_ago)
        approve(run, **{"002-bad": None})
        assert awaiting(run).failed == ()


def test_a_task_that_was_reverted_by_hand_is_neither_open_nor_settled(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        commit = land(run, "001-first")
        repository.git("revert", "--no-edit", commit)
        assert awaiting(run).landed == ()
        assert settled(run) == frozenset()


def test_what_landed_on_another_branch_is_told_apart(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        before = repository.head()
        commit = land(run, "001-first")
        repository.git("switch", "-q", "-c", "other", before)
        found = awaiting(run)
        assert (found.landed, [landed.commit for landed in found.elsewhere]) == ((), [commit])
        assert settled(run) == frozenset()


def test_nothing_of_a_task_whose_file_is_gone_is_settled(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        land(run, "001-first")
        fail(run, "002-bad")
        (run.queue.failed / "002-bad.md").unlink()
        assert settled(run) == frozenset()


def test_an_approval_up_to_a_commit_that_is_not_here_covers_nothing(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        land(run, "001-first")
        approve(run, up_to=A_COMMIT)
        assert [landed.task for landed in awaiting(run).landed] == ["001-first"]


def test_an_edit_of_the_user_counts_once_committed_and_is_never_committed_by_us(
    repository: UserRepository,
) -> None:
    with opened(repository, gates=GATES) as run:
        commit = land(run, "001-first")
        approve(run)
        ours = repository.read("tasks/reviews.jsonl")
        line = approvals.encode(Approved(at=now(), by="hand", up_to=commit)).decode()
        repository.write("tasks/reviews.jsonl", ours + line)
        assert awaiting(run).landed
        with pytest.raises(InTheWay, match=r"tasks/reviews\.jsonl"):
            approve(run, up_to=commit)
        assert repository.read("tasks/reviews.jsonl") == ours + line
        repository.commit("by hand")
        assert not awaiting(run).landed
        repository.commit("broken", **{"tasks/reviews.jsonl": ours + "{"})
        with pytest.raises(SetupError, match=r"tasks/reviews\.jsonl, line 2"):
            approve(run, up_to=commit)


def test_a_record_goes_on_a_line_of_its_own_behind_a_file_that_ends_in_the_middle_of_one(
    queued: UserRepository,
) -> None:
    with opened(queued, gates=GATES) as run:
        line = approvals.encode(Approved(at=now(), by="me")).decode().rstrip("\n")
        if run.queue.tracked:
            queued.commit("by hand", **{"tasks/reviews.jsonl": line})
        else:
            (run.repository.home / approvals.FILE).write_text(line)
        approve(run)
        assert len(approvals.read(run.repository, run.queue)) == 2


def test_no_task_may_write_the_records() -> None:
    rules = Rules(
        protected=(), tests=None, queue="tasks", memory_file="CLAUDE.md", settings_file="x.yaml", drop=()
    )
    assert read_only("tasks/reviews.jsonl", rules, allow_tests=True) == QUEUE


def test_a_result_that_is_not_known_as_landed_yet_is_not_approved_unseen(repository: UserRepository) -> None:
    """Between the branch's move and the journal's word of it: what `approve` sees beside a run that goes on."""
    with opened(repository, gates=GATES) as run:
        commit = land(run, "001-first")
        history = run.journal.history
        assert covering(run.repository, run.queue, history, [], None).up_to == repository.head()
        del history.landed["001-first"]
        history.passed["001-first"] = Passed(
            task="001-first",
            attempt=1,
            old="",
            new=commit,
            commit=commit,
            branch="",
            task_blob="",
            tracked=True,
        )
        assert covering(run.repository, run.queue, history, [], None).up_to is None

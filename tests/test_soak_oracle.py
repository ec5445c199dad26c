"""The oracle of the soak finds each kind of harm when it is done, and none where none is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from soak import project
from soak.faults import Disturbance, Event
from soak.ledger import Ledger
from soak.oracle import judge
from soak.played import Played, finished
from soak.project import Task, tasks
from soak.repository import git, make
from soak.user import User

SEED = 233
COUNT = 8


_TEMPLATE: list[Path] = []


@pytest.fixture
def played(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A play in which every task has landed as it should, apart from the one that is to be refused."""
    if not _TEMPLATE:
        folder = tmp_path_factory.mktemp("played")
        _play(folder)
        _TEMPLATE.append(folder)
    shutil.copytree(_TEMPLATE[0], tmp_path, dirs_exist_ok=True)
    return _played(tmp_path)


def _played(folder: Path) -> Played:
    checkout = folder / "checkout"
    first = git(checkout, "rev-list", "--max-parents=0", "HEAD").strip()
    return Played("a test", checkout, first, tasks(SEED, COUNT), Ledger(folder / "ledger"), User(checkout))


def _play(folder: Path) -> None:
    (folder / "ledger").mkdir()
    make(folder / "checkout", project.files(SEED, COUNT))
    made = _played(folder)
    for task in made.tasks:
        if task.kind == "refused":
            give_up(made, task)
            log = made.checkout / "tasks/logs/orchestration.log"
            log.parent.mkdir()
            log.write_text(f"now task-refused {task.name} problems=some\n")
        else:
            land(made, task)


def land(played: Played, task: Task, text: str | None = None, **besides: str) -> None:
    port = 8000 + task.number if task.kind == "port" else None
    put(played, task.feature.path, text or task.feature.text(task.version, "a test", port=port))
    for name, more in besides.items():
        put(played, name, more)
    move(played, task, "done")
    commit(played, f"feat: complete {task.name}")


def give_up(played: Played, task: Task) -> None:
    move(played, task, "failed")
    commit(played, f"chore: {task.name} failed")


def put(played: Played, name: str, text: str) -> None:
    (played.checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (played.checkout / name).write_text(text)


def move(played: Played, task: Task, to: str) -> None:
    folder = played.checkout / "tasks"
    (folder / "pending" / f"{task.name}.md").rename(folder / to / f"{task.name}.md")


def commit(played: Played, subject: str) -> None:
    git(played.checkout, "add", "-A", "--", ".", ":!tasks/logs")
    git(played.checkout, "commit", "-q", "--allow-empty", "-m", subject)


def back(played: Played, task: Task) -> None:
    """As if it had not been played."""
    folder = played.checkout / "tasks"
    (folder / "done" / f"{task.name}.md").rename(folder / "pending" / f"{task.name}.md")
    commit(played, "chore: back to pending")


def last_new(played: Played) -> Task:
    return [task for task in played.tasks if task.kind == "new"][-1]


def test_nothing_is_found_where_all_is_well(played: Played) -> None:
    found = judge(played)
    assert found.broken == {}
    assert len(found.landed) == sum(task.kind != "refused" for task in played.tasks)
    assert set(found.failed.values()) == {"refused"}
    assert finished(played)


def red(played: Played) -> None:
    task = last_new(played)
    back(played, task)
    land(played, task, task.feature.text(1, "a test", wrong=True))


def weakened(played: Played) -> None:
    put(played, "check.sh", "exit 0\n")
    red(played)


def strays(played: Played) -> None:
    task = last_new(played)
    put(played, "src/core/b001.sh", (played.checkout / "src/core/b001.sh").read_text() + "# more\n")
    commit(played, f"feat: complete {task.name}")


def hidden_in_the_books(played: Played) -> None:
    put(played, "src/core/extra.sh", "\n")
    commit(played, "chore(memory): record something")


def vanished(played: Played) -> None:
    (played.checkout / "tasks/done" / f"{last_new(played).name}.md").unlink()


def in_two(played: Played) -> None:
    name = f"{last_new(played).name}.md"
    put(played, f"tasks/pending/{name}", last_new(played).text)


def landed_twice(played: Played) -> None:
    back(played, last_new(played))
    land(played, last_new(played))


def left_over(played: Played) -> None:
    back(played, last_new(played))


def overwritten_note(played: Played) -> None:
    played.user.does(Event(3, Disturbance.COMMIT, salt=7))
    put(played, "notes/00003.md", "something else\n")


def overwritten_edit(played: Played) -> None:
    played.user.does(Event(3, Disturbance.EDIT, salt=7))
    git(played.checkout, "checkout", "-q", "--", "README.md")


def swept_untracked(played: Played) -> None:
    played.user.does(Event(3, Disturbance.EDIT, salt=7))
    played.user.commit_edits()
    git(played.checkout, "clean", "-fdq", "--", "scratch")


def wrote_and_forgot(played: Played) -> None:
    session = played.ledger.begin(played.tasks[0].name)
    played.ledger.wrote(session, "src/area00/gone.sh", b"gone\n")


def outlived(played: Played) -> None:
    (played.ledger.folder / "outlived.jsonl").write_text('{"task": "a", "number": 1}\n')


def alive(played: Played) -> None:
    played.alive.append("1: sh")


def without_a_cause(played: Played) -> None:
    back(played, last_new(played))
    give_up(played, last_new(played))


def failed_for_nothing(played: Played) -> None:
    without_a_cause(played)
    put(played, f"tasks/logs/{last_new(played).name}/attempt-2.json", '{\n  "outcome": "moved"\n}')


def failed_by_a_storm(played: Played) -> None:
    without_a_cause(played)
    session = played.ledger.begin(last_new(played).name)
    played.ledger.did(session, Disturbance.OVERLOAD)
    played.ledger.begin(last_new(played).name)


@pytest.mark.parametrize(
    ("harm", "promise"),
    [
        (red, "commits red on gating again"),
        (weakened, "commits red on gating again"),
        (strays, "changes out of scope"),
        (hidden_in_the_books, "changes out of scope"),
        (vanished, "tasks lost"),
        (in_two, "tasks lost"),
        (landed_twice, "tasks lost"),
        (left_over, "tasks lost"),
        (overwritten_note, "files of the user lost"),
        (overwritten_edit, "files of the user lost"),
        (swept_untracked, "files of the user lost"),
        (wrote_and_forgot, "attempts lost"),
        (outlived, "processes that outlived their session"),
        (alive, "processes alive at the end"),
        (without_a_cause, "failed without a cause of its own"),
        (failed_for_nothing, "failed without a cause of its own"),
        (failed_by_a_storm, "failed by outages"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_harm_is_found(played: Played, harm: Callable[[Played], None], promise: str) -> None:
    harm(played)
    assert promise in judge(played).broken


def test_done_without_the_change_is_found(played: Played) -> None:
    task = last_new(played)
    back(played, task)
    git(played.checkout, "rm", "-q", task.feature.path)
    git(played.checkout, "commit", "-q", "-m", "away")
    move(played, task, "done")
    commit(played, f"feat: complete {task.name}")
    assert judge(played).hollow == [task.name]


def test_an_attempt_that_is_kept_elsewhere_is_not_lost(played: Played, tmp_path: Path) -> None:
    wrote_and_forgot(played)
    played.states = [tmp_path / "state"]
    put(played, str(tmp_path / "state/project/agent-0/gone.sh"), "gone\n")  # the next session clears it
    assert judge(played).lost_attempts != []
    put(played, str(tmp_path / "state/project/kept/0001/gone.sh"), "gone\n")
    assert judge(played).lost_attempts == []


def test_users_commits_are_his_own(played: Played) -> None:
    played.user.does(Event(3, Disturbance.RED_COMMIT))
    played.user.does(Event(3, Disturbance.COMMIT_IN_SCOPE, salt=4))
    assert judge(played).broken == {}
    assert played.user.mend()
    assert not played.user.mend()


def test_two_sessions_that_were_held_are_no_outage(played: Played) -> None:
    failed_by_a_storm(played)
    played.ledger.begin(last_new(played).name)
    assert judge(played).failed_by_outages == []


def test_what_waits_for_a_failure_is_blocked(played: Played) -> None:
    task = next(task for task in reversed(played.tasks) if task.depends_on)
    before = next(other for other in played.tasks if other.name == task.depends_on)
    for one in (task, before):
        back(played, one)
    assert not finished(played)
    give_up(played, before)
    assert finished(played)
    assert judge(played).blocked == [task.name]

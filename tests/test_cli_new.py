"""`agenttasks new`: the next free number, a name from the title, and never another's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.cli import main, new
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.tasks.names import name_problem
from pytest_agenttasks.tasks.task import SECTIONS, parse, read
from tests.user_repository import UserRepository

New = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_new(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> New:
    monkeypatch.chdir(repository.path)

    def run_new(*args: str) -> tuple[int, str, str]:
        status = main(["new", *args])
        out, err = capsys.readouterr()
        return status, out, err

    return run_new


def test_it_writes_the_file_and_prints_its_path(run_new: New, repository: UserRepository) -> None:
    status, out, err = run_new("Refactor the Auth Middleware!", "--scope", "src/a.txt", "--scope", "src/new/")
    assert (status, out, err) == (0, "tasks/pending/001-refactor-the-auth-middleware.md\n", "")
    task = read(repository.path / out.strip())
    assert task.title == "Task 001: Refactor the Auth Middleware!"
    assert [entry.pattern for entry in task.scope] == ["src/a.txt", "src/new/"]
    assert not task.refused
    assert [name for name, _ in task.sections] == list(SECTIONS)


def test_a_scope_may_be_typed_as_seen_from_a_folder(
    run_new: New, repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.path / "src/inner").mkdir()
    monkeypatch.chdir(repository.path / "src")
    _, out, _ = run_new(
        "T", "--scope", "a.txt", "--scope", "inner/", "--scope", "src/b.txt", "--scope", "new.txt"
    )
    entries = read(repository.path / "src" / out.strip()).scope
    assert [entry.pattern for entry in entries] == ["src/a.txt", "src/inner/", "src/b.txt", "new.txt"]


def test_the_path_is_relative_to_where_one_stands(
    run_new: New, repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.path / "src")
    assert run_new("Title")[1] == "../tasks/pending/001-title.md\n"


def test_without_scope_the_author_has_to_fill_it_in(run_new: New, repository: UserRepository) -> None:
    assert run_new("Title")[0] == 0
    problems = [
        p.message for p in read(repository.path / "tasks/pending/001-title.md").problems if not p.hint
    ]
    assert len(problems) == 1
    assert "Files in Scope" in problems[0]


def test_the_number_follows_the_highest_of_all_three_folders(
    run_new: New, repository: UserRepository
) -> None:
    repository.write("tasks/done/007-a.md", "")
    repository.write("tasks/failed/041-b.2.md", "")
    repository.write("tasks/pending/no-number.md", "")
    repository.write("tasks/done/099-report.report.md", "")
    assert run_new("Title")[1] == "tasks/pending/042-title.md\n"


@pytest.mark.parametrize(
    ("taken", "number"),
    [
        ([], "001"),
        (["009-a"], "010"),
        (["999-a"], "1000"),
        (["0041-a"], "0042"),
        (["x1"], "001"),
        (["5-a", "12-b"], "013"),
    ],
)
def test_numbers_have_three_digits_or_as_many_as_the_others(taken: list[str], number: str) -> None:
    assert new.next_number(taken) == number


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Fix it", "fix-it"),
        ("  Ünïcode: *ærø* & more?  ", "unicode-r-more"),
        ("日本語", "task"),
        ("a" * 100, "a" * 60),
        ("word " * 30, "word-" * 11 + "word"),
        ("..", "task"),
        ("x.lock", "x-lock"),
    ],
)
def test_the_name_comes_from_the_title(title: str, slug: str) -> None:
    assert new.slug(title) == slug


@given(st.text(max_size=300))
def test_any_title_gives_a_good_name_and_a_readable_task_or_a_clear_error(title: str) -> None:
    try:
        checked = new.checked_title(title)
    except SetupError:
        return
    name = f"001-{new.slug(checked)}"
    assert name_problem(name) is None
    task = parse(Path(f"{name}.md"), new.template("001", checked, ["src/a.txt"], ["000-x"]).encode())
    assert not task.refused
    assert task.title.startswith("Task 001: ")
    assert task.front.depends_on == ("000-x",)


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("?!", "empty"),
        ("a\nb", "one line"),
        ("a\x1b[2J", "control"),
        ("a" * 201, "201"),
    ],
)
def test_a_title_that_is_none_is_refused(
    run_new: New, repository: UserRepository, title: str, said: str
) -> None:
    status, out, err = run_new(title)
    assert (status, out) == (4, "")
    assert said in err
    assert repository.status() == ""


@pytest.mark.parametrize("scope", ["../x", "/etc/passwd", "", "a/../../b", ".git/config", "a\nb", "a`b"])
def test_a_scope_that_is_none_is_refused(run_new: New, repository: UserRepository, scope: str) -> None:
    status, _, err = run_new("Title", "--scope", "src/a.txt", "--scope", scope)
    assert status == 4
    assert err.startswith("agenttasks: error: ")
    assert repository.status() == ""


@pytest.mark.parametrize("scope", ["src/a.txt` — only `x", "a\nb", "a\u2028b", "`a`"])
def test_a_scope_that_would_be_read_as_another_is_refused(
    run_new: New, repository: UserRepository, scope: str
) -> None:
    status, _, err = run_new("Title", "--scope", scope)
    assert status == 4
    assert "give one path" in err
    assert repository.status() == ""


def test_a_dependency_that_no_task_may_have_is_refused(run_new: New, repository: UserRepository) -> None:
    repository.write("tasks/pending/bad name.md", "")
    status, _, err = run_new("Title", "--depends-on", "bad name")
    assert status == 4
    assert "depends_on" in err


@pytest.mark.parametrize("wanted", ["003-pool", "003", "3"])
@pytest.mark.parametrize("folder", ["pending", "done", "failed"])
def test_a_dependency_is_named_in_full_or_by_its_number(
    run_new: New, repository: UserRepository, wanted: str, folder: str
) -> None:
    repository.write(f"tasks/{folder}/003-pool.md", "")
    _, out, _ = run_new("Title", "--depends-on", wanted)
    assert read(repository.path / out.strip()).front.depends_on == ("003-pool",)


def test_an_unknown_or_unclear_dependency_is_refused(run_new: New, repository: UserRepository) -> None:
    repository.write("tasks/pending/003-a.md", "")
    repository.write("tasks/done/003-b.md", "")
    assert (
        "--depends-on 003: several tasks have that number: 003-a, 003-b"
        in run_new("T", "--depends-on", "003")[2]
    )
    assert "--depends-on 9: no such task" in run_new("T", "--depends-on", "9")[2]
    assert not (repository.path / "tasks/pending/004-t.md").exists()


def test_another_queue_can_be_named(run_new: New, repository: UserRepository) -> None:
    repository.write("web/todo/pending/.gitkeep", "")
    assert run_new("Title", "--queue", "web/todo/pending")[1] == "web/todo/pending/001-title.md\n"


def test_a_missing_queue_points_to_init(run_new: New, repository: UserRepository) -> None:
    status, _, err = run_new("Title", "--queue", "nowhere/pending")
    assert status == 4
    assert "agenttasks init" in err


def test_a_file_that_appeared_meanwhile_is_not_overwritten(
    run_new: New, repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = repository.write("tasks/pending/001-title.md", "theirs")
    monkeypatch.setattr(new, "names", lambda folder: set())
    status, _, err = run_new("Title")
    assert status == 4
    assert "tasks/pending/001-title.md exists already; nothing was written" in err
    assert theirs.read_text() == "theirs"

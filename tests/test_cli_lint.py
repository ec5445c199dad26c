"""`agenttasks lint`: errors and hints as lines that editors understand, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pytest_agenttasks.cli import main
from tests.user_repository import UserRepository, task_text

Lint = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lint(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Lint:
    monkeypatch.chdir(repository.path)

    def lint(*args: str) -> tuple[int, str, str]:
        status = main(["lint", *args])
        out, err = capsys.readouterr()
        return status, out, err

    return lint


def test_a_good_queue_passes(lint: Lint, repository: UserRepository) -> None:
    repository.write("tasks/pending/001-a.md", task_text())
    assert lint() == (0, "1 task, 0 errors, 0 hints\n", "")


def test_an_error_is_a_line_with_its_place(lint: Lint, repository: UserRepository) -> None:
    repository.write("tasks/pending/001-a.md", task_text(scope=("../x",)))
    repository.write("tasks/pending/002-b.md", task_text(scope=("src/b.txt",)))
    status, out, _ = lint()
    assert status == 1
    first, summary = out.splitlines()
    assert first.startswith("tasks/pending/001-a.md:7: error: ")
    assert summary == "2 tasks, 1 error, 0 hints"


def test_hints_alone_are_no_failure(lint: Lint, repository: UserRepository) -> None:
    repository.write("tasks/pending/001-a.md", task_text(scope=("lib/*.py",)))
    status, out, _ = lint()
    assert status == 0
    assert out.startswith("tasks/pending/001-a.md:7: hint: ")


def test_the_last_commits_files_are_what_a_scope_matches(lint: Lint, repository: UserRepository) -> None:
    repository.write("tasks/pending/001-a.md", task_text(scope=("lib/*.py",)))
    repository.write("lib/x.py", "")
    assert "1 hint" in lint()[1]
    repository.commit("now it exists")
    assert "0 hints" in lint()[1]


@pytest.mark.parametrize(
    ("file", "text"),
    [("agenttasks.yaml", "protected: [src/]\n"), ("CLAUDE.md", "# Us\n\n## Do Not Touch\n- src/\n")],
)
def test_protected_paths_of_settings_and_memory_count(
    lint: Lint, repository: UserRepository, file: str, text: str
) -> None:
    repository.write("tasks/pending/001-a.md", task_text())
    repository.write(file, text)
    status, out, _ = lint()
    assert status == 1
    assert "src/a.txt" in out


def test_done_and_failed_tasks_are_known(lint: Lint, repository: UserRepository) -> None:
    repository.write("tasks/pending/003-c.md", task_text(front="depends_on: [001-a, 002-b]"))
    assert lint()[1].endswith("1 task, 2 errors, 0 hints\n")
    repository.write("tasks/done/001-a.md", task_text())
    assert lint()[1].endswith("1 task, 1 error, 0 hints\n")
    repository.write("tasks/failed/002-b.md", task_text())
    assert "`002-b` has failed" in lint()[1]


def test_one_file_is_judged_among_the_others(lint: Lint, repository: UserRepository) -> None:
    repository.write("tasks/pending/001-a.md", task_text(scope=("../x",)))
    repository.write("tasks/pending/002-b.md", task_text(scope=("src/b.txt",), front="depends_on: [001-a]"))
    assert lint("tasks/pending/002-b.md") == (0, "1 task, 0 errors, 0 hints\n", "")
    assert lint("tasks/pending/001-a.md")[0] == 1
    status, _, err = lint("tasks/pending/009-z.md")
    assert status == 4
    assert "no such task file" in err


def test_json_says_the_same(lint: Lint, repository: UserRepository) -> None:
    repository.write("tasks/pending/001-a.md", task_text(scope=("../x",)))
    repository.write("tasks/pending/002-b.md", task_text(scope=("src/b.txt",)))
    status, out, _ = lint("--json")
    found = json.loads(out)
    assert status == 1
    assert (found["errors"], found["hints"]) == (1, 0)
    assert [task["name"] for task in found["tasks"]] == ["001-a", "002-b"]
    problem = found["tasks"][0]["problems"][0]
    assert (problem["line"], problem["level"]) == (7, "error")
    assert found["tasks"][0]["path"] == "tasks/pending/001-a.md"


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_an_empty_queue_has_a_status_of_its_own(lint: Lint, args: tuple[str, ...]) -> None:
    status, out, _ = lint(*args)
    assert status == 5
    assert args or "no task in the queue" in out


def test_nothing_of_a_task_reaches_the_terminal_raw(lint: Lint, repository: UserRepository) -> None:
    repository.write("tasks/pending/001-a.md", task_text(scope=("../\x1b[2Jx\u202e",)))
    _, out, _ = lint()
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("agenttasks.yaml", "agent: {nam: x}\n", "agenttasks.yaml:1: unknown key `agent.nam`"),
        (
            "CLAUDE.md",
            "## Do Not Touch\nall of it\n",
            "CLAUDE.md: line 2: *Do Not Touch* has text but no list",
        ),
    ],
)
def test_an_unusable_set_up_is_an_error(
    lint: Lint, repository: UserRepository, file: str, text: str, said: str
) -> None:
    repository.write("tasks/pending/001-a.md", task_text())
    repository.write(file, text)
    status, out, err = lint()
    assert (status, out) == (4, "")
    assert said in err


def test_a_missing_queue_points_to_init(lint: Lint) -> None:
    status, _, err = lint("nowhere/pending")
    assert status == 4
    assert "agenttasks init" in err

"""Which tasks a command line chooses, what their node ids are, and what becomes of files that are no proper task."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.queue_runs import Project
from tests.user_repository import UserRepository, task_text

pytest_plugins = ["pytester"]

QUEUE = ("--agent-tasks", "tasks/pending")
Collect = Callable[..., tuple[int, str]]


@pytest.fixture
def collect(
    project: Project, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, home: Path
) -> Collect:
    """Runs `pytest --collect-only -q ARGS` in this process, from the project's top or `cwd`: exit status, output."""
    monkeypatch.setenv("HOME", str(home))

    def run(*args: str, cwd: Path | None = None) -> tuple[int, str]:
        monkeypatch.chdir(cwd or project.path)
        quiet = ("-p", "no:asyncio", "-p", "no:randomly", "-p", "no:logging")
        done = pytester.runpytest_inprocess("--collect-only", "-q", *quiet, *args)
        return int(done.ret), f"{done.stdout}\n{done.stderr}"

    return run


def ids(output: str) -> list[str]:
    return [line for line in output.splitlines() if "::" in line and not line.startswith(("ERROR", "usage"))]


@pytest.fixture
def three(project: Project) -> Project:
    project.task("001-keys", front="tags: [auth]")
    project.task("002-tokens", front="tags: [auth]\ndepends_on: [003-pool]")
    project.task("003-pool")
    return project


@pytest.mark.parametrize(
    ("args", "chosen"),
    [
        (QUEUE, ["003-pool", "001-keys", "002-tokens"]),
        ((*QUEUE, "tasks/pending/003-pool.md"), ["003-pool"]),
        (
            (*QUEUE, "tasks/pending/003-pool.md::003-pool", "tasks/pending/001-keys.md"),
            ["003-pool", "001-keys"],
        ),
        ((*QUEUE, "tasks"), ["003-pool", "001-keys", "002-tokens"]),
        (("--agent-tasks", "tasks/pending/002-tokens.md"), ["002-tokens"]),
        ((*QUEUE, "-k", "keys or pool"), ["003-pool", "001-keys"]),
        ((*QUEUE, "-m", "auth", "--strict-markers"), ["001-keys", "002-tokens"]),
        ((*QUEUE, "--deselect", "tasks/pending/001-keys.md::001-keys"), ["003-pool", "002-tokens"]),
        ((*QUEUE, "--doctest-glob=*.md", "--doctest-modules"), ["003-pool", "001-keys", "002-tokens"]),
    ],
    ids=lambda value: " ".join(value[2:]) or "all" if isinstance(value, tuple) else "",
)
def test_tasks_are_chosen_as_tests_are(
    three: Project, collect: Collect, args: tuple[str, ...], chosen: list[str]
) -> None:
    status, output = collect(*args)
    assert ids(output) == [f"tasks/pending/{name}.md::{name}" for name in chosen]
    assert status == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((*QUEUE, "test_own.py"), "test_own.py: no task of"),
        ((*QUEUE, "tasks/pending/004-none.md"), "tasks/pending/004-none.md: no task of"),
        ((*QUEUE, "tasks/pending/001-keys.md::other"), "not found: "),
        ((*QUEUE, "tasks/pending/000-old.md::000-old"), "000-old: no longer pending, it is in "),
        (("--agent-tasks", "tasks/pending/004-none.md"), "004-none.md: no task of"),
        (("--agent-tasks", "tasks/waiting"), "tasks/waiting: no such folder"),
        (("--agent-tasks", "tasks/done"), "tasks/done: tasks there have run"),
        (("--agent-tasks", "docs/guides"), "docs/guides: no queue: "),
        (("--agent-tasks", ".."), "not inside a git checkout"),
        ((*QUEUE, "-n", "2", "tasks/pending/001-keys.md::other"), "not found: "),
        ((*QUEUE, "--pdb"), "--pdb and --trace debug Python tests"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_no_task_is_an_error_that_says_so(
    three: Project, collect: Collect, args: tuple[str, ...], words: str
) -> None:
    three.repository.commit(
        "own", **{"test_own.py": "def test_own(): pass\n", "tasks/done/000-old.md": "# Old\n"}
    )
    three.repository.write("docs/guides/intro.md", "# Intro\n")
    status, output = collect(*args)
    assert words in output
    assert status == 4
    assert "Traceback" not in output


def test_ids_are_the_same_from_a_subfolder_from_outside_and_through_links(
    three: Project, collect: Collect, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "link"
    link.symlink_to(three.path)
    for cwd, queue in (
        (three.path / "src", "../tasks/pending"),
        (three.path / "tasks/pending", "."),
        (elsewhere, f"{three.path}/tasks/pending"),
        (elsewhere, f"{link}/tasks/pending"),
        (link, "tasks/pending"),
    ):
        for arguments in (("-k", "keys"), ("tasks/pending/001-keys.md::001-keys",)):
            status, output = collect(f"--agent-tasks={queue}", *arguments, cwd=cwd)
            assert (status, ids(output)) == (0, ["tasks/pending/001-keys.md::001-keys"]), (cwd, output)
    assert collect("--agent-tasks", f"{three.path}/tasks/pending", "--rootdir", "..", cwd=elsewhere)[0] == 0


def test_collecting_says_what_is_wrong_with_the_chosen_tasks(project: Project, collect: Collect) -> None:
    project.task("001-first", task_text("First", ("src/a.txt", "no/such/file.txt")))
    project.task("002-second", "# Second\n\n## Objective\nWork.\n")
    project.task("003-other", "# Third\n")
    status, output = collect(*QUEUE, "--deselect", "tasks/pending/003-other.md")
    assert status == 0
    lines = [line.removeprefix(f"{project.path}/tasks/pending/") for line in output.splitlines()]
    assert any(line.startswith("001-first.md:8: hint: ") and "no/such/file.txt" in line for line in lines), (
        output
    )
    assert any(line.startswith("002-second.md:0: error: no `## Files in Scope`") for line in lines), output
    assert not any(line.startswith("003-other.md") for line in lines)
    assert project.repository.subjects()[-1] == "settings"


def test_an_empty_choice_is_said_in_words(project: Project, collect: Collect) -> None:
    status, output = collect(*QUEUE)
    assert status == 5
    assert "no task in the queue" in output
    project.task("001-first")
    assert collect(*QUEUE, "-k", "nothing")[0] == 5


def test_a_queue_of_a_package_in_a_monorepo(project: Project) -> None:
    repository = project.repository
    repository.commit(
        "package",
        **{
            "packages/a/src/x.txt": "x\n",
            "packages/a/pytest.ini": "[pytest]\n",
            "packages/a/tasks/pending/.gitkeep": "",
        },
    )
    project.agent('echo "in $PWD" >> ../../../seen; echo y >> packages/a/src/x.txt')
    repository.write("packages/a/tasks/pending/001-first.md", task_text("First", ("packages/a/src/x.txt",)))
    repository.write("packages/a/tasks/pending/002-second.md", task_text("Second", ("src/x.txt",)))
    package = Project(UserRepository(project.path / "packages/a"), project.script)
    result = package.run("-rA")
    assert result.outcomes == {"001-first": "landed", "002-second": "scope"}, result.output
    assert "PASSED tasks/pending/001-first.md::001-first" in result.output
    assert repository.files_of("HEAD~1") == [
        "packages/a/src/x.txt",
        "packages/a/tasks/done/001-first.md",
        "packages/a/tasks/pending/001-first.md",
    ]
    assert package.where("002-second") == ["failed"]


def test_files_that_are_no_proper_task_are_refused_moved_and_overwrite_nothing(project: Project) -> None:
    project.agent('echo "$AGENTTASKS_TASK" >> src/a.txt')
    pending, failed = project.path / "tasks/pending", project.path / "tasks/failed"
    good = task_text().encode()
    bad = dict.fromkeys(
        (
            b"has space",
            "ünïcode".encode(),
            b"new\nline\x1b[31m",
            b"two..dots",
            b"a.lock",
            b"-dash",
            b"n" * 120,
        ),
        good,
    )
    bad |= {b"done-before": good, b"failed-before": good, b"latin1": b"# \xe4\n", b"no-scope": b"# Nothing\n"}
    bad |= {b"big": b"# Big\n" + b"x" * 10_000_000}
    contents = bad | {b"windows": b"\xef\xbb\xbf" + good.replace(b"\n", b"\r\n")}
    for name, data in contents.items():
        Path(os.fsdecode(os.fsencode(pending) + b"/" + name + b".md")).write_bytes(data)
    (pending / "link.md").symlink_to("../../src/b.txt")
    project.repository.commit(
        "earlier", **{"tasks/done/done-before.md": "# Done\n", "tasks/failed/failed-before.md": "# Failed\n"}
    )
    before = project.repository.head()
    result = project.run("-v", "-o", "junit_family=xunit1")
    assert result.status == 1, result.output
    assert sorted(result.outcomes.values()) == ["landed"] + ["refused"] * (len(bad) + 1), result.output
    assert result.outcomes["windows"] == "landed"
    assert project.repository.read("src/a.txt") == "a\nwindows\n", "nothing else was attempted"
    assert project.where("windows") == ["done"]
    left = {os.fsencode(name) for name in os.listdir(pending)}
    assert left == {b".gitkeep"}
    moved = {os.fsencode(name) for name in os.listdir(failed)} - {b".gitkeep"}
    expected = {name + b".md" for name in (*bad, b"link")} | {b"failed-before.2.md"}
    proper = (b"done-before", b"failed-before.2", b"latin1", b"no-scope", b"big", b"link")
    expected |= {name + b".report.md" for name in proper}
    assert moved == expected
    assert (failed / "failed-before.md").read_text() == "# Failed\n"
    assert (failed / "link.md").is_symlink()
    assert "\x1b" not in result.output
    assert "tasks/pending/new\\nline.md::new\\nline" in result.output
    changed = set(project.repository.git("diff", "--name-only", before, "HEAD").splitlines())
    assert not {path for path in changed if not path.strip('"').startswith("tasks/")} - {"src/a.txt"}


def test_a_name_that_is_not_utf8_is_refused_too(project: Project) -> None:
    name = os.fsdecode(b"not-utf8-\xff.md")
    (project.path / "tasks/pending" / name).write_text(task_text())
    result = project.run("-o", "junit_family=xunit1")
    assert result.outcomes == {"not-utf8-\\udcff": "refused"}, result.output
    assert result.status == 1
    assert name in os.listdir(project.path / "tasks/failed")


def test_last_failed_tasks_run_again_once_they_are_pending_again(project: Project, collect: Collect) -> None:
    cache = ("-p", "cacheprovider", "-o", f"cache_dir={project.path.parent}/cache")
    project.agent("exit 1")
    project.task("001-fails", front="max_attempts: 1")
    assert project.run(*cache).outcomes == {"001-fails": "agent"}
    project.task("002-new")
    status, output = collect(*QUEUE, *cache, "--lf")
    assert (status, ids(output)) == (5, []), output
    assert "`agenttasks requeue 001-fails` puts them back" in output
    (project.path / "tasks/failed/001-fails.md").rename(project.path / "tasks/pending/001-fails.md")
    status, output = collect(*QUEUE, *cache, "--lf")
    assert (status, ids(output)) == (0, ["tasks/pending/001-fails.md::001-fails"]), output

"""`agenttasks run`: pytest in a fresh process, deaf to the project's own pytest set-up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_agenttasks.cli import main, run
from pytest_agenttasks.outcome import SetupError
from tests.queue_runs import Project
from tests.user_repository import UserRepository, task_text

PACKAGE = str(Path(run.__file__).parents[2])
TRAP = "raise SystemExit('imported')\n"


def command(cwd: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "PYTHONSAFEPATH": "1", **variables}
    argv = [sys.executable, "-m", "pytest_agenttasks.cli", "run", *args]
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_command_line_keeps_the_project_out_and_lets_the_user_win() -> None:
    made = run.pytest_arguments(["-k", "x"], top=Path("/top"), cache=Path("/c"), queue="tasks/pending")
    assert made == [
        *["-p", "pytest_agenttasks.plugin", "-p", "xdist.plugin", "-p", "pytest_timeout"],
        *["-p", "pytest_agenttasks.integration.tasks_conftest"],
        *[
            "--noconftest",
            f"-c{os.devnull}",
            "--rootdir=/top",
            "-ocache_dir=/c",
            "--agent-tasks=tasks/pending",
        ],
        *["-k", "x"],
    ]


def test_no_queue_is_added_where_the_user_named_one() -> None:
    made = run.pytest_arguments(["--agent-tasks", "q"], top=Path("/top"), cache=Path("/c"), queue=None)
    assert [part for part in made if part.startswith("--agent-tasks")] == ["--agent-tasks"]


@pytest.mark.parametrize(
    ("arguments", "queue"),
    [
        ([], None),
        (["-q"], None),
        (["--agent-tasks", "a"], "a"),
        (["--agent-tasks=a/b"], "a/b"),
        (["--agent-tasks=a", "-q", "--agent-tasks", "b"], "b"),
        (["--agent-tasks"], None),
        (["--agent-tasks-other=a"], None),
        (["--", "--agent-tasks=a"], None),
    ],
)
def test_the_queue_that_the_user_named_is_found(arguments: Sequence[str], queue: str | None) -> None:
    assert run.named_queue(arguments) == queue


def test_the_environment_loses_what_steers_pytest_and_nothing_else() -> None:
    source = {
        "PYTEST_ADDOPTS": "-x",
        "PYTEST_PLUGINS": "p",
        "AGENTTASKS_CONFTEST": "old",
        "PATH": "/bin",
        "GIT_DIR": "g",
    }
    assert run.environment(source, None) == {
        "PATH": "/bin",
        "GIT_DIR": "g",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONSAFEPATH": "1",
    }
    assert run.environment(source, Path("/q/conftest.py"))["AGENTTASKS_CONFTEST"] == "/q/conftest.py"


def test_the_conftest_is_the_one_beside_the_queues_folders(tmp_path: Path) -> None:
    (tmp_path / "pending").mkdir()
    assert run.conftest_of(tmp_path / "pending") is None
    (tmp_path / "conftest.py").touch()
    for queue in (tmp_path / "pending", tmp_path / "pending/001-a.md"):
        assert run.conftest_of(queue) == tmp_path / "conftest.py"


def test_gits_variables_reach_the_run(repository: UserRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    """`discover` takes them out of this process; the identity in them is needed there."""
    monkeypatch.chdir(repository.path)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setattr("pytest_agenttasks.trees.repository._KEPT", {})
    seen: list[Mapping[str, str]] = []

    def become(argv: Sequence[str], variables: Mapping[str, str]) -> int:
        seen.append(variables)
        return 7

    monkeypatch.setattr(run, "become", become)
    assert main(["run"]) == 7
    assert seen[0]["GIT_AUTHOR_NAME"] == "Somebody"


def test_a_missing_queue_points_to_init(
    repository: UserRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.path)
    repository.git("rm", "-rq", "tasks")
    with pytest.raises(SetupError, match="agenttasks init"):
        run.run([])


@pytest.fixture
def hostile(project: Project) -> Project:
    """A queue of one task in a project whose pytest set-up ends any run that reads it."""
    user = project.repository
    user.write("tasks/pending/001-a.md", task_text())
    for name in ("conftest.py", "tests/conftest.py", "src/conftest.py", "tasks/pending/conftest.py"):
        user.write(name, TRAP)
    for module in ("pluggy.py", "xdist.py", "execnet.py", "pytest_timeout.py", "sitecustomize.py"):
        user.write(module, TRAP)
    user.write("pytest.ini", "[pytest]\naddopts = --no-such-option\ntestpaths = tests\n")
    user.commit("hostile")
    return project


@pytest.mark.parametrize("folder", [".", "src"])
@pytest.mark.parametrize("args", [(), ("--agent-tasks={top}/tasks/pending",)])
def test_the_projects_own_set_up_is_not_read(hostile: Project, folder: str, args: tuple[str, ...]) -> None:
    top = hostile.repository.path
    given = [argument.format(top=top) for argument in args]
    done = command(
        top / folder, "--collect-only", "-q", *given, PYTEST_ADDOPTS="--bogus", PYTEST_PLUGINS="bogus"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tasks/pending/001-a.md::001-a" in done.stdout


def test_the_queues_conftest_is_read_with_its_options_hooks_and_neighbours(hostile: Project) -> None:
    user = hostile.repository
    user.write("tasks/neighbour.py", "WORD = 'neighbour'\n")
    user.write(
        "tasks/conftest.py",
        "import neighbour\n"
        "def pytest_addoption(parser):\n    parser.addoption('--mine', default='')\n"
        "def pytest_report_header(config):\n    return f'{neighbour.WORD} said {config.getoption(\"mine\")}'\n",
    )
    done = command(user.path, "--collect-only", "--mine=hello")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "neighbour said hello" in done.stdout


def test_a_broken_conftest_of_the_queue_is_an_unusable_set_up(hostile: Project) -> None:
    file = hostile.repository.write("tasks/conftest.py", "import no_such_module_anywhere\n")
    done = command(hostile.repository.path, "--collect-only")
    assert done.returncode == 4
    assert (
        f"{file}: cannot be imported: ModuleNotFoundError: No module named 'no_such_module_anywhere'"
        in done.stderr
    )


def test_the_cache_lies_with_the_runners_own_files(hostile: Project) -> None:
    top = hostile.repository.path
    before = hostile.repository.status()
    command(top, "--collect-only", "-q")
    assert hostile.repository.status() == before
    assert not (top / ".pytest_cache").exists()


def test_workers_of_xdist_read_the_queues_conftest_too(tmp_path: Path) -> None:
    """Without tasks: what matters is that a worker's plugin manager gets the file."""
    (tmp_path / "q").mkdir()
    (tmp_path / "q/conftest.py").write_text(
        "import os\n"
        "def pytest_runtest_logstart(nodeid):\n"
        "    worker = os.environ.get('PYTEST_XDIST_WORKER')\n"
        "    if worker:\n        open(os.path.join(os.path.dirname(__file__), worker), 'w').close()\n"
    )
    (tmp_path / "test_x.py").write_text("def test_x():\n    pass\n")
    (tmp_path / "execnet.py").write_text(TRAP)
    arguments = run.pytest_arguments(["-n1", "test_x.py"], top=tmp_path, cache=tmp_path / "cache", queue=None)
    variables = run.environment({**os.environ, "PYTHONPATH": PACKAGE}, tmp_path / "q/conftest.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "q/gw0").exists()


def test_a_task_lands_and_the_status_is_pytests(hostile: Project) -> None:
    done = command(hostile.repository.path, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tasks/done/001-a.md" in hostile.repository.git("ls-files")
    assert command(hostile.repository.path, "-q").returncode == 5


def test_help_is_this_commands_and_pytests(repository: UserRepository) -> None:
    done = command(repository.path, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: agenttasks run [PYTEST ARGS]")
    assert "--agent-budget-usd" in done.stdout


def test_a_wrong_option_is_this_commands_error_with_the_nearest_one(hostile: Project) -> None:
    done = command(hostile.repository.path, "--agnt", "x")
    assert done.returncode == 4
    assert "agenttasks run: error: unrecognized arguments: --agnt" in done.stderr
    assert "did you mean: --agent\n" in done.stderr
    assert "/dev/null" not in done.stderr
    assert "python" not in done.stderr
    done = command(hostile.repository.path, "--zzzzzzzz")
    assert "did you mean" not in done.stderr
    user = hostile.repository
    user.write(
        "tasks/conftest.py", "def pytest_addoption(parser):\n    parser.addoption('--speed', default='')\n"
    )
    assert "did you mean: --speed\n" in command(user.path, "--sped=9").stderr

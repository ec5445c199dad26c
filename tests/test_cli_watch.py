"""`agenttasks watch`, as a process: runs when there is work, waits when there is none, ends when it is told to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_agenttasks.cli import main
from pytest_agenttasks.cli.systemd_unit import unit
from pytest_agenttasks.cli.watch import Watch, own_options
from pytest_agenttasks.last_run import last_run
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.watching import Wait
from tests.living import until
from tests.queue_runs import Project

PATIENCE = 60.0


class Watching:
    """A watch on the project's queue that looks 20 times a second."""

    def __init__(self, project: Project, *args: str) -> None:
        self.project = project
        self.output = project.path.parent / "watch.log"
        command = [sys.executable, "-m", "pytest_agenttasks.cli", "watch", "--every", "0.05", *args]
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                command, cwd=project.path, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )

    def says(self, text: str, times: int = 1) -> Callable[[], bool]:
        return lambda: self.output.read_text().count(text) >= times

    def waits(self, times: int = 1) -> None:
        until(self.says("watch: waiting", times), PATIENCE)

    def landed(self, name: str) -> None:
        until(lambda: self.project.where(name) == ["done"], PATIENCE)

    @property
    def sessions(self) -> int:
        """How many runs have begun."""
        return self.output.read_text().count("test session starts")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def watch(project: Project) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def begin(*args: str) -> Watching:
        started.append(Watching(project, *args))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_it_runs_what_is_there_and_what_comes_each_time_in_a_process_of_its_own(
    project: Project, watch: Callable[..., Watching]
) -> None:
    project.task("001-first")
    watching = watch("-q")
    watching.landed("001-first")
    watching.waits()
    repository = discover(project.path)
    queue = open_queue(repository, project.path / "tasks/pending")
    first = last_run(repository, queue)
    project.task("002-second", scope=("src/b.txt",))
    project.agent("echo x >> src/b.txt")
    watching.landed("002-second")
    watching.waits(2)
    second = last_run(repository, queue)
    assert first is not None
    assert second is not None
    assert first.pid != second.pid
    assert watching.process.pid not in (first.pid, second.pid)
    assert watching.stop() == 2
    assert (first.status, first.landed, second.status) == (0, 1, 0)


def test_tasks_that_cannot_run_do_not_make_it_spin(project: Project, watch: Callable[..., Watching]) -> None:
    project.agent("exit 1")
    project.task("001-fails", front="max_attempts: 1")
    project.task("002-blocked", front="depends_on: [001-fails]")
    watching = watch()
    watching.waits()
    assert project.where("001-fails") == ["failed"]
    assert project.where("002-blocked") == ["pending"]
    sessions = watching.sessions
    project.task("003-more", front="max_attempts: 1")  # proves that it still looks
    until(lambda: project.where("003-more") == ["failed"], PATIENCE)
    watching.waits(2)
    assert (sessions, watching.sessions) == (1, 2)
    assert watching.stop(signal.SIGINT) == 2


def test_an_error_of_the_set_up_is_said_once_and_work_goes_on_when_it_is_mended(
    project: Project, watch: Callable[..., Watching]
) -> None:
    project.task("001-first")
    project.repository.write("src/a.txt", "edited\n")  # in the way of every run
    watching = watch()
    until(watching.says("watch: waiting", 3), PATIENCE)
    text = watching.output.read_text()
    assert text.count("ERROR: ") == 1, text
    assert "next try in 0.6 s" in text
    assert "next try in 1 s" in text
    assert project.where("001-first") == ["pending"]
    project.repository.commit("mended")
    until(watching.says("1 passed"), PATIENCE)
    assert watching.stop() == 2


def test_after_a_checkpoint_nothing_runs_until_somebody_approves(
    project: Project, watch: Callable[..., Watching]
) -> None:
    project.configure("review: {every_tasks: 1}\n")
    project.task("001-first")
    project.task("002-second")
    watching = watch()
    watching.landed("001-first")
    until(watching.says("agenttasks approve` has it go on"), PATIENCE)
    project.task("003-third")
    head = project.repository.git("rev-parse", "HEAD")
    assert watching.sessions == 1
    project.repository.commit(
        "approved",
        **{
            "tasks/reviews.jsonl": '{"review":"approved","at":"2040-01-01T00:00:00Z","by":"A <a@example.org>",'
            f'"up_to":"{head}"}}\n'
        },
    )
    watching.landed("002-second")
    until(watching.says("has it go on", 2), PATIENCE)
    assert project.where("003-third") == ["pending"]
    assert watching.sessions == 2
    assert watching.stop() == 2


def test_a_wait_for_an_approval_is_ended_by_that_alone(project: Project) -> None:
    repository = discover(project.path)
    watching = Watch(repository, open_queue(repository, project.path / "tasks/pending"), [], 5.0)
    since = watching._look()
    project.task("001-new")
    seen = watching._look()
    assert watching._called_for(Wait("", tasks=True), since, seen)
    assert not watching._called_for(Wait("", tasks=False), since, seen)
    wait = Wait("", approval=True)
    assert not watching._called_for(wait, since, seen)
    repository.home.mkdir(exist_ok=True)
    record = '{"review":"approved","at":"2040-01-01T00:00:00Z","by":"A <a@example.org>"}\n'
    (repository.home / "reviews.jsonl").write_text(record)
    assert watching._called_for(wait, since, watching._look())


def test_a_signal_is_passed_on_and_the_run_ends_first(
    project: Project, watch: Callable[..., Watching]
) -> None:
    begun = project.path.parent / "begun"
    project.agent(f"echo x >> src/a.txt; touch {begun}; sleep 600")
    project.task("001-long")
    watching = watch()
    until(begun.exists, PATIENCE)
    assert watching.stop() == 2
    text = watching.output.read_text()
    assert "stopping: the run ends its agents" in text
    assert "not run" not in text
    assert "interrupted" in text
    repository = discover(project.path)
    known = last_run(repository, open_queue(repository, project.path / "tasks/pending"))
    assert known is not None
    assert (known.status, known.stopped) == (2, "interrupted")
    assert subprocess.run(
        ["git", "--git-dir", str(repository.home / "shadow.git"), "for-each-ref", "refs/attempts"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_a_second_signal_kills(project: Project, watch: Callable[..., Watching]) -> None:
    begun = project.path.parent / "begun"
    project.agent(
        f"trap '' TERM INT; touch {begun}; n=0; while [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done"
    )
    project.task("001-long")
    watching = watch()
    until(begun.exists, PATIENCE)
    watching.process.send_signal(signal.SIGTERM)
    until(watching.says("stopping:"))
    assert watching.stop() == 2
    assert "killed: the next start mends" in watching.output.read_text()
    repository = discover(project.path)
    known = last_run(repository, open_queue(repository, project.path / "tasks/pending"))
    assert known is not None
    assert known.status is None


def test_one_watch_a_queue(
    project: Project, watch: Callable[..., Watching], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    watching = watch()
    watching.waits()
    monkeypatch.chdir(project.path)
    assert main(["watch"]) == 4
    assert f"is watched already, by process {watching.process.pid}" in capsys.readouterr().err
    assert watching.stop(signal.SIGHUP) == 2


def test_a_run_that_somebody_else_stops_ends_the_watch(
    project: Project, watch: Callable[..., Watching]
) -> None:
    begun = project.path.parent / "begun"
    project.agent(f"touch {begun}; sleep 600")
    project.task("001-long")
    watching = watch()
    until(begun.exists, PATIENCE)
    repository = discover(project.path)
    known = last_run(repository, open_queue(repository, project.path / "tasks/pending"))
    assert known is not None
    os.kill(known.pid, signal.SIGINT)
    assert watching.process.wait(60) == 2
    assert "the run was interrupted" in watching.output.read_text()


@pytest.mark.parametrize(
    ("arguments", "own", "others"),
    [
        ([], {}, []),
        (["-n", "2", "--every", "30s", "-q"], {"--every": "30s"}, ["-n", "2", "-q"]),
        (["--every=1m"], {"--every": "1m"}, []),
        (["--unit", "-k", "x"], {"--unit": ""}, ["-k", "x"]),
        (["--", "--unit"], {}, ["--", "--unit"]),
    ],
)
def test_its_own_options_are_told_from_pytests(
    arguments: list[str], own: dict[str, str], others: list[str]
) -> None:
    assert own_options(arguments) == (own, others)


@pytest.mark.parametrize("every", [[], ["0"], ["x"]])
def test_a_period_that_is_none_is_refused(
    project: Project, every: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    assert main(["watch", "--every", *every]) == 4
    assert "--every" in capsys.readouterr().err


def test_the_unit_stops_cleanly_and_names_things_absolutely(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    monkeypatch.setenv("PATH", "/opt/a b:/usr/bin")
    assert main(["watch", "--unit", "-n", "4", "--every", "30s"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    command = next(line for line in lines if line.startswith("ExecStart="))
    assert command.startswith(f'ExecStart=:"{sys.executable}" "-P" "-m" "pytest_agenttasks.cli" "watch"')
    assert command.endswith('"--every" "30s" "-n" "4"')
    assert 'Environment="PATH=/opt/a b:/usr/bin"' in lines
    assert f"WorkingDirectory={project.path}" in lines
    assert "KillMode=mixed" in lines
    assert "SuccessExitStatus=2" in lines


AWKWARD = ["-k", 'a b or "c"', "%n$HOME\\x", "ü", "${X}"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_takes_the_unit_as_it_is_meant(tmp_path: Path) -> None:
    folder = tmp_path / "a 100% folder"
    folder.mkdir()
    file = tmp_path / "agenttasks-x.service"
    file.write_text(unit(folder, AWKWARD, "/bin:/opt/50%/bin", folder / "tasks/pending"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(file)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert str(file.name) not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_a_word_of_the_unit_is_what_was_typed() -> None:
    text = unit(Path("/x"), AWKWARD, "/bin", Path("/x/tasks/pending"))
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    words = command.removeprefix("ExecStart=:").removeprefix('"').removesuffix('"').split('" "')
    read = [
        word.replace("%%", "%").encode("ascii").decode("unicode_escape").encode("latin-1").decode()
        for word in words
    ]
    assert read == [sys.executable, "-P", "-m", "pytest_agenttasks.cli", "watch", *AWKWARD]


def test_a_folder_that_no_unit_can_name_is_refused() -> None:
    with pytest.raises(SetupError, match="rename it"):
        unit(Path("/x/a\nb"), [], "/bin", Path("/x/tasks/pending"))

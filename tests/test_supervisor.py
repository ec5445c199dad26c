from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_agenttasks import lifeline, supervisor
from pytest_agenttasks.supervisor import (
    Finished,
    StartError,
    Supervisor,
    SupervisorLost,
    process_start_time,
)
from tests.living import end, living, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PATH = os.environ["PATH"]


class Run(Protocol):
    def __call__(self, *argv: str, **options: Any) -> Finished: ...


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    end(folder)


@pytest.fixture
def helper() -> Iterator[Supervisor]:
    with Supervisor() as helper:
        yield helper


@pytest.fixture
def run(helper: Supervisor, folder: Path) -> Run:
    def run(*argv: str, **options: Any) -> Finished:
        given = {"cwd": folder, "env": {"PATH": PATH}, "stdout": folder / "out", "timeout": 60.0}
        return helper.run(argv, **(given | options))

    return run


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_is_reported(run: Run, code: int) -> None:
    finished = run("sh", "-c", f"exit {code}")
    assert (finished.exit_code, finished.signal, finished.stopped) == (code, None, None)
    assert finished.ok is (code == 0)
    assert finished.survivors == ()


def test_the_signal_that_killed_the_program_is_reported(run: Run) -> None:
    finished = run("sh", "-c", "kill -USR1 $$")
    assert (finished.exit_code, finished.signal) == (None, signal.SIGUSR1)
    assert not finished.ok


def test_output_goes_to_new_private_files(run: Run, folder: Path) -> None:
    (folder / "out").write_text("much longer text from an earlier attempt")
    run("sh", "-c", "echo one; echo two >&2", stderr=folder / "err")
    assert (folder / "out").read_text() == "one\n"
    assert (folder / "err").read_text() == "two\n"
    assert (folder / "err").stat().st_mode & 0o777 == 0o600


def test_stderr_goes_where_stdout_does_unless_it_has_a_file(run: Run, folder: Path) -> None:
    run("sh", "-c", "echo one; echo two >&2; echo three")
    assert (folder / "out").read_text() == "one\ntwo\nthree\n"


def test_a_program_that_truncates_its_output_leaves_no_hole(run: Run, folder: Path) -> None:
    run("sh", "-c", "echo one; : > /dev/stdout; echo two")
    assert (folder / "out").read_text() == "two\n"


def test_stdin_is_the_file_or_empty(run: Run, folder: Path) -> None:
    (folder / "in").write_text("hello")
    run("cat", stdin=folder / "in")
    assert (folder / "out").read_text() == "hello"
    run("cat")
    assert (folder / "out").read_text() == ""


def test_the_environment_is_exactly_the_one_given(run: Run, folder: Path) -> None:
    run("env", env={"PATH": PATH, "A": "one\ntwo", "Ä": "ö"})
    assert set((folder / "out").read_text().split("\n")) == {f"PATH={PATH}", "A=one", "two", "Ä=ö", ""}


def test_the_program_is_searched_on_the_path_of_its_environment(run: Run, folder: Path) -> None:
    for place, text in (("a", "no"), ("b", "#!/bin/sh\necho b"), ("c", "#!/bin/sh\necho c")):
        (folder / place).mkdir()
        (folder / place / "tool").write_text(text)
        (folder / place / "tool").chmod(0o600 if place == "a" else 0o700)
    run("tool", env={"PATH": f"/nowhere:{folder}/a:{folder}/b:{folder}/c"})
    assert (folder / "out").read_text() == "b\n"
    run("c/tool")
    assert (folder / "out").read_text() == "c\n"


def test_bytes_that_are_no_utf8_reach_the_program(helper: Supervisor, tmp_path: Path) -> None:
    folder = tmp_path / "f\udcfflder"
    folder.mkdir()
    word = "w\udc80rd"
    script = 'pwd; printf "%s" "$0" "$V"'
    helper.run(["sh", "-c", script, word], cwd=folder, env={"PATH": PATH, "V": word}, stdout=folder / "out")
    assert (folder / "out").read_bytes() == os.fsencode(folder) + b"\nw\x80rdw\x80rd"


def test_the_program_starts_clean(run: Run, folder: Path) -> None:
    """No inherited handle, no ignored or blocked signal, no core files, a session of its own."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        script = (
            "ls /proc/$$/fd; grep -E 'NSsid|SigBlk|SigIgn' /proc/$$/status; ulimit -c; ulimit -Hc; echo $$"
        )
        run("sh", "-c", script)
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    zero, one, two, session, blocked, ignored, *core, pid = (folder / "out").read_text().splitlines()
    assert [zero, one, two] == ["0", "1", "2"]
    assert int(blocked.split()[1], 16) == 0
    assert int(ignored.split()[1], 16) == 0
    assert session.split()[-1] == pid
    assert core == ["0", "0"]


@pytest.mark.parametrize(
    ("argv", "options", "number", "reason"),
    [
        (["no-such-tool"], {}, errno.ENOENT, "cannot start 'no-such-tool': No such file"),
        (["./plain"], {}, errno.EACCES, "cannot start './plain': Permission denied"),
        (["./no-program"], {}, errno.ENOEXEC, "Exec format error"),
        (["./no-interpreter"], {}, errno.ENOENT, "No such file"),
        (["true"], {"cwd": Path("/no/where")}, errno.ENOENT, "its working folder /no/where: No such file"),
        (["true"], {"cwd": Path("/etc/passwd")}, errno.ENOTDIR, "its working folder /etc/passwd: Not a dir"),
        (["true"], {"stdin": Path("/no/in")}, errno.ENOENT, "its stdin: No such file"),
        (["true"], {"stdout": Path("/no/out")}, errno.ENOENT, "its stdout: No such file"),
        (["true"], {"stderr": Path("/")}, errno.EISDIR, "its stderr: Is a directory"),
        (["true", "a\0b"], {}, errno.EINVAL, "NUL"),
        (["true"], {"env": {"A": "\0"}}, errno.EINVAL, "NUL"),
        (["true"], {"env": {"A=B": "C"}}, 0, "illegal environment variable name"),
        (["true", "\ud800"], {}, errno.EILSEQ, r"'\ud800'"),
        (["true", "x" * 200_000], {}, errno.E2BIG, "Argument list too long"),
    ],
)
def test_a_program_that_cannot_start_says_why(
    run: Run, folder: Path, argv: list[str], options: dict[str, Any], number: int, reason: str
) -> None:
    (folder / "plain").write_text("x")
    for name, text in (("no-program", "x"), ("no-interpreter", "#!/no/where\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o700)
    with pytest.raises(StartError) as caught:
        run(*argv, **options)
    assert reason in str(caught.value)
    assert caught.value.errno == number
    assert caught.value.argv0 == argv[0]
    assert run("true").ok


def test_a_pipe_in_the_place_of_a_log_blocks_nothing(run: Run, folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    with pytest.raises(StartError, match="its stdout"):
        run("true", stdout=folder / "fifo")
    with pytest.raises(StartError, match="its stdin: not a regular file"):
        run("true", stdin=folder / "fifo")


def test_there_must_be_a_program(run: Run) -> None:
    with pytest.raises(ValueError, match="no program"):
        run()


def test_a_program_over_its_time_gets_sigterm(run: Run) -> None:
    finished = run("sleep", "60", timeout=0.1)
    assert (finished.stopped, finished.signal, finished.survivors) == ("timeout", signal.SIGTERM, ())
    assert 0.1 <= finished.seconds < 3


def test_a_program_may_use_its_grace_to_end_well(run: Run, folder: Path) -> None:
    finished = run("sh", "-c", "trap 'echo bye; exit 7' TERM; sleep 60 & wait", timeout=0.3, grace=20)
    assert (finished.stopped, finished.exit_code) == ("timeout", 7)
    assert not finished.ok
    assert (folder / "out").read_text() == "bye\n"
    assert living(folder) == []


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(run: Run, folder: Path) -> None:
    finished = run("sh", "-c", "trap '' TERM; sleep 60; sleep 60", timeout=0.2, grace=0.3)
    assert (finished.stopped, finished.signal) == ("timeout", signal.SIGKILL)
    assert 0.5 <= finished.seconds < 10
    assert living(folder) == []


def test_too_much_output_ends_the_program_and_is_cut(run: Run, folder: Path) -> None:
    finished = run("sh", "-c", "echo problem >&2; exec yes", stderr=folder / "err", max_output=100_000)
    assert (finished.stopped, finished.signal) == ("output", signal.SIGKILL)
    assert (folder / "err").read_text() == "problem\n"
    assert (folder / "out").stat().st_size == 100_000 - len("problem\n")


def test_too_much_output_counts_even_if_the_program_was_quick(run: Run, folder: Path) -> None:
    finished = run("head", "-c", "5000", "/dev/zero", max_output=4000)
    assert (finished.stopped, finished.exit_code) == ("output", 0)
    assert (folder / "out").stat().st_size == 4000
    assert run("head", "-c", "4000", "/dev/zero", max_output=4000).ok


def test_a_flood_while_the_program_should_end_gets_no_grace(run: Run) -> None:
    script = "trap '' TERM; sleep 0.5; exec yes"
    finished = run("sh", "-c", script, timeout=0.2, grace=30, max_output=10_000)
    assert (finished.stopped, finished.signal) == ("timeout", signal.SIGKILL)
    assert finished.seconds < 20


def test_a_text_from_poll_stops_the_program(run: Run) -> None:
    answers = iter([None, None, "stalled"])  # a fourth call would fail
    finished = run("sh", "-c", "trap 'sleep 0.6; exit' TERM; sleep 60 & wait", poll=lambda: next(answers))
    assert finished.stopped == "stalled"


def test_started_tells_which_process_it_is(run: Run, folder: Path) -> None:
    seen: list[tuple[int, float]] = []
    times: list[float | None] = []

    def poll() -> str:
        times.append(process_start_time(seen[0][0]))
        return "enough"

    run("sleep", "60", started=lambda *process: seen.append(process), poll=poll)
    assert [seen[0][1]] == times
    assert json.loads(json.dumps(seen[0][1])) == seen[0][1]
    assert process_start_time(seen[0][0]) is None


@pytest.mark.parametrize("where", ["poll", "started"])
@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_leaves_no_process(run: Run, folder: Path, where: str, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        run("sh", "-c", "trap '' TERM; setsid sleep 60 & sleep 60", **{where: raising(error)})
    assert caught.value is error
    assert living(folder) == []
    assert run("true").ok


def test_a_second_interrupt_leaves_the_rest_to_the_reaper(run: Run, helper: Supervisor, folder: Path) -> None:
    previous = signal.signal(signal.SIGUSR1, raising(KeyboardInterrupt("second")))
    reaper = 0

    def poll() -> None:
        nonlocal reaper
        assert helper._lifeline is not None
        reaper = helper._lifeline.process.pid
        os.kill(reaper, signal.SIGSTOP)  # so that it takes its time
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGUSR1)).start()
        raise KeyboardInterrupt("first")

    try:
        with pytest.raises(KeyboardInterrupt, match="second"):
            run("sh", "-c", "setsid sleep 60 & sleep 60", poll=poll)
    finally:
        signal.signal(signal.SIGUSR1, previous)
        os.kill(reaper, signal.SIGCONT)
    helper.close()
    assert living(folder) == []
    assert process_start_time(reaper) is None


def test_signals_that_a_terminal_sends_do_not_end_the_reaper(run: Run) -> None:
    assert run("sh", "-c", "kill -INT $PPID; kill -TERM $PPID; kill -HUP $PPID; kill -QUIT $PPID").ok
    assert run("true").ok


def test_the_reaper_is_in_no_session_of_the_runner(run: Run, helper: Supervisor) -> None:
    run("true")
    assert helper._lifeline is not None
    assert os.getsid(helper._lifeline.process.pid) == helper._lifeline.process.pid


def test_a_reaper_that_the_program_kills_is_reported_and_replaced(run: Run, folder: Path) -> None:
    with pytest.raises(SupervisorLost, match=r"died \(exit status -9\)") as caught:
        run("sh", "-c", "sleep 60 & setsid sh -c 'sleep 60; :' & sleep 0.2; kill -KILL $PPID; sleep 60")
    assert living(folder) == []
    assert sorted(caught.value.ended) == ["sh", "sh", "sleep", "sleep", "sleep"]
    assert run("true").ok


def test_a_reaper_that_the_program_stops_is_reported_and_replaced(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SILENCE", 3)
    with pytest.raises(SupervisorLost, match="went silent"):
        run("sh", "-c", "setsid sh -c 'setsid sleep 60 &'; kill -STOP $PPID; sleep 60")
    assert living(folder) == []
    assert run("true").ok


def test_a_reaper_that_fails_says_how(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "reaper.py").write_text("raise SystemExit('no ctypes here')")
    monkeypatch.setattr(lifeline, "REAPER", tmp_path / "reaper.py")
    with pytest.raises(SupervisorLost, match="no ctypes here"):
        run("true")


def test_a_reaper_that_died_while_idle_is_replaced(run: Run, helper: Supervisor) -> None:
    run("true")
    assert helper._lifeline is not None
    first = helper._lifeline.process
    first.kill()
    first.wait()
    assert run("true").ok
    assert helper._lifeline.process is not first


def test_a_supervisor_runs_one_program_at_a_time(run: Run) -> None:
    with pytest.raises(RuntimeError, match="one for each thread"):
        run("sleep", "60", poll=lambda: run("true"))


def test_supervisors_work_side_by_side_in_threads(folder: Path) -> None:
    def many(name: str) -> None:
        with Supervisor() as helper:
            for code in range(5):
                out = folder / f"{name}-{code}"
                script = f"sleep 60 & echo {name}; exit {code}"
                finished = helper.run(["sh", "-c", script], cwd=folder, env={"PATH": PATH}, stdout=out)
                results.append((finished.exit_code == code, out.read_text() == f"{name}\n"))

    results: list[tuple[bool, bool]] = []
    threads = [threading.Thread(target=many, args=[name]) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(True, True)] * 15
    assert living(folder) == []


def test_nothing_leaks(run: Run, helper: Supervisor, folder: Path) -> None:
    def handles(process: str) -> int:
        return len(os.listdir(f"/proc/{process}/fd"))

    def once() -> None:
        run("sh", "-c", "setsid sleep 60 & exit 0", stderr=folder / "err", stdin=folder / "in")
        for options in ({"cwd": Path("/no")}, {"stdin": Path("/no")}, {"stderr": Path("/no/err")}):
            with pytest.raises(StartError):
                run("true", **options)

    (folder / "in").touch()
    before = handles("self")
    once()
    assert helper._lifeline is not None
    reaper = str(helper._lifeline.process.pid)
    early = handles("self"), handles(reaper)
    for _ in range(10):
        once()
    assert (handles("self"), handles(reaper)) == early
    zombies = subprocess.run(["ps", "--ppid", reaper], capture_output=True, text=True, check=False)
    assert zombies.stdout.count("\n") == 1, zombies.stdout
    helper.close()
    assert handles("self") == before
    assert process_start_time(int(reaper)) is None


def test_closing_twice_and_running_again_is_fine(run: Run, helper: Supervisor) -> None:
    helper.close()
    helper.start()
    assert run("true").ok
    helper.close()
    helper.close()
    assert run("true").ok


def test_a_runner_that_looks_away_for_long_changes_no_limit(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small() -> tuple[socket.socket, socket.socket]:
        pair = real()
        pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # room for few signs of life
        return pair

    real = socket.socketpair
    monkeypatch.setattr(socket, "socketpair", small)
    pids: list[int] = []

    def poll() -> None:
        until(lambda: process_start_time(pids[0]) is None)

    finished = run("sleep", "60", timeout=2, started=lambda pid, _: pids.append(pid), poll=poll)
    assert finished.stopped == "timeout"
    assert finished.seconds < 4

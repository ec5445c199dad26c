from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_agenttasks.processes import lifeline, supervisor
from pytest_agenttasks.processes.supervisor import StartError, SupervisorLost, process_start_time
from tests.living import Runner, raising, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    with Runner(tmp_path / "work") as run:
        yield run


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_is_reported(run: Runner, code: int) -> None:
    finished = run("sh", "-c", f"exit {code}")
    assert (finished.exit_code, finished.signal, finished.stopped) == (code, None, None)
    assert finished.ok is (code == 0)
    assert finished.survivors == ()


def test_the_signal_that_killed_the_program_is_reported(run: Runner) -> None:
    finished = run("sh", "-c", "kill -USR1 $$")
    assert (finished.exit_code, finished.signal) == (None, signal.SIGUSR1)
    assert not finished.ok


def test_a_program_over_its_time_gets_sigterm(run: Runner) -> None:
    finished = run("sleep", "60", timeout=0.1)
    assert (finished.stopped, finished.signal, finished.survivors) == ("timeout", signal.SIGTERM, ())
    assert 0.1 <= finished.seconds < 3


def test_a_program_may_use_its_grace_to_end_well(run: Runner) -> None:
    finished = run("sh", "-c", "trap 'echo bye; exit 7' TERM; sleep 60 & wait", timeout=0.3, grace=20)
    assert (finished.stopped, finished.exit_code) == ("timeout", 7)
    assert not finished.ok
    assert (run.folder / "out").read_text() == "bye\n"
    assert run.living() == []


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(run: Runner) -> None:
    finished = run("sh", "-c", "trap '' TERM; sleep 60; sleep 60", timeout=0.2, grace=0.3)
    assert (finished.stopped, finished.signal) == ("timeout", signal.SIGKILL)
    assert 0.5 <= finished.seconds < 10
    assert run.living() == []


def test_too_much_output_ends_the_program_and_is_cut(run: Runner) -> None:
    finished = run("sh", "-c", "echo problem >&2; exec yes", stderr=run.folder / "err", max_output=100_000)
    assert (finished.stopped, finished.signal) == ("output", signal.SIGKILL)
    assert (run.folder / "err").read_text() == "problem\n"
    assert (run.folder / "out").stat().st_size == 100_000 - len("problem\n")


def test_too_much_output_counts_even_if_the_program_was_quick(run: Runner) -> None:
    finished = run("head", "-c", "5000", "/dev/zero", max_output=4000)
    assert (finished.stopped, finished.exit_code) == ("output", 0)
    assert (run.folder / "out").stat().st_size == 4000
    assert run("head", "-c", "4000", "/dev/zero", max_output=4000).ok


def test_a_flood_while_the_program_should_end_gets_no_grace(run: Runner) -> None:
    script = "trap '' TERM; sleep 0.5; exec yes"
    finished = run("sh", "-c", script, timeout=0.2, grace=30, max_output=10_000)
    assert (finished.stopped, finished.signal) == ("timeout", signal.SIGKILL)
    assert finished.seconds < 20


def test_a_text_from_poll_stops_the_program(run: Runner) -> None:
    answers = iter([None, None, "stalled"])  # a fourth call would fail
    finished = run("sh", "-c", "trap 'sleep 0.6; exit' TERM; sleep 60 & wait", poll=lambda: next(answers))
    assert finished.stopped == "stalled"


def test_started_tells_which_process_it_is(run: Runner) -> None:
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
def test_an_exception_leaves_no_process(run: Runner, where: str, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        run("sh", "-c", "trap '' TERM; setsid sleep 60 & sleep 60", **{where: raising(error)})
    assert caught.value is error
    assert run.living() == []
    assert run("true").ok


def test_a_second_interrupt_leaves_the_rest_to_the_reaper(run: Runner) -> None:
    previous = signal.signal(signal.SIGUSR1, raising(KeyboardInterrupt("second")))
    reaper = 0

    def poll() -> None:
        nonlocal reaper
        assert run.supervisor._lifeline is not None
        reaper = run.supervisor._lifeline.process.pid
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
    run.supervisor.close()
    assert run.living() == []
    assert process_start_time(reaper) is None


def test_signals_that_a_terminal_sends_do_not_end_the_reaper(run: Runner) -> None:
    assert run("sh", "-c", "kill -INT $PPID; kill -TERM $PPID; kill -HUP $PPID; kill -QUIT $PPID").ok
    assert run("true").ok


def test_the_reaper_is_in_no_session_of_the_runner(run: Runner) -> None:
    run("true")
    assert run.supervisor._lifeline is not None
    assert os.getsid(run.supervisor._lifeline.process.pid) == run.supervisor._lifeline.process.pid


def test_a_reaper_that_the_program_kills_is_reported_and_replaced(run: Runner) -> None:
    with pytest.raises(SupervisorLost, match=r"died \(exit status -9\)") as caught:
        run("sh", "-c", "sleep 60 & setsid sh -c 'sleep 60; :' & sleep 0.2; kill -KILL $PPID; sleep 60")
    assert run.living() == []
    assert sorted(caught.value.ended) == ["sh", "sh", "sleep", "sleep", "sleep"]
    assert run("true").ok


def test_a_reaper_that_the_program_stops_is_reported_and_replaced(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SILENCE", 3)
    with pytest.raises(SupervisorLost, match="went silent"):
        run("sh", "-c", "setsid sh -c 'setsid sleep 60 &'; kill -STOP $PPID; sleep 60")
    assert run.living() == []
    assert run("true").ok


def test_a_reaper_that_fails_says_how(run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "reaper.py").write_text("raise SystemExit('no ctypes here')")
    monkeypatch.setattr(lifeline, "REAPER", tmp_path / "reaper.py")
    with pytest.raises(SupervisorLost, match="no ctypes here"):
        run("true")


def test_a_reaper_that_died_while_idle_is_replaced(run: Runner) -> None:
    run("true")
    assert run.supervisor._lifeline is not None
    first = run.supervisor._lifeline.process
    first.kill()
    first.wait()
    assert run("true").ok
    assert run.supervisor._lifeline.process is not first


def test_a_supervisor_runs_one_program_at_a_time(run: Runner) -> None:
    with pytest.raises(RuntimeError, match="one for each thread"):
        run("sleep", "60", poll=lambda: run("true"))


def test_supervisors_work_side_by_side_in_threads(tmp_path: Path) -> None:
    def many(name: str) -> None:
        with Runner(tmp_path / name) as run:
            for code in range(5):
                finished = run("sh", "-c", f"sleep 60 & echo {name}; exit {code}")
                text = (run.folder / "out").read_text()
                results.append((finished.exit_code == code, text == f"{name}\n", run.living()))

    results: list[tuple[bool, bool, list[int]]] = []
    threads = [threading.Thread(target=many, args=[name]) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(True, True, [])] * 15


def test_nothing_leaks(run: Runner) -> None:
    def handles(process: str) -> int:
        return len(os.listdir(f"/proc/{process}/fd"))

    def once() -> None:
        run("sh", "-c", "setsid sleep 60 & exit 0", stderr=run.folder / "err", stdin=run.folder / "in")
        for options in ({"cwd": Path("/no")}, {"stdin": Path("/no")}, {"stderr": Path("/no/err")}):
            with pytest.raises(StartError):
                run("true", **options)

    (run.folder / "in").touch()
    before = handles("self")
    once()
    assert run.supervisor._lifeline is not None
    reaper = str(run.reaper)
    early = handles("self"), handles(reaper)
    for _ in range(10):
        once()
    assert (handles("self"), handles(reaper)) == early
    zombies = subprocess.run(["ps", "--ppid", reaper], capture_output=True, text=True, check=False)
    assert zombies.stdout.count("\n") == 1, zombies.stdout
    run.supervisor.close()
    assert handles("self") == before
    assert process_start_time(int(reaper)) is None


def test_closing_twice_and_running_again_is_fine(run: Runner) -> None:
    run.supervisor.close()
    run.supervisor.start()
    assert run("true").ok
    run.supervisor.close()
    run.supervisor.close()
    assert run("true").ok


def test_a_runner_that_looks_away_for_long_changes_no_limit(
    run: Runner, monkeypatch: pytest.MonkeyPatch
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

"""After a program has ended, however it ended, no process of it is alive."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import pytest_agenttasks
from pytest_agenttasks.processes import lifeline, orphans
from pytest_agenttasks.processes.supervisor import Unkillable
from tests.living import Runner, living, raising, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Ways to stay behind. Each one tells by the file `ready` that it is there, and ends by itself in a minute.
STAY = "touch ready; exec sleep 60"
DAEMONS = {
    "background": f"({STAY}) &",
    "nohup": f"nohup sh -c '{STAY}' &",
    "session": f"setsid sh -c '{STAY}' &",
    "double fork": f"(setsid sh -c '(sh -c \"{STAY}\" &) & exit' &)",
    "no environment": f"env -i {shutil.which('setsid')} sh -c '{STAY}' >/dev/null 2>&1 </dev/null &",
    "deaf": "setsid sh -c 'trap \"\" TERM INT HUP QUIT; touch ready; sleep 30; sleep 30' &",
    "stopped": "setsid sh -c 'touch ready; kill -STOP $$; sleep 60' &",
    "generations": f'setsid sh -c \'sleep 60 & setsid sh -c "sleep 60 & setsid sh -c \\"{STAY}\\"; :"; :\' &',
}
WAIT = "while ! [ -e ready ]; do sleep 0.01; done; rm ready"

# Each life is a new process in a new session, and its parent is gone. 20 seconds in all.
FORKER = """
import os, time
open("ready", "w").close()
end = time.monotonic() + 20
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.002)
"""

# Two sessions; each starts the other anew as soon as it is gone. 20 seconds in all.
PAIR = """
import os, select, time
end = time.monotonic() + 20
def live(other):
    os.setsid()
    while time.monotonic() < end:
        if other is None:
            mine = os.getpid()
            other = os.fork()
            if other == 0:
                return live(mine)
            open("ready", "w").close()
        try:
            handle = os.pidfd_open(other)
        except ProcessLookupError:
            other = None
            continue
        select.select([handle], [], [], 20)
        os.close(handle)
        other = None
if os.fork() == 0:
    live(None)
"""


SOURCE = Path(pytest_agenttasks.__file__).parent / "processes"

# Waits for the process whose number it reads to end, and tells.
WATCHER = """
import os, select, sys
handle = os.pidfd_open(int(sys.stdin.readline()))
open("ready", "w").close()
select.select([handle], [], [], 20)
open("noticed", "w").close()
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    with Runner(tmp_path / "work") as run:
        yield run


@pytest.mark.parametrize("way", DAEMONS)
@pytest.mark.parametrize("end", ["exit 3", "kill -KILL $$", "sleep 60"])
def test_no_daemon_outlives_the_program(run: Runner, way: str, end: str) -> None:
    finished = run(
        "sh", "-c", f"{DAEMONS[way]}\n{WAIT}; {end}", timeout=0.5 if "sleep" in end else 60, grace=0
    )
    assert run.living() == []
    assert (finished.exit_code == 3) is (end == "exit 3")
    assert finished.survivors or (end == "sleep 60" and way in ("background", "nohup"))  # heard the SIGTERM


@pytest.mark.parametrize("script", [FORKER, PAIR], ids=["endless forker", "pair that revive each other"])
def test_no_forker_outlives_the_program(run: Runner, script: str) -> None:
    for _ in range(3):
        finished = run("sh", "-c", f'{sys.executable} -I -S -c "$0" & {WAIT}', script)
        assert run.living() == []
        assert finished.exit_code == 0
        assert finished.survivors


def test_a_herd_of_forkers_does_not_outlive_the_program(run: Runner) -> None:
    herd = f'for i in 1 2 3 4 5 6 7 8; do {sys.executable} -I -S -c "$0" & done; {WAIT}; sleep 0.2'
    finished = run("sh", "-c", herd, FORKER)
    assert run.living() == []
    assert len(finished.survivors) <= 20


def test_all_are_stopped_before_one_is_killed(run: Runner) -> None:
    """So that none can act on the death of another.

    The newest process dies first; the watcher, which is deep in the family, would die last of hundreds.
    """
    script = f"""
        mkfifo pipe
        setsid sh -c '{sys.executable} -I -S -c "$0" < pipe; :' "$0" &
        setsid sh -c 'for i in $(seq 200); do sleep 60 & done; touch herd; wait' &
        while ! [ -e herd ]; do sleep 0.01; done
        setsid sleep 60 &
        echo $! > pipe
        {WAIT}
    """
    for _ in range(2):
        assert run("sh", "-c", script, WATCHER).ok
        assert run.living() == []
        assert not (run.folder / "noticed").exists()
        (run.folder / "herd").unlink()
        (run.folder / "pipe").unlink()


def test_survivors_are_named_up_to_twenty(run: Runner) -> None:
    assert run("sh", "-c", f"{DAEMONS['session']} {WAIT}; sleep 0.05").survivors == ("sleep",)
    many = run("sh", "-c", "for i in $(seq 30); do sleep 60 & done; sleep 0.1")
    assert many.survivors == ("sleep",) * 20
    assert run.living() == []
    assert run("sh", "-c", "sleep 0.05 & wait").survivors == ()


def test_an_orphan_that_ends_meanwhile_is_collected(run: Runner) -> None:
    """Otherwise a program that waits for its daemon's number to vanish would wait for ever."""
    script = "pid=$( (sleep 0.1 >/dev/null & echo $!) ); while kill -0 $pid; do sleep 0.01; done"
    assert run("sh", "-c", script, timeout=20).exit_code == 0


def test_nobody_else_is_hit(run: Runner) -> None:
    with (
        subprocess.Popen(["sleep", "60"], cwd=run.folder.parent) as child,
        subprocess.Popen(
            ["sh", "-c", "(sleep 60; :) & wait"], cwd=run.folder.parent, start_new_session=True
        ) as parent,
    ):
        try:
            until(lambda: len(living(run.folder.parent)) == 4)
            before = sorted(living(run.folder.parent))
            for way in DAEMONS.values():
                run("sh", "-c", f"{way}\n{WAIT}")
            assert sorted(living(run.folder.parent)) == before
            states = [Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in before]
            assert states == ["S"] * 4
        finally:
            child.kill()
            os.killpg(parent.pid, signal.SIGKILL)


RUNNER = """
import os, sys, time
from pathlib import Path
from pytest_agenttasks.processes import lifeline
from pytest_agenttasks.processes.supervisor import Supervisor

lifeline.REAPER = Path(sys.argv[3])
folder = Path(sys.argv[1])

def poll():
    if (folder / "ready").exists() and not (folder / "go").exists():
        if sys.argv[4:] == ["copied"] and os.fork() == 0:
            os.chdir("/")
            time.sleep(60)
        (folder / "go").touch()

with Supervisor() as supervisor:
    try:
        argv = ["sh", "-c", sys.argv[2]]
        supervisor.run(argv, cwd=folder, env=dict(os.environ), stdout=folder / "out", poll=poll)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def start_runner(run: Runner, way: str, *options: str) -> subprocess.Popen[bytes]:
    """Another process that runs a program with a daemon; returns when both are there."""
    script = f"{DAEMONS[way]}\ntrap '' TERM INT; sleep 30; sleep 30"
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, run.folder, script, lifeline.REAPER, *options],
        cwd=SOURCE.parent,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    until((run.folder / "go").exists)
    assert len(run.living()) >= 2
    return runner


@pytest.mark.parametrize("way", DAEMONS)
def test_nothing_outlives_a_killed_runner(run: Runner, way: str) -> None:
    with start_runner(run, way) as runner:
        runner.kill()
    until(lambda: run.living() == [])


def test_a_copy_of_a_killed_runner_keeps_nothing_alive(run: Runner) -> None:
    """It holds the line to the reaper open."""
    with start_runner(run, "session", "copied") as runner:
        runner.kill()
        until(lambda: run.living() == [])
        os.killpg(runner.pid, signal.SIGKILL)


def test_an_interrupt_from_the_terminal_ends_everything(run: Runner) -> None:
    with start_runner(run, "session") as runner:
        os.killpg(runner.pid, signal.SIGINT)  # as Ctrl-C does: to the group
        output, _ = runner.communicate()
    assert output == b"interrupted\n"
    assert run.living() == []


def mutated(folder: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the reaper in which some pieces are changed, each of which is there once."""
    package = folder / "pytest_agenttasks" / "processes"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    texts = {
        name: (SOURCE / f"{name}.py").read_text() for name in ("__init__", "launch", "lineage", "reaper")
    }
    for old, new in changes:
        (name,) = (name for name, text in texts.items() if text.count(old) == 1)
        texts[name] = texts[name].replace(old, new)
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    return package / "reaper.py"


def test_without_adoption_the_group_is_ended(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifeline, "REAPER", mutated(tmp_path, ('sys.platform == "linux"', "False")))
    assert run("sh", "-c", f"{DAEMONS['background']}\n{WAIT}").ok
    until(lambda: run.living() == [])
    with pytest.raises(KeyboardInterrupt):
        run("sh", "-c", "trap '' TERM; sleep 60 & sleep 60", poll=raising(KeyboardInterrupt()))
    until(lambda: run.living() == [])


@pytest.mark.parametrize(
    ("old", "new", "way"),
    [
        ('sys.platform == "linux"', "False", "session"),  # kills the program's group, no more
        ("libc.prctl(36, 1, 0, 0, 0) != 0", "False", "double fork"),  # orphans go to init
    ],
)
def test_a_weaker_sweep_would_be_noticed(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, way: str
) -> None:
    monkeypatch.setattr(lifeline, "REAPER", mutated(tmp_path, (old, new)))
    assert run("sh", "-c", f"{DAEMONS[way]}\n{WAIT}").ok
    assert len(run.living()) == 1


def test_without_adoption_what_was_seen_is_ended(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS; also when the program is not waited for."""
    monkeypatch.setattr(lifeline, "REAPER", mutated(tmp_path, ('sys.platform == "linux"', "False")))
    monkeypatch.setattr(orphans, "watch", orphans.Watch)
    waiting = "while ! [ -e seen ]; do sleep 0.01; done"
    script = f"{DAEMONS['session']} {WAIT}; touch there; {waiting}"

    def poll() -> None:  # called after each look of the watch
        if (run.folder / "known").exists():
            (run.folder / "seen").touch()
        elif (run.folder / "there").exists():
            (run.folder / "known").touch()

    finished = run("sh", "-c", script, poll=poll)
    assert finished.ok
    assert "sleep" in finished.survivors
    assert run.living() == []
    for name in ("known", "seen", "there"):
        (run.folder / name).unlink()

    def interrupt() -> None:
        poll()
        if (run.folder / "seen").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("sh", "-c", script, poll=interrupt)
    assert run.living() == []


@pytest.fixture
def mortal(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Until this file exists, nothing can be killed."""
    path = tmp_path / "mortal"
    changed = mutated(
        tmp_path,
        ("SWEEP = 10.0", "SWEEP = 0.3"),
        ("process.send(signal.SIGKILL)", f"os.path.exists({str(path)!r}) and process.send(signal.SIGKILL)"),
    )
    monkeypatch.setattr(lifeline, "REAPER", changed)
    return path


def test_what_cannot_be_killed_is_named_and_tried_again(run: Runner, mortal: Path) -> None:
    with pytest.raises(Unkillable, match=r"'sh' left processes that cannot be killed: sleep\. ") as caught:
        run("sh", "-c", f"{DAEMONS['session']} {WAIT}; sleep 0.05; exit 3")
    assert caught.value.names == ("sleep",)
    assert caught.value.finished.exit_code == 3
    assert len(run.living()) == 1
    mortal.touch()
    until(lambda: run.living() == [])
    assert run("true").ok
    mortal.unlink()
    with pytest.raises(Unkillable) as caught:
        run("sh", "-c", "trap '' TERM; sleep 60; :", timeout=0.3, grace=0)
    mortal.touch()
    assert sorted(caught.value.names) == ["sh", "sleep"]
    assert (caught.value.finished.exit_code, caught.value.finished.signal) == (None, None)
    assert caught.value.finished.survivors == ("sleep",)


def test_what_cannot_be_killed_at_an_interrupt_keeps_its_reaper(
    run: Runner, mortal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifeline, "_lingering", [])
    with pytest.raises(KeyboardInterrupt) as caught:
        run("sleep", "60", poll=raising(KeyboardInterrupt()))
    (note,) = caught.value.__notes__
    assert note in ("could not be killed yet: sleep", "could not be killed yet: (not to be seen)")
    (reaper,) = lifeline._lingering
    assert len(run.living()) == 1
    mortal.touch()
    assert reaper.wait(timeout=20) == 0
    assert run.living() == []


def test_what_cannot_be_killed_when_the_runner_was_keeps_its_reaper(run: Runner, mortal: Path) -> None:
    with start_runner(run, "session") as runner:
        (reaper,) = psutil.Process(runner.pid).children()
        runner.kill()
    with pytest.raises(psutil.TimeoutExpired):
        reaper.wait(timeout=1)
    mortal.touch()
    until(lambda: run.living() == [])
    until(lambda: not reaper.is_running() or reaper.status() == psutil.STATUS_ZOMBIE)

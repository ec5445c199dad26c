"""Programs in cgroups of their own: what memory and processes they get, and what is left of the cgroup."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_agenttasks.diagnosis import containment
from pytest_agenttasks.diagnosis.finding import Level
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.processes import cgroup_tree, cgroups
from pytest_agenttasks.processes.cgroup_tree import Parent
from pytest_agenttasks.processes.cgroups import Cgroups
from pytest_agenttasks.processes.sandbox import Sandbox
from pytest_agenttasks.processes.supervisor import Finished
from tests.living import PATH, Runner, until
from tests.opened import attempt_task, opened
from tests.queue_runs import Project
from tests.user_repository import UserRepository

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cgroups are Linux's")

MIB = 1024**2
HOG = f"'{sys.executable}' -I -S -c 'kept = [bytearray(b\"x\" * (8 << 20)) for _ in range(50)]'"
"""Takes 400 MB at most."""
FORKER = f"""'{sys.executable}' -I -S -c '
import os, time
for _ in range(64):
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
'"""
"""64 processes at most, for 20 s at most."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    with Runner(tmp_path / "work") as run:
        yield run


def made_here(found: Cgroups) -> set[str]:
    """The cgroups of this process that there are."""
    mine = f"agenttasks-{cgroups._me()}-"
    return {name for folder in found.folders for name in os.listdir(folder) if name.startswith(mine)}


def in_a_group(run: Runner, found: Cgroups, line: str, seconds: float = 60.0) -> Finished:
    with found.group() as group:
        finished = run("sh", "-c", line, doors=group.doors, timeout=seconds)
        return replace(finished, hit=group.hit())


def test_a_memory_hog_is_ended_and_named(run: Runner, own_cgroups: Cgroups) -> None:
    finished = in_a_group(run, own_cgroups, f"exec {HOG}")
    assert finished.signal == signal.SIGKILL
    assert finished.hit.memory == "more than 64 MiB of memory (`limits.memory`)"
    assert made_here(own_cgroups) == set()


def test_a_hog_takes_its_sandbox_or_shell_not_down(run: Runner, own_cgroups: Cgroups) -> None:
    finished = in_a_group(run, own_cgroups, f"{HOG}; echo went on")
    assert finished.ok
    assert finished.hit.memory
    assert "went on" in (run.folder / "out").read_text()


def test_a_forker_is_refused_and_named(run: Runner, own_cgroups: Cgroups) -> None:
    finished = in_a_group(run, own_cgroups, FORKER)
    assert finished.exit_code == 1
    assert "BlockingIOError" in (run.folder / "out").read_text()
    assert finished.hit.processes == "more than 32 processes (`limits.processes`)"
    assert run.living() == []
    assert made_here(own_cgroups) == set()


def test_what_stays_within_its_limits_is_not_named(run: Runner, own_cgroups: Cgroups) -> None:
    finished = in_a_group(run, own_cgroups, "cat /proc/self/cgroup")
    assert finished.ok
    assert finished.hit == cgroups.NOTHING
    inside = (run.folder / "out").read_text()
    assert f"agenttasks-{cgroups._me()}-" in inside
    assert f"agenttasks-{cgroups._me()}-" not in Path("/proc/self/cgroup").read_text()


def test_a_program_that_cannot_join_does_not_run(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="its cgroup: No such file"):
        run("sh", "-c", "echo ran > ran", doors=[tmp_path / "none/cgroup.procs"])
    assert not (run.folder / "ran").exists()


def test_one_that_a_program_has_made_in_it_goes_too(run: Runner, own_cgroups: Cgroups) -> None:
    with own_cgroups.group() as group:
        for door in group.doors:
            (door.parent / "inner/most").mkdir(parents=True)
    assert made_here(own_cgroups) == set()


def test_the_cgroup_of_a_killed_runner_is_removed_by_its_reaper(tmp_path: Path, own_cgroups: Cgroups) -> None:
    script = tmp_path / "runner.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from pytest_agenttasks.processes import cgroups\nfrom pytest_agenttasks.processes.supervisor import Supervisor\n"
        "with cgroups.find(None, None).group() as group, Supervisor() as supervisor:\n"
        "    here = Path(sys.argv[1])\n"
        "    supervisor.run(['sh', '-c', 'echo > begun; sleep 30'], cwd=here, env={'PATH': sys.argv[2]}, "
        "stdout=here / 'out', doors=group.doors)\n"
    )
    with subprocess.Popen([sys.executable, str(script), str(tmp_path), PATH]) as runner:
        until((tmp_path / "begun").exists)
        mine = f"-{runner.pid}-"
        made = [f for folder in own_cgroups.folders for f in folder.glob("agenttasks-*") if mine in f.name]
        assert made
        runner.send_signal(signal.SIGKILL)
    until(lambda: not any(folder.exists() for folder in made))


def test_the_next_start_removes_what_a_killed_run_left(own_cgroups: Cgroups) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    name = f"agenttasks-{cgroups._pid_namespace()}-{gone.pid}-1-1"
    alive = f"agenttasks-{cgroups._me()}-1000000"
    other = "agenttasks-of-somebody"
    for folder in own_cgroups.folders:
        for each in (name, alive, other):
            (folder / each).mkdir()
    try:
        with subprocess.Popen(["sleep", "60"]) as left:
            for folder in own_cgroups.folders:
                (folder / name / "cgroup.procs").write_text(str(left.pid))
            told = own_cgroups.clear()
            assert left.wait(timeout=10) == -signal.SIGKILL
        assert told[0] == f"removed the cgroup {name} of a run that was killed, and ended 1 process in it"
        for folder in own_cgroups.folders:
            assert [(folder / each).exists() for each in (name, alive, other)] == [False, True, True]
    finally:
        for folder in own_cgroups.folders:
            for each in (name, alive, other):
                if (folder / each).exists():
                    (folder / each).rmdir()


LIMITS = {"memory": "64M", "processes": 32}


def test_a_gate_that_takes_too_much_memory_says_so(repository: UserRepository, own_cgroups: Cgroups) -> None:
    gates = [{"name": "tests", "run": f"if grep -q attempt src/a.txt; then exec {HOG}; fi"}]
    with opened(repository, gates=gates, limits=LIMITS) as run:
        this = attempt_task(run)
    assert this.outcome is not None
    assert this.outcome.kind is Kind.GATE
    assert this.outcome.summary.endswith("` was killed: more than 64 MiB of memory (`limits.memory`)")


def test_a_gate_whose_child_takes_too_much_says_so(repository: UserRepository, own_cgroups: Cgroups) -> None:
    gates = [{"name": "tests", "run": f"if grep -q attempt src/a.txt; then {HOG} || exit 3; fi"}]
    with opened(repository, gates=gates, limits=LIMITS) as run:
        this = attempt_task(run)
    assert this.outcome is not None
    ended = "ended with exit status 3 (the kernel had ended processes of it: more than 64 MiB of memory (`limits.memory`))"
    assert ended in this.outcome.summary


def test_a_green_gate_that_hit_its_limits_leaves_a_note(
    repository: UserRepository, own_cgroups: Cgroups
) -> None:
    gates = [{"name": "tests", "run": f"if grep -q attempt src/a.txt; then {FORKER} || true; fi"}]
    with opened(repository, gates=gates, limits=LIMITS) as run:
        this = attempt_task(run)
    assert this.outcome is not None
    assert this.outcome.kind is Kind.LANDED
    note = "gate `tests`: it was refused forks (more than 32 processes (`limits.processes`))"
    assert note in this.notes


def test_an_agent_that_takes_too_much_memory_says_so(project: Project, own_cgroups: Cgroups) -> None:
    project.configure("max_attempts: 1\nlimits: {memory: 64M, processes: 32}")
    project.agent(f"exec {HOG}")
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "agent"}
    assert "the agent was killed: more than 64 MiB of memory (`limits.memory`)" in result.output
    assert "raise `limits.memory`" in result.output


def test_an_agent_that_goes_on_after_its_hog_was_killed_has_a_note(
    project: Project, own_cgroups: Cgroups
) -> None:
    project.configure("limits: {memory: 64M, processes: 32}")
    project.agent(f"{HOG} || echo by an agent >> src/a.txt")
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    log = "".join(file.read_text() for file in (project.path / "tasks/logs").rglob("*") if file.is_file())
    assert "the agent: the kernel ended processes of it (more than 64 MiB of memory" in log


def test_a_program_in_the_sandbox_cannot_lift_its_limits(
    repository: UserRepository, own_cgroups: Cgroups, bubblewrap: Sandbox
) -> None:
    files = " ".join(str(folder) for folder in own_cgroups.folders)
    names = "-name memory.limit_in_bytes -o -name memory.max -o -name pids.max"
    lift = f"for f in $(find {files} -path '*/agenttasks-*' {names}); do echo -1 > $f || echo refused; done"
    gates = [{"name": "tests", "run": f"if grep -q attempt src/a.txt; then {lift}; exec {HOG}; fi"}]
    with opened(repository, gates=gates, sandbox="bwrap", limits=LIMITS) as run:
        this = attempt_task(run)
    assert this.outcome is not None
    assert "was killed: more than 64 MiB" in this.outcome.summary
    assert "refused" in this.outcome.evidence


def test_limits_that_cannot_be_held_are_told(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        cgroup_tree, "look", lambda: cgroup_tree.Tree(None, None, "/x is not delegated to this user")
    )
    with opened(repository, gates=[{"name": "tests", "run": "true"}], limits={"memory": "1G"}) as run:
        assert run.programs.cgroups.unheld == (
            "`limits.memory` cannot be held here: /x is not delegated to this user"
        )
        assert attempt_task(run).outcome is not None
    assert cgroups.find(None, None).unheld == ""
    described = "\n".join(cgroups.describe(cgroups.find(None, None)))
    assert "memory is not limited" in described
    assert "not delegated" in described


def test_version_2_has_files_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which a kernel makes with the folder, and here this test does."""
    made = Path.mkdir

    def mkdir(folder: Path) -> None:
        made(folder)
        for name in ("cgroup.procs", "memory.max", "memory.swap.max", "pids.max"):
            (folder / name).touch()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    here = Parent(tmp_path, unified=True)
    with Cgroups(here, here, memory=100 * MIB, processes=50).group() as group:
        (folder,) = tmp_path.iterdir()
        assert group.doors == (folder / "cgroup.procs",)
        written = {
            name: (folder / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max")
        }
        assert written == {"memory.max": str(100 * MIB), "memory.swap.max": "0", "pids.max": "50"}
        (folder / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 0\noom_kill 1\noom_group_kill 0\n")
        (folder / "pids.events").write_text("max 0\n")
        assert group.hit() == cgroups.Hit(memory="the machine ran out of memory")
        (folder / "memory.events").write_text("oom 1\noom_kill 1\n")
        (folder / "pids.events").write_text("max 3\n")
        assert group.hit() == cgroups.Hit(
            "more than 100 MiB of memory (`limits.memory`)", "more than 50 processes (`limits.processes`)"
        )
        for file in folder.iterdir():
            file.unlink()  # as the kernel does
    assert not list(tmp_path.iterdir())


def test_the_default_leaves_some_of_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer/inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (outer / "memory.max").write_text(f"{100 * MIB}\n")
    assert cgroups._available(Parent(inner, unified=True)) == 100 * MIB
    (tmp_path / "memory.stat").write_text(f"cache 1\nhierarchical_memory_limit {50 * MIB}\n")
    assert cgroups._available(Parent(tmp_path, unified=False)) == 50 * MIB
    (tmp_path / "memory.stat").write_text("hierarchical_memory_limit 9223372036854771712\n")
    assert MIB < cgroups._available(Parent(tmp_path, unified=False)) < 2**60


def test_a_child_of_the_sandbox_is_ended_and_not_the_sandbox(
    repository: UserRepository, own_cgroups: Cgroups, bubblewrap: Sandbox
) -> None:
    gates = [{"name": "tests", "run": f"if grep -q attempt src/a.txt; then {HOG} || exit 3; fi"}]
    with opened(repository, gates=gates, sandbox="bwrap", limits=LIMITS) as run:
        this = attempt_task(run)
    assert this.outcome is not None
    assert "ended with exit status 3 (the kernel had ended" in this.outcome.summary


@pytest.mark.parametrize(
    ("number", "words"), [(64 * MIB, "64 MiB"), (4 << 30, "4 GiB"), (int(18.83 * 2**30), "18.8 GiB")]
)
def test_sizes_in_words(number: int, words: str) -> None:
    assert cgroups.size(number) == words


def test_doctor_says_what_holds(own_cgroups: Cgroups) -> None:
    found = containment.limits(own_cgroups)
    assert found.level is Level.OK
    assert "64 MiB of memory" in found.text
    assert "32 processes and threads" in found.text


def test_doctor_warns_of_limits_that_are_asked_for_and_do_not_hold() -> None:
    asked = Cgroups(memory=64 * MIB, reason="/x cannot be written to", asked=("memory",))
    found = containment.limits(asked)
    assert found.level is Level.WARN
    assert found.text.startswith("`limits.memory` cannot be held here: /x cannot be written to; ")
    assert found.remedy == cgroup_tree.remedy()
    assert containment.limits(replace(asked, asked=())).level is Level.OK

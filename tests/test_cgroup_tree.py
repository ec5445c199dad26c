"""Where cgroups may be made, read from a /proc and hierarchies that lie in a folder."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_agenttasks.processes import cgroup_tree
from pytest_agenttasks.processes.cgroup_tree import LEAF, Parent, Tree


@dataclass(frozen=True)
class Machine:
    """A fake one: `top` stands for /sys/fs/cgroup."""

    top: Path
    proc: Path

    def look(self) -> Tree:
        return cgroup_tree.look(self.proc)

    def runs_in(self, *lines: str) -> None:
        (self.proc / "self").mkdir(parents=True, exist_ok=True)
        (self.proc / "self/cgroup").write_text("".join(f"{line}\n" for line in lines))

    def mounts(self, *mounts: tuple[str, str, str, str]) -> None:
        """Kind, root, folder below `top`, options."""
        (self.proc / "self").mkdir(parents=True, exist_ok=True)
        text = "21 1 0:5 / /proc rw shared:1 - proc proc rw\n"
        for kind, root, folder, options in mounts:
            at = str(self.top / folder).replace(" ", "\\040")
            text += f"31 23 0:28 {root} {at} rw,relatime shared:9 - {kind} {kind} {options}\n"
        (self.proc / "self/mountinfo").write_text(text)

    def files(self, folder: str, **files: str) -> Path:
        place = self.top / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (place / name.replace("__", ".")).write_text(text)
        return place


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "cgroup fs", tmp_path / "proc")


@pytest.fixture
def stranger() -> int:
    """The pid of a process that is no descendant of this one."""
    return os.getppid()


def version_1(machine: Machine) -> None:
    machine.runs_in("9:name=systemd:/", "8:pids:/user", "4:cpu,memory:/user/me", "0::/")
    machine.mounts(
        ("cgroup", "/", "memory", "rw,cpu,memory"),
        ("cgroup", "/", "pids", "rw,pids"),
        ("cgroup2", "/", "unified", "rw"),
    )


def version_2(machine: Machine, processes: str = "", **more: str) -> Path:
    """The run is in `/scope`; what it may do is in the files."""
    machine.runs_in("0::/scope")
    machine.mounts(("cgroup2", "/", "", "rw,nsdelegate"))
    files = {
        "cgroup__controllers": "cpu memory pids\n",
        "cgroup__type": "domain\n",
        "cgroup__procs": processes,
        "cgroup__subtree_control": "memory pids\n",
    }
    return machine.files("scope", **files | more)


def test_version_1_has_a_folder_for_each_controller(machine: Machine) -> None:
    version_1(machine)
    memory = machine.files("memory/user/me", memory__use_hierarchy="1\n")
    pids = machine.files("pids/user")
    assert machine.look() == Tree(Parent(memory, unified=False), Parent(pids, unified=False))


def test_version_1_without_a_hierarchy_would_escape_the_limits_above(machine: Machine) -> None:
    version_1(machine)
    machine.files("memory/user/me", memory__use_hierarchy="0\n")
    pids = machine.files("pids/user")
    found = machine.look()
    assert (found.memory, found.processes) == (None, Parent(pids, unified=False))
    assert "memory.use_hierarchy" in found.reason


def test_a_mount_shows_a_part_of_the_hierarchy(machine: Machine) -> None:
    machine.runs_in("8:pids:/docker/abc/inner", "4:memory:/docker/abc")
    machine.mounts(
        ("cgroup", "/docker/abc", "memory", "rw,memory"), ("cgroup", "/docker/abc", "pids", "rw,pids")
    )
    memory = machine.files("memory", memory__use_hierarchy="1\n")
    pids = machine.files("pids/inner")
    assert machine.look() == Tree(Parent(memory, unified=False), Parent(pids, unified=False))


def test_a_cgroup_outside_of_the_mount_cannot_be_reached(machine: Machine) -> None:
    machine.runs_in("0::/../other")
    machine.mounts(("cgroup2", "/", "", "rw"))
    found = machine.look()
    assert (found.memory, found.processes) == (None, None)
    assert "is not mounted" in found.reason


def test_version_2_has_one_folder(machine: Machine) -> None:
    scope = version_2(machine)
    assert machine.look() == Tree(Parent(scope, unified=True), Parent(scope, unified=True))


def test_version_2_hands_on_what_it_needs(machine: Machine) -> None:
    scope = version_2(machine, cgroup__subtree_control="memory\n")
    assert machine.look().processes == Parent(scope, unified=True)
    assert (scope / "cgroup.subtree_control").read_text().startswith("+pids")


def test_version_2_needs_the_controllers(machine: Machine) -> None:
    version_2(machine, cgroup__controllers="cpu pids\n")
    found = machine.look()
    assert (found.memory, found.processes is None) == (None, False)
    assert "has no controller for memory" in found.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to everything")
def test_version_2_needs_a_delegation(machine: Machine) -> None:
    scope = version_2(machine)
    (scope / "cgroup.subtree_control").chmod(0o400)
    found = machine.look()
    assert (found.memory, found.processes) == (None, None)
    assert "is not delegated" in found.reason


def test_a_leaf_of_an_earlier_look_leads_to_its_parent(machine: Machine) -> None:
    scope = version_2(machine)
    machine.runs_in(f"0::/scope/{LEAF}123")
    assert machine.look().memory == Parent(scope, unified=True)


def test_other_processes_are_never_moved(machine: Machine, stranger: int) -> None:
    scope = version_2(machine, f"{os.getpid()}\n{stranger}\n")
    found = machine.look()
    assert (found.memory, found.processes) == (None, None)
    assert "holds other processes too" in found.reason
    assert not list(scope.glob(f"{LEAF}*"))


def test_the_runner_and_what_it_started_go_to_a_leaf(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel would: a process that is written into one `cgroup.procs` leaves the other."""
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            scope = version_2(machine, f"{os.getpid()}\n{child.pid}\n")
            moved: list[tuple[str, str]] = []

            def write(file: Path, text: str) -> None:
                moved.append((file.parent.name, text))
                inside = (scope / "cgroup.procs").read_text().split()
                (scope / "cgroup.procs").write_text("\n".join(pid for pid in inside if pid != text))

            monkeypatch.setattr(cgroup_tree, "write", write)
            assert machine.look().memory == Parent(scope, unified=True)
        finally:
            child.kill()
    leaf = f"{LEAF}{os.getpid()}"
    assert sorted(moved) == sorted([(leaf, str(os.getpid())), (leaf, str(child.pid))])


def test_the_root_of_the_machine_may_hold_processes(machine: Machine, stranger: int) -> None:
    scope = version_2(machine, f"{stranger}\n")
    (scope / "cgroup.type").unlink()
    assert machine.look().memory == Parent(scope, unified=True)


def test_the_switches_of_the_machines_root_are_left_alone(machine: Machine) -> None:
    scope = version_2(machine, cgroup__subtree_control="memory\n")
    (scope / "cgroup.type").unlink()
    found = machine.look()
    assert (found.memory, found.processes) == (Parent(scope, unified=True), None)
    assert "is the machine's root" in found.reason
    assert (scope / "cgroup.subtree_control").read_text() == "memory\n"


def test_no_cgroups_at_all(machine: Machine) -> None:
    found = machine.look()
    assert (found.memory, found.processes) == (None, None)
    assert found.reason

"""The plugin with one defence switched off at a time: what the attacks must notice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_agenttasks import gate_run, gates
from pytest_agenttasks.evidence.census import Census
from pytest_agenttasks.processes.supervisor import Finished, Supervisor
from pytest_agenttasks.report import printable
from pytest_agenttasks.run import Run
from pytest_agenttasks.tasks import scope
from pytest_agenttasks.trees import checkout, dependencies, places, survey, workspace
from pytest_agenttasks.trees import snapshot as snapshot_module
from pytest_agenttasks.trees.changes import Change
from pytest_agenttasks.trees.places import Place
from pytest_agenttasks.trees.repository import Repository
from pytest_agenttasks.trees.shadow import Shadow
from pytest_agenttasks.trees.snapshot import Snapshot
from pytest_agenttasks.verdicts import Verdict


def everything_is_in_scope() -> None:
    def judge(_: object, __: object, ___: object, changes: Sequence[Change]) -> scope.Verdict:
        return scope.Verdict(tuple(changes), (), None, ())

    _replace(scope.judge, judge)


def new_files_are_in_scope() -> None:
    judged = scope.judge

    def judge(*given: Any) -> scope.Verdict:
        found = judged(*given)
        rest = tuple(violation for violation in found.violations if not violation.change.added)
        more = tuple(violation.change for violation in found.violations if violation.change.added)
        return scope.Verdict((*found.allowed, *more), found.dropped, found.memory, rest)

    _replace(scope.judge, judge)


def guarded_files_are_writable() -> None:
    _set(scope._Guard, "unnamed", lambda *_, **__: None)


def protected_files_are_writable() -> None:
    _set(scope._Guard, "never", lambda *_, **__: None)


def ignore_files_of_the_agent_count() -> None:
    class _AgentsRules:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> dict[bytes, tuple[str, str]]:
            return {}

        def __exit__(self, *_: object) -> None: ...

    _set(snapshot_module, "BaseRules", _AgentsRules)


def the_agents_git_is_believed() -> None:
    """The snapshot by the workspace's own `.git`: its index, configuration and ignore rules."""

    def snapshot(
        shadow: Shadow, where: Place, base_tree: str, skip: Collection[bytes], beside: Callable[[], None]
    ) -> Snapshot:
        def git(*args: str) -> str:
            done = subprocess.run(["git", *args], cwd=where.path, capture_output=True, text=True, check=True)
            return done.stdout.strip()

        git("add", "-A")
        tree = git("write-tree")
        for line in git("rev-list", "--objects", tree, f"^{base_tree}").splitlines():
            name = line.split()[0]
            kind = git("cat-file", "-t", name)
            data = subprocess.run(
                ["git", "cat-file", kind, name], cwd=where.path, capture_output=True, check=True
            ).stdout
            shadow.write(kind, data)
        return Snapshot(tree, (), (), ())

    _replace(snapshot_module.snapshot, snapshot)


def nothing_is_odd() -> None:
    walked = survey.survey

    def blind(top: Path, skip: Collection[bytes]) -> survey.Survey:
        return replace(walked(top, skip), oddities=(), empty=())

    _replace(survey.survey, blind)


def settings_of_the_private_repository_are_not_put_back() -> None:
    _set(Shadow, "pin", lambda _: None)


def gates_run_where_the_agent_worked() -> None:

    def ready(run: Run, role: str, tree: str, head: str) -> Place:
        where = places.place(run.shadow, "agent", run.worker)
        if not (where.path.is_dir() and any(where.path.iterdir())):
            return checkout.ready(run, "gate", tree, head)
        run.shadow.git("add", "-A", index=where.index, work_tree=where.path)
        return where

    _set(gates, "ready", ready)


def the_gate_checkout_is_not_cleaned() -> None:
    _set(workspace, "walk", lambda *_: iter(()))


def rewritten_files_do_not_matter() -> None:
    _set(gate_run, "split", lambda _: [])


def dependencies_are_not_compared() -> None:
    def fresh(self: dependencies.Provider, where: Place, tree: str) -> tuple[bool, tuple[str, ...]]:
        return dependencies._load(where) is not None or not self._wanted(), ()

    _set(dependencies.Provider, "fresh", fresh)


def caches_are_shared() -> None:
    """One place for agents and gates."""
    placed = places.place

    def place(shadow: Shadow, role: places.Role, worker: int) -> Place:
        return placed(shadow, "gate", worker)

    _replace(places.place, place)


def survivors_stay_alive() -> None:
    def run(
        self: Supervisor,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: Path,
        stderr: Path | None = None,
        stdin: Path | None = None,
        **_: object,
    ) -> Finished:
        stdout.parent.mkdir(parents=True, exist_ok=True)
        with (
            stdout.open("wb") as output,
            (stderr or Path("/dev/null")).open("wb") as errors,
            (stdin or Path("/dev/null")).open("rb") as given,
        ):
            done = subprocess.run(
                argv, cwd=cwd, env=env, stdin=given, stdout=output, stderr=errors, check=False
            )
        return Finished(done.returncode, None, 0.0)

    _set(Supervisor, "run", run)


def the_last_line_decides() -> None:
    """A gate is green when it says so."""
    ran = gate_run.run_gate

    def run_gate(*given: Any) -> tuple[Verdict, Census | None]:
        found, census = ran(*given)
        said = Path(found.log).read_text(errors="replace") if found.log else ""
        if not found.passed and "passed" in said:
            found = Verdict(gate=found.gate, tree=found.tree, passed=True, seconds=0.0, log=found.log)
        return found, census

    _replace(gate_run.run_gate, run_gate)


def text_is_printed_as_it_is() -> None:
    for function in (printable.printable, printable.one_line):
        _replace(function, lambda text, *_: text)


def filters_of_the_moment_are_started() -> None:
    _set(Repository, "hold_filters", lambda self: None)


def lists_of_dependencies_are_believed() -> None:
    _replace(dependencies._is_below, lambda path: True)


def _replace(function: Callable[..., object], other: Callable[..., object]) -> None:
    """Put `other` in place of `function` wherever the plugin has imported it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("pytest_agenttasks"):
            for key in [key for key, value in vars(module).items() if value is function]:
                _set(module, key, other)


def _set(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)

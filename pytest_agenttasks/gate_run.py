"""One gate, run once: a shell line in a place made ready, and what its exit status, its reports and its files say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import verdicts
from .evidence.before import Before
from .evidence.census import Census
from .evidence.judgement import Judged, judge
from .evidence.reports import Left, collect, expect, gathering
from .processes.environment import Environment
from .processes.search_paths import search_paths
from .processes.supervisor import Finished
from .report.printable import TAIL_LIMIT, tail_of_file
from .run import Run
from .settings.durations import format_duration
from .settings.records import GateSettings
from .trees.changes import shown
from .trees.checkout import environment
from .trees.git import split
from .trees.places import Place
from .trees.removal import remove
from .trees.workspace import surely_as_switched, tracked
from .verdicts import Verdict

MAX_OUTPUT = 200 * 1024 * 1024
"""Bytes that a gate may print before it is ended."""
MINIMUM_TIMEOUT = 600.0
READ_ONLY = (
    "in the sandbox a gate can write to its workspace, TMPDIR and /tmp only: lead the tool there by the gate's `env`, or "
    "set `sandbox: none`"
)


def run_gate(
    run: Run, gate: GateSettings, where: Place, tree: str, log: Path, than: Before
) -> tuple[Verdict, Census | None]:
    """One gate, run once: its verdict, and the tests that its reports hold."""
    found = gate_environment(run, gate, where)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    limit = gate.timeout or default_timeout(run, gate)
    folder = where.path / (gate.cwd or ".")

    def verdict(
        judged: Judged, seconds: float, left: Left, *, missing: bool = False, compared: str = ""
    ) -> Verdict:
        evidence = _evidence(judged, log, found.withheld) if judged.reason else ""
        if run.programs.sandbox.active and "Read-only file system" in evidence:
            evidence += f"\n({READ_ONLY})"
        return Verdict(
            gate=gate.name, tree=tree, passed=not judged.reason, seconds=seconds, reason=judged.reason,
            evidence=evidence, log=str(log), withheld=found.withheld, missing=missing, notes=judged.notes,
            tests=None if left.census is None else len(left.census.tests), compared=compared,
        )  # fmt: skip

    if not folder.is_dir():
        return verdict(Judged(f"its folder `{gate.cwd}` is not in the tree"), 0.0, Left(), missing=True), None
    _mend_tmp(where)
    expected = expect(gate, where, tracked(run.shadow, where) if gate.junit else ())
    if expected.refused:
        return verdict(Judged(expected.refused), 0.0, Left()), None
    run.events.write("gate-started", gate=gate.name, run=gate.run)
    with gathering(expected):
        finished = run.programs.run(
            where,
            ["/bin/sh", "-c", gate.run],
            cwd=folder,
            env={**found.variables, **expected.variables(found.variables)},
            stdout=log,
            timeout=limit,
            max_output=MAX_OUTPUT,
        )
    run.events.write(
        "gate-ended", gate=gate.name, exit=finished.exit_code, seconds=round(finished.seconds, 3)
    )
    left = collect(expected)
    missing = finished.exit_code in (126, 127) and finished.stopped is None
    said_red = finished.exit_code is not None and finished.stopped is None and not missing
    failed = _failure(gate, finished, limit)
    judged = judge(gate, failed, left, than.census, than.touched, said_red=said_red)
    judged = replace(
        judged, notes=(*judged.notes, *(f"gate `{gate.name}`: {note}" for note in finished.hit.notes))
    )
    compared = than.base if judged.by_comparison else ""
    if not judged.reason:
        judged = replace(judged, reason=_rewritten(run, gate, where))
    return verdict(judged, finished.seconds, left, missing=missing, compared=compared), left.census


def _mend_tmp(where: Place) -> None:
    """Make the temporary folder anew where an earlier gate has left none that can be used."""
    if (
        where.tmp.is_symlink()
        or not where.tmp.is_dir()
        or not os.access(where.tmp, os.R_OK | os.W_OK | os.X_OK)
    ):
        remove(where.tmp)
        where.tmp.mkdir()


def _failure(gate: GateSettings, finished: Finished, limit: float) -> str:
    """How a gate failed by itself, "" where it ended with exit status 0."""
    if finished.stopped == "timeout":
        return f"`{gate.run}` did not end within {format_duration(limit)}"
    if finished.stopped == "output":
        return f"`{gate.run}` printed more than {MAX_OUTPUT // 1024 // 1024} MB"
    short = finished.hit.memory
    if finished.exit_code is None:
        return f"`{gate.run}` was killed" + (f": {short}" if short else f" by signal {finished.signal}")
    if finished.exit_code == 0:
        return ""
    meaning = {126: " (a program that cannot be run)", 127: " (a program that is not there)"}
    why = f" (the kernel had ended processes of it: {short})" if short else ""
    return (
        f"`{gate.run}` ended with exit status {finished.exit_code}{meaning.get(finished.exit_code, '')}{why}"
    )


def _rewritten(run: Run, gate: GateSettings, where: Place) -> str:
    """Why a gate that passed is red all the same: it changed the tree; "" where it did not."""
    if not where.intact:
        return f"`{gate.run}` passed but wrote into the runner's own index of the checkout"
    if surely_as_switched(where):
        return ""
    listed = run.shadow.git(
        "diff", "--name-only", "-z", "--no-ext-diff", "--no-textconv", index=where.index, work_tree=where.path
    )
    changed = split(listed)
    if not changed:
        return ""
    names = ", ".join(shown(path) for path in changed[:10])
    return f"`{gate.run}` passed but rewrote tracked files ({names}); make it check only (e.g. --check)"


def _evidence(judged: Judged, log: Path, withheld: Sequence[str]) -> str:
    """Of a red gate: what its tests say, then the end of its output."""
    lines = "".join(f"{line}\n" for line in judged.lines)
    evidence = lines + "\n" * bool(lines)
    if log.exists():
        evidence += tail_of_file(log, max(TAIL_LIMIT - len(evidence.encode()), TAIL_LIMIT // 4))
    if withheld:
        evidence += (
            f"\n(withheld from the gate, as they look like secrets: {', '.join(withheld)}; see env_pass)"
        )
    return evidence


def gate_environment(run: Run, gate: GateSettings, where: Place) -> Environment:
    found = environment(run.repository, where, os.environ, passed=gate.env_pass, extra=gate.env)
    paths = search_paths(run.repository.top, where.path, found.variables, os.environ)
    return Environment({**found.variables, **paths}, found.withheld)


def default_timeout(run: Run, gate: GateSettings) -> float:
    known = verdicts.times(run).get(verdicts.definition(gate), 0.0)
    return max(MINIMUM_TIMEOUT, 5 * known)

"""Gates: shell lines on a clean checkout of exactly the tree to be landed, and the verdicts they gave."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import verdicts
from .outcome import Kind, Outcome
from .processes.environment import Environment
from .processes.search_paths import search_paths
from .report.printable import printable, tail_of_file
from .run import Run
from .settings.durations import format_duration
from .settings.records import GateSettings
from .trees.checkout import environment, ready
from .trees.dependencies import SetupFailed
from .trees.git import split
from .trees.workspace import Place
from .verdicts import Verdict

MAX_OUTPUT = 200 * 1024 * 1024
"""Bytes that a gate may print before it is ended."""
MINIMUM_TIMEOUT = 600.0


def check(
    run: Run,
    gates: Sequence[GateSettings],
    tree: str,
    head: str,
    logs: Path,
    stem: str,
    *,
    trust: bool = True,
) -> list[Verdict]:
    """Run `gates` in order on `tree`, up to the first that is red; none where the verdicts of all are known.

    `trust` False: past the cache. Each gate's output goes to `logs/STEM.gate-NAME.log`.
    """
    keys = [verdicts.key(run, gate, tree) for gate in gates]
    known = [verdicts.recall(run, key) for key in keys] if trust else []
    if known and all(verdict and not verdict.inherited for verdict in known):
        return [verdict for verdict in known if verdict]
    given: list[Verdict] = []
    try:
        where = ready(run, "gate", tree, head)
        for gate, key in zip(gates, keys, strict=True):  # a later gate may use what an earlier one has built
            if given and not run.provider.fresh(where, tree)[0]:
                # But nothing that one wrote into the dependencies may decide for another.
                where = ready(run, "gate", tree, head)
            verdict = _run_gate(run, gate, where, tree, logs / f"{stem}.gate-{gate.name}.log")
            given.append(verdict)
            if not verdict.passed:
                break
            verdicts.remember(run, key, verdict)
    except SetupFailed as failed:
        given.append(_red_setup(failed, tree, logs / f"{stem}.gate-setup.log"))
    return given


def _red_setup(failed: SetupFailed, tree: str, log: Path) -> Verdict:
    log.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(failed.log, log)
    return Verdict(
        gate="setup",
        tree=tree,
        passed=False,
        seconds=0.0,
        reason=str(failed),
        evidence=failed.evidence,
        log=str(log),
    )


def green_base(run: Run, gates: Sequence[GateSettings], tree: str, head: str) -> Verdict | None:
    """The first gate that is red on the base, None when all are green (an inherited verdict counts here)."""
    if all(verdicts.recall(run, verdicts.key(run, gate, tree)) for gate in gates):
        return None
    given = check(run, gates, tree, head, run.queue.logs, "base")
    times = {verdicts.definition(gate): verdict.seconds for gate, verdict in zip(gates, given, strict=False)}
    file = run.repository.home / "gate-times.json"
    file.write_bytes(msgspec.json.encode({**_recall_file(file), **times}))
    return next((verdict for verdict in given if not verdict.passed), None)


def inherit(run: Run, gates: Sequence[GateSettings], tree: str, bookkept: str) -> None:
    """A bookkeeping commit touches queue and memory only: its tree is as green as the one below."""
    for gate in gates:
        verdict = verdicts.recall(run, verdicts.key(run, gate, tree))
        key = verdicts.key(run, gate, bookkept)
        if verdict and not verdicts.recall(run, key):
            verdicts.remember(run, key, msgspec.structs.replace(verdict, tree=bookkept, inherited=True))


def refuse_red(
    run: Run, gates: Sequence[GateSettings], red: Verdict, base: str, logs: Path, stem: str
) -> Outcome:
    """The outcome of a red gate: the task's own failure, unless that gate, or one before it, is red on the base now."""
    names = [
        gate.name for gate in gates[: len(run.settings.gates)]
    ]  # the task's own come after the project's
    if red.gate == "setup" or red.gate in names:
        asked = gates[: names.index(red.gate) + 1] if red.gate in names else ()
        tree = run.repository.tree_of(base)
        again = check(run, asked, tree, base, logs, f"{stem}.base", trust=False)
        if again and not again[-1].passed:
            for gate in asked:
                verdicts.forget(run, verdicts.key(run, gate, tree))
            return Outcome(
                Kind.BASE_RED,
                f"gate `{again[-1].gate}` is red on the base too ({again[-1].reason})",
                evidence=again[-1].evidence,
                gate=again[-1].gate,
                log=again[-1].log,
                advice="mend the branch (or the machine: network, certificates, services), then start again",
            )
    return Outcome(
        Kind.GATE, f"gate `{red.gate}`: {red.reason}", evidence=red.evidence, gate=red.gate, log=red.log
    )


def _run_gate(run: Run, gate: GateSettings, where: Place, tree: str, log: Path) -> Verdict:
    found = gate_environment(run, gate, where)
    log.parent.mkdir(parents=True, exist_ok=True)
    limit = gate.timeout or _default_timeout(run, gate)
    folder = where.path / (gate.cwd or ".")

    def verdict(reason: str, seconds: float, missing: bool = False) -> Verdict:
        evidence = tail_of_file(log) if reason and log.exists() else ""
        if reason and found.withheld:
            evidence += f"\n(withheld from the gate, as they look like secrets: {', '.join(found.withheld)}; see env_pass)"
        return Verdict(
            gate=gate.name, tree=tree, passed=not reason, seconds=seconds, reason=reason, evidence=evidence, log=str(log),
            withheld=found.withheld, missing=missing,
        )  # fmt: skip

    if not folder.is_dir():
        return verdict(f"its folder `{gate.cwd}` is not in the tree", 0.0, missing=True)
    run.events.write("gate-started", gate=gate.name, run=gate.run)
    finished = run.supervisor.run(
        ["/bin/sh", "-c", gate.run],
        cwd=folder,
        env=found.variables,
        stdout=log,
        timeout=limit,
        max_output=MAX_OUTPUT,
    )
    run.events.write(
        "gate-ended", gate=gate.name, exit=finished.exit_code, seconds=round(finished.seconds, 3)
    )
    if finished.stopped == "timeout":
        return verdict(f"`{gate.run}` did not end within {format_duration(limit)}", finished.seconds)
    if finished.stopped == "output":
        return verdict(f"`{gate.run}` printed more than {MAX_OUTPUT // 1024 // 1024} MB", finished.seconds)
    if finished.exit_code is None:
        return verdict(f"`{gate.run}` was killed by signal {finished.signal}", finished.seconds)
    if finished.exit_code != 0:
        meaning = {126: " (a program that cannot be run)", 127: " (a program that is not there)"}.get(
            finished.exit_code, ""
        )
        return verdict(
            f"`{gate.run}` ended with exit status {finished.exit_code}{meaning}",
            finished.seconds,
            missing=bool(meaning),
        )
    changed = split(
        run.shadow.git(
            "diff",
            "--name-only",
            "-z",
            "--no-ext-diff",
            "--no-textconv",
            index=where.index,
            work_tree=where.path,
        )
    )
    if changed:
        names = ", ".join(path.decode("utf-8", "backslashreplace") for path in changed[:10])
        return verdict(
            f"`{gate.run}` passed but rewrote tracked files ({names}); make it check only (e.g. --check)",
            finished.seconds,
        )
    return verdict("", finished.seconds)


def gate_environment(run: Run, gate: GateSettings, where: Place) -> Environment:
    found = environment(run.repository, where, os.environ, passed=gate.env_pass, extra=gate.env)
    paths = search_paths(run.repository.top, where.path, found.variables, os.environ)
    return Environment({**found.variables, **paths}, found.withheld)


def _default_timeout(run: Run, gate: GateSettings) -> float:
    known = _recall_file(run.repository.home / "gate-times.json").get(verdicts.definition(gate), 0.0)
    return max(MINIMUM_TIMEOUT, 5 * known)


def _recall_file(file: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def explain_red_base(run: Run, red: Verdict) -> str:
    """The message of a preflight that found a gate red on the base."""
    listed = split(run.repository.git("ls-files", "-z", "--others", "--directory", "--no-empty-directory"))
    own = (f"{run.queue.relative}/".encode(), b".git")
    untracked = [os.fsdecode(path) for path in listed if not path.startswith(own)]
    command = next(
        (gate.run for gate in run.settings.gates if gate.name == red.gate), run.settings.workspace.setup or ""
    )
    lines = [
        f"{run.settings_file}: gate `{red.gate}` is red on the base, before any task: {red.reason}",
        f"  command: {command}",
        f"  whole log: {red.log}",
    ]
    if untracked:
        more = f" and {len(untracked) - 10} more" if len(untracked) > 10 else ""
        lines.append(
            f"  not in a clean checkout (untracked; workspace.copy or workspace.setup can bring what is missing): "
            f"{', '.join(untracked[:10])}{more}"
        )
    lines.append("  mend the branch or the gate, then start again; the end of its output:")
    lines += [f"    {line}" for line in printable(red.evidence).splitlines()[-40:]]
    return "\n".join(lines)

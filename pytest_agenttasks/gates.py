"""Gates: shell lines on a clean checkout of exactly the tree to be landed, and the verdicts they gave."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

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

MAX_OUTPUT = 200 * 1024 * 1024
"""Bytes that a gate may print before it is ended."""
MINIMUM_TIMEOUT = 600.0
READ_ONLY = (
    "in the sandbox a gate can write to its workspace, TMPDIR and /tmp only: lead the tool there by the gate's `env`, or "
    "set `sandbox: none`"
)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said of one tree. `reason` is empty when it passed; `inherited`: of a tree that differs only in
    queue and memory; `log` is the file with its whole output; `missing`: its program or folder is not there."""

    gate: str
    tree: str
    passed: bool
    seconds: float
    reason: str = ""
    evidence: str = ""
    log: str = ""
    withheld: tuple[str, ...] = ()
    inherited: bool = False
    cached: bool = False
    missing: bool = False


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
    keys = [_key(run, gate, tree) for gate in gates]
    known = [_recall(run, key) for key in keys] if trust else []
    if known and all(verdict and not verdict.inherited for verdict in known):
        return [verdict for verdict in known if verdict]
    verdicts: list[Verdict] = []
    try:
        where = ready(run, "gate", tree, head)
        for gate, key in zip(gates, keys, strict=True):  # a later gate may use what an earlier one has built
            if verdicts and not run.provider.fresh(where, tree)[0]:
                # But nothing that one wrote into the dependencies may decide for another.
                where = ready(run, "gate", tree, head)
            verdict = _run_gate(run, gate, where, tree, logs / f"{stem}.gate-{gate.name}.log")
            verdicts.append(verdict)
            if not verdict.passed:
                break
            _remember(run, key, verdict)
    except SetupFailed as failed:
        verdicts.append(_red_setup(failed, tree, logs / f"{stem}.gate-setup.log"))
    return verdicts


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
    if all(_recall(run, _key(run, gate, tree)) for gate in gates):
        return None
    verdicts = check(run, gates, tree, head, run.queue.logs, "base")
    times = {_definition(gate): verdict.seconds for gate, verdict in zip(gates, verdicts, strict=False)}
    file = run.repository.home / "gate-times.json"
    file.write_bytes(msgspec.json.encode({**_recall_file(file), **times}))
    return next((verdict for verdict in verdicts if not verdict.passed), None)


def inherit(run: Run, gates: Sequence[GateSettings], tree: str, bookkept: str) -> None:
    """A bookkeeping commit touches queue and memory only: its tree is as green as the one below."""
    for gate in gates:
        verdict = _recall(run, _key(run, gate, tree))
        key = _key(run, gate, bookkept)
        if verdict and not _recall(run, key):
            _remember(run, key, msgspec.structs.replace(verdict, tree=bookkept, inherited=True))


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
                _forget(run, _key(run, gate, tree))
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
        if reason and run.programs.sandbox.active and "Read-only file system" in evidence:
            evidence += f"\n({READ_ONLY})"
        if reason and found.withheld:
            evidence += f"\n(withheld from the gate, as they look like secrets: {', '.join(found.withheld)}; see env_pass)"
        return Verdict(
            gate=gate.name, tree=tree, passed=not reason, seconds=seconds, reason=reason, evidence=evidence, log=str(log),
            withheld=found.withheld, missing=missing,
        )  # fmt: skip

    if not folder.is_dir():
        return verdict(f"its folder `{gate.cwd}` is not in the tree", 0.0, missing=True)
    run.events.write("gate-started", gate=gate.name, run=gate.run)
    finished = run.programs.run(
        where,
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
    known = _recall_file(run.repository.home / "gate-times.json").get(_definition(gate), 0.0)
    return max(MINIMUM_TIMEOUT, 5 * known)


def _recall_file(file: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _definition(gate: GateSettings) -> str:
    return hashlib.sha256(repr(gate).encode()).hexdigest()[:16]


def _key(run: Run, gate: GateSettings, tree: str) -> str:
    """What a verdict depends on: the tree, the gate, the dependencies and the interpreters."""
    parts = (
        tree,
        _definition(gate),
        run.provider.digest(tree),
        _interpreters(gate.run, os.environ.get("PATH", "")),
        run.programs.sandbox.program or "",
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _interpreters(line: str, path: str) -> str:
    """Identifies the programs that a shell line names, and the usual interpreters below them."""
    found = []
    for name in dict.fromkeys((*re.findall(r"[\w.+-]+", line), "python3", "node")):
        program = shutil.which(name, path=path)
        if program:
            real = Path(program).resolve()
            found.append(f"{program}:{real}:{real.stat().st_mtime_ns}")
    return "|".join(found)


def _file(run: Run, key: str) -> Path:
    return run.repository.home / "verdicts" / key[:2] / f"{key}.json"


def _recall(run: Run, key: str) -> Verdict | None:
    try:
        found = msgspec.json.decode(_file(run, key).read_bytes(), type=Verdict)
    except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
        return None
    return msgspec.structs.replace(found, cached=True)


def _remember(run: Run, key: str, verdict: Verdict) -> None:
    file = _file(run, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.encode(verdict))
    temporary.replace(file)


def _forget(run: Run, key: str) -> None:
    _file(run, key).unlink(missing_ok=True)


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

"""Gates: shell lines on a clean checkout of exactly the tree to be landed, and the verdicts they gave."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import msgspec

from . import verdicts
from .evidence.before import before, holds
from .gate_run import run_gate
from .gate_slots import gate_slot
from .outcome import Ended, Kind, Outcome
from .report.printable import printable
from .run import Run
from .services import NotUp, not_up, services
from .settings.records import GateSettings
from .trees.checkout import ready
from .trees.dependencies import SetupFailed
from .trees.git import split
from .verdicts import Verdict


def shell(gates: Sequence[GateSettings]) -> list[GateSettings]:
    """Those that are shell lines. A review is none: what it says is of one change, and never of a tree."""
    return [gate for gate in gates if gate.run]


def refuse_twins(gates: Sequence[GateSettings]) -> None:
    """Raise Ended (REFUSED) where the project's, the task's and plugins' gates share a name: logs and verdicts go by it."""
    names: set[str] = set()
    for gate in gates:
        if gate.name.casefold() in names:
            summary = f"two gates are called `{gate.name}`: the task's or a plugin's needs a name of its own"
            raise Ended(Outcome(Kind.REFUSED, summary, advice="rename the gate in the task's front matter"))
        names.add(gate.name.casefold())


def check(
    run: Run,
    gates: Sequence[GateSettings],
    tree: str,
    head: str,
    logs: Path,
    stem: str,
    *,
    trust: bool = True,
    base: str | None = None,
    second_chance: bool = True,
) -> list[Verdict]:
    """Run `gates` in order on `tree`, up to the first that is red; none where the verdicts of all are known.

    Reviews among them are passed over (`review_gate.check` holds them).
    `trust` False: past the cache. `base` is the tree whose tests must still run, None for no such comparison.
    With a `second_chance` each gate that is red is run once more, with those before it, in a place made afresh;
    green then it counts as passed, and as flaky. Each gate's output goes to `logs/STEM.gate-NAME.log`, that of
    such a repetition to `.gate-NAME.rerun.log`.
    """
    gates = shell(gates)
    keys = [verdicts.key(run, gate, tree) for gate in gates]
    known = [verdicts.recall(run, key) for key in keys] if trust else []
    kept = [verdict for verdict in known if verdict and not verdict.inherited]
    if known and len(kept) == len(gates) and all(map(partial(holds, run, base=base), gates, kept, keys)):
        return kept
    series = partial(_in_order, run, gates, tree, head, base, logs)
    first: dict[int, Verdict] = {}
    with gate_slot(run, logs.name):
        given = series(stem, "")
        while second_chance and _may_be_flaky(given[-1:]) and len(given) - 1 not in first:
            red = first[len(given) - 1] = given[-1]
            run.events.write("gate-rerun", gate=red.gate, reason=red.reason)
            given = series(stem, f".rerun{f'-{len(first)}' * (len(first) > 1)}")
    for position, red in first.items():
        if position < len(given):
            given[position] = _after_rerun(run, keys[position], red, given[position])
    return given


def _may_be_flaky(last: Sequence[Verdict]) -> bool:
    return any(not red.passed and not red.missing and red.gate not in ("setup", "up") for red in last)


def _after_rerun(run: Run, key: str, red: Verdict, again: Verdict) -> Verdict:
    """The verdict of a gate that was red, and then run `again` on the same tree."""
    if not again.passed:
        return red
    note = f"gate `{red.gate}` is flaky: red at first ({red.reason}; {red.log}), green when run again on the same tree"
    run.events.write("gate-flaky", gate=red.gate, reason=red.reason, log=red.log)
    flaky = msgspec.structs.replace(again, flaky=True, notes=(*again.notes, note))
    verdicts.remember(run, key, flaky, verdicts.tests_of(run, key))
    return flaky


def _in_order(
    run: Run,
    gates: Sequence[GateSettings],
    tree: str,
    head: str,
    base: str | None,
    logs: Path,
    stem: str,
    repetition: str,
) -> list[Verdict]:
    given: list[Verdict] = []
    notes: list[str] = []
    try:
        where = ready(run, "gate", tree, head)
        with services(run, where, logs, f"{stem}.gates{repetition}", notes) if gates else nullcontext():
            for gate in gates:  # a later gate may use what an earlier one has built
                if given and not run.provider.fresh(where, tree)[0]:
                    # But nothing that one wrote into the dependencies may decide for another.
                    where = ready(run, "gate", tree, head)
                log = logs / f"{stem}.gate-{gate.name}{repetition}.log"
                verdict, census = run_gate(run, gate, where, tree, log, before(run, gate, tree, base))
                given.append(verdict)
                verdicts.remember(run, verdicts.key(run, gate, tree), verdict, census)
                if not verdict.passed:
                    break
        if notes:
            given[-1] = msgspec.structs.replace(given[-1], notes=(*given[-1].notes, *notes))
    except NotUp as failed:
        given.append(_not_ready("up", str(failed), failed.evidence, failed.log, tree))
    except SetupFailed as failed:
        log = logs / f"{stem}.gate-setup{repetition}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(failed.log, log)
        given.append(_not_ready("setup", str(failed), failed.evidence, log, tree))
    return given


def _not_ready(step: str, reason: str, evidence: str, log: Path, tree: str) -> Verdict:
    """The verdict of a step before the gates that failed: `setup` or `up`."""
    return Verdict(
        gate=step, tree=tree, passed=False, seconds=0.0, reason=reason, evidence=evidence, log=str(log)
    )


def green_base(run: Run, gates: Sequence[GateSettings], tree: str, head: str) -> Verdict | None:
    """The first gate that is red on the base, None when all are green (an inherited verdict counts here)."""
    gates = shell(gates)
    if all(verdicts.recall(run, verdicts.key(run, gate, tree)) for gate in gates):
        verdicts.note_branch(run, gates, tree)
        return None
    stem = f"base-{run.worker}" if run.worker else "base"
    given = check(run, gates, tree, head, run.queue.logs, stem)
    verdicts.note_times(run, [(gate, v.seconds) for gate, v in zip(gates, given, strict=False)])
    red = next((verdict for verdict in given if not verdict.passed), None)
    if red is None:
        verdicts.note_branch(run, gates, tree)
    return red


def inherit(run: Run, gates: Sequence[GateSettings], tree: str, bookkept: str) -> None:
    """A bookkeeping commit touches queue and memory only: its tree is as green as the one below."""
    for gate in shell(gates):
        below = verdicts.key(run, gate, tree)
        verdict = verdicts.recall(run, below)
        key = verdicts.key(run, gate, bookkept)
        if verdict and not verdicts.recall(run, key):
            inherited = msgspec.structs.replace(verdict, tree=bookkept, inherited=True)
            verdicts.remember(run, key, inherited, verdicts.tests_of(run, below))


def refuse_red(
    run: Run, gates: Sequence[GateSettings], red: Verdict, base: str, logs: Path, stem: str
) -> Outcome:
    """The outcome of a red gate: the task's own failure, unless that gate, or one before it, is red on the base now."""
    if red.gate == "up":
        return not_up(red.reason, red.evidence, red.log)
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


def explain_red_base(run: Run, red: Verdict) -> str:
    """The message of a preflight that found a gate red on the base."""
    listed = split(run.repository.git("ls-files", "-z", "--others", "--directory", "--no-empty-directory"))
    own = (f"{run.queue.relative}/".encode(), b".git")
    untracked = [os.fsdecode(path) for path in listed if not path.startswith(own)]
    command = next(
        (gate.run for gate in run.settings.gates if gate.name == red.gate),
        (run.settings.workspace.up if red.gate == "up" else run.settings.workspace.setup) or "",
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
    if "AF_UNIX path too long" in red.evidence:
        lines.append(
            "  a gate's TMPDIR lies deep in the state folder, too deep for a socket: give the gate another "
            "(`env: {TMPDIR: /tmp}`; in the sandbox that is its own)"
        )
    lines.append("  mend the branch or the gate, then start again; the end of its output:")
    lines += [f"    {line}" for line in printable(red.evidence).splitlines()[-40:]]
    return "\n".join(lines)

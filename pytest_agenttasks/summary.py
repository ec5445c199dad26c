"""The texts at the end: the table of a run with what to do next, and why one task failed."""

from __future__ import annotations

import shlex
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from .durations import format_duration
from .outcome import Kind, Outcome
from .printable import one_line, printable, tail

_HEADER = ("task", "outcome", "attempts", "time", "cost", "commit or reason")
_RIGHT_ALIGNED = frozenset({"attempts", "time", "cost"})
_GAP = "  "
_SHORTEST_NAME = 12
_COMMIT_DIGITS = 9
_NAMES_IN_A_COMMAND = 3
_PATHS_TOLD = 10

_FAILED = (Kind.SCOPE, Kind.GATE, Kind.ACCEPT, Kind.AGENT)


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one task in this run; `cost_usd` and `commit` are None where there is none or it is unknown."""

    task: str
    kind: Kind
    attempts: int
    seconds: float
    cost_usd: float | None
    commit: str | None
    summary: str


def table(rows: Sequence[Row], width: int) -> str:
    """The table, a line of totals and the commands to type next, within `width` columns (at least 60)."""
    cells = [_HEADER, *(_cells(row) for row in rows)]
    fixed = [max(_columns(line[n]) for line in cells) for n in range(1, 5)]
    room = max(width, 60) - sum(fixed) - 5 * len(_GAP)
    longest_reason = max(_columns(line[5]) for line in cells)
    longest_name = max(_columns(line[0]) for line in cells)
    name_room = min(longest_name, max(room * 3 // 5, room - longest_reason, _SHORTEST_NAME))
    widths = [name_room, *fixed, room - name_room]
    lines = [_table_line(line, widths) for line in cells]
    return "\n".join([*lines, "", *_wrapped(_totals(rows), width), *_next_steps(rows)])


def explain(outcome: Outcome, task_name: str) -> str:
    """Why a task did not land, for people: what happened, the evidence, the log, what to do next."""
    name = one_line(task_name)
    lines = [f"{name} {_verb(outcome.kind)} ({outcome.kind.value}): {one_line(outcome.summary, 500)}"]
    evidence = tail(printable(outcome.evidence).encode()).strip("\n")
    if evidence:
        lines += ["", *(f"  | {line}".rstrip() for line in evidence.split("\n")), ""]
    unseen = [path for path in map(one_line, outcome.paths) if path not in evidence]
    if unseen:
        more = f" and {len(unseen) - _PATHS_TOLD} more" if len(unseen) > _PATHS_TOLD else ""
        lines.append(f"files: {', '.join(unseen[:_PATHS_TOLD])}{more}")
    if outcome.log:
        lines.append(f"log: {one_line(outcome.log, 1000)}")
    if back := _time(outcome.resumes_at):
        lines.append(f"back: {back}")
    lines.append(f"next: {one_line(outcome.advice, 1000) or advice(outcome.kind, name)}")
    return "\n".join(lines)


def advice(kind: Kind, task_name: str) -> str:
    """What to do about an outcome that brings no advice of its own."""
    return _ADVICE[kind].format(name=shlex.quote(task_name))


_ADVICE = {
    Kind.LANDED: "`agenttasks review` shows what landed",
    Kind.BLOCKED: "nothing; it runs once what it depends on has landed",
    Kind.HELD: "`agenttasks requeue {name} -m WHY` puts it back into the queue",
    Kind.REFUSED: "mend the task file (`agenttasks lint` checks it), then `agenttasks requeue {name}`",
    Kind.SCOPE: "`agenttasks show {name}` shows the changes; if they belong to the task, add them to its Files in Scope, "
    "then `agenttasks requeue {name}`",
    Kind.GATE: "`agenttasks show {name}` shows the changes, `agenttasks open {name}` lets you finish them, "
    "`agenttasks requeue {name} -m NOTE` has it tried again",
    Kind.ACCEPT: "check that the task's `accept` command asks for what the task says; `agenttasks open {name}` lets you "
    "finish it, `agenttasks requeue {name} -m NOTE` has it tried again",
    Kind.AGENT: "`agenttasks show {name}` shows the transcript; make the task clearer or smaller, then "
    "`agenttasks requeue {name}`",
    Kind.USAGE_LIMIT: "nothing; the task stays pending: run again when the limit is reset",
    Kind.OVERLOADED: "nothing; the task stays pending: run again later",
    Kind.AUTH: "log in with the agent's own command or give it a valid key, then run again; `agenttasks doctor` checks it",
    Kind.NETWORK: "the task stays pending: run again when the network is back; `agenttasks doctor` checks it",
    Kind.BASE_RED: "make the gate pass on the branch as it is, then run again; `agenttasks doctor` runs the gates on it",
    Kind.MOVED: "nothing; the task stays pending and runs on the branch as it is now",
    Kind.CHECKOUT: "commit or stash your own edits, then run again: what has passed its gates lands without a new session",
    Kind.DISK: "free some space (`agenttasks clean` drops old attempts, workspaces and logs), then run again",
    Kind.INTERRUPTED: "run again: the task is still pending, `agenttasks show {name}` shows how far it came",
    Kind.INTERNAL: "run again; if it happens again, report it with the text above",
}


def _verb(kind: Kind) -> str:
    if kind is Kind.LANDED:
        return "landed"
    if kind.skipped:
        return "was skipped"
    return "failed" if kind in (*_FAILED, Kind.REFUSED) else "did not land"


def _cells(row: Row) -> tuple[str, ...]:
    landed = row.kind is Kind.LANDED and row.commit
    return (
        one_line(row.task),
        row.kind.value,
        str(row.attempts),
        format_duration(row.seconds) if row.seconds > 0 else "-",
        _money(row.cost_usd) if row.cost_usd is not None else "-",
        row.commit[:_COMMIT_DIGITS] if landed and row.commit else one_line(row.summary),
    )


def _table_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = []
    for title, cell, width in zip(_HEADER, cells, widths, strict=True):
        text = _without_middle(cell, width) if title == "task" else _cut(cell, width)
        fill = " " * (width - _columns(text))
        shown.append(fill + text if title in _RIGHT_ALIGNED else text + fill)
    return _GAP.join(shown).rstrip()


def _totals(rows: Sequence[Row]) -> str:
    counts = Counter(row.kind for row in rows)
    others = [f"{counts[kind]} {kind.value}" for kind in Kind if counts[kind] and kind is not Kind.LANDED]
    sessions = sum(row.attempts for row in rows)
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    parts = [
        f"landed {counts[Kind.LANDED]} of {len(rows)}" + (f" ({', '.join(others)})" if others else ""),
        f"{sessions} session{'s' * (sessions != 1)}",
        *([_money(sum(costs))] if costs else []),
        format_duration(sum(row.seconds for row in rows)),
    ]
    return ", ".join(parts)


def _next_steps(rows: Sequence[Row]) -> Iterator[str]:
    """One line per class of outcome: a command to type, and what for."""

    def names(*kinds: Kind) -> list[str]:
        return [shlex.quote(one_line(row.task)) for row in rows if row.kind in kinds]

    steps: list[tuple[str, str]] = []
    if failed := names(*_FAILED):
        steps += [(f"agenttasks show {name}", "why it failed") for name in failed[:_NAMES_IN_A_COMMAND]]
        if len(failed) > _NAMES_IN_A_COMMAND:
            steps.append(("agenttasks review", f"all {len(failed)} that failed"))
    if refused := names(Kind.REFUSED):
        steps.append((_command("requeue", refused, "lint"), "refused: once the task file is mended"))
    if held := names(Kind.HELD):
        steps.append((_command("requeue", held, "status"), "held: back into the queue"))
    if names(Kind.LANDED):
        steps.append(("agenttasks review", "what landed"))
    for kind, (command, why) in _MENDS.items():
        if names(kind):
            steps.append((command, why))
    column = max((len(command) for command, _ in steps), default=0)
    for command, why in steps:
        yield f"  {command:<{column}}  # {why}"
    left = names(*(kind for kind in Kind if not kind.charged and kind not in (Kind.LANDED, Kind.REFUSED, Kind.HELD)))
    if left:
        yield f"  still pending, taken up by the next run: {_some(left)}"

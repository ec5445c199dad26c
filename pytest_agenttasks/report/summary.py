"""The texts at the end: the table of a run with what to do next, and why one task failed."""

from __future__ import annotations

import shlex
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..outcome import Kind, Outcome
from ..settings.durations import format_duration
from .printable import one_line, printable, tail

_HEADER = ("task", "outcome", "attempts", "time", "cost", "commit or reason")
_RIGHT_ALIGNED = frozenset({"attempts", "time", "cost"})
_GAP = "  "
_SHORTEST_NAME = 12
_COMMIT_DIGITS = 9
_NAMES_TOLD = 3
_PATHS_TOLD = 10

_FAILED = tuple(kind for kind in Kind if kind.charged)
_WAITING = tuple(kind for kind in Kind if kind not in (*_FAILED, Kind.LANDED, Kind.REFUSED, Kind.HELD))


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one task in this run; `cost_usd` None: unknown, or no session was held.

    `without_session`: attempts that needed none (a verified result that lands later); `denials`: edits and
    commands that sessions were refused; `guarded`: what the canary said of the files in its scope (yes, no,
    n/a), None where it was not asked.
    """

    task: str
    kind: Kind
    attempts: int
    seconds: float
    cost_usd: float | None
    commit: str | None
    summary: str
    without_session: int = 0
    denials: int = 0
    reviews: int = 0
    guarded: str | None = None
    unknown: int = 0
    """Sessions of which nobody knows what they have cost."""


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
    totals = textwrap.wrap(_totals(rows), max(width, 60), subsequent_indent="  ")
    return "\n".join([*lines, "", *totals, *_unguarded(rows, width), *_next_steps(rows)])


def _unguarded(rows: Sequence[Row], width: int) -> list[str]:
    names = [one_line(row.task) for row in rows if row.kind is Kind.LANDED and row.guarded == "no"]
    if not names:
        return []
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    text = f"unguarded, so worth a look: {', '.join(names[:_NAMES_TOLD])}{more} (no gate was red with the files in scope broken)"
    return textwrap.wrap(text, max(width, 60), subsequent_indent="  ", break_on_hyphens=False)


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
    Kind.LANDED: "`git log` shows what landed",
    Kind.BLOCKED: "nothing; it runs once what it depends on has landed",
    Kind.HELD: "`agenttasks requeue {name} -m WHY` puts it back into the queue",
    Kind.REFUSED: "mend the task file (`agenttasks lint` checks it), then `agenttasks requeue {name}`",
    Kind.SCOPE: "`agenttasks show {name}` shows the changes; if they belong to the task, add them to its "
    "Files in Scope, then `agenttasks requeue {name}`",
    Kind.GATE: "`agenttasks show {name}` shows the changes, `agenttasks requeue {name} -m NOTE` has it tried again",
    Kind.ACCEPT: "check that the task's `accept` command asks for what the task says; "
    "`agenttasks requeue {name} -m NOTE` has it tried again",
    Kind.AGENT: "`agenttasks show {name}` shows the transcript; make the task clearer or smaller, then "
    "`agenttasks requeue {name}`",
    Kind.USAGE_LIMIT: "nothing; the task stays pending: run again when the limit is reset",
    Kind.OVERLOADED: "nothing; the task stays pending: run again later",
    Kind.AUTH: "log in with the agent's own command or give it a valid key, then run again",
    Kind.NETWORK: "the task stays pending: run again when the network is back",
    Kind.BASE_RED: "make the gate pass on the branch as it is, then run again",
    Kind.REVIEW: "run again: what has passed its gates is kept, and is reviewed again without a new session",
    Kind.MOVED: "nothing; the task stays pending and runs on the branch as it is now",
    Kind.CHECKOUT: "clear what is in the way (commit, stash or move your own files), then run again: what has "
    "passed its gates lands without a new session",
    Kind.DISK: "free some space, then run again",
    Kind.INTERRUPTED: "run again: the task is still pending, `agenttasks show {name}` shows how far it came",
    Kind.INTERNAL: "run again; if it happens again, report it with the text above",
}

_MENDS = {
    Kind.CHECKOUT: ("git status", "something of yours is in the way"),
}


def _verb(kind: Kind) -> str:
    if kind is Kind.LANDED:
        return "landed"
    if kind.skipped:
        return "was skipped"
    return "failed" if kind in (*_FAILED, Kind.REFUSED) else "did not land"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        one_line(row.task),
        row.kind.value,
        str(row.attempts),
        format_duration(row.seconds) if row.seconds > 0 else "-",
        _money(row.cost_usd) if row.cost_usd is not None else "-",
        row.commit[:_COMMIT_DIGITS] if row.commit and row.kind is Kind.LANDED else one_line(row.summary),
    )


def _table_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = []
    for title, cell, width in zip(_HEADER, cells, widths, strict=True):
        text = _without_middle(cell, width) if title == "task" else cut(cell, width)
        fill = " " * (width - _columns(text))
        shown.append(fill + text if title in _RIGHT_ALIGNED else text + fill)
    return _GAP.join(shown).rstrip()


def _totals(rows: Sequence[Row]) -> str:
    counts = Counter(row.kind for row in rows)
    others = [f"{counts[kind]} {kind.value}" for kind in Kind if counts[kind] and kind is not Kind.LANDED]
    sessions = sum(row.attempts - row.without_session for row in rows)
    denials = sum(row.denials for row in rows)
    reviews = sum(row.reviews for row in rows)
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    unknown = any(
        row.unknown or (row.attempts > row.without_session and row.cost_usd is None) for row in rows
    )
    parts = [
        f"landed {counts[Kind.LANDED]} of {len(rows)}" + (f" ({', '.join(others)})" if others else ""),
        f"{sessions} session{'s' * (sessions != 1)}",
        *([f"{reviews} review{'s' * (reviews != 1)}"] if reviews else []),
        *([("at least " if unknown else "") + _money(sum(costs))] if costs else []),
        format_duration(sum(row.seconds for row in rows)),
        *(
            [f"{denials} edit{'s' * (denials != 1)} or command{'s' * (denials != 1)} refused"]
            if denials
            else []
        ),
    ]
    return ", ".join(parts)


def _next_steps(rows: Sequence[Row]) -> list[str]:
    """A line per command to type, with what it is for, then the tasks that need nothing."""

    def names(*kinds: Kind) -> list[str]:
        return [shlex.quote(one_line(row.task)) for row in rows if row.kind in kinds]

    steps: dict[str, list[str]] = {}
    failed, refused, held = names(*_FAILED), names(Kind.REFUSED), names(Kind.HELD)
    for name in failed[:_NAMES_TOLD]:
        steps[f"agenttasks show {name}"] = ["why it failed"]
    if len(failed) > _NAMES_TOLD:
        steps["agenttasks status"] = [f"all {len(failed)} that failed"]
    if refused:
        steps[_with_names("agenttasks requeue", refused)] = ["once the task file is mended"]
    if held:
        steps[_with_names("agenttasks requeue", held)] = ["held: back into the queue"]
    if names(Kind.LANDED):
        steps.setdefault("agenttasks review", []).append("what landed, riskiest first")
    for kind, (command, why) in _MENDS.items():
        if names(kind):
            steps.setdefault(command, []).append(why)
    column = max(map(len, steps), default=0)
    lines = [f"  {command:<{column}}  # {', '.join(why)}" for command, why in steps.items()]
    waiting = names(*_WAITING)
    if waiting:
        lines.append(_with_names("  still pending, for the next run:", waiting))
    return lines


def _with_names(start: str, names: Sequence[str]) -> str:
    more = "" if len(names) <= _NAMES_TOLD else f" … ({len(names)} tasks)"
    return f"{start} {' '.join(names[:_NAMES_TOLD])}{more}"


def _money(usd: float) -> str:
    return "<$0.01" if 0 < usd < 0.005 else f"${usd:,.2f}"


def _time(epoch: float | None) -> str:
    try:
        return datetime.fromtimestamp(epoch).astimezone().strftime("%Y-%m-%d %H:%M %Z") if epoch else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _columns(text: str) -> int:
    """The terminal columns that a text takes."""
    return sum(map(_column_count, text))


def _column_count(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """`text`, a line, within `width` columns of a terminal."""
    if _columns(text) <= width:
        return text
    return _start(text, width - 1).rstrip() + "…"


def _without_middle(text: str, width: int) -> str:
    """A name too long keeps its start, where the number is, and some of its end, where names differ."""
    if _columns(text) <= width:
        return text
    end = _start(text[::-1], (width - 1) // 3)[::-1]
    return _start(text, width - 1 - _columns(end)) + "…" + end


def _start(text: str, width: int) -> str:
    columns = 0
    for position, character in enumerate(text):
        columns += _column_count(character)
        if columns > width:
            return text[:position]
    return text

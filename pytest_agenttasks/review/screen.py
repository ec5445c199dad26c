"""The facts of a review as a text: within the rows and columns of a terminal, or whole. Pure."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence

from ..outcome import Kind
from ..report.printable import one_line
from ..report.summary import cut
from .facts import Facts
from .risk import ranked

_COMMIT_DIGITS = 9
_PROMPT_ROWS = 1
"""What the shell needs below."""
_NAMES_TOLD = 4


def render(facts: Facts, width: int, height: int | None) -> str:
    """The screen. `height` None: everything; otherwise the sections give way evenly, and say what they leave out."""
    sections = [
        ("needs you", _needs_you(facts)),
        ("landed, riskiest first", _landed(facts)),
        ("memory", [one_line(line, 300) for line in facts.memory]),
    ]
    head, foot = _head(facts), [*_counts(facts), *_commands(facts)]
    titles = sum(1 for _, rows in sections if rows)
    room = None if height is None else max(height - _PROMPT_ROWS - len(head) - len(foot) - titles, titles)
    shares = _shares([len(rows) for _, rows in sections], room)
    lines = head
    for (title, rows), share in zip(sections, shares, strict=True):
        if rows:
            lines += [f"{title} ({len(rows)})", *_first(rows, share)]
    return "\n".join(cut(line, width) for line in [*lines, *foot])


def _first(rows: Sequence[str], share: int) -> list[str]:
    if len(rows) <= share:
        return [f"  {row}" for row in rows]
    shown = max(share - 1, 0)
    more = len(rows) - shown
    return [*(f"  {row}" for row in rows[:shown]), f"  … and {more} more (`agenttasks review --all`)"]


def _shares(wanted: Sequence[int], room: int | None) -> list[int]:
    """How many rows each section gets: what it wants where there is room, else in turns."""
    if room is None:
        return list(wanted)
    shares = [0] * len(wanted)
    while room > 0 and any(share < wish for share, wish in zip(shares, wanted, strict=True)):
        for number, wish in enumerate(wanted):
            if shares[number] < wish and room > 0:
                shares[number] += 1
                room -= 1
    return shares


def _head(facts: Facts) -> list[str]:
    since = (
        "nothing was approved before"
        if facts.since is None
        else f"last approval {_time(facts.since)}, {one_line((facts.by or 'nobody').partition(' <')[0], 20)}"
    )
    counts = f"{len(facts.landed)} landed, {len(facts.failed)} failed"
    lines = [f"review of {one_line(facts.branch)}: {counts}; {since}"]
    if facts.running is not None:
        lines.append(
            f"a run is going on (process {facts.running}): what is here may change; reject and requeue wait for it"
        )
    return lines


def _needs_you(facts: Facts) -> list[str]:
    rows = [
        f"failed   {one_line(failed.task)}  {failed.kind}: {one_line(failed.summary)}"
        for failed in facts.failed
    ]
    rows += [
        f"blocked  {one_line(blocked.task)}  waits for {one_line(', '.join(blocked.waits_for))}"
        for blocked in facts.blocked
    ]
    rows += [f"held     {one_line(name)}  what it landed as was reverted by hand" for name in facts.held]
    rows += [f"verified {one_line(name)}  has passed, could not land yet" for name in facts.verified]
    if facts.not_run:
        rows.append(f"not run  {_names(facts.not_run)}")
    if facts.elsewhere:
        rows.append(f"landed on another branch, not approved: {_names(facts.elsewhere)}")
    return rows


def _landed(facts: Facts) -> list[str]:
    tasks = ranked(facts.landed)
    longest = min(max((len(one_line(task.task)) for task, _ in tasks), default=0), 32)
    return [
        f"{cut(one_line(task.task), 32):<{longest}}  {task.commit[:_COMMIT_DIGITS]}  {one_line(', '.join(risk.reasons))}"
        for task, risk in tasks
    ]


def _counts(facts: Facts) -> list[str]:
    lines = []
    charged = [f"{kind} {count}" for kind, count in _by_count(facts.ends) if Kind(kind).charged]
    others = [f"{kind} {count}" for kind, count in _by_count(facts.ends) if not Kind(kind).charged]
    if facts.ends:
        parts = [", ".join(charged) or "none", *([f"not charged: {', '.join(others)}"] if others else [])]
        lines.append(f"attempts that failed: {'; '.join(parts)}")
    ever = f"; ${facts.spent_usd_ever:,.2f} in all" if facts.spent_usd_ever > facts.spent_usd else ""
    lines.append(
        f"spent: ${facts.spent_usd:,.2f} in {facts.attempts} attempt{'s' * (facts.attempts != 1)}{ever}"
    )
    return lines


def _by_count(ends: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(ends.items(), key=lambda pair: (-pair[1], pair[0]))


def _commands(facts: Facts) -> list[str]:
    """What to type next, each with what it is for."""
    steps: list[tuple[str, str]] = []
    if facts.landed or facts.failed:
        steps.append(("agenttasks review --step", "one by one: approve, reject, open, skip"))
    for failed in facts.failed[:1]:
        steps.append((f"agenttasks show {_quoted(failed.task)}", "why it failed"))
        steps.append((f"agenttasks requeue {_quoted(failed.task)} -m NOTE", "has it tried again"))
    if facts.held and not facts.failed:
        steps.append((f"agenttasks requeue {_quoted(facts.held[0])} -m WHY", "held: runs it again"))
    if facts.blocked and not facts.failed:
        steps.append(("agenttasks status", "what the blocked ones wait for"))
    for task, _ in ranked(facts.landed)[:1]:
        steps.append((f"git show {task.commit[:_COMMIT_DIGITS]}", "the riskiest change"))
        steps.append((f"agenttasks reject {_quoted(task.task)} -m WHY", "takes it back, queues it again"))
    if facts.running is not None and facts.landed:
        steps.append(
            (f"agenttasks approve --up-to {facts.tip[:_COMMIT_DIGITS]}", "what is shown here, nothing newer")
        )
    elif facts.landed or facts.failed:
        steps.append(("agenttasks approve", "all of this is reviewed"))
    if not steps:
        return ["nothing to review"]
    column = max(len(command) for command, _ in steps)
    return ["what to type", *(f"  {command:<{column}}  # {why}" for command, why in steps)]


def _quoted(name: str) -> str:
    return shlex.quote(one_line(name))


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    return f"{', '.join(map(one_line, names[:_NAMES_TOLD]))}{more}"


def _time(epoch: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch))

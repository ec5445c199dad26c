"""The report of a task that has failed for good: what was tried, what came of it, and what to type now. Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..outcome import Kind, Outcome
from ..settings.durations import format_duration
from .printable import one_line, printable, tail

IN_FULL = 5
"""Attempts that are told with their evidence; of earlier ones there is a line each."""
_EVIDENCE = 6 * 1024
_SAID = 1024
_PATHS = 30


def failure_report(
    name: str,
    attempts: Sequence[Mapping[str, Any]],
    *,
    given_up: Outcome | None,
    changed: Callable[[int], Sequence[str]],
    logs: str,
) -> str:
    """The whole text. `attempts` are the result records, in order; `given_up` the outcome that ended it, None: unknown.

    `changed` says what an attempt of that number changed, a line a path; `logs` is the task's log folder for people.
    What comes from an agent stands in indented blocks, where Markdown makes nothing of it.
    """
    kind = given_up.kind.value if given_up else attempts[-1]["outcome"] if attempts else "unknown"
    lines = [f"# {name} has failed ({one_line(str(kind))})", ""]
    if given_up is not None and given_up.kind is Kind.REFUSED:
        lines += [
            "Its task file cannot be used; nothing was spent.",
            "",
            *_block(given_up.evidence, _EVIDENCE),
        ]
    else:
        lines += [f"{_count(attempts)}; each attempt's files are kept.", ""]
    lines += ["## What to type", "", *_commands(name, attempts), ""]
    for attempt in attempts[:-IN_FULL]:
        lines += [f"## Attempt {attempt['attempt']}: {one_line(str(attempt['outcome']))}", ""]
        lines += [*_block(str(attempt["summary"]), _SAID), ""]
    for attempt in attempts[-IN_FULL:]:
        lines += [*_whole(attempt, changed(int(attempt["attempt"])), logs), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _count(attempts: Sequence[Mapping[str, Any]]) -> str:
    costs = [a["cost_usd"] for a in attempts if isinstance(a.get("cost_usd"), int | float)]
    seconds = sum(a["seconds"] for a in attempts if isinstance(a.get("seconds"), int | float))
    parts = [f"{len(attempts)} attempt{'s' * (len(attempts) != 1)}", format_duration(seconds)]
    return ", ".join([*parts, *([f"${sum(costs):.2f}"] if costs else [])])


def _commands(name: str, attempts: Sequence[Mapping[str, Any]]) -> list[str]:
    task = shlex.quote(name)
    if not attempts:
        steps = [
            ("agenttasks lint", "what is wrong with task files"),
            (f"agenttasks requeue {task}", "once its file here is mended"),
        ]
    else:
        last = attempts[-1]["attempt"]
        steps = [
            (f"agenttasks show {task} --attempt {last}", "the evidence and the diff in full"),
            (
                f"agenttasks open {task}",
                "finish it by hand: a worktree with its files (--editor code opens it)",
            ),
            (f"agenttasks land {task}", "then: the same checks, gates and landing"),
            (
                f"agenttasks requeue {task} -m NOTE",
                "or have it tried again, with a note for the next session",
            ),
        ]
    column = max(len(command) for command, _ in steps)
    return [f"    {command:<{column}}  # {why}" for command, why in steps]


def _whole(attempt: Mapping[str, Any], changed: Sequence[str], logs: str) -> list[str]:
    number = attempt["attempt"]
    by = attempt.get("finished_by")
    lines = [f"## Attempt {number}: {one_line(str(attempt['outcome']))}", ""]
    lines += [*_block(str(attempt["summary"]), _SAID), ""]
    facts = []
    if isinstance(attempt.get("seconds"), int | float):
        facts.append(format_duration(attempt["seconds"]))
    if isinstance(attempt.get("cost_usd"), int | float):
        facts.append(f"${attempt['cost_usd']:.2f}")
    if attempt.get("turns"):
        facts.append(f"{attempt['turns']} turns")
    if attempt.get("session"):
        facts.append(f"session {one_line(str(attempt['session']))}")
    facts += ["by hand"] if by else []
    lines += [", ".join(facts) + ".", ""] if facts else []
    if changed:
        more = [f"and {len(changed) - _PATHS} more"] if len(changed) > _PATHS else []
        lines += ["It changed:", "", *_block("\n".join([*changed[:_PATHS], *more]), _EVIDENCE), ""]
    if attempt.get("evidence"):
        lines += ["Evidence:", "", *_block(str(attempt["evidence"]), _EVIDENCE), ""]
    if attempt.get("said"):
        lines += ["What the agent said at its end:", "", *_block(str(attempt["said"]), _SAID), ""]
    lines.append(f"Its diff is `{logs}/attempt-{number}.diff`; transcript and gate output lie beside it.")
    return lines


def _block(text: str, limit: int) -> list[str]:
    shown = tail(printable(text).encode("utf-8", "replace"), limit).strip("\n")
    return [f"    {line}".rstrip() for line in shown.split("\n")]

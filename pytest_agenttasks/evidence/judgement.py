"""What a gate's reports make of its exit status. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..report.printable import one_line
from ..settings.records import GateSettings
from .census import Census, Status, Test
from .comparison import NAMES_TOLD, Known, Lost, lost, told
from .reports import Left


@dataclass(frozen=True, slots=True)
class Judged:
    """`reason` is empty when the gate passed; `lines` come before its output in the evidence; `by_comparison`: only
    the base's tests made it red."""

    reason: str = ""
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    by_comparison: bool = False


def judge(
    gate: GateSettings,
    failed: str,
    left: Left,
    before: Census | None,
    touched: Callable[[Test], bool],
    *,
    said_red: bool,
) -> Judged:
    """The verdict over one run of a gate.

    `failed` says how it failed by itself, "" with exit status 0; `said_red`: by an exit status, as tests that
    fail do. `before` is the census of the base, None where there is none. `touched` tells tests whose file the
    task was allowed to change, and did.
    """
    known = Known(gate.known_red)
    census = left.census
    if census is None:
        return _without(gate, failed, left.problem, before)
    lines = told(census, before, known)
    unexpected = [test for test in census.bad if test not in known]
    if failed and not (said_red and known and census.bad and not unexpected):
        return Judged(failed, tuple(lines if census.bad or census.tests else ()))
    if unexpected:
        return Judged(
            f"`{gate.run}` ended with exit status 0 although {_tests(len(unexpected))} failed by its own report",
            tuple(lines),
        )
    if gate.junit is not None and census.short:
        return Judged(
            f"`{gate.run}` passed, but its report `{gate.junit}` announces {_tests(census.short)} more than it holds",
            tuple(lines),
        )
    gone = lost(before, census) if before is not None else []
    blamed = [item for item in gone if not touched(item.test)]
    if blamed:
        return Judged(_fewer(gate, blamed), (*lines, *_names(blamed)), by_comparison=True)
    notes = [f"{item.test.shown} no longer runs; its file was changed by the task" for item in gone]
    notes += _new_skips(census, before)
    notes += [f"known_red `{name}` passes now: take it off the list" for name in known.passing(census)]
    notes += [f"known_red `{name}`: no test of that id has run" for name in known.unheard_of(census)]
    return Judged(notes=tuple(f"gate `{gate.name}`: {one_line(note)}" for note in _first(notes)))


def _without(gate: GateSettings, failed: str, problem: str, before: Census | None) -> Judged:
    if failed:
        why = problem or "it left no report that is known of; name one by `junit:`"
        return Judged(failed, (f"(known_red was of no use: {why})",) if gate.known_red else ())
    if gate.junit is not None:
        return Judged(f"`{gate.run}` ended with exit status 0, but {problem}")
    if before is None:
        return Judged()
    what = problem or (
        "without the test report that it makes on the base: its test run was cut short, or did not take place"
    )
    return Judged(f"`{gate.run}` ended with exit status 0, but {what}", by_comparison=True)


def _fewer(gate: GateSettings, blamed: Sequence[Lost]) -> str:
    skipped = sum(item.now is not None for item in blamed)
    gone = len(blamed) - skipped
    parts = [f"{_tests(gone)} no longer run{'s' * (gone == 1)}"] * bool(gone)
    parts += [f"{_tests(skipped)} skipped or expected to fail now"] * bool(skipped)
    return f"`{gate.run}` passed, but of the tests that ran on the base {' and '.join(parts)}"


def _names(blamed: Sequence[Lost]) -> list[str]:
    lines = [
        f"  {item.now.value + ' now' if item.now else 'no longer there'}: {one_line(item.test.shown)}"
        for item in blamed[:NAMES_TOLD]
    ]
    if len(blamed) > NAMES_TOLD:
        lines.append(f"  and {len(blamed) - NAMES_TOLD} more")
    return [
        *lines,
        "  (a task that is meant to take tests away may change their files: name them in its scope)",
    ]


def _new_skips(census: Census, before: Census | None) -> list[str]:
    if before is None:
        return []
    old = {test.key for test in before.tests}
    words = {Status.SKIPPED: "is skipped", Status.XFAILED: "is expected to fail"}
    return [
        f"the new test {test.shown} {words[test.status]}"
        for test in census.tests
        if test.status in words and test.key not in old
    ]


def _first(notes: Sequence[str]) -> list[str]:
    more = len(notes) - NAMES_TOLD
    return [*notes[:NAMES_TOLD], *([f"and {more} more notes of this kind"] if more > 0 else [])]


def _tests(number: int) -> str:
    return f"{number} test{'s' * (number != 1)}"

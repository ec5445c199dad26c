"""How much a landed task deserves a look. Pure; the weights are only there to bring the riskiest to the top."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .facts import LandedTask

SECOND_ATTEMPT, EACH_FURTHER = 40, 10
UNGUARDED = 35
"""No gate was red with the files in its scope broken: that it passed says little."""
FLAKY = 25
REFUSED_IN_REVIEW = 20
TOGETHER = 20
DENIED = 10
DROPPED = 5
LINES_A_POINT, MOST_FOR_SIZE = 25, 20
MANY_FILES, FOR_MANY_FILES = 10, 5


@dataclass(frozen=True, slots=True)
class Risk:
    """`reasons` are a few words each, the weightiest first; the last one is the size."""

    score: int
    reasons: tuple[str, ...]


def risk(task: LandedTask) -> Risk:
    found: list[tuple[int, str]] = []
    if task.guarded == "no":
        found.append((UNGUARDED, "unguarded"))
    if task.attempts > 1:
        found.append((SECOND_ATTEMPT + EACH_FURTHER * (task.attempts - 2), f"{task.attempts} attempts"))
    if task.flaky:
        found.append((FLAKY, f"flaky: {', '.join(task.flaky)}"))
    if task.refused:
        times = "" if task.refused == 1 else f" {task.refused} times"
        found.append((REFUSED_IN_REVIEW * min(task.refused, 2), f"a review refused it{times}"))
    if task.together:
        found.append((TOGETHER, "failed together with others first"))
    if task.denied:
        found.append((DENIED, f"{task.denied} refused while it went on"))
    if task.dropped:
        found.append((DROPPED, f"{len(task.dropped)} changes dropped"))
    if task.by_hand:
        found.append((0, "finished by hand"))
    found.sort(key=lambda pair: -pair[0])
    lines = task.added + task.removed
    size = min(lines // LINES_A_POINT, MOST_FOR_SIZE) + FOR_MANY_FILES * (task.files > MANY_FILES)
    files = f"{task.files} file{'s' * (task.files != 1)}"
    reasons = [reason for _, reason in found] + [f"+{task.added} -{task.removed} in {files}"]
    return Risk(sum(points for points, _ in found) + size, tuple(reasons))


def ranked(tasks: Iterable[LandedTask]) -> list[tuple[LandedTask, Risk]]:
    """Riskiest first; of equal ones the larger, then the older."""
    judged = [(task, risk(task)) for task in tasks]
    return sorted(judged, key=lambda pair: (-pair[1].score, -(pair[0].added + pair[0].removed), pair[0].at))

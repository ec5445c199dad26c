"""What has been played: where it lies, and what was noted while it went on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from .faults import Event
from .ledger import Ledger
from .project import Task
from .user import User

RECENT = 6
"""Sessions that may still go on."""


@dataclass
class Played:
    """One play of the queue, by the runner or by the loop.

    `stores` are git directories beside the checkout's own that may hold what agents wrote, `states` folders whose `*/kept` may
    (a workspace does not count: the next session clears it). `seconds` is the whole time, `alive` what lived on after it.
    """

    title: str
    checkout: Path
    first: str
    tasks: tuple[Task, ...]
    ledger: Ledger
    user: User
    stores: list[Path] = field(default_factory=list)
    states: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    starts: int = 0
    disturbed: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    """After which of the journal's records processes were killed."""
    alive: list[str] = field(default_factory=list)
    memory_peak: int = 0
    memory_growth: int = 0
    longest_start: float = 0.0
    """Seconds of the start that the growth is of."""
    ended: str = ""
    """How it came to its end, where that is not by itself."""
    trouble: list[str] = field(default_factory=list)
    """Starts that were refused, with what was said."""


def does(played: Played, event: Event) -> None:
    """Have the user do that; where it is in the way of a task, of one that is being worked on, if there is one."""
    lists = {task.name: task.feature.listing for task in played.tasks if task.kind == "listed"}
    recent = [lists[session.task] for session in played.ledger.sessions()[-RECENT:] if session.task in lists]
    played.user.does(event, recent[-1] if recent else None)
    played.disturbed[event.what] += 1


def finished(played: Played) -> bool:
    """Whether all that is pending waits for something that has failed, or for another that does."""
    pending, done = in_folder(played, "pending"), in_folder(played, "done")
    given_up = {task.name for task in played.tasks} - done - pending
    return pending <= waits_for_ever(played.tasks, pending, given_up)


def in_folder(played: Played, folder: str) -> set[str]:
    """The tasks whose files lie there."""
    names = {task.name for task in played.tasks}
    return names & {file.stem for file in (played.checkout / "tasks" / folder).glob("*.md")}


def waits_for_ever(tasks: Sequence[Task], pending: Set[str], failed: Set[str]) -> set[str]:
    """The pending tasks that depend on a failed one, or on another such; a dependency has a smaller number."""
    never: set[str] = set()
    for task in tasks:
        if task.name in pending and task.depends_on in failed | never:
            never.add(task.name)
    return never

"""The user, who works in the checkout meanwhile, and expects to find all of it again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from .faults import Disturbance, Event
from .project import AREAS
from .repository import git

NAME = "The User"
_IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", NAME), ("EMAIL", "user@example.org"))
}
TRIES = 40
"""How often a commit is tried again while another git holds a lock: two seconds and more."""
BROKEN = "src/core/b000.sh"


@dataclass
class User:
    """`whole` are files with the text that they must have at the end, `parts` lines that must be in a file."""

    checkout: Path
    whole: dict[str, str] = field(default_factory=dict)
    parts: list[tuple[str, str]] = field(default_factory=list)
    red_since: int | None = None
    """The session at which the branch was broken; None where it is not."""
    unfinished: set[str] = field(default_factory=set)
    """Files that could not be committed: a killed program's lock was in the way all the time."""

    def does(self, event: Event, listing: str | None = None) -> None:
        """One thing; `listing` is a list that a task is about to change, None: whichever."""
        match event.what:
            case Disturbance.COMMIT:
                self.commit_edits()
                name = f"notes/{event.at:05d}.md"
                self._write(name, f"A note of mine, {event.salt}.\n")
                self.whole[name] = f"A note of mine, {event.salt}.\n"
                self._commit(name, "a note")
            case Disturbance.COMMIT_IN_SCOPE:
                name = listing or f"src/area{random.Random(event.salt).randrange(AREAS):02d}/list.txt"
                self._append(name, f"# looked at by the user, {event.salt}\n")
                self._commit(name, "a remark in a list")
            case Disturbance.EDIT:
                self._append("README.md", f"Being written, {event.salt}.\n")
                name = f"scratch/{event.at:05d}.txt"
                self._write(name, f"untracked, {event.salt}\n")
                self.whole[name] = f"untracked, {event.salt}\n"
            case Disturbance.RED_COMMIT:
                text = (self.checkout / BROKEN).read_text()
                if self.red_since is None:
                    self._write(BROKEN, text.replace("result=$((", "result=$(( 1 +"))
                    self._commit(BROKEN, "a mistake")
                    self.red_since = event.at

    def mend(self) -> bool:
        """Put right what was broken; False where nothing was."""
        if self.red_since is None:
            return False
        text = (self.checkout / BROKEN).read_text()
        self._write(BROKEN, text.replace("result=$(( 1 +", "result=$(("))
        self._commit(BROKEN, "the mistake is mended")
        self.red_since = None
        return True

    def commit_edits(self) -> None:
        """What is changed in tracked files by his own hand."""
        for name in sorted(self.unfinished | {"README.md"}):
            if git(self.checkout, "status", "--porcelain", "--", name).strip():
                self._commit(name, "what I was at")

    def _write(self, name: str, text: str) -> None:
        file = self.checkout / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def _append(self, name: str, line: str) -> None:
        with (self.checkout / name).open("a") as file:
            file.write(line)
        self.parts.append((name, line))

    def _commit(self, name: str, subject: str) -> None:
        for _ in range(TRIES):
            try:
                git(self.checkout, "add", "--", name)
                git(self.checkout, "commit", "-q", "-m", subject, "--", name, env=_IDENTITY)
            except RuntimeError:
                time.sleep(0.05)
            else:
                self.unfinished.discard(name)
                return
        self.unfinished.add(name)

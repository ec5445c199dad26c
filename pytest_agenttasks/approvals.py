"""What a person has looked at: the records of approvals and rejections, and what they leave to be looked at.

One JSON line a record, in `reviews.jsonl` beside the queue's folders where git tracks these (as committed: an edit counts
once it is), else in the repository's private folder. The queue's folder is nothing that a task may write.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from .history import History
from .journal_records import Landed
from .outcome import SetupError
from .queue import Queue, names
from .report.printable import encodable
from .trees.objects import blob, entries
from .trees.repository import Repository

FILE = "reviews.jsonl"

_Commit = Annotated[str, Meta(pattern="^(?:[0-9a-f]{40}|[0-9a-f]{64})$")]
_Moment = Annotated[datetime, Meta(tz=True)]


class Covered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A task that an approval names; `commit` is what it landed as, None for one that had not."""

    task: str
    commit: _Commit | None = None


class Approved(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="review", tag="approved"
):
    """`by` is a git identity. All that had landed up to the commit `up_to` is approved, and each of `tasks`: what landed by
    its commit, what had not as it was at that time."""

    at: _Moment
    by: str
    up_to: _Commit | None = None
    tasks: tuple[Covered, ...] = ()


class Rejected(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="review", tag="rejected"
):
    """`commit` is what the task had landed as."""

    at: _Moment
    by: str
    task: str
    commit: _Commit
    why: str


Review = Approved | Rejected

_DECODER = msgspec.json.Decoder(Review)


def read(repository: Repository, queue: Queue) -> tuple[Review, ...]:
    """Every record, committed and private, in the order of the files. Raises SetupError naming a line that is none."""
    path = git_path(queue)
    found: list[Review] = []
    stored = entries(repository, repository.tip(), [path]).get(path)
    if stored is not None and stored[0].startswith("100"):
        found += parse(blob(repository, stored[1]), f"{os.fsdecode(path)} (as committed)")
    private = repository.home / FILE
    if private.exists():
        found += parse(private.read_bytes(), str(private))
    return tuple(found)


def parse(data: bytes, where: str) -> Iterator[Review]:
    """The records of a file's text. Raises SetupError naming the line that is none."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            yield _DECODER.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            what = "left by a merge" if line.startswith((b"<<<<<<<", b"=======", b">>>>>>>")) else str(error)
            raise SetupError(
                f"{where}, line {number}: not a record of a review ({what}); mend the line or remove it, "
                "and commit that where git tracks the file"
            ) from None


def encode(review: Review) -> bytes:
    """One line, with its end; a task's name or a word that is no UTF-8 with escapes (`encodable`)."""
    values = {key: encodable(value) for key in ("by", "task", "why") if (value := getattr(review, key, None))}
    if isinstance(review, Approved):
        tasks = [msgspec.structs.replace(covered, task=encodable(covered.task)) for covered in review.tasks]
        return msgspec.json.encode(msgspec.structs.replace(review, **values, tasks=tuple(tasks))) + b"\n"
    return msgspec.json.encode(msgspec.structs.replace(review, **values)) + b"\n"


def git_path(queue: Queue) -> bytes:
    """Where the records are in a tracked queue."""
    return os.fsencode(f"{queue.relative}/{FILE}")


@dataclass(frozen=True, slots=True)
class Awaiting:
    """What nobody has approved yet, oldest first.

    `landed` is what the checked-out branch holds, `elsewhere` what it does not (another branch; taken away by hand),
    `failed` the names in the failed folder. Held tasks are in none: nothing of them is on the branch.
    """

    landed: tuple[Landed, ...]
    elsewhere: tuple[Landed, ...]
    failed: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The tasks of this branch."""
        return [*(landed.task for landed in self.landed), *self.failed]


def awaiting(repository: Repository, queue: Queue, history: History, reviews: Sequence[Review]) -> Awaiting:
    """What is to be looked at now."""
    pending = names(queue.pending)
    open_ = [landed for landed in _unapproved(repository, history, reviews) if landed.task not in pending]
    here = _reachable(repository, ["HEAD"], {landed.commit for landed in open_})
    return Awaiting(
        landed=tuple(landed for landed in open_ if landed.commit in here),
        elsewhere=tuple(landed for landed in open_ if landed.commit not in here),
        failed=tuple(
            sorted(
                (name for name in names(queue.failed) if not _named_since(name, history, reviews)),
                key=lambda name: (last_change(history, name), name),
            )
        ),
    )


def settled(
    repository: Repository, queue: Queue, history: History, reviews: Sequence[Review]
) -> frozenset[str]:
    """The tasks of which nothing is left to be reviewed: all that they left may go. Whatever is not known to be settled is
    not in it: tasks that are pending, have failed, have landed or are gone, and that nobody has approved since."""
    pending = names(queue.pending) | history.passed.keys()
    unapproved = {landed.task for landed in _unapproved(repository, history, reviews)}
    return frozenset(
        name
        for name in history.attempts.keys() | names(queue.failed) | names(queue.done)
        if name not in pending
        and (
            name not in unapproved
            if name in history.landed and not (queue.failed / f"{name}.md").exists()
            else _named_since(name, history, reviews)
        )
    )


def approved_up_to(reviews: Iterable[Review]) -> str | None:
    """The commit that the last approval of everything names; None where there was none."""
    up_to = [review.up_to for review in reviews if isinstance(review, Approved) and review.up_to]
    return up_to[-1] if up_to else None


def last_change(history: History, name: str) -> float:
    """When (epoch seconds) anything last came of a task; 0 where the journal says nothing of it."""
    known = [
        record.at
        for record in (history.starts.get(name), history.failed.get(name), history.landed.get(name))
        if record is not None
    ]
    return max([*known, *(ended.at for ended in history.ended.get(name, ())[-1:])], default=0.0)


def moment(now: float, history: History, covered: Iterable[str]) -> datetime:
    """The time to write into an approval of these tasks: `now`, but never before what it approves, whatever the clock did."""
    latest = max([now, *(last_change(history, name) for name in covered)])
    return datetime.fromtimestamp(math.ceil(latest * 1000) / 1000, UTC)


def _unapproved(repository: Repository, history: History, reviews: Sequence[Review]) -> list[Landed]:
    approvals = [review for review in reviews if isinstance(review, Approved)]
    named = {covered.commit for approval in approvals for covered in approval.tasks}
    left = [landed for landed in history.landed.values() if landed.commit not in named]
    up_to = [approval.up_to for approval in approvals if approval.up_to is not None]
    passed = _reachable(repository, up_to, {landed.commit for landed in left})
    return sorted((landed for landed in left if landed.commit not in passed), key=lambda landed: landed.at)


def _named_since(name: str, history: History, reviews: Sequence[Review]) -> bool:
    since, written = last_change(history, name), encodable(name)
    return any(
        review.at.timestamp() >= since
        for review in reviews
        if isinstance(review, Approved) and any(covered.task == written for covered in review.tasks)
    )


def _reachable(repository: Repository, tips: Sequence[str], commits: Collection[str]) -> set[str]:
    """Those of `commits` that are part of some of `tips`; a tip that is not in this repository has none."""
    if not tips or not commits:
        return set()
    asked = "".join(f"{tip}\n" for tip in dict.fromkeys(tips))
    listed = repository.git("rev-list", "--ignore-missing", "--stdin", stdin=asked.encode())
    return set(commits).intersection(listed.decode("ascii").split())
